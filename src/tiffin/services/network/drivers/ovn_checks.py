"""What OVN cannot hold, by the translation itself and without an OVN: the simulated network refuses the same."""

from __future__ import annotations

from tiffin.core.driver import Turn
from tiffin.services.network.drivers import ovn_dhcp, ovn_networks, ovn_ports, ovn_routers, ovn_security_groups
from tiffin.services.network.drivers import ovn_text as text
from tiffin.services.network.drivers.base import (
    FloatingIP,
    Network,
    Port,
    Router,
    RouterGateway,
    RouterInterface,
    SecurityGroup,
)

_ANY = Turn(0)


def check_network(network: Network) -> None:
    """Raise `Impossible` for what OVN cannot hold; so do the others."""
    ovn_networks.columns(_ANY, network)
    for subnet in network.subnets:
        ovn_dhcp.options(network, subnet)


def check_port(port: Port) -> None:
    ovn_ports.columns(_ANY, port)


def check_router(router: Router) -> None:
    for port in router_ports(router):
        ovn_routers.port_columns(port, {})
    for destination, hop in router.routes:
        text.network(destination)
        text.address(hop)


def check_floating_ip(floating_ip: FloatingIP) -> None:
    ovn_routers.floating_ip_columns(_ANY, floating_ip)


def check_security_group(group: SecurityGroup) -> None:
    for rule in group.rules:
        ovn_security_groups.acl(group, rule)


def router_ports(router: Router) -> list[RouterInterface | RouterGateway]:
    """The ports of a router, the one of its gateway among them."""
    return [*router.interfaces, *([router.gateway] if router.gateway else [])]
