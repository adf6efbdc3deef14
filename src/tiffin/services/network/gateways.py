"""The side of a router that looks at an external network."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import or_, select

from tiffin.core.errors import Conflict
from tiffin.services.network import faults, ipam, ports, rules
from tiffin.services.network import tables as t
from tiffin.services.network.ipam import Wanted
from tiffin.services.network.work import Work


def set_gateway(w: Work, row: t.RouterRow, network_id: str, wanted: Sequence[Wanted] | None) -> None:
    """Have the router's gateway on this network, with these addresses where they are said.

    Raises `BadRequest` for a network that is not external or lacks addresses, `Conflict` when floating IPs need the old.
    """
    network = w.db.get(t.NetworkRow, network_id)
    if network is None:
        raise faults.missing("network", network_id)
    if not network.external:
        raise faults.bad_request("router", f"Network {network_id} is not an external network")
    old = w.db.get(t.PortRow, row.gateway_port_id) if row.gateway_port_id else None
    if old is not None and old.network_id == network_id:
        if wanted:
            ports.change_addresses(w, old, wanted)
            check_no_overlap(w, row.id, old)
        return
    if old is not None:
        remove_gateway(w, row)
    plan = ports.Plan(
        project_id="",
        network=network,
        addresses=wanted or None,
        device_id=row.id,
        device_owner=ports.GATEWAY,
        counted=False,
        group_ids=[],
    )
    port = ports.make(w, plan)
    if not ports.addresses(w, port.id):
        raise faults.bad_request("router", f"No IPs available for external network {network_id}")
    check_no_overlap(w, row.id, port)
    row.gateway_port_id = port.id
    w.db.flush()


def remove_gateway(w: Work, row: t.RouterRow) -> None:
    """Raises `Conflict` while floating IPs go through it."""
    if row.gateway_port_id is None:
        return
    port = w.db.get_one(t.PortRow, row.gateway_port_id)
    used = select(t.FloatingIPRow.id).where(
        t.FloatingIPRow.router_id == row.id, t.FloatingIPRow.floating_network_id == port.network_id
    )
    if w.db.scalar(used.limit(1)) is not None:
        raise Conflict(
            f"Gateway cannot be updated for router {row.id}, since a gateway to external network {port.network_id} is "
            "required by one or more floating IPs.",
            code="RouterExternalGatewayInUseByFloatingIp",
        )
    row.gateway_port_id = None
    w.db.flush()
    ports.remove(w, port)


def subnets_at(w: Work, router_id: str, besides: str = "") -> list[tuple[t.PortRow, t.SubnetRow, str]]:
    """The subnets in which a router has an address, with the port that has it; not those of the port `besides`."""
    query = (
        select(t.PortRow, t.SubnetRow, t.FixedIPRow.ip_address)
        .join(t.FixedIPRow, t.FixedIPRow.port_id == t.PortRow.id)
        .join(t.SubnetRow, t.SubnetRow.id == t.FixedIPRow.subnet_id)
        .where(
            t.PortRow.device_id == router_id,
            or_(t.PortRow.device_owner == ports.INTERFACE, t.PortRow.device_owner == ports.GATEWAY),
            t.PortRow.id != besides,
        )
    )
    return [(port, subnet, ip) for port, subnet, ip in w.db.execute(query)]


def check_no_overlap(w: Work, router_id: str, port: t.PortRow) -> None:
    """No two subnets at a router overlap, those of this port among them."""
    others = subnets_at(w, router_id, besides=port.id)
    for address in ports.addresses(w, port.id):
        check_subnet(w.db.get_one(t.SubnetRow, address.subnet_id), [s for _, s, _ in others])


def check_subnet(subnet: t.SubnetRow, others: Sequence[t.SubnetRow]) -> None:
    for other in others:
        if other.id == subnet.id:
            raise faults.bad_request("router", f"Router already has a port on subnet {subnet.id}")
        if rules.overlapping(rules.network(subnet.cidr), [other.cidr]):
            raise faults.bad_request(
                "router",
                f"Cidr {subnet.cidr} of subnet {subnet.id} overlaps with cidr {other.cidr} of subnet {other.id}",
            )


def reaching(w: Work, subnet_id: str, external_network_id: str) -> str | None:
    """The router that leads from a subnet to an external network; rather the one that is the subnet's gateway."""
    subnet = w.db.get_one(t.SubnetRow, subnet_id)
    gateway = t.PortRow.__table__.alias("gateway")
    query = (
        select(t.RouterRow.id, t.FixedIPRow.ip_address)
        .join(gateway, gateway.c.id == t.RouterRow.gateway_port_id)
        .join(t.PortRow, t.PortRow.device_id == t.RouterRow.id)
        .join(t.FixedIPRow, t.FixedIPRow.port_id == t.PortRow.id)
        .where(
            gateway.c.network_id == external_network_id,
            t.PortRow.device_owner == ports.INTERFACE,
            t.FixedIPRow.subnet_id == subnet_id,
        )
        .order_by(t.RouterRow.id)
    )
    found = w.db.execute(query).all()
    first = [id for id, ip in found if ip == subnet.gateway_ip] + [id for id, _ in found]
    return first[0] if first else None


def ipv4_subnets(w: Work, network_id: str) -> list[t.SubnetRow]:
    return [s for s in ipam.subnets_of(w.db, network_id) if s.ip_version == 4]
