"""Servers: looking at them, changing what is said about them, deleting them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core import changes
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.listing import limit_of, page
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema, since
from tiffin.services.compute.resources import instance_actions as log
from tiffin.services.compute.resources import server_filters as filters
from tiffin.services.compute.resources import server_view as seen
from tiffin.services.compute.resources.finding import find, unlocked
from tiffin.services.compute.resources.flavors import ADMIN, READER
from tiffin.services.compute.resources.words import Address, Description, DiskConfig, Name
from tiffin.services.compute.tables import Server

KIND = "compute.server"
MEMBER = "rule:project_member_or_admin"
MAX_PAGE = 1000

HostNameIn = Annotated[
    Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-._]+\Z")] | UnsetType, since(2, 90)
]
_OLD_HOST_NAME = re.compile(r"[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+\Z")


def given_hostname(call: Call, value: str | UnsetType) -> str | UnsetType:
    """The host name that was asked for. Below 2.94 it is one label. Raises `BadRequest`."""
    if value is UNSET or call.version >= (2, 94):
        return value
    if len(str(value)) > 63 or not _OLD_HOST_NAME.match(str(value)):
        raise BadRequest(f"Invalid input for field/attribute hostname: {value!r} is not a host name of one label.")
    return value


briefs = Resource("server", "servers", "/v2.1/servers", seen.brief)
details = Resource(
    "server",
    "servers",
    "/v2.1/servers",
    seen.view,
    rules=[
        ("os_compute_api:servers:index:get_all_tenants", ADMIN),
        ("os_compute_api:servers:detail:get_all_tenants", ADMIN),
        (filters.ALL_FILTERS, ADMIN),
        (seen.ATTRIBUTES, ADMIN),
        (seen.HOST_STATUS, ADMIN),
        (seen.HOST_UNKNOWN, ADMIN),
        (seen.EXTRA_SPECS, READER),
    ],
)
servers = Resource("server", "servers", "/v2.1/servers", seen.view_with_groups)
changed = Resource("server", "servers", "/v2.1/servers", seen.view_of_change)


@briefs.operation("GET", policy=("os_compute_api:servers:index", READER))
def index(call: Call) -> Page:
    query = select(Server.id, Server.name)
    return _list(call, query, "os_compute_api:servers:index:get_all_tenants")


@details.operation("GET", "/detail", policy=("os_compute_api:servers:detail", READER))
def detail(call: Call) -> Page:
    return _list(call, seen.looking(), "os_compute_api:servers:detail:get_all_tenants")


def _list(call: Call, query: Any, all_tenants_rule: str) -> Page:
    limit = limit_of(call.param("limit"), MAX_PAGE)
    narrowed = filters.narrow(call, query, all_tenants_rule)
    return page(call.db, narrowed, filters.keys(call), Server.id, limit=limit, marker=call.param("marker"))


def look_at(call: Call, id: str) -> Any:
    """The row to show. Raises `NotFound`."""
    row = seen.look(call.db, id) if len(id) <= 36 else None
    if (
        row is None
        or row.deleted_at is not None
        or not (row.project_id == call.actor.project_id or call.actor.is_admin)
    ):
        raise NotFound(f"Instance {id[:64]} could not be found.")
    return row


@servers.operation("GET", "/{id}", policy=("os_compute_api:servers:show", READER), about=look_at)
def show(call: Call, id: str) -> Any:
    return call.subject


class Change(Schema):
    name: Name | UnsetType = UNSET
    description: Annotated[Description | UnsetType | None, since(2, 19)] = UNSET
    hostname: HostNameIn = UNSET
    access_ip_v4: Address | UnsetType = msgspec.field(default=UNSET, name="accessIPv4")
    access_ip_v6: Address | UnsetType = msgspec.field(default=UNSET, name="accessIPv6")
    disk_config: DiskConfig | UnsetType = msgspec.field(default=UNSET, name="OS-DCF:diskConfig")


def address(name: str, value: str | UnsetType, version: int) -> str | None:
    """An access address in its canonical form. Raises `BadRequest`."""
    if value is UNSET:
        return None
    try:
        found = ipaddress.ip_address(str(value))
    except ValueError:
        found = None
    if found is None or found.version != version or "%" in str(value):
        raise BadRequest(f"Invalid input for field/attribute {name}: {value!r} is not an IPv{version} address.")
    return str(found)


@changed.operation("PUT", "/{id}", policy=("os_compute_api:servers:update", MEMBER), body=Change, about=find)
def update(call: Call, id: str, body: Change) -> Any:
    row: Server = call.subject
    old = changes.picture(row)
    v4, v6 = address("accessIPv4", body.access_ip_v4, 4), address("accessIPv6", body.access_ip_v6, 6)
    new = {"name": body.name, "description": body.description, "hostname": given_hostname(call, body.hostname),
           "disk_config": body.disk_config, "access_ip_v4": v4 or UNSET, "access_ip_v6": v6 or UNSET}  # fmt: skip
    for column, value in new.items():
        if value is not UNSET:
            setattr(row, column, value)
    row.updated_at = call.now
    call.record("update", (KIND, id), before=old, after=changes.picture(row))
    call.db.flush()
    return seen.look(call.db, id)


@servers.operation("DELETE", "/{id}", policy=("os_compute_api:servers:delete", MEMBER), about=find)
def delete(call: Call, id: str) -> None:
    end(call, call.subject)


@servers.action("forceDelete", policy=("os_compute_api:os-deferred-delete:force", MEMBER), about=find)
def force_delete(call: Call, id: str, body: Any) -> None:
    end(call, call.subject)


def end(call: Call, row: Server) -> None:
    """Have the server go. Asking again is fine."""
    unlocked(call, row)
    if row.task_state == "deleting":
        return
    row.task_state, row.updated_at = "deleting", call.now
    log.begin(call, row, "delete", "compute_terminate_instance")
    call.record("delete.start", (KIND, row.id))
    call.ask(KIND, row.id, "delete")
