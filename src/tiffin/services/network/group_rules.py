"""What a security group rule may say: pure checks, with upstream's error types."""

from __future__ import annotations

from typing import Any

from tiffin.core.errors import BadRequest
from tiffin.services.network import rules

PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58, "igmp": 2, "ip": 0,
    "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43,
    "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
WITH_PORTS = {6, 17, 33, 132, 136}
ICMP = {1, 58}
ONLY_IPV6 = {"icmpv6", "ipv6-encap", "ipv6-frag", "ipv6-icmp", "ipv6-nonxt", "ipv6-opts", "ipv6-route"}
EVERYWHERE = ("0.0.0.0/0", "::/0")


def protocol(value: str | int | None) -> str | None:
    """A protocol by name or number; None for any."""
    if value is None:
        return None
    text = str(value).lower()
    if text in ("any", ""):
        return None
    if text in PROTOCOLS or (text.isdecimal() and len(text) < 4 and int(text) < 256):
        return text
    raise BadRequest(
        f"Security group rule protocol {str(value)[:64]} not supported. Only protocol values {sorted(PROTOCOLS)} and "
        "integer representations [0 to 255] are supported.",
        code="SecurityGroupRuleInvalidProtocol",
    )


def number(name: str | None) -> int | None:
    return None if name is None else PROTOCOLS[name] if name in PROTOCOLS else int(name)


def check_ports(name: str | None, low: int | None, high: int | None) -> None:
    """The port range fits the protocol; for ICMP it is type and code."""
    if low is None and high is None:
        return
    found = number(name)
    if found is None:
        raise BadRequest(
            "Must also specify protocol if port range is given.", code="SecurityGroupProtocolRequiredWithPorts"
        )
    if found in ICMP:
        _check_icmp(name, low, high)
    elif found in WITH_PORTS:
        _check_range(name, low, high)
    else:
        raise BadRequest(
            f"Invalid protocol {name} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP.",
            code="SecurityGroupInvalidProtocolForPort",
        )


def _check_icmp(name: str | None, low: int | None, high: int | None) -> None:
    for field, value in (("port_range_min", low), ("port_range_max", high)):
        if value is not None and not 0 <= value <= 255:
            raise BadRequest(
                f"Invalid value for ICMP {field} ({value}), it must be 0 to 255.", code="SecurityGroupInvalidIcmpValue"
            )
    if low is None:
        raise BadRequest(
            f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing.",
            code="SecurityGroupMissingIcmpType",
        )


def _check_range(name: str | None, low: int | None, high: int | None) -> None:
    if low is None or high is None or low > high:
        raise BadRequest(
            "For TCP/UDP protocols, port_range_min must be <= port_range_max", code="SecurityGroupInvalidPortRange"
        )


def check_ethertype(ethertype: str, name: str | None, prefix: str | None) -> str | None:
    """Protocol and prefix are of the rule's IP version; the prefix as it is kept."""
    if ethertype == "IPv4" and name in ONLY_IPV6:
        raise BadRequest(
            f"Invalid ethertype {ethertype} for protocol {name}.", code="SecurityGroupEthertypeConflictWithProtocol"
        )
    if prefix is None:
        return None
    net = rules.prefix(prefix)
    if f"IPv{net.version}" != ethertype:
        raise BadRequest(
            f"Conflicting value ethertype {ethertype} for CIDR {prefix}", code="SecurityGroupRuleParameterConflict"
        )
    return prefix if "/" in prefix else f"{prefix}/{net.prefixlen}"


def meaning(rule: Any) -> tuple[Any, ...]:
    """Two rules of one group with the same meaning are duplicates."""
    prefix = None if rule.remote_ip_prefix in EVERYWHERE else rule.remote_ip_prefix
    return (
        rule.direction,
        rule.ethertype,
        number(rule.protocol),
        rule.port_range_min,
        rule.port_range_max,
        prefix and str(rules.prefix(prefix)),
        rule.remote_group_id,
        rule.remote_address_group_id,
    )
