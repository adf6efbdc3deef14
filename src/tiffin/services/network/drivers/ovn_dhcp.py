"""DHCP as OVN's own responder tells it: one row of options for a subnet, one more for a port that wants others.

Which options exist: ovn-nb(5), table DHCP_Options."""

from __future__ import annotations

import ipaddress

from tiffin.core.driver import Impossible
from tiffin.services.network.drivers import ovn_text as text
from tiffin.services.network.drivers.base import Network, Subnet

METADATA_ADDRESS = "169.254.169.254"
_LEASE_SECONDS = "43200"

# OpenStack's (dnsmasq's) names, what OVN calls them, and how the value reads.
EXTRA_4 = {
    "mtu": ("mtu", "number"),
    "interface-mtu": ("mtu", "number"),
    "26": ("mtu", "number"),
    "router": ("router", "addresses"),
    "3": ("router", "addresses"),
    "dns-server": ("dns_server", "addresses"),
    "6": ("dns_server", "addresses"),
    "ntp-server": ("ntp_server", "addresses"),
    "42": ("ntp_server", "addresses"),
    "log-server": ("log_server", "addresses"),
    "lpr-server": ("lpr_server", "addresses"),
    "netmask": ("netmask", "address"),
    "1": ("netmask", "address"),
    "lease-time": ("lease_time", "number"),
    "51": ("lease_time", "number"),
    "T1": ("T1", "number"),
    "T2": ("T2", "number"),
    "default-ttl": ("default_ttl", "number"),
    "tftp-server": ("tftp_server", "text"),
    "66": ("tftp_server", "text"),
    "bootfile-name": ("bootfile_name", "text"),
    "67": ("bootfile_name", "text"),
    "server-ip-address": ("tftp_server_address", "addresses"),
    "150": ("tftp_server_address", "addresses"),
    "domain-name": ("domain_name", "text"),
    "15": ("domain_name", "text"),
    "domain-search": ("domain_search_list", "text"),
    "119": ("domain_search_list", "text"),
    "wpad": ("wpad", "text"),
    "252": ("wpad", "text"),
    "path-prefix": ("path_prefix", "text"),
}
EXTRA_6 = {
    "dns-server": ("dns_server", "addresses"),
    "23": ("dns_server", "addresses"),
    "domain-search": ("domain_search", "text"),
    "24": ("domain_search", "text"),
}


def served(subnet: Subnet) -> bool:
    """Whether OVN answers DHCP in this subnet."""
    return subnet.enable_dhcp and (
        subnet.ip_version == 4 or subnet.ipv6_address_mode in ("dhcpv6-stateful", "dhcpv6-stateless")
    )


def options(network: Network, subnet: Subnet) -> dict[str, str]:
    """What DHCP tells every port of the subnet."""
    return _options4(network, subnet) if subnet.ip_version == 4 else _options6(network, subnet)


def with_extra(base: dict[str, str], extra: list[tuple[str, str, int]], version: int) -> dict[str, str] | None:
    """The options of one port; None if it asks for silence. What OVN does not know is left out, as upstream does."""
    known = EXTRA_4 if version == 4 else EXTRA_6
    told = dict(base)
    for name, value, its_version in extra:
        if its_version != version:
            continue
        if name == "dhcp_disabled" and value.lower() == "true":
            return None
        if name in known:
            ours, form = known[name]
            told[ours] = _formatted(value, form, version)
    return told


def _options4(network: Network, subnet: Subnet) -> dict[str, str]:
    gateway = text.address(subnet.gateway_ip) if subnet.gateway_ip else None
    metadata = text.address(subnet.metadata_ip) if subnet.metadata_ip else None
    first = next(iter(ipaddress.ip_network(subnet.cidr).hosts()))
    told = {
        "server_id": gateway or metadata or str(first),
        "server_mac": text.derived_mac(subnet.id),
        "lease_time": _LEASE_SECONDS,
        "mtu": str(int(network.mtu)),
    }
    routes = [
        f"{text.network(destination)},{text.address(hop)}"
        for destination, hop in subnet.host_routes
        if text.version(destination) == text.version(hop) == 4
    ]
    if metadata:
        routes.insert(0, f"{METADATA_ADDRESS}/32,{metadata}")
    if gateway:
        told["router"] = gateway
        if not any(route.startswith("0.0.0.0/0,") for route in routes):
            routes.append(f"0.0.0.0/0,{gateway}")
    if len(routes) > (1 if gateway else 0):
        told["classless_static_route"] = text.group(routes)
    # Without a server of its own the guest asks where OVN answers for the names of the network's ports.
    servers = _servers(subnet) or ([metadata] if metadata else [])
    if servers:
        told["dns_server"] = text.group(servers)
    if network.dns_domain:
        told["domain_name"] = text.quoted(text.domain(network.dns_domain))
    return told


def _options6(network: Network, subnet: Subnet) -> dict[str, str]:
    told = {"server_id": text.derived_mac(subnet.id)}
    if subnet.ipv6_address_mode == "dhcpv6-stateless":
        told["dhcpv6_stateless"] = "true"
    if servers := _servers(subnet):
        told["dns_server"] = text.group(servers)
    if network.dns_domain:
        told["domain_search"] = text.quoted(text.domain(network.dns_domain))
    return told


def _servers(subnet: Subnet) -> list[str]:
    """The name servers that this sort of DHCP can tell."""
    return [text.address(server) for server in subnet.dns_nameservers if text.version(server) == subnet.ip_version]


def _formatted(value: str, form: str, version: int) -> str:
    if form == "number":
        if not value.isascii() or not value.isdigit() or len(value) > 10:
            raise Impossible(f"{value!r} is no number that DHCP can tell")
        return value
    if form in ("address", "addresses"):
        found = [text.address(part.strip()) for part in value.split(",")]
        if any(text.version(one) != version for one in found):
            raise Impossible(f"{value!r} is not all IPv{version}")
        if form == "address" and len(found) > 1:
            raise Impossible(f"{value!r} is more than one address")
        return found[0] if len(found) == 1 else text.group(found)
    return text.quoted(value)
