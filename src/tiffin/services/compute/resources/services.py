"""The compute services that run on hosts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import sqlalchemy
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import func, or_, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, NotFound
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema, since
from tiffin.core.world import iso
from tiffin.services.compute import host_rows
from tiffin.services.compute.resources.availability_zones import is_up, zone_of_hosts
from tiffin.services.compute.resources.flavors import ADMIN
from tiffin.services.compute.resources.words import Boolean, HostName, boolean
from tiffin.services.compute.tables import AggregateHost, ComputeHost, Migration, Server
from tiffin.services.placement import public as placement

BINARY = "nova-compute"
UPDATE = ("os_compute_api:os-services:update", ADMIN)
services = Resource("service", "services", "/v2.1/os-services")


class ServiceOut(Schema):
    id: int | str
    binary: str
    host: str
    zone: str
    status: str
    state: str
    updated_at: str | None
    disabled_reason: str | None
    forced_down: Annotated[bool | UnsetType, since(2, 11)] = UNSET


def _view(call: Call, row: ComputeHost, zone: str) -> ServiceOut:
    return ServiceOut(
        id=row.service_id if call.version >= (2, 53) else row.number,
        binary=BINARY,
        host=row.name,
        zone=zone,
        status="disabled" if row.disabled else "enabled",
        state="up" if is_up(row, call.cloud.looked_at(), call.service.settings) else "down",
        updated_at=iso(row.seen_at, micro=True, zulu=False),
        disabled_reason=row.disabled_reason,
        forced_down=row.forced_down,
    )


@services.operation("GET", policy=("os_compute_api:os-services:list", ADMIN))
def index(call: Call) -> dict[str, Any]:
    zones = zone_of_hosts(call.db, call.service.settings.default_zone)
    if call.param("binary") not in (None, BINARY):
        return {"services": []}
    query = select(ComputeHost).order_by(ComputeHost.number)
    if call.param("host"):
        query = query.where(ComputeHost.name == call.param("host"))
    return {"services": [_view(call, row, zones[row.name]) for row in call.db.scalars(query)]}


class Named(Schema):
    host: HostName
    binary: Annotated[str, Meta(min_length=1, max_length=255)]
    disabled_reason: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET
    forced_down: Annotated[Boolean | UnsetType, since(2, 11)] = UNSET


def _find(call: Call, body: Named) -> ComputeHost:
    row = call.db.scalar(select(ComputeHost).where(ComputeHost.name == body.host))
    if row is None or body.binary != BINARY:
        raise NotFound(f"Could not find binary {body.binary[:80]} on host {body.host}.")
    return row


@services.operation("PUT", "/enable", policy=UPDATE, body=Named, root="", until=(2, 53))
def enable(call: Call, body: Named) -> dict[str, Any]:
    row = _find(call, body)
    host_rows.enable(row)
    host_rows.status_changed(call, row)
    return {"service": {"host": row.name, "binary": BINARY, "status": "enabled"}}


@services.operation("PUT", "/disable", policy=UPDATE, body=Named, root="", until=(2, 53))
def disable(call: Call, body: Named) -> dict[str, Any]:
    row = _find(call, body)
    row.disabled, row.disabled_reason = True, None
    host_rows.status_changed(call, row)
    return {"service": {"host": row.name, "binary": BINARY, "status": "disabled"}}


@services.operation("PUT", "/disable-log-reason", policy=UPDATE, body=Named, root="", until=(2, 53))
def disable_with_reason(call: Call, body: Named) -> dict[str, Any]:
    if body.disabled_reason is UNSET:
        raise BadRequest("Missing disabled reason field")
    row = _find(call, body)
    row.disabled, row.disabled_reason = True, str(body.disabled_reason)
    host_rows.status_changed(call, row)
    shown = {"host": row.name, "binary": BINARY, "status": "disabled", "disabled_reason": row.disabled_reason}
    return {"service": shown}


@services.operation("PUT", "/force-down", policy=UPDATE, body=Named, root="", since=(2, 11), until=(2, 53))
def force_down(call: Call, body: Named) -> dict[str, Any]:
    if body.forced_down is UNSET:
        raise BadRequest("Missing forced_down field")
    row = _find(call, body)
    row.forced_down = boolean(body.forced_down)
    host_rows.status_changed(call, row)
    return {"service": {"host": row.name, "binary": BINARY, "forced_down": row.forced_down}}


class Change(Schema):
    status: Literal["enabled", "disabled"] | UnsetType = UNSET
    disabled_reason: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET
    forced_down: Boolean | UnsetType = UNSET


def by_id(call: Call, id: str) -> ComputeHost:
    column = ComputeHost.service_id if call.version >= (2, 53) else ComputeHost.number
    if call.version < (2, 53) and not (id.isdecimal() and len(id) < 19):
        raise BadRequest(f"Invalid service id: {id[:60]}")
    row = call.db.scalar(select(ComputeHost).where(column == (id if call.version >= (2, 53) else int(id))))
    if row is None:
        raise NotFound(f"Service {id[:64]} could not be found.")
    return row


@services.operation("PUT", "/{id}", policy=UPDATE, body=Change, root="", since=(2, 53))
def update(call: Call, id: str, body: Change) -> dict[str, Any]:
    row = by_id(call, id)
    if body.status is UNSET and body.forced_down is UNSET:
        raise BadRequest("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    if body.disabled_reason is not UNSET and body.status != "disabled":
        raise BadRequest("Specifying 'disabled_reason' when status is 'enabled' is invalid.")
    if body.status == "enabled":
        host_rows.enable(row)
    elif body.status == "disabled":
        row.disabled, row.disabled_reason = True, body.disabled_reason or None
    if body.forced_down is not UNSET:
        row.forced_down = boolean(body.forced_down)
    host_rows.status_changed(call, row)
    zones = zone_of_hosts(call.db, call.service.settings.default_zone)
    return {"service": _view(call, row, zones[row.name])}


@services.operation("DELETE", "/{id}", policy=("os_compute_api:os-services:delete", ADMIN))
def delete(call: Call, id: str) -> None:
    row = by_id(call, id)
    busy = call.db.scalar(select(func.count()).where(Server.host == row.name, Server.deleted_at.is_(None)))
    if busy:
        raise Conflict(
            "Unable to delete compute service that is hosting instances. Migrate or delete the instances first."
        )
    there = or_(Migration.source == row.name, Migration.dest == row.name)
    if call.db.scalar(select(func.count()).where(there, Migration.settled.is_(False))):
        raise Conflict(
            "Unable to delete compute service that has in-progress migrations. Complete the migrations or delete the "
            "instances first."
        )
    call.db.execute(sqlalchemy.delete(AggregateHost).where(AggregateHost.host == row.name))
    placement.forget_provider(call.db, row.id)
    call.record("delete", ("compute.service", row.service_id))
    call.db.delete(row)
