"""Addresses, prefixes and pools: pure functions."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterable, Sequence

from tiffin.core.errors import BadRequest, Conflict
from tiffin.services.network.faults import invalid_input

Net = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Pool = dict[str, str]
"""{"start": address, "end": address}, both included."""

AUTOMATIC = ("slaac", "dhcpv6-stateless")
"""IPv6 address modes in which the guest makes its address from its MAC address."""
FARTHEST = 1 << 62
"""Positions beyond this one are not kept: nothing is ever allocated there by itself."""

_MAC = re.compile(r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")


def network(cidr: str, version: int | None = None) -> Net:
    """A prefix in canonical form. Raises `BadRequest` when bits beyond the prefix are set, as upstream."""
    try:
        made = ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        raise BadRequest(f"Invalid input for cidr. Reason: '{cidr[:64]}' is not a valid IP subnet.") from None
    if "/" not in cidr or ipaddress.ip_interface(cidr).ip != made.network_address:
        raise BadRequest(
            f"Invalid input for cidr. Reason: '{cidr[:64]}' isn't a recognized IP subnet cidr, '{made}' is recommended."
        )
    if version is not None and made.version != version:
        raise invalid_input(f"cidr '{cidr}' does not match the ip_version '{version}'")
    return made


def prefix(value: str) -> Net:
    """An address or a prefix, host bits allowed: of rules and of allowed address pairs."""
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise invalid_input(f"'{value[:64]}' is not a valid IP address or prefix") from None


def address(value: str, version: int | None = None) -> Address:
    try:
        made = ipaddress.ip_address(value)
    except ValueError:
        raise invalid_input(f"'{value[:64]}' is not a valid IP address") from None
    if getattr(made, "scope_id", None) or (version is not None and made.version != version):
        raise invalid_input(f"'{value[:64]}' is not a valid IPv{version or 6} address")
    return made


def mac(value: str) -> str:
    """A MAC address in lower case with colons. Raises `BadRequest` unless it is one of a single device."""
    made = value.lower().replace("-", ":")
    if not _MAC.match(made) or made == "00:00:00:00:00:00" or int(made[:2], 16) & 1:
        raise invalid_input(f"'{value[:64]}' is not a valid MAC address")
    return made


def random_mac(randomness: bytes) -> str:
    """fa:16:3e and three random bytes, as upstream's default base."""
    return "fa:16:3e:" + ":".join(f"{b:02x}" for b in randomness[:3])


def eui64(net: Net, mac_address: str) -> str:
    """The address that a device with this MAC address gives itself in a /64 (RFC 4291, appendix A)."""
    digits = bytes.fromhex(mac_address.replace(":", ""))
    interface = bytes([digits[0] ^ 2]) + digits[1:3] + b"\xff\xfe" + digits[3:]
    return str(ipaddress.IPv6Address(int(net.network_address) + int.from_bytes(interface, "big")))


def first_host(net: Net) -> str:
    """The gateway that a subnet gets when none is said."""
    return str(net[1] if net.num_addresses > 1 else net[0])


def usable(net: Net) -> tuple[int, int]:
    """The first and the last address that a port may have by itself."""
    low, high = int(net.network_address), int(net.broadcast_address)
    if net.num_addresses <= 2:
        return low, high
    return low + 1, high - 1 if net.version == 4 else high


def default_pools(net: Net, gateway: str | None) -> list[Pool]:
    """All of the subnet but the gateway."""
    low, high = usable(net)
    if gateway is None or not low <= (hole := int(ipaddress.ip_address(gateway))) <= high:
        return [_pool(net, low, high)] if low <= high else []
    parts = [(low, hole - 1), (hole + 1, high)]
    return [_pool(net, a, b) for a, b in parts if a <= b]


def _pool(net: Net, low: int, high: int) -> Pool:
    kind = type(net.network_address)
    return {"start": str(kind(low)), "end": str(kind(high))}


