"""Text that goes into OVN. Much of it ends inside expressions of OVN's own language, so nothing passes unparsed."""

from __future__ import annotations

import hashlib
import ipaddress
import re

from tiffin.core.driver import Impossible

_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_DOMAIN = re.compile(r"(?=.{1,253}$)[0-9A-Za-z_]([0-9A-Za-z_-]{0,62})(\.[0-9A-Za-z_][0-9A-Za-z_-]{0,62})*")
_TEXT = re.compile(r"[0-9A-Za-z ._:/@,=+-]{1,255}")


def identifier(id: str) -> str:
    """An id as part of a name that OVN's expressions can hold."""
    return checked_id(id).replace("-", "_")


def checked_id(id: str) -> str:
    if not _ID.fullmatch(id):
        raise Impossible(f"{id!r} is no id")
    return id


def mac(text: str) -> str:
    if not _MAC.fullmatch(text):
        raise Impossible(f"{text!r} is no MAC address")
    return text.lower()


def address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as failure:
        raise Impossible(f"{text!r} is no IP address") from failure


def network(text: str) -> str:
    """An address or a network, the latter without host bits."""
    try:
        parsed = ipaddress.ip_network(text, strict=False)
    except ValueError as failure:
        raise Impossible(f"{text!r} is no IP network") from failure
    return str(parsed.network_address) if parsed.prefixlen == parsed.max_prefixlen and "/" not in text else str(parsed)


def interface(text: str) -> str:
    """An address with the prefix length of its network."""
    try:
        return str(ipaddress.ip_interface(text))
    except ValueError as failure:
        raise Impossible(f"{text!r} is no address with a prefix length") from failure


def version(text: str) -> int:
    """4 or 6, of an address, an interface or a network."""
    return 6 if ":" in text else 4


def domain(text: str) -> str:
    """A domain or host name, lower case, without the last dot (RFC 1035); empty stays empty."""
    name = text.rstrip(".").lower()
    if name and not _DOMAIN.fullmatch(name):
        raise Impossible(f"{text!r} is no domain name")
    return name


def quoted(text: str) -> str:
    """A short harmless text within double quotes."""
    if not _TEXT.fullmatch(text):
        raise Impossible(f"{text!r} cannot be told by DHCP")
    return f'"{text}"'


def group(values: list[str]) -> str:
    """A set in OVN's language."""
    return "{" + ", ".join(values) + "}"


def derived_mac(key: str) -> str:
    """A MAC address for something that only OVN plays, such as a DHCP server."""
    tail = hashlib.sha256(key.encode()).digest()[:3]
    return "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in tail)
