"""Requests that nobody should send. Most are near to what an operation accepts, so that they get past the first check."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tiffin.core.resource import Operation
from tiffin.core.schema import NEVER, Shape, json_schema

NEWEST = (NEVER[0] - 1, 0)
TOKENS = ("admin", "demo")  # filled in when sent
QUERY = (
    "limit",
    "marker",
    "offset",
    "name",
    "id",
    "status",
    "fields",
    "sort_key",
    "sort_dir",
    "sort",
    "page_reverse",
    "tags",
    "all_tenants",
    "changes-since",
    "deleted",
    "is_public",
    "visibility",
    "member_status",
    "os_hidden",
    "created_at",
    "size_min",
    "project_id",
    "tenant_id",
    "network_id",
    "device_id",
    "fixed_ips",
    "ip_version",
    "router:external",
    "shared",
    "user_id",
    "domain_id",
    "enabled",
    "name__contains",
    "resources",
    "required",
    "in_tree",
    "member_of",
)
PLAIN_TEXT = (
    "",
    "a",
    "default",
    "m1.tiny",
    "public",
    "10.1.0.0/24",
    "10.1.0.5",
    "2001:db8::/64",
    "0.0.0.0/0",
    "fa:16:3e:00:00:01",
    "tcp",
    "ingress",
    "IPv4",
    "raw",
    "qcow2",
    "bare",
    "private",
    "auto",
    "none",
    "True",
    "2026-11-20T20:00:00Z",
    "aGVsbG8=",
    "VCPU",
    "CUSTOM_THING",
    "http://[::1",
    "in:a,b",
    "gt:1",
    "neq:",
    "ssh-ed25519 AAAA",
    "urn:x",
    "-1",
    "18446744073709551616",
)
NASTY_TEXT = (
    "\0",
    "a\0b",
    "\ud800",
    "\U0010ffff",
    "‮",
    "é" * 300,
    "x" * 256,
    "x" * 70_000,
    "../../etc/passwd",
    "%00",
    "%s%n",
    "'; DROP TABLE server; --",
    "${jndi:x}",
    "{{7*7}}",
    "\r\nX-Injected: 1",
    " ",
    "\t\n",
    "NaN",
    "\uff11\uff12",
    "[",
    "^(a+)+$",
    "*",
    "10.0.0.0/33",
    "999.1.1.1",
    "::ffff:1.2.3.4/129",
    "1" * 5000,
    "9999-99-99T99:99:99Z",
    "0001-01-01",
    "inf",
)
VERSIONS = ("2.1", "2.104", "2.53", "latest", "2.9999", "0.0", "-1.2", "2.1.1", "\u0662.\u0661", "2.", "", "x" * 500)
BAD_QUERIES = (
    "%",
    "a=%ff",
    "a=%00",
    "limit=%31%30&limit=-5",
    "&&&=",
    "=".join("ab" * 5000),
    "fields=id&fields=id",
    "marker=%zz",
)
METHODS = ("GET", "PUT", "PATCH", "TRACE", "HEAD", "x" * 40)
NUMBERS = (0, 1, -1, 4, 6, 22, 65_536, 2**31, 2**63, -(2**63) - 1, 2**64, 10**40, 1.5, -0.0, 1e308)


@dataclass(frozen=True)
class Request:
    """One request. Text with `@id:N` in it stands for the id of a thing that exists, filled in when it is sent."""

    method: str
    path: str
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


ids = st.integers(0, 99).map(lambda number: f"@id:{number}")
plain_text = st.one_of(ids, st.sampled_from(PLAIN_TEXT))
nasty_text = st.one_of(st.sampled_from(NASTY_TEXT), st.text(max_size=20))
nasty = st.recursive(
    st.one_of(st.none(), st.booleans(), st.sampled_from(NUMBERS), plain_text, nasty_text),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(plain_text, nasty_text), inner, max_size=3)
    ),
    max_leaves=6,
)
broken_json = st.sampled_from(
    (
        b"",
        b"{",
        b"[" * 50_000,
        b'{"a":' * 20_000,
        b"null",
        b'"x"',
        b"[]",
        b"{}",
        b"nan",
        b"1e999",
        b"9" * 10_000,
        b'{"a": 1, "a": 2}',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\u0000"}',
        b"{} trailing",
        b"a=1&b=2",
        b"\0" * 100,
        b'{"x": "' + b"y" * (1 << 20) + b'"}',
    )
) | st.binary(max_size=64)


def mostly(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any], times: int = 4) -> st.SearchStrategy[Any]:
    """`usual` that many times for one `rare`. `one_of` does not count: it takes each of its branches equally often."""
    return st.sampled_from((usual,) * times + (rare,)).flatmap(lambda chosen: chosen)


def near(schema: dict[str, Any], defs: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that a JSON schema (as msgspec writes it) mostly accepts."""
    if "$ref" in schema:
        return near(defs[schema["$ref"].rsplit("/", 1)[1]], defs, depth)
    if "enum" in schema:
        return mostly(st.sampled_from(schema["enum"]), nasty)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return st.one_of(*(near(choice, defs, depth) for choice in choices))
    if depth > 4:
        return nasty
    kind = schema.get("type")
    if kind == "object":
        return _object(schema, defs, depth)
    if kind == "array":
        return mostly(st.lists(near(schema.get("items") or {}, defs, depth + 1), max_size=2), nasty)
    return mostly(_leaves(kind, schema), nasty)