def check_pools(net: Net, pools: Sequence[Pool]) -> list[Pool]:
    """Pools in canonical form and order. Raises `BadRequest` and `Conflict` as upstream."""
    spans = []
    for pool in pools:
        start, end = address(pool["start"], net.version), address(pool["end"], net.version)
        if int(end) < int(start):
            raise BadRequest(f"The allocation pool {start}-{end} is not valid.", code="InvalidAllocationPool")
        low, high = usable(net)
        if int(start) < low or int(end) > high:
            raise BadRequest(
                f"The allocation pool {start}-{end} spans beyond the subnet cidr {net}.",
                code="OutOfBoundsAllocationPool",
            )
        spans.append((int(start), int(end)))
    spans.sort()
    for (_, end_of_one), (start_of_next, _) in itertools.pairwise(spans):
        if start_of_next <= end_of_one:
            raise Conflict(f"Found overlapping allocation pools for subnet {net}.", code="OverlappingAllocationPools")
    return [_pool(net, a, b) for a, b in spans]


def check_gateway(net: Net, gateway: str | None, pools: Sequence[Pool]) -> str | None:
    """A gateway in canonical form: not the network's own or the broadcast address, and in no pool."""
    if gateway is None:
        return None
    made = address(gateway, net.version)
    inside = made in net
    if (
        inside
        and net.num_addresses > 2
        and (made == net.network_address or (net.version == 4 and made == net.broadcast_address))
    ):
        raise invalid_input(f"Gateway {made} is not valid on subnet")
    if in_pools(str(made), pools):
        raise Conflict(f"Gateway ip {made} conflicts with allocation pool.", code="GatewayConflictWithAllocationPools")
    return str(made)


def in_pools(ip: str, pools: Iterable[Pool]) -> bool:
    at = int(ipaddress.ip_address(ip))
    return any(int(ipaddress.ip_address(p["start"])) <= at <= int(ipaddress.ip_address(p["end"])) for p in pools)


def position(net: Net, ip: str) -> int | None:
    """How far an address is from the subnet's first one."""
    far = int(ipaddress.ip_address(ip)) - int(net.network_address)
    return far if far < FARTHEST else None


def at(net: Net, place: int) -> str:
    return str(net[place])


def spans(net: Net, pools: Iterable[Pool]) -> list[tuple[int, int]]:
    """The pools as positions, cut at `FARTHEST`."""
    low = int(net.network_address)
    found = [(int(ipaddress.ip_address(p["start"])) - low, int(ipaddress.ip_address(p["end"])) - low) for p in pools]
    return [(a, min(b, FARTHEST - 1)) for a, b in found if a < FARTHEST]


def check_host_in(net: Net, ip: str) -> str:
    """An address that a port may ask for in this subnet, canonical. Raises `BadRequest`."""
    made = address(ip)
    inside = made.version == net.version and made in net
    edge = net.num_addresses > 2 and (
        made == net.network_address or (net.version == 4 and made == net.broadcast_address)
    )
    if not inside or edge:
        raise BadRequest(f"IP address {made} is not a valid IP for the specified subnet.", code="InvalidIpForSubnet")
    return str(made)


def overlapping(net: Net, others: Iterable[str]) -> str | None:
    """The first of these prefixes that overlaps."""
    for other in others:
        known = ipaddress.ip_network(other)
        if known.version == net.version and net.overlaps(known):
            return other
    return None


def free_prefix(prefixes: Iterable[str], taken: Iterable[str], length: int) -> str | None:
    """The first prefix of this length within `prefixes` that overlaps nothing taken; whole taken blocks are leapt over."""
    used = sorted((int(n.network_address), int(n.broadcast_address)) for n in map(ipaddress.ip_network, taken))
    for block in sorted(map(ipaddress.ip_network, prefixes), key=lambda n: (n.version, int(n.network_address))):
        if block.prefixlen > length:
            continue
        size = 1 << (block.max_prefixlen - length)
        start, end = int(block.network_address), int(block.broadcast_address)
        for low, high in used:
            if high < start:
                continue
            if low >= start + size:
                break
            start = (high // size + 1) * size
        if start + size - 1 <= end:
            return f"{type(block.network_address)(start)}/{length}"
    return None


def compact(prefixes: Iterable[str]) -> list[str]:
    """Prefixes without those inside others, neighbours joined, as upstream keeps those of a pool."""
    nets = [ipaddress.ip_network(p) for p in prefixes]
    v4 = [n for n in nets if isinstance(n, ipaddress.IPv4Network)]
    v6 = [n for n in nets if isinstance(n, ipaddress.IPv6Network)]
    return [str(n) for n in (*ipaddress.collapse_addresses(v4), *ipaddress.collapse_addresses(v6))]
