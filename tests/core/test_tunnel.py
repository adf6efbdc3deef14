"""Streams between machines: all that is said arrives, in both directions, and the end of one is the end of all."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest

from drivers.wire import Wire
from tiffin.core import tunnel
from tiffin.core.driver import Impossible, Refused

MUCH = os.urandom(3 << 20)


class Way(Protocol):
    def connect(self, name: str) -> socket.socket: ...


class Echo:
    """Says again what it is told, in the same order."""

    def connect(self, name: str) -> socket.socket:
        if name != "echo":
            raise Impossible(f"there is no {name}")
        ours, theirs = socket.socketpair()
        threading.Thread(target=self._answer, args=(ours,), daemon=True).start()
        return theirs

    def _answer(self, end: socket.socket) -> None:
        with end:
            while data := end.recv(65536):
                end.sendall(data)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    made = Wire(tmp_path, "echo", Way, Echo())
    yield made
    made.close()


def exactly(end: socket.socket, length: int) -> bytes:
    end.settimeout(20)
    found = bytearray()
    while len(found) < length and (more := end.recv(65536)):
        found += more
    return bytes(found)


def test_all_arrives_both_ways(wire: Wire) -> None:
    with wire.remote.connect("echo") as end:
        end.settimeout(20)  # one thread alone: OpenSSL has no two at one connection
        end.sendall(b"first")
        assert exactly(end, 5) == b"first"
        for at in range(0, len(MUCH), 1 << 16):
            end.sendall(MUCH[at : at + (1 << 16)])
            assert exactly(end, 1 << 16) == MUCH[at : at + (1 << 16)]


def test_what_the_other_side_says_no_to(wire: Wire) -> None:
    with pytest.raises(Impossible, match="no door"):
        wire.remote.connect("door")
    with wire.remote.connect("echo") as end:
        end.sendall(b"x")
        assert exactly(end, 1) == b"x", "and the next is served"


def test_a_machine_that_is_gone(wire: Wire) -> None:
    end = wire.remote.connect("echo")
    wire.server.stop()
    with end:
        assert exactly(end, 1) == b""
    with pytest.raises(Refused):
        wire.remote.connect("echo")


def test_a_program_is_led_into_a_stream(tmp_path: Path, wire: Wire) -> None:
    with tunnel.at(tmp_path, "way", wire.remote.connect("echo"), None):
        program = socket.socket(socket.AF_UNIX)
        program.connect(str(tmp_path / "way"))
    assert list(tmp_path.glob("way")) == []
    with program:
        writer = threading.Thread(target=program.sendall, args=(MUCH,))
        writer.start()
        assert exactly(program, len(MUCH)) == MUCH
        writer.join()


def test_a_program_is_hung_up_on_when_something_goes_wrong(tmp_path: Path, wire: Wire) -> None:
    program = socket.socket(socket.AF_UNIX)
    with program:
        with suppress(ValueError), tunnel.at(tmp_path, "way", wire.remote.connect("echo"), None):
            program.connect(str(tmp_path / "way"))
            program.sendall(b"x")
            assert exactly(program, 1) == b"x"
            raise ValueError("changed my mind")
        assert exactly(program, 1) == b""


def test_what_was_said_before_the_end_arrives() -> None:
    (source, near), (far, sink) = socket.socketpair(), socket.socketpair()
    pump = threading.Thread(target=tunnel.pump, args=(near, far))
    pump.start()
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(exactly(sink, len(MUCH) + 1)))
    reader.start()
    with source:
        source.sendall(MUCH)
    for thread in (reader, pump):
        thread.join(20)
    sink.close()
    assert found == [MUCH], "all of it, then the end"


def test_nobody_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "_NOBODY_COMES", 0.05)
    ours, theirs = socket.socketpair()
    with ours, pytest.raises(Refused, match="nobody came"), tunnel.at(tmp_path, "way", theirs, None):
        pass
    assert list(tmp_path.iterdir()) == []
