"""A server's interfaces, addresses and security groups."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, NotFound
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema, since
from tiffin.services.compute.resources import create_networks as nets
from tiffin.services.compute.resources import server_view as seen
from tiffin.services.compute.resources.finding import find, ready
from tiffin.services.compute.resources.flavors import READER
from tiffin.services.compute.resources.server_actions import ask
from tiffin.services.compute.resources.servers import MEMBER
from tiffin.services.compute.resources.words import Address, Name, Tag, Uuid
from tiffin.services.compute.tables import Server, ServerNic
from tiffin.services.network import public as network

interfaces = Resource("interfaceAttachment", "interfaceAttachments", "/v2.1/servers/{id}/os-interface")
addresses = Resource("address", "addresses", "/v2.1/servers/{id}/ips")
groups = Resource("server", "servers", "/v2.1/servers")

_STATES = ("active", "paused", "stopped")
MAX_NICS = 24
"""NICs of one server: what the guest's hot-plug slots hold."""


class FixedIpIn(Schema):
    ip_address: Address


class AttachIn(Schema):
    net_id: Uuid | UnsetType = UNSET
    port_id: Uuid | UnsetType = UNSET
    fixed_ips: Annotated[list[FixedIpIn], Meta(min_length=1, max_length=1)] | UnsetType = UNSET
    tag: Annotated[Tag | UnsetType, since(2, 49)] = UNSET


class FixedIp(Schema):
    subnet_id: str
    ip_address: str


class Interface(Schema):
    port_state: str
    fixed_ips: list[FixedIp]
    port_id: str
    net_id: str
    mac_addr: str
    tag: Annotated[str | UnsetType | None, since(2, 70)] = UNSET


def _nics(call: Call, id: str) -> list[Interface]:
    kept = call.db.scalars(select(ServerNic).where(ServerNic.server_id == id).order_by(ServerNic.position))
    ports = {port.id: port for port in network.ports_of(call.db, id, call.subject.project_id)}
    return [_interface(ports[nic.port_id], nic) for nic in kept if nic.port_id in ports]


def _interface(port: network.PortInfo, nic: ServerNic) -> Interface:
    return Interface(
        port_state=port.status,
        fixed_ips=[FixedIp(subnet_id=ip["subnet_id"], ip_address=ip["ip_address"]) for ip in port.fixed_ips],
        port_id=port.id,
        net_id=port.network_id,
        mac_addr=port.mac_address,
        tag=nic.tag,
    )


@interfaces.operation("GET", policy=("os_compute_api:os-attach-interfaces:list", READER), about=find)
def index(call: Call, id: str) -> dict[str, Any]:
    return {"interfaceAttachments": _nics(call, id)}


def _one(call: Call, id: str, port_id: str) -> Interface:
    for nic in _nics(call, id):
        if nic.port_id == port_id:
            return nic
    raise NotFound(f"Instance {id} does not have a port with id {port_id[:64]}")


@interfaces.operation("GET", "/{port_id}", policy=("os_compute_api:os-attach-interfaces:show", READER), about=find)
def show(call: Call, id: str, port_id: str) -> dict[str, Any]:
    return {"interfaceAttachment": _one(call, id, port_id)}


@interfaces.operation(
    "POST", policy=("os_compute_api:os-attach-interfaces:create", MEMBER), body=AttachIn, about=find, ok=200
)
def attach(call: Call, id: str, body: AttachIn) -> dict[str, Any]:
    row: Server = call.subject
    ready(call, row, "attach_interface", _STATES)
    if body.net_id is not UNSET and body.port_id is not UNSET:
        raise BadRequest("Must not input both network_id and port_id")
    fixed_ip = body.fixed_ips[0].ip_address if body.fixed_ips is not UNSET else None
    if fixed_ip and body.net_id is UNSET:
        raise BadRequest("Must input network_id when request IP address")
    taken = call.db.scalars(select(ServerNic.position).where(ServerNic.server_id == id)).all()
    if len(taken) >= MAX_NICS:
        raise Conflict(f"Instance {id} has {MAX_NICS} interfaces, which is the most.")
    (plan,) = _plan(call, body, fixed_ip)
    (port_id,) = nets.connect(call, row, [plan], None, first=max(taken, default=-1) + 1)
    network.bind_port(call.db, call.now, port_id, str(row.host), call.request_id)
    ask(call, row, ("attach", "attach_interface", None), port_id=port_id)
    return {"interfaceAttachment": _one(call, id, port_id)}


def _plan(call: Call, body: AttachIn, fixed_ip: str | None) -> list[nets.Plan]:
    if body.port_id is UNSET and body.net_id is UNSET:
        found = nets.plan(call, UNSET, several=False)
        if not found:
            raise BadRequest("There is no network to attach to.")
        return found[:1]
    asked = nets.NetworkIn(port=body.port_id, uuid=body.net_id, tag=body.tag)
    if fixed_ip:
        asked.fixed_ip = fixed_ip
    return nets.plan(call, [asked], several=False)


@interfaces.operation(
    "DELETE", "/{port_id}", policy=("os_compute_api:os-attach-interfaces:delete", MEMBER), about=find, ok=202
)
def detach(call: Call, id: str, port_id: str) -> None:
    ready(call, call.subject, "detach_interface", _STATES)
    _one(call, id, port_id)
    ask(call, call.subject, ("detach", "detach_interface", None), port_id=port_id)


# --- addresses ----------------------------------------------------------------------------------------------------------


def _addresses(call: Call, id: str) -> dict[str, list[seen.Addr]]:
    found = call.db.scalar(select(network.addresses_column(Server.id, Server.project_id)).where(Server.id == id))
    return seen.addresses(found or [], extended=False)


@addresses.operation("GET", policy=("os_compute_api:ips:index", READER), about=find)
def ips(call: Call, id: str) -> dict[str, Any]:
    return {"addresses": _addresses(call, id)}


@addresses.operation("GET", "/{label}", policy=("os_compute_api:ips:show", READER), about=find)
def ips_of(call: Call, id: str, label: str) -> dict[str, Any]:
    found = _addresses(call, id)
    if label not in found:
        raise NotFound("Instance is not a member of specified network")
    return {label: found[label]}


# --- security groups ----------------------------------------------------------------------------------------------------


class GroupName(Schema):
    name: Name


def _regroup(call: Call, name: str, *, add: bool) -> None:
    row: Server = call.subject
    ready(call, row, "addSecurityGroup" if add else "removeSecurityGroup", None, tasks=None)
    (group_id,) = network.find_security_groups(call.db, row.project_id, [name])
    ports = network.ports_of(call.db, row.id, row.project_id)
    if not ports:
        raise BadRequest(f"Instance {row.id} has no ports to have security groups on.")
    if not add and not any(group_id in port.security_group_ids for port in ports):
        raise NotFound(f"Security group {name} not associated with the instance {row.id}")
    for port in ports:
        kept = [one for one in port.security_group_ids if one != group_id]
        network.set_port_groups(call.db, call.now, port.id, [*kept, group_id] if add else kept, call.request_id)
    row.updated_at = call.now


@groups.action("addSecurityGroup", policy=("os_compute_api:os-security-groups:add", MEMBER), body=GroupName, about=find)
def add_group(call: Call, id: str, body: GroupName) -> None:
    _regroup(call, body.name, add=True)


@groups.action(
    "removeSecurityGroup", policy=("os_compute_api:os-security-groups:remove", MEMBER), body=GroupName, about=find
)
def remove_group(call: Call, id: str, body: GroupName) -> None:
    _regroup(call, body.name, add=False)
