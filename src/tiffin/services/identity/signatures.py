"""Signatures of requests to EC2 and S3, as their clients make them (AWS signature versions 0, 1, 2 and 4). No I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from tiffin.core.errors import BadRequest, Unauthorized

V4 = "AWS4-HMAC-SHA256"
_OLD_BOTO = re.compile(r"Boto/2\.[0-9]\.[0-2]")
"""Signed the host without its port."""


class Signed(msgspec.Struct):
    """A request as the service that got it describes it."""

    params: Mapping[str, str]
    headers: Mapping[str, str]
    verb: str
    host: str
    path: str
    body_hash: str  # SHA-256, in hexadecimal


def fits(given: str, made: str) -> bool:
    """Whether the signatures are equal, in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), made.encode())


def ec2(secret: str, request: Signed) -> str:
    """The signature of a request to EC2. Raises `BadRequest` when it names no version that is known, or lacks something."""
    version = request.params.get("SignatureVersion")
    try:
        if version == "0":
            return _sha1(secret, request.params["Action"] + request.params["Timestamp"])
        if version == "1":
            names = sorted(request.params, key=str.lower)
            return _sha1(secret, "".join(name + request.params[name] for name in names))
        if version == "2":
            return _version_2(secret, request)
        if _is_version_4(request):
            return _version_4(secret, request)
    except KeyError as missing:
        raise BadRequest(f"The signed request has no {str(missing)[:80]}.") from None
    raise BadRequest(f"Unknown signature version: {str(version)[:40]}. Known: 0, 1, 2, and 4 by the header Authorization.")


def _sha1(secret: str, text: str) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()


def _sign(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _query(params: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(params[name], safe='-_~')}" for name in sorted(params))


def _version_2(secret: str, request: Signed) -> str:
    query = _query({**request.params, "SignatureMethod": "HmacSHA256"})
    text = f"{request.verb}\n{request.host}\n{request.path}\n{query}"
    return base64.b64encode(_sign(secret.encode(), text)).decode()


def _is_version_4(request: Signed) -> bool:
    header = request.headers.get("Authorization")
    return header.startswith(V4) if header is not None else request.params.get("X-Amz-Algorithm") == V4


def _named(request: Signed, name: str) -> str:
    """A part of the authorization: in its header, or in the query."""
    header = request.headers.get("Authorization")
    if header is not None:
        return header.partition(f"{name}=")[2].partition(",")[0]
    return request.params[f"X-Amz-{name}"]


def _version_4(secret: str, request: Signed) -> str:
    names = _named(request, "SignedHeaders")
    query = "" if request.verb.upper() == "POST" else _query(request.params)
    lines = (request.verb.upper(), request.path, query, _headers(request, names), names, request.body_hash)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    scope = _named(request, "Credential").split("/")[1:]
    date = request.headers.get("X-Amz-Date") or request.params["X-Amz-Date"]
    if len(scope) != 4 or not date.startswith(scope[0]):
        raise BadRequest("The date of the request is not that of its credential's scope.")
    text = "\n".join((V4, date, "/".join(scope), digest))
    return _sign(_key(secret, scope), text).hex()


def _headers(request: Signed, names: str) -> str:
    given = {name.lower().strip(): value.strip() for name, value in request.headers.items()}
    without_port = _OLD_BOTO.match(given.get("user-agent", ""))
    lines = []
    for name in names.split(";"):
        if name in given:
            value = given[name].split(":")[0] if name == "host" and without_port else given[name]
            lines.append(f"{name}:{value}")
    return "\n".join(lines) + "\n"


def _key(secret: str, scope: list[str]) -> bytes:
    """The key of a scope: date, region, service, the word aws4_request."""
    key = f"AWS4{secret}".encode()
    for part in (*scope[:3], "aws4_request"):
        key = _sign(key, part)
    return key


def s3(secret: str, token: str) -> str:
    """The signature of a request to S3, of which the service sends the string to sign, in base64. Raises `BadRequest` when
    that is none, and `Unauthorized` when it is for another service."""
    try:
        text = base64.urlsafe_b64decode(token)
    except (binascii.Error, ValueError):
        raise BadRequest("Invalid input for field/attribute token: expected base64.") from None
    if not text.startswith(b"AWS4"):
        return base64.b64encode(hmac.digest(secret.encode(), text, "sha1")).decode()
    lines = text.decode("utf-8", "replace").split("\n")
    scope = lines[2].split("/") if len(lines) == 4 else []
    if lines[0] != V4 or len(scope) != 4 or scope[2:] != ["s3", "aws4_request"]:
        raise Unauthorized("Invalid EC2 signature.")
    return hmac.digest(_key(secret, scope), text, "sha256").hex()
