"""Floating IPs."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import aliased

from tiffin.core.call import Call
from tiffin.core.errors import Conflict
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.network import faults, floating, gateways, ipam, ports, rules, work
from tiffin.services.network import tables as t
from tiffin.services.network.faults import bad_request
from tiffin.services.network.ipam import Wanted
from tiffin.services.network.policies import rule
from tiffin.services.network.query import index
from tiffin.services.network.resources import network
from tiffin.services.network.resources import port as port_resource
from tiffin.services.network.standard import (
    ME,
    Kind,
    OwnedIn,
    OwnedOut,
    added,
    bulk,
    changed,
    create,
    enforce,
    find,
    first,
    fresh,
    given,
    owned,
    removed,
    sees_all,
    shown,
    tags_of,
    view,
)

Ip = Annotated[str, Meta(max_length=64)]
Uuid = Annotated[str, Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=255)]


class FloatingIn(OwnedIn, kw_only=True):
    floating_network_id: Uuid
    subnet_id: Uuid | None = None
    floating_ip_address: Ip | None = None
    port_id: Uuid | None = None
    fixed_ip_address: Ip | None = None
    dns_name: Text = ""
    dns_domain: Text = ""


class FloatingUpdate(Schema, kw_only=True):
    port_id: Uuid | UnsetType | None = UNSET
    fixed_ip_address: Ip | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET


class PortDetails(Schema, kw_only=True):
    name: str
    network_id: str
    mac_address: str
    admin_state_up: bool
    status: str
    device_id: str
    device_owner: str


class FloatingOut(OwnedOut, kw_only=True):
    floating_network_id: str
    floating_ip_address: str
    fixed_ip_address: str | None
    port_id: str | None
    router_id: str | None
    status: str
    dns_name: str
    dns_domain: str
    port_details: PortDetails | None


_port = aliased(t.PortRow)
_DETAILS = ("name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner")


def out(row: Any) -> FloatingOut:
    details = {name: getattr(row, f"port_{name}") for name in _DETAILS} if row.port_id else None
    return FloatingOut(
        **owned(row),
        floating_network_id=row.floating_network_id,
        floating_ip_address=row.floating_ip_address,
        fixed_ip_address=row.fixed_ip_address,
        port_id=row.port_id,
        router_id=row.router_id,
        status=row.status,
        dns_name=row.dns_name,
        dns_domain=row.dns_domain,
        port_details=PortDetails(**details) if details else None,
    )


KIND = Kind(
    name="floatingip",
    plural="floatingips",
    table=t.FloatingIPRow,
    statement=select(
        *t.FloatingIPRow.__table__.columns,
        *[getattr(_port, name).label(f"port_{name}") for name in _DETAILS],
        tags_of(t.FloatingIPRow.id),
    ).join(_port, _port.id == t.FloatingIPRow.port_id, isouter=True),
    visible=t.FloatingIPRow.project_id == ME,
    out=out,
    filters={
        "floating_network_id": t.FloatingIPRow.floating_network_id,
        "floating_ip_address": t.FloatingIPRow.floating_ip_address,
        "fixed_ip_address": t.FloatingIPRow.fixed_ip_address,
        "port_id": t.FloatingIPRow.port_id,
        "router_id": t.FloatingIPRow.router_id,
        "status": t.FloatingIPRow.status,
    },
    defaults={"floating_ip_address": None},
)
resource = Resource("floatingip", "floatingips", "/v2.0/floatingips", view(KIND))


def make(call: Call, body: FloatingIn) -> str:
    w = work.of(call)
    find(network.KIND)(call, body.floating_network_id)
    outside = call.db.get_one(t.NetworkRow, body.floating_network_id)
    if not outside.external:
        raise bad_request("floatingip", f"Network {outside.id} is not a valid external network")
    if body.fixed_ip_address is not None and body.port_id is None:
        raise bad_request("floatingip", "fixed_ip_address cannot be specified without a port_id")
    row: t.FloatingIPRow = fresh(
        call,
        KIND,
        body,
        floating_network_id=outside.id,
        status="DOWN",
        dns_name=body.dns_name.lower(),
        dns_domain=body.dns_domain.lower(),
    )
    w.reserve("floatingip", row.project_id)
    holder = _take_address(w, outside, row.id, body)
    row.floating_port_id = holder.id
    row.floating_ip_address = ports.addresses(w, holder.id)[0].ip_address
    if body.port_id is not None:
        floating.associate(w, row, _target(call, row.project_id, body.port_id), _canonical(body.fixed_ip_address))
    added(call, KIND, row)
    w.begin(work.FLOATING_IP, row.id)
    return row.id


def _canonical(ip: str | None) -> str | None:
    return None if ip is None else str(rules.address(ip, 4))


def _take_address(w: work.Work, outside: t.NetworkRow, id: str, body: FloatingIn) -> t.PortRow:
    """The port that holds the floating address."""
    subnets = gateways.ipv4_subnets(w, outside.id)
    if not subnets:
        raise bad_request("floatingip", f"Network {outside.id} does not contain any IPv4 subnet")
    if body.subnet_id is not None and all(s.id != body.subnet_id for s in subnets):
        raise faults.missing("subnet", body.subnet_id)
    if body.floating_ip_address is not None:
        return _holder(w, outside, id, Wanted(body.subnet_id, _canonical(body.floating_ip_address)))
    for subnet in subnets:
        if body.subnet_id in (None, subnet.id) and ipam.serves(subnet, ports.FLOATING):
            try:
                return _holder(w, outside, id, Wanted(subnet.id))
            except Conflict as full:
                if full.code != "IpAddressGenerationFailure":
                    raise
    raise faults.no_addresses(outside.id)


def _holder(w: work.Work, outside: t.NetworkRow, id: str, wanted: Wanted) -> t.PortRow:
    plan = ports.Plan(
        project_id="",
        network=outside,
        addresses=[wanted],
        device_id=id,
        device_owner=ports.FLOATING,
        counted=False,
        group_ids=[],
    )
    return ports.make(w, plan)


def _target(call: Call, project_id: str, port_id: str) -> t.PortRow:
    """The port to associate with: one that the actor sees, of the floating IP's project."""
    find(port_resource.KIND)(call, port_id)
    port = call.db.get_one(t.PortRow, port_id)
    if port.project_id != project_id and not sees_all(call):
        raise bad_request("floatingip", f"Port {port_id} is not owned by the project of the floating IP")
    return port


