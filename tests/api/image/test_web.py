"""What may be read of the web, as an address says it."""

from __future__ import annotations

import itertools
import socket

import pytest
from urllib3.util import parse_url

from tiffin.core.driver import Impossible, Refused
from tiffin.core.errors import BadRequest
from tiffin.services.image.web import LONGEST_URL, WebRules, fetch, is_public, judge

RULES = WebRules()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://example.org", "http://example.org/"),
        ("HTTPS://Example.ORG./a%20b?token=1#part", "https://example.org/a%20b"),
        ("http://example.org:80/x", "http://example.org/x"),
        ("http://example.org:443/x", "http://example.org:443/x"),
        ("http://example.org:/x", "http://example.org/x"),
        ("http://8.8.8.8/x", "http://8.8.8.8/x"),
        ("http://[2600::1]/x", "http://[2600::1]/x"),
        ("http://xn--bcher-kva.example/x", "http://xn--bcher-kva.example/x"),
        ("http://a_b.example/x", "http://a_b.example/x"),
        ("http://10.example/x", "http://10.example/x"),
    ],
)
def test_addresses_that_are_read(url: str, shown: str) -> None:
    assert judge(url, RULES).shown == shown


def test_an_address_is_taken_apart_once() -> None:
    target = judge("https://example.org/a?b=c", RULES)
    assert (target.scheme, target.host, target.port, target.path) == ("https", "example.org", 443, "/a?b=c")
    assert (target.authority, judge("http://[2600::0:1]:443", RULES).authority) == ("example.org", "[2600::1]:443")


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org/x", "//example.org/x", "http:", "http:///x", "http://", "http://?x"),
        *("file:///etc/passwd", "filesystem:///etc/passwd", "ftp://example.org/", "gopher://example.org/", "rbd://a/b/c/d"),
        *("http://user@example.org/", "http://user:secret@example.org/", "http://example.org@10.0.0.1/", "http://@example.org"),
        *("http://example.org/a b", "http://example.org\\@10.0.0.1/", "http://example.org/\r\nX: y", "http://ex\0ample.org/"),
        *("http://bücher.example/", "http://%31%30.0.0.1/", "http://exa[mple.org/", "http://[::1", "http://a..b/", "http://-/"),
        *("http://example.org:0/", "http://example.org:65536/", "http://example.org:x/", "http://example.org:-80/"),
        *("http://example.org:22/", "http://example.org:8080/"),
        "http://example.org/" + "x" * LONGEST_URL,
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(BadRequest):
        judge(url, RULES)


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "0x", "017700000001", "1.2.3.4.5"),
        *("127.000.000.001", "127.0.0.1.", "4294967295", "1.2.3.256", "example.0x1", "example.1", "08.8.8.8"),
        *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[fe80::1%25eth0]", "[::1%lo]", "[v1.x]"),
    ],
)
def test_addresses_in_disguise(host: str) -> None:
    with pytest.raises(BadRequest):
        judge(f"http://{host}/", RULES)


PRIVATE = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1"),
    *("172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.9"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
    *("::", "::1", "::127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001::1", "2001:db8::1", "2002:a00:1::1"),
    *("3fff::1", "5f00::1", "not an address", ""),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "172.32.0.1", "100.128.0.1", "169.253.0.1", "223.255.255.255", "2600::1", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


def test_a_private_address_is_read_where_it_is_named() -> None:
    with pytest.raises(BadRequest, match="not a public address"):
        judge("http://10.0.0.1/", RULES)
    assert judge("http://10.0.0.1/", WebRules(allowed_hosts=("10.0.0.1",))).host == "10.0.0.1"
    assert judge("http://[fd00:0::1]/", WebRules(allowed_hosts=("[FD00::1]",))).host == "fd00::1"


PIECES = ("127.0.0.1", "0x7f", "0177", "1", "example", ".", ":", "80", "@", "%", "/", "\\", "#", "?", "[", "]", "::1", "x", "-")


def test_others_read_an_address_in_the_same_way() -> None:
    """Whatever is let through names the same host for another parser, and no address in disguise for the system."""
    names = 0
    for rest in map("".join, itertools.product(PIECES, repeat=3)):
        url = f"http://{rest}"
        try:
            target = judge(url, RULES)
        except BadRequest:
            continue
        names += 1
        assert (parse_url(url).host or "").rstrip(".").strip("[]") == target.host, url
        with pytest.raises(OSError, match="illegal IP address"):
            socket.inet_aton(target.host)
    assert names > 100


# --- upstream's options: what is allowed by name counts, and only where nothing is, what is disallowed --------------------


@pytest.mark.parametrize(
    ("url", "rules", "is_read"),
    [
        ("http://a.example/", WebRules(allowed_schemes=("https",)), False),
        ("https://a.example/", WebRules(allowed_schemes=("https",), disallowed_schemes=("https",)), True),
        ("http://a.example/", WebRules(allowed_schemes=(), disallowed_schemes=("http",)), False),
        ("https://a.example/", WebRules(allowed_schemes=(), disallowed_schemes=("http",)), True),
        ("ftp://a.example/", WebRules(allowed_schemes=("ftp",)), False),  # nothing here speaks it
        ("http://b.example/", WebRules(allowed_hosts=("a.example",)), False),
        ("http://A.example./", WebRules(allowed_hosts=("a.Example",), disallowed_hosts=("a.example",)), True),
        ("http://sub.a.example/", WebRules(allowed_hosts=("a.example",)), False),
        ("http://a.example./", WebRules(disallowed_hosts=("A.example",)), False),
        ("http://b.example/", WebRules(disallowed_hosts=("a.example",)), True),
        ("http://a.example:8080/", WebRules(allowed_ports=(8080,), disallowed_ports=(8080,)), True),
        ("http://a.example/", WebRules(allowed_ports=(8080,)), False),
        ("http://a.example:22/", WebRules(allowed_ports=(), disallowed_ports=(22,)), False),
        ("http://a.example:23/", WebRules(allowed_ports=(), disallowed_ports=(22,)), True),
    ],
)
def test_the_lists_of_an_operator(url: str, rules: WebRules, is_read: bool) -> None:
    if is_read:
        assert judge(url, rules)
    else:
        with pytest.raises(BadRequest, match="Nothing is read"):
            judge(url, rules)


# --- what names lead to -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%eth0"])
def test_a_name_of_a_private_address(address: str) -> None:
    with pytest.raises(Impossible, match="not a public address"):
        fetch("http://rebind.example/", RULES, most=10, resolve=lambda host, port: ["8.8.8.8", address])


def test_names_that_lead_nowhere() -> None:
    def fails(error: OSError) -> None:
        def resolve(host: str, port: int) -> list[str]:
            raise error

        fetch("http://gone.example/", RULES, most=10, resolve=resolve)

    with pytest.raises(Impossible, match=r"There is no host gone\.example"):
        fails(socket.gaierror(socket.EAI_NONAME, "unknown"))
    with pytest.raises(Refused, match="could not be looked up"):
        fails(socket.gaierror(socket.EAI_AGAIN, "later"))
    with pytest.raises(Refused, match="could not be looked up"):
        fails(OSError(5, "broken"))
    with pytest.raises(Impossible, match="has no address"):
        fetch("http://gone.example/", RULES, most=10, resolve=lambda host, port: [])
