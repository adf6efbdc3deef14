"""Moves of servers, as operators and project managers list them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement, or_, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.listing import Key, limit_of, page
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema, since
from tiffin.core.world import iso
from tiffin.services.compute.lifecycles.moving import LIVE
from tiffin.services.compute.resources.finding import moment
from tiffin.services.compute.resources.flavors import ADMIN
from tiffin.services.compute.resources.words import Link, links
from tiffin.services.compute.tables import Migration

IN_PROGRESS = ("queued", "preparing", "running", "post-migrating")
"""The statuses of a live migration that can be watched."""
MANAGER = "rule:project_manager_or_admin"
ALL = "os_compute_api:os-migrations:index:all_projects"
HOST = "os_compute_api:os-migrations:index:host"
_FILTERS: dict[str, ColumnElement[Any] | Any] = {
    "instance_uuid": Migration.server_id,
    "migration_type": Migration.kind,
    "source_compute": Migration.source,
    "status": Migration.status,
}
_KNOWN = {*_FILTERS, "host", "hidden", "limit", "marker", "changes-since"}


class MigrationOut(Schema, kw_only=True):
    id: int
    uuid: Annotated[str | UnsetType, since(2, 59)] = UNSET
    instance_uuid: str
    status: str
    migration_type: Annotated[str | UnsetType, since(2, 23)] = UNSET
    source_compute: str | None
    source_node: str | None
    dest_compute: str | None
    dest_host: str | None
    dest_node: str | None
    old_instance_type_id: int | None
    new_instance_type_id: int | None
    created_at: str | None
    updated_at: str | None
    user_id: Annotated[str | UnsetType, since(2, 80)] = UNSET
    project_id: Annotated[str | UnsetType, since(2, 80)] = UNSET
    links: Annotated[list[Link] | UnsetType, since(2, 23)] = UNSET


def _number(size: dict[str, Any]) -> int | None:
    """The id of a flavor where that is a number: only such can be told in a field for numbers."""
    id = str(size["flavor"]["id"])
    return int(id) if id.isdecimal() and len(id) < 16 else None


def told(row: Any, *, hosts: bool) -> dict[str, Any]:
    """What every view of a move has; `hosts`: who asks may know where it leads from and to."""
    return {
        "id": row.number,
        "uuid": row.id,
        "status": row.status,
        "source_compute": row.source if hosts else None,
        "source_node": row.source_node if hosts else None,
        "dest_compute": row.dest if hosts else None,
        "dest_host": None,
        "dest_node": row.dest_node if hosts else None,
        "created_at": iso(row.created_at, micro=True, zulu=False),
        "user_id": row.user_id,
        "project_id": row.project_id,
    }


def _view(call: Call, row: Any) -> MigrationOut:
    shown = MigrationOut(
        instance_uuid=row.server_id,
        migration_type=row.kind,
        old_instance_type_id=_number(row.old_size),
        new_instance_type_id=_number(row.new_size),
        updated_at=iso(row.updated_at, micro=True, zulu=False),
        **told(row, hosts=call.allows(HOST)),
    )
    if row.kind == LIVE and row.status in IN_PROGRESS:
        shown.links = links(call.base_url, f"servers/{row.server_id}/migrations", str(row.number))
    return shown


migrations = Resource("migration", "migrations", "/v2.1/os-migrations", _view, rules=[(ALL, ADMIN), (HOST, ADMIN)])


@migrations.operation("GET", policy=("os_compute_api:os-migrations:index", MANAGER))
def index(call: Call) -> Page:
    paged = call.version >= (2, 59)
    if paged and (unknown := set(call.query) - _known(call)):
        raise BadRequest(f"Additional query parameters are not allowed: {', '.join(sorted(unknown))[:200]}")
    query = select(*Migration.__table__.columns).where(*_narrow(call), *_whose(call))
    keys: list[Key] = [(Migration.created_at, True), (Migration.number, True)] if paged else [(Migration.number, False)]
    limit = limit_of(call.param("limit"), 1000) if paged else None
    found = page(call.db, query, keys, Migration.id, limit=limit, marker=call.param("marker") if paged else None)
    found.links = paged
    return found


def _known(call: Call) -> set[str]:
    more = {"changes-before"} if call.version >= (2, 66) else set()
    return _KNOWN | more | ({"user_id", "project_id"} if call.version >= (2, 80) else set())


def _narrow(call: Call) -> list[ColumnElement[bool]]:
    found = [column == call.param(name) for name, column in _FILTERS.items() if call.param(name) is not None]
    if call.param("host") is not None:
        found.append(or_(Migration.source == call.param("host"), Migration.dest == call.param("host")))
    if call.version < (2, 59):
        return found
    times = {name: moment(call, name) for name in ("changes-since", "changes-before") if name in call.query}
    if times.get("changes-since", 0.0) > times.get("changes-before", float("inf")):
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    if "changes-since" in times:
        found.append(Migration.updated_at >= times["changes-since"])
    if "changes-before" in times:
        found.append(Migration.updated_at <= times["changes-before"])
    return found


def _whose(call: Call) -> list[ColumnElement[bool]]:
    """Those that were asked for in the actor's project, or all: upstream's policy says who sees others'."""
    asked = call.param("project_id") if call.version >= (2, 80) else None
    user = call.param("user_id") if call.version >= (2, 80) else None
    found: list[ColumnElement[bool]] = [Migration.user_id == user] if user is not None else []
    if asked is not None:
        if asked != call.actor.project_id:
            call.enforce(ALL)
        found.append(Migration.project_id == asked)
    elif not call.allows(ALL):
        found.append(Migration.project_id == call.actor.project_id)
    return found