resource.operation("POST", policy=rule("create_floatingip"), body=bulk(KIND, FloatingIn), root="", about=first(KIND))(
    create(KIND, make)
)
resource.operation("GET", policy=None)(index(KIND))


@resource.operation("GET", "/{id}", policy=rule("get_floatingip"), about=find(KIND))
def show(call: Call, id: str) -> Any:
    return call.subject.row


@resource.operation("PUT", "/{id}", policy=rule("update_floatingip"), about=find(KIND), body=FloatingUpdate)
def update(call: Call, id: str, body: FloatingUpdate) -> Any:
    enforce(call, KIND, "update", body, call.subject)
    w, row = work.of(call), call.db.get_one(t.FloatingIPRow, id)
    port_id = row.port_id if body.port_id is UNSET else body.port_id
    fixed = body.fixed_ip_address or None
    if fixed is not None and port_id is None:
        raise bad_request("floatingip", "fixed_ip_address cannot be specified without a port_id")
    if body.port_id is not UNSET or fixed is not None:
        if port_id is None:
            floating.dissociate(row)
        else:
            floating.associate(w, row, _target(call, row.project_id, port_id), _canonical(fixed))
    changed(call, KIND, row, given(body, "description"))
    w.realise(work.FLOATING_IP, id)
    return shown(KIND, call, id)


@resource.operation("DELETE", "/{id}", policy=rule("delete_floatingip"), about=find(KIND))
def delete_floatingip(call: Call, id: str) -> None:
    w, row = work.of(call), call.db.get_one(t.FloatingIPRow, id)
    holder = call.db.get_one(t.PortRow, row.floating_port_id)
    removed(w, KIND.change, row)
    ports.remove(w, holder)
    w.forget(work.FLOATING_IP, id)
