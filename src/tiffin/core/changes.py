"""The log of everything that happened, written in the transaction that made it happen."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from sqlalchemy import inspect
from sqlalchemy.orm import Session

from tiffin.core.tables import Change, Table


class Origin(msgspec.Struct, frozen=True):
    """Who caused a change, when, and by which request."""

    at: float
    request_id: str
    actor_id: str | None
    project_id: str | None


@functools.cache
def _columns(table: type[Table]) -> tuple[str, ...]:
    return tuple(a.key for a in inspect(table).column_attrs if not a.columns[0].info.get("secret"))


def picture(row: Table | None) -> dict[str, Any] | None:
    """A row as the change log keeps it: every column that is not a secret."""
    return None if row is None else {name: getattr(row, name) for name in _columns(type(row))}


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
    session.add(
        Change(
            at=origin.at,
            request_id=origin.request_id,
            actor_id=origin.actor_id,
            project_id=origin.project_id,
            resource_type=resource_type,
            resource_id=resource_id,
            kind=kind,
            before=before,
            after=after,
        )
    )
