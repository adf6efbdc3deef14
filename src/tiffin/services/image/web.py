"""Reads from addresses that tenants name, without letting them reach what only this machine may reach.

An address is judged as a text first (`judge`), in the words of upstream's filtering options. Then its host is resolved
once, every address that comes back is looked at, and the connection goes to one of just those: no second look-up can
change its mind. What is read is bounded in size and time, whatever the other side does (RFC 9110, RFC 9112).
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

import msgspec

from tiffin.core.driver import Impossible, Refused
from tiffin.core.errors import BadRequest

if TYPE_CHECKING:
    from tiffin.services.image.web_answer import WebAnswer

T = TypeVar("T")
LONGEST_URL = 4096
MOST_HOPS = 5
"""Redirects of one read, where they are followed at all."""

Resolve = Callable[[str, int], list[str]]
"""The addresses of a host (and port), as texts. Raises `OSError`."""


class WebRules(msgspec.Struct, frozen=True):
    """What may be read. A list of what is allowed counts before the list of what is not, and empty lists say nothing."""

    allowed_schemes: tuple[str, ...] = ("http", "https")
    """The operator: the only schemes of addresses that are read; upstream's option of `[import_filtering_opts]`."""
    disallowed_schemes: tuple[str, ...] = ()
    """The operator, where no schemes are allowed by name: those that are not read."""
    allowed_hosts: tuple[str, ...] = ()
    """The operator: the only hosts that are read, as names or addresses. They may be private ones; no others may be."""
    disallowed_hosts: tuple[str, ...] = ()
    """The operator, where no hosts are allowed by name: those that are not read."""
    allowed_ports: tuple[int, ...] = (80, 443)
    """The operator: the only ports that are read."""
    disallowed_ports: tuple[int, ...] = ()
    """The operator, where no ports are allowed by number: those that are not read."""
    follow_redirects: bool = True
    """The operator: whether an answer may send us on to another address, which is judged as the first one was; upstream's
    imports do so, and mirrors need it."""
    ca_file: str = ""
    """The operator: a file of the certificates that HTTPS servers are trusted by, instead of the system's."""
    idle_seconds: float = 60.0
    """The operator: how long a server may take to begin, and then for each 64 KiB times these seconds."""
    most_seconds: float = 43_200.0
    """The operator: how long one download may take; only a few run at a time, and a slow server must not keep them all."""


class Target(msgspec.Struct, frozen=True):
    """Where an address leads, taken apart once and for all."""

    scheme: str
    host: str  # lower case, without brackets
    port: int
    path: str  # with the query

    @property
    def authority(self) -> str:
        """The host and, where it is not the scheme's own, the port, as `Host` tells them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The address for people, without its query: that may hold a secret."""
        return f"{self.scheme}://{self.authority}{self.path.partition('?')[0]}"


PORTS = {"http": 80, "https": 443}
_TEXT = re.compile(r"[!-~]+")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")


def judge(url: str, rules: WebRules) -> Target:
    """Where an address leads. Raises `BadRequest` when it may not be read, for what its text says already."""
    if len(url) > LONGEST_URL or not _TEXT.fullmatch(url) or "\\" in url:
        raise BadRequest(f"An address must be a URL of at most {LONGEST_URL} ASCII characters, no blank or backslash among them.")
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as bad:
        raise BadRequest(f"{url[:200]!r} is not a URL: {bad}.") from None
    scheme = parts.scheme
    if scheme not in PORTS or not _listed(scheme, rules.allowed_schemes, rules.disallowed_schemes):
        raise BadRequest(f"Nothing is read by the scheme {scheme[:40]!r} here.")
    if "@" in parts.netloc:
        raise BadRequest("An address must not hold a user's name or password.")
    host = _host(parts.netloc, parts.hostname or "")
    allowed, disallowed = _plain(rules.allowed_hosts), _plain(rules.disallowed_hosts)
    if not _listed(host, allowed, disallowed):
        raise BadRequest(f"Nothing is read from the host {host} here.")
    port = PORTS[scheme] if port is None else port
    if port < 1 or not _listed(port, rules.allowed_ports, rules.disallowed_ports):
        raise BadRequest(f"Nothing is read from port {port} here.")
    if _is_address(host) and host not in allowed and not is_public(host):
        raise BadRequest(f"Nothing is read from {host}: it is not a public address.")
    query = f"?{parts.query}" if parts.query else ""
    return Target(scheme, host, port, (parts.path or "/") + query)


def _listed(value: T, allowed: tuple[T, ...], disallowed: tuple[T, ...]) -> bool:
    return value in allowed if allowed else value not in disallowed


