"""The log of everything that happened, written in the transaction that made it happen."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from sqlalchemy import Dialect, delete, insert, inspect, select
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


_dumps = msgspec.json.Encoder().encode


@functools.lru_cache(maxsize=8)
def _append(dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
    """The statement that appends a change, compiled once for all, and the order of its parameters where they have no names.
    Each mutation and each login pays for it: the ORM takes 0.2 ms, SQLAlchemy's Core 0.1, the driver itself 0.05."""
    named = [column.key for column in inspect(Change).local_table.columns if column.key != "sequence"]
    compiled = insert(Change).values(dict.fromkeys(named)).compile(dialect=dialect)
    order = compiled.positiontup if compiled.positional else None
    return str(compiled), tuple(order) if order is not None else None


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
    values = {
        "at": origin.at,
        "request_id": origin.request_id,
        "actor_id": origin.actor_id,
        "project_id": origin.project_id,
        "resource_type": resource[0],
        "resource_id": resource[1],
        "kind": kind,
        "before": _dumps(before).decode(),
        "after": _dumps(after).decode(),
        "via": _dumps(origin.via).decode(),
    }
    connection = session.connection()
    statement, order = _append(connection.dialect)
    connection.exec_driver_sql(statement, tuple(values[name] for name in order) if order else values)


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
