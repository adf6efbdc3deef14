"""Whatever bytes arrive at the socket, the server answers with less than 500 or hangs up, and lives on."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from running_cloud import RunningCloud, running_cloud
from world import assert_becomes

EXAMPLES = 300
GET = b"GET /compute/v2.1/servers HTTP/1.1\r\nHost: x\r\nX-Auth-Token: t\r\n\r\n"
POST = (
    b"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Content-Length: 12\r\n\r\n{"auth": {}}'
)
CHUNKED = b"PUT /image/v2/images/x/file HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
KNOWN_TRICKS = (
    b"",
    b"\r\n\r\n",
    b"\0" * 1000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the beginning of TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\r\n",
    b"GET http://evil.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%ff%00%zz/../..//%2e%2e HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nA: " + b"b" * 500_000 + b"\r\n\r\n",
    POST.replace(b"Content-Length: 12", b"Content-Length: 12\r\nContent-Length: 13"),
    POST.replace(b"Content-Length: 12", b"Content-Length: -1"),
    POST.replace(b"Content-Length: 12", b"Content-Length: 99999999999999999999"),
    POST.replace(b"Content-Length: 12", b"Content-Length: 12\r\nTransfer-Encoding: chunked"),
    CHUNKED.replace(b"4\r\nabcd", b"fffffffffffffffff\r\nabcd"),
    CHUNKED.replace(b"4\r\nabcd", b"x\r\nabcd"),
    CHUNKED[:-5],
    GET.replace(b"Host: x", b"Host: \xff\r\nX-Forwarded-Proto: javascript"),
    GET.replace(b"\r\n", b"\n"),
    GET * 50,
)


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(simulated=True) as cloud:
        yield cloud


def mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """The seed with a stretch of it replaced by other bytes."""

    def replace(start: int, length: int, other: bytes) -> bytes:
        return seed[:start] + other + seed[start + length :]

    return st.builds(replace, st.integers(0, len(seed)), st.integers(0, 20), st.binary(max_size=20))


def answer(address: str, raw: bytes) -> bytes:
    """The first bytes of what the server says to `raw`; empty when it hangs up or waits for more."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        try:
            connection.sendall(raw)
            connection.settimeout(0.3)
            return connection.recv(4096)
        except OSError:  # refused in the middle of it, or waiting for more
            return b""


def health(address: str) -> Any:
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", "/healthz?detail=1")
    reply = connection.getresponse()
    assert reply.status == 200
    told = json.loads(reply.read())
    connection.close()
    return told["processes"]


def test_the_server_outlives_every_byte_sequence(cloud: RunningCloud) -> None:
    processes = health(cloud.address)
    strange = st.one_of(st.sampled_from(KNOWN_TRICKS), *map(mutated, (GET, POST, CHUNKED)))

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strange)
    def throw(raw: bytes) -> None:
        said = answer(cloud.address, raw)
        if said.startswith(b"HTTP/1"):
            status = int(said.split()[1])
            assert status < 500 or status == 505, (raw[:300], said)
            assert b"Traceback" not in said

    throw()
    assert health(cloud.address) == processes


def test_an_upload_that_breaks_off_makes_no_image(cloud: RunningCloud) -> None:
    with cloud.connect() as connection:
        image = connection.image.create_image("broken", disk_format="raw", container_format="bare")
        token = connection.auth_token
        head = f"PUT /image/v2/images/{image.id}/file HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\n"
        kind = "Content-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"
        host, _, port = cloud.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as client:
            client.sendall((head + kind).encode() + b"x" * 500_000)
        assert_becomes(lambda: connection.image.get_image(image.id).status, "queued")
        connection.image.delete_image(image.id)
