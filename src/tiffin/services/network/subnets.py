"""What a subnet may be: the checks of its attributes together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from tiffin.core.errors import BadRequest, Conflict
from tiffin.services.network import ipam, ports, rules
from tiffin.services.network import tables as t
from tiffin.services.network.faults import invalid_input
from tiffin.services.network.work import Work

MOST_NAMESERVERS, MOST_ROUTES = 5, 20


def check_modes(version: int, ra: str | None, address: str | None, enable_dhcp: bool, net: rules.Net) -> None:
    """The IPv6 modes fit each other and the subnet."""
    if ra is None and address is None:
        return
    if version == 4:
        raise invalid_input("ipv6_ra_mode or ipv6_address_mode cannot be set for an IPv4 subnet")
    if not enable_dhcp:
        raise invalid_input("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra and address and ra != address:
        raise invalid_input(
            f"ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. "
            "If both attributes are set, they must be the same value"
        )
    if address in rules.AUTOMATIC and net.prefixlen != 64:
        raise invalid_input(
            f"Invalid CIDR {net} for IPv6 address mode. OpenStack uses the EUI-64 address format, "
            "which requires the prefix to be /64"
        )


def check_prefix(net: rules.Net, enable_dhcp: bool) -> None:
    """A subnet is of addresses that a host may have, and with DHCP for IPv4 of more than two."""
    if net.prefixlen == 0:
        raise invalid_input("0 is not allowed as CIDR prefix length")
    if net.is_multicast or net.is_loopback:
        raise invalid_input(f"Invalid CIDR {net}: multicast and loopback networks are not allowed")
    if enable_dhcp and net.version == 4 and net.prefixlen > 30:
        raise invalid_input(f"Illegal CIDR {net}: a subnet with DHCP must be larger than /31")


def check_nameservers(servers: Sequence[str]) -> list[str]:
    if len(servers) > MOST_NAMESERVERS:
        raise BadRequest(
            f"Unable to complete operation: the number of DNS nameservers exceeds the limit {MOST_NAMESERVERS}.",
            code="DNSNameServersExhausted",
        )
    found = [str(rules.address(s)) for s in servers]
    if len(set(found)) != len(found):
        raise BadRequest("Invalid input for dns_nameservers. Reason: Duplicate nameserver.")
    return found


def check_routes(routes: Sequence[Any], net: rules.Net | None = None) -> list[dict[str, str]]:
    """Routes in canonical form, for subnets (`net`) and routers."""
    found = []
    for route in routes:
        destination, hop = rules.prefix(route.destination), rules.address(route.nexthop)
        if destination.version != hop.version or (net is not None and destination.version != net.version):
            raise invalid_input(f"route {route.destination} via {route.nexthop} mixes IP versions")
        found.append({"destination": str(destination), "nexthop": str(hop)})
    if any(found.count(r) > 1 for r in found):
        raise BadRequest("Invalid input for routes. Reason: Duplicate hostroute.")
    return found


def check_host_routes(routes: Sequence[Any], net: rules.Net) -> list[dict[str, str]]:
    if len(routes) > MOST_ROUTES:
        raise BadRequest(
            f"Unable to complete operation: the number of routes exceeds the limit {MOST_ROUTES}.",
            code="HostRoutesExhausted",
        )
    return check_routes(routes, net)


def check_no_overlap(w: Work, network_id: str, net: rules.Net) -> None:
    other = rules.overlapping(net, [s.cidr for s in ipam.subnets_of(w.db, network_id)])
    if other:
        raise invalid_input(
            f"Requested subnet with cidr: {net} for network: {network_id} overlaps with another subnet ({other})"
        )


def check_gateway_free(w: Work, row: t.SubnetRow) -> None:
    """A gateway address that a router's port has cannot be changed."""
    if row.gateway_ip is None:
        return
    holder = ipam.holder(w.db, row.id, row.gateway_ip)
    if holder is not None and holder.device_owner == ports.INTERFACE:
        raise Conflict(
            f"Current gateway ip {row.gateway_ip} already in use by port {holder.id}. Unable to update.",
            code="GatewayIpInUse",
        )


def check_unused(w: Work, row: t.SubnetRow) -> None:
    """Raises `Conflict` while a port has an address here that it did not get by itself."""
    query = (
        select(t.PortRow)
        .join(t.FixedIPRow, t.FixedIPRow.port_id == t.PortRow.id)
        .where(t.FixedIPRow.subnet_id == row.id, t.PortRow.device_owner != ports.DISTRIBUTED)
    )
    for port in w.db.scalars(query):
        if not ipam.automatic(row, port.device_owner):
            raise Conflict(
                f"Unable to complete operation on subnet {row.id}: One or more ports have an IP allocation from this "
                "subnet.",
                code="SubnetInUse",
            )


def give_automatic_addresses(w: Work, row: t.SubnetRow) -> None:
    """Ports that are there already get their address in a subnet where guests make their own."""
    if row.ipv6_address_mode not in rules.AUTOMATIC:
        return
    net = rules.network(row.cidr)
    for port in w.db.scalars(select(t.PortRow).where(t.PortRow.network_id == row.network_id)):
        if port.device_owner.startswith("network:"):
            continue
        address = rules.eui64(net, port.mac_address)
        place = rules.position(net, address)
        w.db.add(
            t.FixedIPRow(
                port_id=port.id, subnet_id=row.id, network_id=row.network_id, ip_address=address, position=place
            )
        )
        ports.realise(w, port)
    w.db.flush()


def realise_around(w: Work, row: t.SubnetRow) -> None:
    """The network, and the routers that have a port in this subnet."""
    w.realise("network.network", row.network_id)
    routers = (
        select(t.PortRow.device_id)
        .join(t.FixedIPRow, t.FixedIPRow.port_id == t.PortRow.id)
        .where(t.FixedIPRow.subnet_id == row.id, t.PortRow.device_owner.in_((ports.INTERFACE, ports.GATEWAY)))
    )
    for router_id in set(w.db.scalars(routers)):
        w.realise("network.router", router_id)
