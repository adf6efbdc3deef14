"""Subnets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import delete, or_, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.network import ipam, metadata_ports, pools, rules, subnets, work
from tiffin.services.network import tables as t
from tiffin.services.network.faults import invalid_input
from tiffin.services.network.policies import rule
from tiffin.services.network.query import index
from tiffin.services.network.resources import network
from tiffin.services.network.standard import (
    ME,
    Flag,
    Kind,
    StandardIn,
    StandardOut,
    StandardUpdate,
    added,
    bulk,
    changed,
    create,
    enforce,
    find,
    first,
    fresh,
    given,
    removed,
    shared_with_me,
    shown,
    standard,
    tags_of,
    touch,
    truth,
    view,
)

Ip = Annotated[str, Meta(max_length=64)]
UuidText = Annotated[str, Meta(max_length=64)]
Mode = Literal["slaac", "dhcpv6-stateful", "dhcpv6-stateless"]


class PoolIn(Schema, kw_only=True):
    start: Ip
    end: Ip


class RouteIn(Schema, kw_only=True):
    destination: Ip
    nexthop: Ip


Pools = Annotated[list[PoolIn], Meta(max_length=256)]
Servers = Annotated[list[Ip], Meta(max_length=256)]
Routes = Annotated[list[RouteIn], Meta(max_length=256)]
ServiceTypes = Annotated[list[Annotated[str, Meta(max_length=255)]], Meta(max_length=64)]


class SubnetIn(StandardIn, kw_only=True):
    network_id: UuidText
    ip_version: Literal[4, 6, "4", "6"] | UnsetType = UNSET
    cidr: Ip | UnsetType | None = UNSET
    prefixlen: Annotated[int, Meta(ge=0, le=128)] | UnsetType = UNSET
    subnetpool_id: UuidText | UnsetType | None = UNSET
    use_default_subnetpool: Flag = False
    gateway_ip: Ip | UnsetType | None = UNSET
    enable_dhcp: Flag = True
    allocation_pools: Pools | UnsetType | None = UNSET
    dns_nameservers: Servers | UnsetType | None = UNSET
    host_routes: Routes | UnsetType | None = UNSET
    ipv6_address_mode: Mode | UnsetType | None = UNSET
    ipv6_ra_mode: Mode | UnsetType | None = UNSET
    service_types: ServiceTypes | UnsetType = UNSET


class SubnetUpdate(StandardUpdate, kw_only=True):
    gateway_ip: Ip | UnsetType | None = UNSET
    enable_dhcp: Flag | UnsetType = UNSET
    allocation_pools: Pools | UnsetType | None = UNSET
    dns_nameservers: Servers | UnsetType | None = UNSET
    host_routes: Routes | UnsetType | None = UNSET
    service_types: ServiceTypes | UnsetType = UNSET


class SubnetOut(StandardOut, kw_only=True):
    network_id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool
    allocation_pools: list[Any]
    dns_nameservers: list[str]
    host_routes: list[Any]
    ipv6_address_mode: str | None
    ipv6_ra_mode: str | None
    service_types: list[str]
    subnetpool_id: str | None


def out(row: Any) -> SubnetOut:
    return SubnetOut(
        **standard(row),
        network_id=row.network_id,
        ip_version=row.ip_version,
        cidr=row.cidr,
        gateway_ip=row.gateway_ip,
        enable_dhcp=row.enable_dhcp,
        allocation_pools=row.allocation_pools,
        dns_nameservers=row.dns_nameservers,
        host_routes=row.host_routes,
        ipv6_address_mode=row.ipv6_address_mode,
        ipv6_ra_mode=row.ipv6_ra_mode,
        service_types=row.service_types,
        subnetpool_id=row.subnetpool_id,
    )


SHARED = shared_with_me(t.SubnetRow.network_id)
KIND = Kind(
    name="subnet",
    plural="subnets",
    table=t.SubnetRow,
    statement=select(
        *t.SubnetRow.__table__.columns,
        t.NetworkRow.project_id.label("network_project_id"),
        t.NetworkRow.external.label("external"),
        SHARED.label("shared"),
        tags_of(t.SubnetRow.id),
    ).join(t.NetworkRow, t.NetworkRow.id == t.SubnetRow.network_id),
    visible=or_(t.SubnetRow.project_id == ME, t.NetworkRow.project_id == ME, SHARED),
    out=out,
    filters={
        "network_id": t.SubnetRow.network_id,
        "ip_version": t.SubnetRow.ip_version,
        "cidr": t.SubnetRow.cidr,
        "gateway_ip": t.SubnetRow.gateway_ip,
        "enable_dhcp": t.SubnetRow.enable_dhcp,
        "ipv6_address_mode": t.SubnetRow.ipv6_address_mode,
        "ipv6_ra_mode": t.SubnetRow.ipv6_ra_mode,
        "subnetpool_id": t.SubnetRow.subnetpool_id,
        "shared": SHARED,
        "router:external": t.NetworkRow.external,
    },
    target=lambda row: {
        "shared": row.shared,
        "router:external": row.external,
        "network:project_id": row.network_project_id,
    },
)
resource = Resource("subnet", "subnets", "/v2.0/subnets", view(KIND))


def on_network(call: Call, body: Any) -> dict[str, Any]:
    """What rules about a part of a network look at. Raises 404 for a network that the actor does not see."""
    row = find(network.KIND)(call, body.network_id).row
    return {"network:project_id": row.project_id, "shared": row.shared, "router:external": row.external}


def _net(call: Call, body: SubnetIn, pool: t.SubnetPoolRow | None) -> rules.Net:
    version = None if body.ip_version is UNSET else int(body.ip_version)
    cidr = body.cidr if isinstance(body.cidr, str) else None
    if pool is not None:
        length = None if body.prefixlen is UNSET else body.prefixlen
        return pools.allocate(work.of(call), pool, version, cidr, length)
    if cidr is None:
        raise BadRequest("A cidr must be specified in the absence of a subnet pool", code="BadRequest")
    if version is None:
        raise BadRequest("An ip_version must be specified", code="BadRequest")
    return rules.network(cidr, version)


def _pool(call: Call, body: SubnetIn) -> t.SubnetPoolRow | None:
    if isinstance(body.subnetpool_id, str):
        return pools.usable(work.of(call), call.actor.project_id or "", body.subnetpool_id, admin=call.actor.is_admin)
    if truth(body.use_default_subnetpool):
        version = 4 if body.ip_version is UNSET else int(body.ip_version)
        return pools.default(work.of(call), version)
    return None


def make(call: Call, body: SubnetIn) -> str:
    w = work.of(call)
    pool = _pool(call, body)
    net = _net(call, body, pool)
    subnets.check_no_overlap(w, body.network_id, net)
    enable_dhcp = truth(body.enable_dhcp)
    subnets.check_prefix(net, enable_dhcp)
    ra, address = (None if m is UNSET else m for m in (body.ipv6_ra_mode, body.ipv6_address_mode))
    subnets.check_modes(net.version, ra, address, enable_dhcp, net)
    gateway, allocation = _gateway_and_pools(net, body)
    row: t.SubnetRow = fresh(
        call,
        KIND,
        body,
        network_id=body.network_id,
        ip_version=net.version,
        cidr=str(net),
        gateway_ip=gateway,
        enable_dhcp=enable_dhcp,
        ipv6_ra_mode=ra,
        ipv6_address_mode=address,
        allocation_pools=allocation,
        dns_nameservers=subnets.check_nameservers(body.dns_nameservers or []),
        host_routes=subnets.check_host_routes(body.host_routes or [], net),
        service_types=body.service_types or [],
        subnetpool_id=pool.id if pool else None,
    )
    w.reserve("subnet", row.project_id)
    added(call, KIND, row)
    subnets.give_automatic_addresses(w, row)
    metadata_ports.follow(w, row.network_id)
    touch(call.db.get_one(t.NetworkRow, row.network_id), call.now)
    w.realise(work.NETWORK, row.network_id)
    return row.id


def _gateway_and_pools(net: rules.Net, body: SubnetIn) -> tuple[str | None, list[rules.Pool]]:
    said = body.allocation_pools
    asked = None if said is UNSET or said is None else [{"start": p.start, "end": p.end} for p in said]
    wanted = rules.first_host(net) if body.gateway_ip is UNSET else body.gateway_ip
    if asked is None:
        gateway = rules.check_gateway(net, wanted, [])
        return gateway, rules.default_pools(net, gateway)
    allocation = rules.check_pools(net, asked)
    return rules.check_gateway(net, wanted, allocation), allocation


resource.operation(
    "POST", policy=rule("create_subnet"), body=bulk(KIND, SubnetIn), root="", about=first(KIND, on_network)
)(create(KIND, make, on_network))
resource.operation("GET", policy=None)(index(KIND))


@resource.operation("GET", "/{id}", policy=rule("get_subnet"), about=find(KIND))
def show(call: Call, id: str) -> Any:
    return call.subject.row


@resource.operation("PUT", "/{id}", policy=rule("update_subnet"), about=find(KIND), body=SubnetUpdate)
def update(call: Call, id: str, body: SubnetUpdate) -> Any:
    enforce(call, KIND, "update", body, call.subject)
    row, w = call.db.get_one(t.SubnetRow, id), work.of(call)
    net = rules.network(row.cidr)
    values = given(body, "name", "description", "service_types")
    if body.enable_dhcp is not UNSET:
        values["enable_dhcp"] = truth(body.enable_dhcp)
        if not values["enable_dhcp"] and (row.ipv6_ra_mode or row.ipv6_address_mode):
            raise invalid_input("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if body.allocation_pools is not UNSET:
        asked = [{"start": p.start, "end": p.end} for p in body.allocation_pools or []]
        values["allocation_pools"] = rules.check_pools(net, asked)
    if body.gateway_ip is not UNSET and body.gateway_ip != row.gateway_ip:
        subnets.check_gateway_free(w, row)
        values["gateway_ip"] = body.gateway_ip
    if {"allocation_pools", "gateway_ip"} & set(values):
        after = {"gateway_ip": row.gateway_ip, "allocation_pools": row.allocation_pools, **values}
        values["gateway_ip"] = rules.check_gateway(net, after["gateway_ip"], after["allocation_pools"])
    if body.dns_nameservers is not UNSET:
        values["dns_nameservers"] = subnets.check_nameservers(body.dns_nameservers or [])
    if body.host_routes is not UNSET:
        values["host_routes"] = subnets.check_host_routes(body.host_routes or [], net)
    changed(call, KIND, row, values)
    metadata_ports.follow(w, row.network_id)
    subnets.realise_around(w, row)
    return shown(KIND, call, id)


@resource.operation("DELETE", "/{id}", policy=rule("delete_subnet"), about=find(KIND))
def delete_subnet(call: Call, id: str) -> None:
    w, row = work.of(call), call.db.get_one(t.SubnetRow, id)
    subnets.check_unused(w, row)
    for port in call.db.scalars(select(t.PortRow).where(t.PortRow.id.in_(_holders(id)))):
        if ipam.automatic(row, port.device_owner):
            w.realise(work.PORT, port.id)
    call.db.execute(delete(t.FixedIPRow).where(t.FixedIPRow.subnet_id == id))
    network_id = row.network_id
    removed(w, KIND.change, row)
    touch(call.db.get_one(t.NetworkRow, network_id), call.now)
    w.realise(work.NETWORK, network_id)


def _holders(subnet_id: str) -> Any:
    return select(t.FixedIPRow.port_id).where(t.FixedIPRow.subnet_id == subnet_id)