def _plain(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """Hosts as they are compared."""
    return tuple(host.lower().strip("[]").rstrip(".") for host in hosts)


def _host(netloc: str, name: str) -> str:
    """The host in its one spelling. Raises `BadRequest` for what programs read in different ways: addresses in decimal,
    octal, hexadecimal or short form, zones, escapes."""
    if netloc.startswith("["):
        try:
            return str(ipaddress.IPv6Address(name)) if "%" not in name else _no_host(name)
        except ValueError:
            return _no_host(name)
    name = name.removesuffix(".")
    if not _HOST.fullmatch(name):
        return _no_host(name)
    if _NUMBER.fullmatch(name.rpartition(".")[2]) and not _is_address(name):
        return _no_host(name)
    return name


def _no_host(name: str) -> str:
    raise BadRequest(
        f"{name[:100]!r} is not the name of a host or its address. Write an IPv4 address as four decimal numbers, an IPv6 "
        "address in brackets, and another script's name in its ASCII form."
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def trusting(url: str, rules: WebRules) -> WebRules:
    """Rules under which nothing can be read but the server of this address, wherever it is: the address is an operator's
    word. Raises `BadRequest` when it is none."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError as bad:
        raise BadRequest(f"{url[:200]!r} is not a URL: {bad}.") from None
    return WebRules(
        allowed_schemes=(parts.scheme,),
        allowed_hosts=(parts.hostname or "",),
        allowed_ports=(port,),
        follow_redirects=False,
        ca_file=rules.ca_file,
        idle_seconds=rules.idle_seconds,
        most_seconds=rules.most_seconds,
    )


# --- addresses ----------------------------------------------------------------------------------------------------------

_NOT_PUBLIC = tuple(
    ipaddress.ip_network(net)
    for net in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # a public address at which one provider tells its guests their secrets
    )
)
"""IPv4 addresses that are somebody's own, or nobody's (IANA's registry of special-purpose addresses, and multicast)."""
_GLOBAL = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is routed by now; a few parts of it are not public either."""
_NOT_PUBLIC_6 = tuple(
    ipaddress.IPv6Network(net) for net in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "3ffe::/16")
)
_CARRIES_IPV4 = (ipaddress.IPv6Network("::ffff:0:0/96"), ipaddress.IPv6Network("64:ff9b::/96"))
"""Prefixes after which the last 32 bits are an IPv4 address that is reached in the end."""


def is_public(address: str) -> bool:
    """Whether anybody on the Internet may reach an address. False for a text that is none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if not any(ip in net for net in _CARRIES_IPV4):
            return ip in _GLOBAL and not any(ip in net for net in _NOT_PUBLIC_6)
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return not any(ip in net for net in _NOT_PUBLIC)


def look_up(host: str, port: int) -> list[str]:
    """What the system says where a host is."""
    import socket

    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def _addresses(target: Target, rules: WebRules, resolve: Resolve) -> list[str]:
    """Where to connect to. One resolution, and not one address of it may be private. Raises `Refused`, `Impossible`."""
    import socket

    try:
        found = [target.host] if _is_address(target.host) else resolve(target.host, target.port)
    except socket.gaierror as no:
        if no.errno == socket.EAI_AGAIN:
            raise Refused(f"The host {target.host} could not be looked up.") from no
        raise Impossible(f"There is no host {target.host}.") from no
    except OSError as no:
        raise Refused(f"The host {target.host} could not be looked up: {no.strerror}.") from no
    if target.host not in _plain(rules.allowed_hosts):
        for address in found:
            if not is_public(address):
                raise Impossible(f"Nothing is read from {target.host}: {address} is not a public address.")
    if not found:
        raise Impossible(f"The host {target.host} has no address.")
    return found


# --- reading ------------------------------------------------------------------------------------------------------------


class Span(msgspec.Struct, frozen=True):
    """The part of a whole that is wanted: from its byte `start`, `length` of them or all that follow."""

    start: int = 0
    length: int | None = None


def fetch(
    url: str,
    rules: WebRules,
    *,
    most: int,
    span: Span | None = None,
    head: bool = False,
    headers: Mapping[str, str] | None = None,
    resolve: Resolve = look_up,
) -> WebAnswer:
    """Open what an address leads to: the answer is an iterator over its bytes, of which there are at most `most`.

    `head`: only ask what there is. `headers`: further ones; their values are ours, not a tenant's. Raises `Missing` when
    there is nothing (any more), `Refused` when the other side does not answer now, `Impossible` when it never will or may
    not be asked. So does the iteration.
    """
    from tiffin.services.image.web_answer import Question, ask

    question = Question("HEAD" if head else "GET", most, span, headers or {}, rules)
    for _hop in range(MOST_HOPS + 1):
        try:
            target = judge(url, rules)
        except BadRequest as no:
            raise Impossible(no.message) from no
        answer = ask(question, target, _addresses(target, rules, resolve))
        if answer.status not in (301, 302, 303, 307, 308):
            return answer.checked()
        answer.close()
        url = _next(target, answer.header("Location"), rules)
    raise Impossible(f"More than {MOST_HOPS} redirects, the last one to {target.shown}.")


def _next(target: Target, location: str, rules: WebRules) -> str:
    """Where a redirect leads to. Raises `Impossible`."""
    if not rules.follow_redirects:
        raise Impossible(f"{target.shown} is somewhere else (it redirects); redirects are not followed here.")
    here = f"{target.scheme}://{target.authority}{target.path}"
    try:
        url = urllib.parse.urljoin(here, location)
    except ValueError as bad:
        raise Impossible(f"{target.shown} redirects to what is not a URL.") from bad
    if not location or (target.scheme == "https" and not url.lower().startswith("https:")):
        raise Impossible(f"{target.shown} redirects to nowhere, or away from HTTPS.")
    return url


class WebReader:
    """Reading under one set of rules, for the store of images that are somewhere else (drivers/http.py)."""

    def __init__(self, rules: WebRules, most: int, resolve: Resolve = look_up) -> None:
        """`most`: bytes of one whole."""
        self._rules, self._most, self._resolve = rules, most, resolve

    def read(self, url: str, start: int, length: int | None) -> Iterator[bytes]:
        """The bytes of that part, as `fetch` gives them."""
        span = Span(start, length) if start or length is not None else None
        return fetch(url, self._rules, most=self._most, span=span, resolve=self._resolve)

    def size(self, url: str) -> int | None:
        """How many bytes there are, where that is told without reading them."""
        answer = fetch(url, self._rules, most=self._most, head=True, resolve=self._resolve)
        answer.close()
        return answer.length
