"""Which router a floating IP goes through, and which fixed address it stands for."""

from __future__ import annotations

import ipaddress

from sqlalchemy import select

from tiffin.core.errors import Conflict, NotFound
from tiffin.services.network import gateways, ports
from tiffin.services.network import tables as t
from tiffin.services.network.faults import bad_request
from tiffin.services.network.work import Work


def fixed_address(w: Work, port: t.PortRow, asked: str | None) -> t.FixedIPRow:
    """The address of the port that a floating IP will stand for. Raises `BadRequest`."""
    held = [a for a in ports.addresses(w, port.id) if ipaddress.ip_address(a.ip_address).version == 4]
    if asked is not None:
        for address in held:
            if address.ip_address == asked:
                return address
        raise bad_request("floatingip", f"Port {port.id} does not have fixed ip {asked[:64]}")
    if not held:
        raise bad_request("floatingip", f"Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses")
    if len(held) > 1:
        raise bad_request(
            "floatingip",
            f"Port {port.id} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a "
            "floating IP",
        )
    return held[0]


def associate(w: Work, row: t.FloatingIPRow, port: t.PortRow, asked: str | None) -> None:
    """Have the floating IP stand for an address of this port. Raises `BadRequest`, `NotFound`, `Conflict`."""
    if port.device_owner in ports.OWNERS or port.device_owner == ports.FLOATING:
        raise bad_request("floatingip", f"Port {port.id} cannot have a floating IP: it is a {port.device_owner}")
    fixed = fixed_address(w, port, asked)
    other = select(t.FloatingIPRow.id).where(
        t.FloatingIPRow.port_id == port.id,
        t.FloatingIPRow.fixed_ip_address == fixed.ip_address,
        t.FloatingIPRow.id != row.id,
    )
    if w.db.scalar(other) is not None:
        raise Conflict(
            f"Cannot associate floating IP {row.floating_ip_address} ({row.id}) with port {port.id} using fixed IP "
            f"{fixed.ip_address}, as that fixed IP already has a floating IP on external network "
            f"{row.floating_network_id}.",
            code="FloatingIPPortAlreadyAssociated",
        )
    router_id = gateways.reaching(w, fixed.subnet_id, row.floating_network_id)
    if router_id is None:
        raise NotFound(
            f"External network {row.floating_network_id} is not reachable from subnet {fixed.subnet_id}. Therefore, "
            f"cannot associate Port {port.id} with a Floating IP.",
            code="ExternalGatewayForFloatingIPNotFound",
        )
    row.port_id, row.fixed_ip_address, row.router_id = port.id, fixed.ip_address, router_id


def dissociate(row: t.FloatingIPRow) -> None:
    row.port_id = row.fixed_ip_address = row.router_id = None
