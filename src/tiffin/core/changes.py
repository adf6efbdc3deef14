"""The log of everything that happened, written in the transaction that made it happen."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from sqlalchemy import delete, insert, inspect, select
from sqlalchemy.orm import Session

from tiffin.core.tables import IS_LOGIN, Change, Table


class Origin(msgspec.Struct, frozen=True):
    """Who caused a change, when, and by which request."""

    at: float
    request_id: str
    actor_id: str | None
    project_id: str | None
    via: dict[str, Any] | None = None


@functools.cache
def _columns(table: type[Table]) -> tuple[str, ...]:
    return tuple(a.key for a in inspect(table).column_attrs if not a.columns[0].info.get("secret"))


def picture(row: Table | None) -> dict[str, Any] | None:
    """A row as the change log keeps it: every column that is not a secret."""
    return None if row is None else {name: getattr(row, name) for name in _columns(type(row))}


_APPEND = insert(Change.__table__)  # type: ignore[arg-type]  # not by the ORM, whose flush costs more than all the rest


def record(
    session: Session,
    origin: Origin,
    kind: str,
    resource: tuple[str, str],
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Append one change; `resource` is (type, id), `kind` a word such as create, update, delete, error."""
    resource_type, resource_id = resource
    session.execute(
        _APPEND,
        {
            "at": origin.at,
            "request_id": origin.request_id,
            "actor_id": origin.actor_id,
            "project_id": origin.project_id,
            "resource_type": resource_type,
            "resource_id": resource_id,
            "kind": kind,
            "before": before,
            "after": after,
            "via": origin.via,
        },
    )


MOST_LOGINS = 1_000_000
"""How many logins stay at most, half a gigabyte of them: whoever tries passwords without end shall not fill the disk."""
_AT_A_TIME = 2_000  # rows that one transaction removes, so that nobody waits long for its end


def end_of_logins(session: Session, before: float) -> float:
    """The time up to which logins are to be forgotten: `before`, or later where too many have come since."""
    newest_first = select(Change.at).where(IS_LOGIN).order_by(Change.at.desc())
    return max(before, session.scalar(newest_first.offset(MOST_LOGINS).limit(1)) or 0.0)


def forget_logins(session: Session, end: float) -> bool:
    """Remove the oldest logins up to `end`. True while there may be more, for another transaction. Other changes stay for
    ever: they are the history of things."""
    old = select(Change.sequence).where(IS_LOGIN, Change.at <= end).order_by(Change.at).limit(_AT_A_TIME)
    gone = session.execute(delete(Change).where(Change.sequence.in_(old)))
    return bool(gone.rowcount == _AT_A_TIME)  # type: ignore[attr-defined]  # of a DELETE it is there
