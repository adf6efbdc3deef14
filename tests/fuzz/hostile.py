"""Requests to identity that are wrong in one thing: a good one with its body, its headers or its token spoiled. Cheap to
make, so that there can be thousands, and the same for the same seed."""

from __future__ import annotations

import base64
import copy
import json
from random import Random
from typing import Any

import msgspec

from fuzz.requests import NASTY_TEXT, NUMBERS
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.keys import Keys

NASTY: tuple[Any, ...] = (
    None, True, False, {}, [], [[]], {"": ""}, {"id": None}, {"name": {"name": "x"}}, [None] * 300,
    "", " ", "é", "x" * 64, "x" * 65, "x" * 256, *NASTY_TEXT, *NUMBERS,
)  # fmt: skip
NOT_JSON = (
    b"", b"{", b"[" * 50_000, b'{"a":' * 20_000, b"null", b'"x"', b"[]", b"{}", b"nan", b"1e999", b"9" * 10_000,
    b"\xff\xfe{}", b"\xef\xbb\xbf{}", b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"{} trailing", b"a=1&b=2", b"\0" * 100,
    b'{"x": "' + b"y" * (1 << 20) + b'"}', b'{"\\u0000": 1}', b'{"auth": 1, "auth": 2}', b"<auth/>",
)  # fmt: skip
CONTENT_TYPES = (
    "text/plain", "application/xml", "application/x-www-form-urlencoded", "a/b; charset=\xff", "multipart/form-data",
)  # fmt: skip
HEADERS: dict[str, tuple[str, ...]] = {
    "Authorization": (
        "OAuth", "OAuth =", 'OAuth oauth_consumer_key="x"', "OAuth " + ",".join(f'oauth_x{n}="%ff"' for n in range(300)),
        'OAuth oauth_signature_method="PLAINTEXT",oauth_timestamp="-1",oauth_nonce="\xff",oauth_version="9"', "Basic Og==",
        'OAuth oauth_timestamp="' + "9" * 400 + '",oauth_consumer_key="a",oauth_token="b",oauth_signature="%%%"',
        "Bearer x", "AWS4-HMAC-SHA256 Credential=/", "\xff", "x" * 9000,
    ),
    "Openstack-Auth-Receipt": ("", "gAAAAA", "\xff", "x" * 9000, "a.b.c"),
    "X-Subject-Token": ("", "gAAAAA", "\xff", "x" * 9000, "a.b.c", "\0"),
    "Content-Length": ("-1", "x", "1e3", "99999999999999999999", "5", "1048577", ""),
    "If-Match": ("*", '"x"', "\xff"),
    "If-None-Match": ("*", 'W/"x"'),
    "If-Modified-Since": ("yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"),
    "Accept": ("text/html", "\xff", "application/json;q=x"),
    "Accept-Encoding": ("br;q=9", "\xff", "identity;q=0"),
    "Content-Encoding": ("gzip", "deflate, br", "\xff"),
    "Transfer-Encoding": ("chunked", "gzip", "x"),
    "Host": ("evil.example", "[::1", "a:b:c", "\xff"),
    "X-Forwarded-Host": ("evil.example", "\xff\0"),
    "X-Forwarded-For": ("\xff", "1.1.1.1, " * 500, "::ffff:999.1.1.1"),
    "User-Agent": ("\xff\x1b[2J", "x" * 9000, ""),
    "Idempotency-Key": ("", "x" * 5000, "\xff"),
    "Range": ("bytes=5-1", "lines=1-2"),
    "REMOTE-USER": ("admin",),
    "X-Roles": ("admin",),
    "X-User-Id": ("x",),
    "X-Http-Method-Override": ("DELETE",),
}  # fmt: skip


