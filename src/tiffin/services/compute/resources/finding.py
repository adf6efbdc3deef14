"""How operations find the server they are about, and what they check first."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from typing import Any

from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden, NotFound
from tiffin.services.compute.tables import Server

UNLOCK_OVERRIDE = "os_compute_api:os-lock-server:unlock:unlock_override"


def _look(call: Call, id: str) -> Server | None:
    row = call.db.scalar(select(Server).where(Server.id == id)) if len(id) <= 36 else None
    if row is None or (row.project_id != call.actor.project_id and not call.actor.is_admin):
        return None
    return row


def find(call: Call, id: str, **_: Any) -> Server:
    """The server, when the actor may know of it. Raises `NotFound`."""
    row = _look(call, id)
    if row is None or row.deleted_at is not None:
        raise NotFound(f"Instance {id[:64]} could not be found.")
    return row


def find_any(call: Call, id: str, **_: Any) -> Server:
    """Like `find`, deleted ones too from 2.21 on."""
    row = _look(call, id)
    if row is None or (row.deleted_at is not None and call.version < (2, 21)):
        raise NotFound(f"Instance {id[:64]} could not be found.")
    return row


def unlocked(call: Call, row: Server) -> None:
    """Raises `Conflict` when the server is locked against this actor."""
    if row.locked_by is not None and not call.actor.is_admin:
        raise Conflict(f"Instance {row.id} is locked")


def ready(
    call: Call,
    row: Server,
    action: str,
    states: Collection[str] | None,
    *,
    tasks: Collection[str | None] | None = (None,),
) -> None:
    """Raises `Conflict` unless the server is unlocked, in one of these vm_states and task_states (None: any)."""
    unlocked(call, row)
    if states is not None and row.vm_state not in states:
        raise Conflict(f"Cannot '{action}' instance {row.id} while it is in vm_state {row.vm_state}")
    if tasks is not None and row.task_state not in tasks:
        raise Conflict(f"Cannot '{action}' instance {row.id} while it is in task_state {row.task_state}")


def moment(call: Call, name: str) -> float:
    """A time of the query string, as seconds since the epoch. Raises `BadRequest`."""
    text = call.param(name) or ""
    try:
        when = datetime.datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise BadRequest(f"Invalid input for query parameters {name}: {text[:60]!r} is not a date-time.") from None
    try:
        return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
    except (OverflowError, ValueError):
        raise BadRequest(f"Invalid input for query parameters {name}: it is out of range.") from None


def with_project(call: Call) -> str:
    """The project that the actor works in. Raises `Forbidden` for a token without one."""
    if not call.actor.project_id:
        raise Forbidden("This needs a token that is scoped to a project.")
    return call.actor.project_id
