"""The ports of new servers: which networks, which ports, which security groups."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.schema import Schema, since
from tiffin.services.compute.resources.finding import with_project
from tiffin.services.compute.resources.words import Address, Tag, Uuid
from tiffin.services.compute.tables import Server, ServerNic
from tiffin.services.network import public as network

OWNER = "compute:nova"


class NetworkIn(Schema):
    uuid: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    port: Uuid | UnsetType | None = UNSET
    fixed_ip: Address | UnsetType = UNSET
    tag: Annotated[Tag | UnsetType, since(2, 32)] = UNSET


class Plan(msgspec.Struct, frozen=True):
    """One NIC to be: a port of the user's, or a new one on a network."""

    network_id: str | None
    port_id: str | None
    fixed_ip: str | None
    tag: str | None


Asked = list[NetworkIn] | Literal["auto", "none"] | UnsetType


def plan(call: Call, asked: Asked, *, several: bool) -> list[Plan]:
    """The NICs of each server. Raises `BadRequest`, `Conflict`, `Forbidden`."""
    if isinstance(asked, str) and call.version < (2, 37):
        raise BadRequest(f"Invalid input for field/attribute networks: {asked!r} exists since version 2.37.")
    if asked == "none":
        return []
    if asked == "auto" or asked is UNSET or not asked:
        return [Plan(one.id, None, None, None) for one in network.networks_for(call.db, call.actor, None)]
    assert isinstance(asked, list)
    return [_one(call, one, several) for one in asked]


def _one(call: Call, asked: NetworkIn, several: bool) -> Plan:
    fixed_ip = None if asked.fixed_ip is UNSET else str(asked.fixed_ip)
    tag = None if asked.tag is UNSET else str(asked.tag)
    if several and (asked.port or fixed_ip):
        raise BadRequest("Unable to launch multiple instances with a single configured port ID or fixed IP address.")
    if asked.port:
        if fixed_ip:
            raise BadRequest("A port has its addresses already: specify either port or fixed_ip.")
        return Plan(None, str(asked.port), None, tag)
    if not asked.uuid:
        raise BadRequest("Bad networks format: network uuid is not in proper format")
    try:
        (found,) = network.networks_for(call.db, call.actor, [str(asked.uuid)])
    except NotFound as missing:
        raise BadRequest(missing.message) from None
    return Plan(found.id, None, fixed_ip, tag)


def security_groups(call: Call, project: str, names: list[str], nics: list[Plan]) -> list[str] | None:
    """The ids of the groups for new ports; None for the project's default. Raises `BadRequest`."""
    wanted = [name for name in dict.fromkeys(names) if name != "default"] if names == ["default"] else names
    if not wanted:
        return None
    try:
        return network.find_security_groups(call.db, project, list(dict.fromkeys(wanted)))
    except NotFound as missing:
        raise BadRequest(missing.message) from None


def connect(call: Call, server: Server, nics: list[Plan], groups: list[str] | None, *, first: int = 0) -> list[str]:
    """Make and claim ports for a server; their ids in order. `first` is the position of the first."""
    ports = [_port(call, server, nic, groups) for nic in nics]
    for n, ((port_id, network_id), nic) in enumerate(zip(ports, nics, strict=True)):
        call.db.add(
            ServerNic(
                port_id=port_id,
                server_id=server.id,
                network_id=network_id,
                position=first + n,
                ours=nic.port_id is None,
                tag=nic.tag,
            )
        )
    return [port_id for port_id, _ in ports]


def _port(call: Call, server: Server, nic: Plan, groups: list[str] | None) -> tuple[str, str]:
    """The ids of a port and of its network."""
    try:
        if nic.port_id is not None:
            port = network.claim_port(
                call.db, call.now, nic.port_id, with_project(call),
                device_id=server.id, device_owner=OWNER, request_id=call.request_id,
            )  # fmt: skip
            return port.id, port.network_id
        assert nic.network_id is not None
        port_id = network.create_port(
            call.db,
            call.cloud,
            server.project_id,
            request_id=call.request_id,
            now=call.now,
            network_id=nic.network_id,
            fixed_ip=nic.fixed_ip,
            device_id=server.id,
            device_owner=OWNER,
            name="",
            security_group_ids=groups,
            hostname=server.hostname,
        )
        return port_id, nic.network_id
    except NotFound as missing:
        raise BadRequest(missing.message) from None
