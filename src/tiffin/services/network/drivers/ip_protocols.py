"""IP protocols by the names that OpenStack's security group rules know, and their numbers (IANA, Protocol Numbers)."""

from __future__ import annotations

from tiffin.core.driver import Impossible

_NUMBERS = {
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "hopopt": 0,
    "icmp": 1,
    "icmpv6": 58,
    "ipv6-icmp": 58,
    "igmp": 2,
    "ip": 0,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}
ICMP, ICMPV6 = 1, 58
WITH_PORTS = {6: "tcp", 17: "udp", 132: "sctp"}
"""The protocols whose ports OVN can match, with the words for them."""


def number(protocol: str | None) -> int | None:
    """The number of a protocol given by name or number; None for any. Raises `Impossible` for what is neither."""
    if protocol is None or protocol.lower() in ("any", "ip", "0", "-1"):
        return None
    if protocol.lower() in _NUMBERS:
        return _NUMBERS[protocol.lower()]
    if protocol.isascii() and protocol.isdigit() and int(protocol) <= 255:
        return int(protocol)
    raise Impossible(f"{protocol!r} is no IP protocol")
