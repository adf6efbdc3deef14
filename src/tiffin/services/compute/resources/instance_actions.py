"""What was asked of a server, and how each ended."""

from __future__ import annotations

from typing import Annotated, Any, cast

from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement, Table, bindparam, select, update
from sqlalchemy.orm import Session

from tiffin.core.asker import Asker
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.listing import limit_of, page
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema, since
from tiffin.core.world import iso
from tiffin.services.compute import rules
from tiffin.services.compute.resources.finding import find_any, moment
from tiffin.services.compute.resources.flavors import ADMIN, READER
from tiffin.services.compute.tables import Server, ServerAction

EVENTS = "os_compute_api:os-instance-actions:events"
DETAILS = "os_compute_api:os-instance-actions:events:details"


class Event(Schema):
    event: str
    start_time: str | None
    finish_time: str | None
    result: str | None
    traceback: str | UnsetType | None = UNSET
    hostId: Annotated[str | UnsetType, since(2, 62)] = UNSET
    host: Annotated[str | UnsetType | None, since(2, 62)] = UNSET
    details: Annotated[str | UnsetType | None, since(2, 84)] = UNSET


class ActionOut(Schema):
    action: str
    instance_uuid: str
    message: str | None
    project_id: str
    request_id: str
    start_time: str | None
    user_id: str
    updated_at: Annotated[str | UnsetType | None, since(2, 58)] = UNSET
    events: list[Event] | UnsetType = UNSET


def begin(by: Asker, server: Server, action: str, event: str | None = None) -> None:
    """Note what is asked; `finish` says how it ended. Without `event` it has ended already."""
    by.db.add(
        ServerAction(
            server_id=server.id,
            project_id=by.actor.project_id or server.project_id,
            user_id=by.actor.user_id,
            request_id=by.request_id,
            action=action,
            event=event,
            started_at=by.now,
            updated_at=by.now,
            finished_at=None if event else by.now,
        )
    )


_ROWS = cast(Table, ServerAction.__table__)
_FINISH = (
    update(_ROWS)
    .where(
        _ROWS.c.server_id == bindparam("of_server"),
        _ROWS.c.request_id == bindparam("by_request"),
        _ROWS.c.finished_at.is_(None),
    )
    .values({name: bindparam(name) for name in ("finished_at", "updated_at", "result", "host", "details")})
)


def finish(session: Session, now: float, of: tuple[str, str], *, host: str | None, error: str | None = None) -> None:
    """Note how what was asked ended; `of` is (server id, request id)."""
    of_server, by_request = of
    end = {"finished_at": now, "updated_at": now, "result": "Error" if error else "Success", "host": host, "details": error}
    session.execute(_FINISH, {"of_server": of_server, "by_request": by_request, **end})


def _view(call: Call, row: Any) -> ActionOut:
    return ActionOut(
        action=row.action,
        instance_uuid=row.server_id,
        message="Error" if row.result == "Error" else None,
        project_id=row.project_id,
        request_id=row.request_id,
        start_time=iso(row.started_at, micro=True, zulu=False),
        user_id=row.user_id,
        updated_at=iso(row.updated_at, micro=True, zulu=False),
    )


actions = Resource(
    "instanceAction",
    "instanceActions",
    "/v2.1/servers/{id}/os-instance-actions",
    _view,
    rules=[(EVENTS, ADMIN), (DETAILS, ADMIN)],
)


def _within(call: Call) -> list[ColumnElement[bool]]:
    found = []
    if call.version >= (2, 58) and call.param("changes-since"):
        found.append(ServerAction.updated_at >= moment(call, "changes-since"))
    if call.version >= (2, 66) and call.param("changes-before"):
        found.append(ServerAction.updated_at <= moment(call, "changes-before"))
    return found


@actions.operation("GET", policy=("os_compute_api:os-instance-actions:list", READER), about=find_any)
def index(call: Call, id: str) -> Page:
    columns = [*ServerAction.__table__.columns, ServerAction.request_id.label("id")]
    query = select(*columns).where(ServerAction.server_id == id, *_within(call))
    paged = call.version >= (2, 58)
    marker = call.param("marker") if paged else None
    if marker is not None:
        known = select(ServerAction.number).where(ServerAction.server_id == id, ServerAction.request_id == marker)
        number = call.db.scalar(known)
        if number is None:
            raise BadRequest(f"marker [{marker[:80]}] not found")
        query = query.where(ServerAction.number < number)
    limit = limit_of(call.param("limit"), 1000) if paged else None
    found = page(call.db, query, [(ServerAction.number, True)], ServerAction.number, limit=limit)
    found.links = paged
    return found


@actions.operation("GET", "/{request_id}", policy=("os_compute_api:os-instance-actions:show", READER), about=find_any)
def show(call: Call, id: str, request_id: str) -> dict[str, ActionOut]:
    row = call.db.scalars(
        select(ServerAction).where(ServerAction.server_id == id, ServerAction.request_id == request_id)
    ).first()
    if row is None:
        raise NotFound(f"Action for request_id {request_id[:80]} on instance {id} not found")
    shown = _view(call, row)
    with_trace = call.allows(EVENTS)
    if with_trace or call.version >= (2, 51):
        shown.events = [_event(call, row, with_trace)] if row.event else []
    return {"instanceAction": shown}


def _event(call: Call, row: ServerAction, with_trace: bool) -> Event:
    event = Event(
        event=row.event or "",
        start_time=iso(row.started_at, micro=True, zulu=False),
        finish_time=iso(row.finished_at, micro=True, zulu=False),
        result=row.result,
        hostId=rules.host_id(row.project_id, row.host),
    )
    if with_trace:
        event.traceback = None
        event.host = row.host
    if call.allows(DETAILS):
        event.details = row.details
    return event
