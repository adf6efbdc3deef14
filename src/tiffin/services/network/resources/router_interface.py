"""Interfaces of routers: attached and detached by subnet or by port."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import Conflict, NotFound
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.network import faults, gateways, groups, ports, rules, work
from tiffin.services.network import tables as t
from tiffin.services.network.faults import bad_request
from tiffin.services.network.ipam import Wanted
from tiffin.services.network.policies import rule
from tiffin.services.network.resources import port as port_resource
from tiffin.services.network.resources import router, subnet
from tiffin.services.network.standard import find, sees_all, touch
from tiffin.services.network.work import Work

Uuid = Annotated[str, Meta(max_length=64)]


class InterfaceIn(Schema, kw_only=True):
    subnet_id: Uuid | UnsetType = UNSET
    port_id: Uuid | UnsetType = UNSET


class InterfaceOut(Schema, kw_only=True):
    id: str
    tenant_id: str
    project_id: str
    port_id: str
    network_id: str
    subnet_id: str
    subnet_ids: list[str]


resource = Resource("router", "routers", "/v2.0/routers")


@resource.operation(
    "PUT", "/{id}/add_router_interface", policy=rule("add_router_interface"), about=find(router.KIND), body=InterfaceIn,
    root="",
)  # fmt: skip
def add(call: Call, id: str, body: InterfaceIn) -> InterfaceOut:
    w, row = work.of(call), call.db.get_one(t.RouterRow, id)
    if body.port_id and body.subnet_id:
        raise bad_request("router", "Cannot specify both subnet-id and port-id")
    if body.port_id:
        port = _by_port(call, w, row, body.port_id)
        subnet_ids = [a.subnet_id for a in ports.addresses(w, port.id)]
    elif body.subnet_id:
        port = _by_subnet(call, w, row, body.subnet_id)
        subnet_ids = [body.subnet_id]
    else:
        raise bad_request("router", "Either subnet_id or port_id must be specified")
    return _done(w, row, port, ("interface.attach", subnet_ids))


def _done(w: Work, row: t.RouterRow, port: t.PortRow, change: tuple[str, list[str]]) -> InterfaceOut:
    kind, subnet_ids = change
    touch(row, w.now)
    after = {"port_id": port.id, "subnet_ids": subnet_ids}
    w.record(kind, (router.KIND.change, row.id), row.project_id, after=after)
    w.realise(work.ROUTER, row.id)
    return InterfaceOut(
        id=row.id,
        tenant_id=row.project_id,
        project_id=row.project_id,
        port_id=port.id,
        network_id=port.network_id,
        subnet_id=subnet_ids[0],
        subnet_ids=subnet_ids,
    )


def _by_port(call: Call, w: Work, row: t.RouterRow, port_id: str) -> t.PortRow:
    find(port_resource.KIND)(call, port_id)
    port = call.db.get_one(t.PortRow, port_id)
    if port.device_id or port.device_owner:
        raise faults.port_in_use(port.id, port.network_id, port.device_id)
    if port.project_id != row.project_id and not sees_all(call):
        raise bad_request("router", f"Port {port_id} is not owned by the project of router {row.id}")
    held = ports.addresses(w, port_id)
    if not held:
        raise bad_request("router", "Router port must have at least one fixed IP")
    versions = [ipaddress.ip_address(a.ip_address).version for a in held]
    if versions.count(4) > 1:
        raise bad_request("router", "Cannot have multiple IPv4 subnets on router port")
    gateways.check_no_overlap(w, row.id, port)
    groups.set_groups(w, port_id, [])
    port.device_id, port.device_owner = row.id, ports.INTERFACE
    port.port_security_enabled, port.allowed_address_pairs = False, []
    touch(port, w.now)
    w.realise(work.PORT, port_id)  # which lets go of it as a guest's
    return port


def _by_subnet(call: Call, w: Work, row: t.RouterRow, subnet_id: str) -> t.PortRow:
    find(subnet.KIND)(call, subnet_id)
    found = call.db.get_one(t.SubnetRow, subnet_id)
    if found.gateway_ip is None:
        raise bad_request("router", "Subnet for router interface must have a gateway IP")
    held = gateways.subnets_at(w, row.id)
    gateways.check_subnet(found, [s for _, s, _ in held])
    if found.ip_version == 6:
        same = [p for p, s, _ in held if p.network_id == found.network_id and s.ip_version == 6]
        if same and same[0].device_owner == ports.INTERFACE:
            kept = [Wanted(a.subnet_id, a.ip_address) for a in ports.addresses(w, same[0].id)]
            ports.change_addresses(w, same[0], [*kept, Wanted(subnet_id, found.gateway_ip)])
            return same[0]
    plan = ports.Plan(
        project_id=row.project_id,
        network=call.db.get_one(t.NetworkRow, found.network_id),
        addresses=[Wanted(subnet_id, found.gateway_ip)],
        device_id=row.id,
        device_owner=ports.INTERFACE,
        group_ids=[],
    )
    return ports.make(w, plan)


@resource.operation(
    "PUT", "/{id}/remove_router_interface", policy=rule("remove_router_interface"), about=find(router.KIND),
    body=InterfaceIn, root="",
)  # fmt: skip
def remove(call: Call, id: str, body: InterfaceIn) -> InterfaceOut:
    w, row = work.of(call), call.db.get_one(t.RouterRow, id)
    held = [(p, s) for p, s, _ in gateways.subnets_at(w, id) if p.device_owner == ports.INTERFACE]
    if body.port_id:
        mine = [(p, s) for p, s in held if p.id == body.port_id]
        if not mine:
            raise NotFound(
                f"Router {id} does not have an interface with id {body.port_id}", code="RouterInterfaceNotFound"
            )
        if body.subnet_id and all(s.id != body.subnet_id for _, s in mine):
            raise Conflict(
                f"Subnet on port {body.port_id} does not match the requested subnet {body.subnet_id}.",
                code="SubnetMismatchForPort",
            )
        mine = [(p, s) for p, s in mine if not body.subnet_id or s.id == body.subnet_id]
    elif body.subnet_id:
        mine = [(p, s) for p, s in held if s.id == body.subnet_id]
        if not mine:
            raise NotFound(
                f"Router {id} has no interface on subnet {body.subnet_id}", code="RouterInterfaceNotFoundForSubnet"
            )
    else:
        raise bad_request("router", "Either subnet_id or port_id must be specified")
    return _detach(w, row, next(p for p, _ in mine), [s for _, s in mine])


def _detach(w: Work, row: t.RouterRow, port: t.PortRow, gone: list[t.SubnetRow]) -> InterfaceOut:
    for found in gone:
        _check_unused(w, row, found)
    ids = {s.id for s in gone}
    kept = [a for a in ports.addresses(w, port.id) if a.subnet_id not in ids]
    answer = _done(w, row, port, ("interface.detach", [s.id for s in gone]))
    if kept:
        ports.change_addresses(w, port, [Wanted(a.subnet_id, a.ip_address) for a in kept])
    else:
        ports.remove(w, port)
    return answer


def _check_unused(w: Work, row: t.RouterRow, found: t.SubnetRow) -> None:
    net = rules.network(found.cidr)
    floating = (
        select(t.FloatingIPRow.id)
        .join(t.FixedIPRow, t.FixedIPRow.port_id == t.FloatingIPRow.port_id)
        .where(t.FloatingIPRow.router_id == row.id, t.FixedIPRow.subnet_id == found.id)
    )
    if w.db.scalar(floating.limit(1)) is not None:
        raise Conflict(
            f"Router interface for subnet {found.id} on router {row.id} cannot be deleted, as it is required by one or "
            "more floating IPs.",
            code="RouterInterfaceInUseByFloatingIP",
        )
    if any(ipaddress.ip_address(r["nexthop"]) in net for r in row.routes):
        raise Conflict(
            f"Router interface for subnet {found.id} on router {row.id} cannot be deleted, as it is required by one or "
            "more routes.",
            code="RouterInterfaceInUseByRoute",
        )
