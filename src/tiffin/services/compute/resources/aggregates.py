"""Host aggregates: names and metadata for groups of hosts; one kind of them is an availability zone."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core import changes
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, NotFound
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema, since
from tiffin.core.world import iso
from tiffin.services.compute.resources.availability_zones import zone_of
from tiffin.services.compute.resources.flavors import ADMIN
from tiffin.services.compute.resources.words import HostName, MetaKey, Name, Text255
from tiffin.services.compute.tables import Aggregate, AggregateHost, ComputeHost, Server
from tiffin.services.placement import public as placement

aggregates = Resource("aggregate", "aggregates", "/v2.1/os-aggregates")
KIND = "compute.aggregate"
_P = "os_compute_api:os-aggregates:"
Zone = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^:\s](.*[^:\s])?\Z")]


class AggregateIn(Schema):
    name: Name
    availability_zone: Zone | UnsetType | None = UNSET


class AggregateChange(Schema):
    name: Name | UnsetType = UNSET
    availability_zone: Zone | UnsetType | None = UNSET


class HostIn(Schema):
    host: HostName


class MetadataIn(Schema):
    metadata: Annotated[dict[MetaKey, Text255 | None], Meta(max_length=256)]


class Made(Schema, kw_only=True):
    id: int
    name: str
    availability_zone: str | None
    created_at: str | None
    updated_at: str | None
    deleted: bool = False
    deleted_at: None = None
    uuid: Annotated[str | UnsetType, since(2, 41)] = UNSET


class Shown(Made, kw_only=True):
    hosts: list[str]
    metadata: dict[str, str]


def _fields(row: Aggregate) -> dict[str, Any]:
    return {
        "id": row.number,
        "name": row.name,
        "availability_zone": row.availability_zone,
        "created_at": iso(row.created_at, micro=True, zulu=False),
        "updated_at": iso(row.updated_at, micro=True, zulu=False),
        "uuid": row.id,
    }


def _hosts(call: Call, row: Aggregate) -> list[str]:
    found = select(AggregateHost.host).where(AggregateHost.aggregate == row.number).order_by(AggregateHost.host)
    return list(call.db.scalars(found))


def view(call: Call, row: Aggregate) -> Shown:
    zone = {"availability_zone": row.availability_zone} if row.availability_zone else {}
    return Shown(**_fields(row), hosts=_hosts(call, row), metadata={**row.meta, **zone})


def find(call: Call, id: str) -> Aggregate:
    """Raises `NotFound`."""
    row = call.db.get(Aggregate, int(id)) if id.isdecimal() and len(id) < 19 else None
    if row is None:
        raise NotFound(f"Aggregate {id[:64]} could not be found.")
    return row


def _changed(call: Call, row: Aggregate, kind: str = "update") -> dict[str, Any]:
    row.updated_at = call.now
    call.db.flush()
    call.record(kind, (KIND, row.id), after=changes.picture(row))
    return {"aggregate": view(call, row)}


def _free_name(call: Call, name: str, but: Aggregate | None = None) -> None:
    row = call.db.scalar(select(Aggregate).where(Aggregate.name == name))
    if row is not None and row is not but:
        raise Conflict(f"Aggregate {name} already exists.")


@aggregates.operation("GET", policy=(_P + "index", ADMIN))
def index(call: Call) -> dict[str, Any]:
    rows = call.db.scalars(select(Aggregate).order_by(Aggregate.number)).all()
    return {"aggregates": [view(call, row) for row in rows]}


@aggregates.operation("POST", policy=(_P + "create", ADMIN), body=AggregateIn, ok=200)
def create(call: Call, body: AggregateIn) -> dict[str, Any]:
    _free_name(call, body.name)
    row = Aggregate(id=call.new_id(), name=body.name, availability_zone=body.availability_zone or None, meta={},
                    created_at=call.now, updated_at=None)  # fmt: skip
    call.db.add(row)
    call.db.flush()
    call.record("create", (KIND, row.id), after=changes.picture(row))
    return {"aggregate": Made(**_fields(row))}


@aggregates.operation("GET", "/{id}", policy=(_P + "show", ADMIN))
def show(call: Call, id: str) -> dict[str, Any]:
    return {"aggregate": view(call, find(call, id))}


def _rezone(call: Call, row: Aggregate, zone: str | None) -> None:
    """Give the aggregate another zone. Raises `Conflict` while servers would change theirs with it."""
    if zone == row.availability_zone:
        return
    hosts = _hosts(call, row)
    busy = select(Server.id).where(Server.host.in_(hosts), Server.deleted_at.is_(None)).limit(1)
    if call.db.scalar(busy) is not None:
        raise Conflict(
            f"Cannot update aggregate {row.number}. Reason: One or more hosts contain instances in this zone."
        )
    if zone:
        _one_zone(call, row, zone, hosts)
    row.availability_zone = zone


def _same_zone(call: Call, host: ComputeHost, before: str, after: str) -> None:
    """Raises `Conflict` when the host would change its zone under the servers there."""
    busy = select(Server.id).where(Server.host == host.name, Server.deleted_at.is_(None)).limit(1)
    if before != after and call.db.scalar(busy) is not None:
        raise Conflict(
            f"Cannot change the availability zone of host {host.name} from {before} to {after}: it has servers. "
            "Move or delete them first."
        )


def _host(call: Call, name: str) -> ComputeHost:
    row = call.db.scalar(select(ComputeHost).where(ComputeHost.name == name))
    if row is None:
        raise NotFound(f"Compute host {name} could not be found.")
    return row


def _one_zone(call: Call, row: Aggregate, zone: str | None, hosts: list[str]) -> None:
    """Raises `Conflict` when a host would be in two zones."""
    other = (
        select(AggregateHost.host)
        .join(Aggregate, Aggregate.number == AggregateHost.aggregate)
        .where(
            AggregateHost.host.in_(hosts),
            Aggregate.number != row.number,
            Aggregate.availability_zone.is_not(None),
            Aggregate.availability_zone != zone,
        )
    )
    host = call.db.scalar(other.limit(1))
    if zone and host:
        raise Conflict(f"Cannot update aggregate {row.number}. Reason: Host {host} already exists in another zone.")


@aggregates.operation("PUT", "/{id}", policy=(_P + "update", ADMIN), body=AggregateChange)
def update(call: Call, id: str, body: AggregateChange) -> dict[str, Any]:
    row = find(call, id)
    if body.name is UNSET and body.availability_zone is UNSET:
        raise BadRequest("Invalid input for field/attribute aggregate: name or availability_zone is required.")
    if body.name is not UNSET:
        _free_name(call, str(body.name), row)
        row.name = str(body.name)
    if body.availability_zone is not UNSET:
        _rezone(call, row, body.availability_zone)
    return _changed(call, row)


@aggregates.operation("DELETE", "/{id}", policy=(_P + "delete", ADMIN), ok=200)
def delete(call: Call, id: str) -> None:
    row = find(call, id)
    if _hosts(call, row):
        raise Conflict(f"Cannot remove aggregate {id}: it has hosts.")
    call.record("delete", (KIND, row.id), before=changes.picture(row))
    call.db.delete(row)


@aggregates.action("add_host", policy=(_P + "add_host", ADMIN), body=HostIn, ok=200)
def add_host(call: Call, id: str, body: HostIn) -> dict[str, Any]:
    row, host = find(call, id), _host(call, body.host)
    if body.host in _hosts(call, row):
        raise Conflict(f"Host {body.host} is in aggregate {id} already.")
    _one_zone(call, row, row.availability_zone, [body.host])
    before = zone_of(call.db, body.host, call.service.settings.default_zone)
    _same_zone(call, host, before, row.availability_zone or before)
    call.db.add(AggregateHost(aggregate=row.number, host=body.host))
    placement.change_aggregate(call.db, row.id, host.id, member=True)
    return _changed(call, row, "add_host")


@aggregates.action("remove_host", policy=(_P + "remove_host", ADMIN), body=HostIn, ok=200)
def remove_host(call: Call, id: str, body: HostIn) -> dict[str, Any]:
    row = find(call, id)
    member = call.db.get(AggregateHost, (row.number, body.host))
    if member is None:
        raise NotFound(f"Host {body.host} is not in aggregate {id}.")
    host, default = _host(call, body.host), call.service.settings.default_zone
    before = zone_of(call.db, body.host, default)
    call.db.delete(member)
    call.db.flush()
    _same_zone(call, host, before, zone_of(call.db, body.host, default))
    placement.change_aggregate(call.db, row.id, host.id, member=False)
    return _changed(call, row, "remove_host")


@aggregates.action("set_metadata", policy=(_P + "set_metadata", ADMIN), body=MetadataIn, ok=200)
def set_metadata(call: Call, id: str, body: MetadataIn) -> dict[str, Any]:
    row = find(call, id)
    new = dict(body.metadata)
    if "availability_zone" in new:
        _rezone(call, row, new.pop("availability_zone"))
    merged = {**row.meta, **{k: v for k, v in new.items() if v is not None}}
    row.meta = {k: v for k, v in merged.items() if k not in new or new[k] is not None}
    return _changed(call, row)