def body(good: Any, random: Random) -> tuple[bytes | None, dict[str, str]]:
    """A body that is wrong in one thing, and headers that say so."""
    way = random.randrange(8)
    if good is None or way == 0:
        return random.choice(NOT_JSON), {}
    if way == 1:
        return _encode(good), {"Content-Type": random.choice(CONTENT_TYPES)}
    if way == 2:
        return _encode(good)[: random.randrange(1, 20)], {}
    if way == 3 and isinstance(good, dict) and good:
        root = next(iter(good))
        return _encode({"\1": good[root]}).replace(b"\\u0001", root.encode()).replace(
            b"{", b'{"' + root.encode() + b'": ' + _encode(random.choice(NASTY)) + b", ", 1
        ), {}
    return _encode(spoiled(good, random)), {}


def spoiled(good: Any, random: Random) -> Any:
    """The value with something in it replaced, left out, added or wrapped."""
    value = copy.deepcopy(good)
    places = list(_places(value))
    if not places:
        return random.choice(NASTY)
    holder, key = random.choice(places)
    match random.randrange(6):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[random.choice(("id", "links", "x", "\0", "é" * 300))] = random.choice(NASTY)
        case 2:
            holder[key] = [holder[key]]
        case 3:
            for _ in range(random.choice((3, 200, 900))):
                holder[key] = {"a": holder[key]}
        case _:
            holder[key] = random.choice(NASTY)
    return value


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def _encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def headers(random: Random) -> dict[str, str]:
    """One to three headers that no honest client sends."""
    return {name: random.choice(HEADERS[name]) for name in random.sample(sorted(HEADERS), random.randint(1, 3))}


class Tokens:
    """Tokens that are worth nothing, made from one that is worth something."""

    def __init__(self, identity: Identity, good: str, other: Keys) -> None:
        self.identity, self.good, self.other = identity, good, other
        self.claims = identity.read(good)

    def bad(self, random: Random) -> str:
        good, claims = self.good, self.claims
        match random.randrange(12):
            case 0:
                return good[: random.randrange(0, len(good) - 4)]
            case 1:  # not the last character: some of its bits mean nothing
                at = random.randrange(len(good) - 1)
                return good[:at] + random.choice([c for c in "AZaz09-_" if c != good[at]]) + good[at + 1 :]
            case 2:
                return good + good
            case 3:
                return self.other.encrypt(self.identity.keys.decrypt(_padded(good))).rstrip(b"=").decode()
            case 4:
                old = msgspec.structs.replace(claims, expires_at=int(claims.issued_at) - random.randrange(10**6))
                return self.identity.write(old)
            case 5:
                nobody = msgspec.structs.replace(claims, user_id=random.randbytes(16).hex())
                return self.identity.write(nobody)
            case 6:
                other = msgspec.structs.replace(claims, user_generation=claims.user_generation + random.randint(1, 9))
                return self.identity.write(other)
            case 7:
                return self.identity.keys.encrypt(random.randbytes(random.randrange(80))).rstrip(b"=").decode()
            case 8:
                return _jws(random.choice(("none", "HS256", "ES256", "RS256")), claims.user_id, random)
            case 9:
                return good.swapcase()
            case 10:
                return base64.urlsafe_b64encode(random.randbytes(random.randrange(1, 200))).decode()
            case _:
                return random.choice((" ", "null", "\xff", "\0", "x" * 8193, "gAAAAA", "a.b.c", "..", "Bearer " + good))


def _padded(token: str) -> bytes:
    return token.encode() + b"=" * (-len(token) % 4)


def _jws(algorithm: str, user_id: str, random: Random) -> str:
    parts: list[Any] = [{"alg": algorithm, "typ": "JWT"}]
    parts.append({"sub": user_id, "iat": 1, "exp": 2**33, "openstack_methods": ["password"], "openstack_audit_ids": ["x"]})
    encoded = [base64.urlsafe_b64encode(_encode(part)).rstrip(b"=").decode() for part in parts]
    signature = base64.urlsafe_b64encode(random.randbytes(64)).decode() if algorithm != "none" else ""
    return ".".join((*encoded, signature))