def _leaves(kind: str | None, schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    low, high = schema.get("minimum", -2), schema.get("maximum", 70_000)
    known: dict[str | None, st.SearchStrategy[Any]] = {
        "string": plain_text,
        "boolean": st.booleans(),
        "null": st.none(),
        "number": st.sampled_from(NUMBERS),
        "integer": st.integers(low, max(low, high)),
    }
    return known.get(kind, nasty)


def _object(schema: dict[str, Any], defs: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    members = {name: near(inner, defs, depth + 1) for name, inner in schema.get("properties", {}).items()}
    required = {name: members[name] for name in schema.get("required", ()) if name in members}
    optional = {name: inner for name, inner in members.items() if name not in required}
    whole = st.fixed_dictionaries(required, optional=optional)
    strange = st.dictionaries(st.one_of(plain_text, nasty_text), nasty, max_size=2)
    return mostly(whole, st.one_of(st.builds(lambda a, b: a | b, whole, strange), strange))


def bodies(operation: Operation) -> st.SearchStrategy[bytes | None]:
    """Bodies for one operation: near ones, arbitrary JSON under the right key, and what is no JSON at all."""
    if operation.method in ("GET", "HEAD") or operation.raw:
        return st.one_of(st.none(), broken_json)
    root = operation.action or (operation.resource.name if operation.root is None else operation.root)
    inner: st.SearchStrategy[Any] = nasty
    if operation.body is not None:
        inner = _near_schema(operation.body)
    rooted = inner.map(lambda value: {root: value}) if root else inner
    return mostly(rooted.map(_encode), st.one_of(nasty.map(_encode), broken_json))


def _near_schema(body: Shape) -> st.SearchStrategy[Any]:
    schema = json_schema(body, NEWEST)
    return near(schema, schema.get("$defs", {}))


def _encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def headers(service: str) -> st.SearchStrategy[dict[str, str]]:
    """Token, version, and whatever else a hostile client sets."""
    version = st.sampled_from(VERSIONS)
    honest = st.sampled_from(TOKENS)
    token = mostly(honest, st.sampled_from(("", "gAAAAA", "\xff\0", "x" * 9000)), 2)
    wild = st.fixed_dictionaries(
        {},
        optional={
            "X-Auth-Token": token,
            "OpenStack-API-Version": version.map(lambda number: f"{service} {number}"),
            "X-OpenStack-Nova-API-Version": version,
            "X-Subject-Token": token,
            "Idempotency-Key": st.sampled_from(("k", "x" * 5000, "\xff")),
            "Content-Type": st.sampled_from(
                (
                    "application/json",
                    "text/plain",
                    "application/xml",
                    "application/octet-stream",
                    "",
                    "a/b; charset=\xff",
                    "application/openstack-images-v2.1-json-patch",
                    "multipart/form-data; boundary=",
                )
            ),
            "Content-Length": st.sampled_from(("-1", "x", "1e3", "99999999999999999999", "")),
            "Range": st.sampled_from(("bytes=0-", "bytes=5-1", "bytes=-0", "bytes=a-b", "bytes=0-0,1-1", "lines=1-2")),
            "Accept": st.sampled_from(("text/html", "*/*", "\xff", "application/json;q=x")),
            "Host": st.sampled_from(("evil.example", "[::1", "a:b:c", "\xff")),
            "X-Forwarded-Host": st.sampled_from(("evil.example", "\xff\0")),
        },
    )
    return mostly(honest.map(lambda token: {"X-Auth-Token": token}), wild, 3)


def paths(operation: Operation, prefix: str) -> st.SearchStrategy[str]:
    """The operation's path with its fields filled in; seldom with something appended."""
    segments = [_segment(segment) for segment in (prefix + operation.path).strip("/").split("/")]
    usual = st.tuples(*segments).map(lambda parts: "/" + "/".join(parts))
    tail = st.sampled_from(("/", "//", "/..", "/%2e%2e", "/\udcff", "/\0", ";x=1", ".json", "/" + "x" * 5000))
    return mostly(usual, st.builds(str.__add__, usual, tail))


def _segment(segment: str) -> st.SearchStrategy[str]:
    if not segment.startswith("{"):
        return st.just(segment)
    usable = nasty_text.map(lambda text: text.replace("?", "").replace("\ud800", "\udcff") or "x")
    return mostly(ids, st.one_of(st.sampled_from(PLAIN_TEXT[1:]), usable))


queries = st.one_of(
    st.just(""),
    st.lists(st.tuples(st.sampled_from(QUERY), st.one_of(plain_text, nasty_text)), min_size=1, max_size=3).map(
        lambda pairs: "&".join(f"{name}={_quote(value)}" for name, value in pairs)
    ),
    st.sampled_from(BAD_QUERIES),
)


def _quote(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="@:", errors="surrogatepass")


def requests(operation: Operation, service: str, prefix: str) -> st.SearchStrategy[Request]:
    """Requests to one operation of the service at `prefix`; seldom by another method."""
    method = mostly(st.just(operation.method), st.sampled_from(METHODS), 6)
    return st.builds(Request, method, paths(operation, prefix), queries, headers(service), bodies(operation))
