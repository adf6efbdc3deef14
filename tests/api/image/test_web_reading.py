"""Reading from servers that are honest, slow, broken or hostile: real ones, on the loopback address."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tiffin.core.driver import Impossible, Refused
from tiffin.services.image.drivers.base import CHUNK, Missing
from tiffin.services.image.web import Span, fetch
from web_servers import Handler, WebServer, certificate, falls_silent, pages, reply, says, serving

DATA = bytes(range(251)) * 10_000


def text(server: WebServer, path: str = "/x", most: int = 1 << 24, span: Span | None = None, **rules: Any) -> bytes:
    return b"".join(fetch(server.url + path, server.rules(**rules), most=most, span=span))


def test_what_is_there_is_read() -> None:
    with serving(pages(x=DATA)) as server:
        answer = fetch(f"{server.url}/x?y=z", server.rules(), most=len(DATA))
        assert answer.length == len(DATA)
        chunks = list(answer)
        assert b"".join(chunks) == DATA
        assert all(0 < len(chunk) <= CHUNK for chunk in chunks)
        asked = server.asked[0].split("\r\n")
        assert asked[0] == "GET /x?y=z HTTP/1.1"
        assert {f"Host: 127.0.0.1:{server.port}", "Accept-Encoding: identity", "Connection: close"} <= set(asked)


def test_a_head_has_no_body() -> None:
    with serving(pages(x=DATA)) as server:
        answer = fetch(f"{server.url}/x", server.rules(), most=len(DATA), head=True)
        answer.close()
        assert answer.length == len(DATA)
        assert server.asked[0].startswith("HEAD /x ")


def test_chunked_bodies() -> None:
    body = b"5\r\nhello\r\n6;note=x\r\n world\r\n0\r\nTrailer: y\r\n\r\n"
    with serving(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)) as server:
        assert text(server) == b"hello world"
    broken = says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body[:9])
    with serving(broken) as server, pytest.raises(Refused, match="broke off"):
        text(server)


def test_a_body_that_ends_with_its_connection() -> None:
    with serving(says(b"HTTP/1.0 200 OK\r\n\r\n", DATA)) as server:
        assert text(server) == DATA


@pytest.mark.parametrize("span", [Span(5, 10), Span(5), Span(0, 3), Span(len(DATA) - 1, 99), Span(len(DATA), 1)])
def test_parts(span: Span) -> None:
    end = None if span.length is None else span.start + span.length
    with serving(pages(x=DATA)) as server:
        assert text(server, span=span) == DATA[span.start : end]


def test_servers_that_know_no_ranges() -> None:
    with serving(says(reply("200 OK", DATA))) as server:
        assert text(server, span=Span(0, len(DATA))) == DATA
        assert text(server, span=Span(0, 7)) == DATA[:7]
        with pytest.raises(Impossible, match="only be read from its beginning"):
            text(server, span=Span(5, 10))


def test_answers_that_are_not_the_part_that_was_asked_for() -> None:
    other = reply("206 Partial Content", b"abc", "Content-Range: bytes 0-2/10")
    with serving(says(other)) as server:
        with pytest.raises(Impossible, match="another part"):
            text(server, span=Span(5, 3))
        with pytest.raises(Impossible, match="answers 206"):
            text(server)
    with serving(says(reply("416 Range Not Satisfiable"))) as server, pytest.raises(Impossible, match="answers 416"):
        text(server)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((f"{code} Later", Refused) for code in (408, 429, 500, 502, 503, 504)),
        *((f"{code} Gone", Missing) for code in (404, 410)),
        *((f"{code} No", Impossible) for code in (201, 204, 400, 401, 403, 407, 501, 505)),
    ],
)
def test_statuses(status: str, error: type[Exception]) -> None:
    with serving(says(reply(status, b"why"))) as server, pytest.raises(error, match=f"{status[:3]}") as raised:
        text(server)
    assert type(raised.value) is error


def test_bodies_that_are_too_large() -> None:
    with serving(pages(x=DATA)) as server, pytest.raises(Impossible, match=f"has {len(DATA)} bytes; at most {len(DATA) - 1}"):
        text(server, most=len(DATA) - 1)
    endless = says(b"HTTP/1.0 200 OK\r\n\r\n", DATA)
    with serving(endless) as server, pytest.raises(Impossible, match="more than the 1000000 bytes"):
        text(server, most=1_000_000)


def test_bodies_without_end() -> None:
    def endless(head: str, wire: socket.socket) -> None:
        wire.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            wire.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")

    with serving(endless) as server, pytest.raises(Impossible, match="more than the 3000000 bytes"):
        text(server, most=3_000_000)


@pytest.mark.parametrize("announced", [len(DATA) + 1, len(DATA) - 1])
def test_lengths_that_are_not_true(announced: int) -> None:
    """More than was announced is not looked at (RFC 9112, 6.3): it is not part of the answer."""
    with serving(says(f"HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n\r\n".encode(), DATA)) as server:
        if announced > len(DATA):
            with pytest.raises(Refused, match=f"broke off after {len(DATA)} of {announced} bytes"):
                text(server)
        else:
            assert text(server) == DATA[:announced]


@pytest.mark.parametrize(
    "header",
    [
        *("Content-Length: -1", "Content-Length: x", "Content-Length: 1\r\nContent-Length: 2", "Content-Length: +3"),
        *("Content-Length: \u00b2", "Content-Encoding: gzip", "Content-Encoding: br", "Transfer-Encoding: gzip, chunked"),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ],
)
def test_headers_that_cannot_be_meant(header: str) -> None:
    with serving(says(f"HTTP/1.1 200 OK\r\n{header}\r\n\r\nabc".encode("latin-1"))) as server, pytest.raises(Impossible):
        text(server)


@pytest.mark.parametrize(
    "said",
    [
        *(b"", b"\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b"),
        *(b"HTTP/1.1 200 " + b"x" * 70_000, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
        *(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"HTTP/1.1 200 OK\r\n"),
    ],
    ids=range(10),
)
def test_what_is_not_http(said: bytes) -> None:
    with serving(says(said)) as server, pytest.raises(Refused):
        text(server)


def forever(first: bytes, piece: bytes, pause: float) -> Handler:
    def answer(head: str, wire: socket.socket) -> None:
        wire.sendall(first)
        while True:
            wire.sendall(piece)
            time.sleep(pause)

    return answer


@pytest.mark.parametrize(
    ("first", "piece", "pause"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x", 0.05),  # a header in drops
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
        (b"", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 3000, 0.0),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 10_000, 0.0),  # trailers without end
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x", 0.05),  # a body in drops
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.05),
    ],
    ids=["header", "continue", "many continues", "trailers", "body", "chunks"],
)
def test_servers_that_never_come_to_an_end(first: bytes, piece: bytes, pause: float) -> None:
    with serving(forever(first, piece, pause)) as server:
        begun = time.monotonic()
        with pytest.raises(Refused):
            text(server, idle_seconds=0.5)
        assert time.monotonic() - begun < 30


def test_a_body_in_drops_that_are_passed_on() -> None:
    """Each second somebody gets a few bytes: the server is too slow all the same."""
    with serving(forever(b"HTTP/1.1 200 OK\r\n\r\n", b"x", 0.05)) as server:
        answer = fetch(f"{server.url}/x", server.rules(idle_seconds=1.5), most=1 << 40)
        assert 0 < len(next(answer)) < 100
        with pytest.raises(Refused, match="too slowly"):
            list(answer)


def test_a_download_that_takes_too_long() -> None:
    """Fast enough all the time, but there is no end of it."""
    with serving(forever(b"HTTP/1.1 200 OK\r\n\r\n", bytes(1 << 16), 0.01)) as server:
        begun = time.monotonic()
        with pytest.raises(Refused, match="too slowly"):
            text(server, idle_seconds=5.0, most_seconds=0.5, most=1 << 40)
        assert 0.4 < time.monotonic() - begun < 30


def test_servers_that_say_nothing() -> None:
    with serving(falls_silent()) as server, pytest.raises(Refused, match="TimeoutError"):
        text(server, idle_seconds=0.3)
    begun = falls_silent(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    with serving(begun) as server, pytest.raises(Refused, match="too slowly"):
        text(server, idle_seconds=0.3)


def test_a_slow_reader_is_not_the_servers_fault() -> None:
    """The window in which the server had sent little does not end while nobody reads."""

    def answer(head: str, wire: socket.socket) -> None:
        wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab")
        time.sleep(1.1)
        wire.sendall(b"cd")
        time.sleep(0.1)
        wire.sendall(b"ef")

    with serving(answer) as server:
        chunks = fetch(f"{server.url}/x", server.rules(idle_seconds=2.0), most=10)
        first = next(chunks)
        time.sleep(1.5)
        assert (first, b"".join(chunks)) == (b"abcd", b"ef")


def test_nobody_is_there() -> None:
    with serving(says()) as server:
        rules, url = server.rules(), server.url
    with pytest.raises(Refused, match=r"does not answer: Connection refused"):
        fetch(f"{url}/x", rules, most=10)


# --- names and redirects ------------------------------------------------------------------------------------------------


def test_the_connection_goes_where_the_check_looked() -> None:
    """The name is asked for once: what it says afterwards changes nothing."""
    said = [["127.0.0.1"], ["169.254.169.254"]]
    with serving(pages(x=b"abc")) as server:
        rules = server.rules(allowed_hosts=("images.example",))
        answer = fetch(f"http://images.example:{server.port}/x", rules, most=10, resolve=lambda host, port: said.pop(0))
        assert b"".join(answer) == b"abc"
        assert len(said) == 1
        assert f"Host: images.example:{server.port}\r\n" in server.asked[0]


def test_the_next_address_is_tried() -> None:
    with serving(pages(x=b"abc")) as server:
        rules = server.rules(allowed_hosts=("images.example",))
        url = f"http://images.example:{server.port}/x"
        assert b"".join(fetch(url, rules, most=10, resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"])) == b"abc"


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(pages(x=b"abc")) as server:
        assert text(server) == b"abc"


def moved(where: str, status: str = "302 Found") -> Handler:
    found = pages(x=b"abc")

    def answer(head: str, wire: socket.socket) -> None:
        if head.startswith("GET /x "):
            found(head, wire)
        else:
            wire.sendall(reply(status, b"moved", f"Location: {where}"))

    return answer


@pytest.mark.parametrize("status", ["301 a", "302 b", "303 c", "307 d", "308 e"])
def test_redirects(status: str) -> None:
    with serving(moved("/x", status)) as server:
        with pytest.raises(Impossible, match="redirects are not followed here"):
            text(server, "/old", follow_redirects=False)
        assert len(server.asked) == 1
        assert text(server, "/old") == b"abc"


@pytest.mark.parametrize(
    "where",
    [
        *("file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "http://localhost/", "http://2130706433/", "http://inside.example/"),
        *("//10.0.0.1", "http://user:secret@127.0.0.1/x", "gopher://127.0.0.1/", "", "http://[::1", "http://127.0.0.1:22/"),
    ],
)
def test_redirects_to_what_may_not_be_read(where: str) -> None:
    with serving(moved(where)) as server:
        with pytest.raises(Impossible):
            text(server, "/old", follow_redirects=True)
        assert len(server.asked) == 1


def test_redirects_in_a_circle() -> None:
    with serving(moved("/round")) as server:
        with pytest.raises(Impossible, match="More than 5 redirects"):
            text(server, "/old", follow_redirects=True)
        assert len(server.asked) == 6


# --- TLS ----------------------------------------------------------------------------------------------------------------


def test_https_is_checked(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path)
    with serving(pages(x=DATA), context) as server:
        assert text(server, ca_file=trusted) == DATA
        with pytest.raises(Impossible, match=r"certificate of 127\.0\.0\.1 is not trusted"):
            text(server)


def test_https_is_checked_for_the_name(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path, "images.example")
    with serving(pages(x=b"abc"), context) as server:
        with pytest.raises(Impossible, match="not trusted: IP address mismatch"):
            text(server, ca_file=trusted)
        rules = server.rules(allowed_hosts=("images.example",), ca_file=trusted)
        url = f"https://images.example:{server.port}/x"
        assert b"".join(fetch(url, rules, most=10, resolve=lambda host, port: ["127.0.0.1"])) == b"abc"


def test_https_stays_https(tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path)
    with serving(pages(x=b"abc")) as plain, serving(moved(f"{plain.url}/x"), context) as server:
        with pytest.raises(Impossible, match="away from HTTPS"):
            text(server, "/old", ca_file=trusted, follow_redirects=True, allowed_ports=(server.port, plain.port))
        assert plain.asked == []


def test_the_end_of_a_body_is_told_by_tls(tmp_path: Path) -> None:
    """A body that ends with its connection is whole only when the server says so: anybody can cut a connection."""
    context, trusted = certificate(tmp_path)

    def cut(head: str, wire: Any) -> None:
        wire.sendall(b"HTTP/1.0 200 OK\r\n\r\nabc")

    def told(head: str, wire: Any) -> None:
        cut(head, wire)
        wire.unwrap()

    with serving(cut, context) as server, pytest.raises(Refused, match="broke off"):
        text(server, ca_file=trusted)
    with serving(told, context) as server:
        assert text(server, ca_file=trusted) == b"abc"


def test_a_server_that_does_not_speak_tls(tmp_path: Path) -> None:
    with serving(pages(x=b"abc")) as server, pytest.raises(Refused, match="does not answer"):
        fetch(server.url.replace("http:", "https:"), server.rules(idle_seconds=0.3), most=10)
