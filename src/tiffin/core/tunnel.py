"""A stream of bytes between two machines of one cloud: an HTTPS request whose connection, once answered by 101, belongs to
whoever is at its ends (RFC 9110, 7.8).

Whoever serves it pumps: bytes go on as they come, at most one chunk each way is in memory, and when one end hangs up, all
that it said is passed on and the other is hung up on, too."""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tiffin.core.confinement import give
from tiffin.core.driver import Refused

PROTOCOL = "tiffin-tunnel"
_CHUNK = 256 << 10
_LONGEST_HEAD = 16 << 10
_MOST_WORDS = 64 << 10
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_NOBODY_COMES = 20.0
_DEAD_AFTER = 30_000
"""Milliseconds that a machine at the other end of a wire may be silent while we have something to say."""


def opened(
    address: tuple[str, int], context: ssl.SSLContext, machine: str, request: tuple[str, bytes], seconds: float
) -> socket.socket | tuple[int, bytes]:
    """The stream that `request` (path, body) of `machine` is answered by; else the status and the words of its answer.
    Raises OSError."""
    path, body = request
    plain = socket.create_connection(address, seconds)
    try:
        stream = context.wrap_socket(plain, server_hostname=machine)
    except BaseException:
        plain.close()
        raise
    try:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {machine}\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        stream.sendall(head.encode() + body)
        status, length = _answered(stream)
        if status == 101:
            stream.settimeout(None)
            return stream
        words = _exactly(stream, min(length, _MOST_WORDS))
    except BaseException:
        stream.close()
        raise
    stream.close()
    return status, words


def _answered(stream: ssl.SSLSocket) -> tuple[int, int]:
    """The status of the answer, and the length of what follows; byte by byte, for what follows may be the stream."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if len(head) > _LONGEST_HEAD or not (more := stream.recv(1)):
            raise OSError("the answer has no end")
        head += more
    first, *fields = head.decode("latin-1").split("\r\n")
    status = first.split(" ")[1:2]
    named = dict(field.lower().split(":", 1) for field in fields if ":" in field)
    length = named.get("content-length", "0").strip()
    if not status or not status[0].isdecimal() or not length.isdecimal():
        raise OSError("the answer is none of HTTP")
    return int(status[0]), int(length)


def _exactly(stream: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length and (more := stream.recv(length - len(found))):
        found += more
    return found


@contextmanager
def at(folder: Path, name: str, stream: socket.socket, user: int | None) -> Iterator[None]:
    """Within this, the program of this user (none: ours) can connect once to the Unix socket `name` of the folder, which is
    nobody's but ours, and is led into the stream; what it has opened goes on, unless an exception ends this: then it is hung
    up on. Raises `Refused` at the end if nobody came."""
    path, led = folder / name, _Led()
    path.unlink(missing_ok=True)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(f"/proc/self/fd/{descriptor}/{name}")  # by descriptor: a socket's address holds 107 bytes
        give(path, user, 0o600)
        listener.listen(1)
        listener.settimeout(_NOBODY_COMES)
        threading.Thread(target=_lead, args=(listener, stream, led), name="tunnel", daemon=True).start()
        yield
        if not led.came.wait(_NOBODY_COMES):
            raise Refused(f"nobody came to {name}")
    except BaseException:
        led.hang_up()
        raise
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


class _Led:
    """Who came."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.program: socket.socket | None = None

    def hang_up(self) -> None:
        if self.program is not None:
            with suppress(OSError):  # it has done so itself
                self.program.shutdown(socket.SHUT_RDWR)


def _lead(listener: socket.socket, stream: socket.socket, led: _Led) -> None:
    with listener, stream:
        try:
            led.program, _ = listener.accept()
        except OSError:  # whoever wanted to come has changed its mind
            return
        led.came.set()
        pump(led.program, stream)


def pump(one: socket.socket, other: socket.socket) -> None:
    """Pass on what each says to the other, until one hangs up; then both are closed."""
    with one, other:
        for end in (one, other):
            end.setblocking(False)
            _tune(end)
        ways = (_Way(one, other), _Way(other, one))
        try:
            while not any(way.moved() for way in ways):
                _wait(ways)
        except OSError:  # one of them is gone without a word
            return


class _Way:
    """From one end to the other."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink, self.waiting = source, sink, memoryview(b"")

    def moved(self) -> bool:
        """Pass on what there is; whether the source has hung up."""
        if not self.waiting:
            try:
                data = self.source.recv(_CHUNK)
            except _LATER:
                return False
            if not data:
                return True
            self.waiting = memoryview(data)
        try:
            self.waiting = self.waiting[self.sink.send(self.waiting) :]
        except _LATER:
            return False
        return False


def _wait(ways: tuple[_Way, ...]) -> None:
    """Until one of the ways can go on."""
    events: dict[int, int] = {}
    for way in ways:
        if not way.waiting and isinstance(way.source, ssl.SSLSocket) and way.source.pending():
            return
        end, event = (way.sink, select.POLLOUT) if way.waiting else (way.source, select.POLLIN)
        events[end.fileno()] = events.get(end.fileno(), 0) | event
    poll = select.poll()
    for file, event in events.items():
        poll.register(file, event)
    poll.poll()


def _tune(end: socket.socket) -> None:
    """Have a machine that is cut off count as one that has hung up, and what is small go at once."""
    if end.family in (socket.AF_INET, socket.AF_INET6):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4), ("TCP_USER_TIMEOUT", _DEAD_AFTER)):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
