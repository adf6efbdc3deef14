"""Calls that go to another machine: what they carry, how long they take, and how they fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from drivers.wire import Wire
from tiffin.core import remote
from tiffin.core.driver import Impossible, Refused, StaleTurn, Turn


class Thing(Protocol):
    def add(self, turn: Turn, files: Mapping[str, bytes], note: str = "none") -> frozenset[str]: ...
    def slow(self, seconds: float) -> int: ...
    def fail(self, how: str) -> None: ...
    def bytes_of(self, size: int) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class RealThing:
    def __init__(self) -> None:
        self.slow_calls = 0
        self.closed = False

    def add(self, turn: Turn, files: Mapping[str, bytes], note: str = "none") -> frozenset[str]:
        return frozenset({f"{turn}", note, *(f"{name}={content!r}" for name, content in files.items())})

    def slow(self, seconds: float) -> int:
        self.slow_calls += 1
        time.sleep(seconds)
        return self.slow_calls

    def fail(self, how: str) -> None:
        raise {"refused": Refused, "impossible": Impossible, "stale": StaleTurn, "defect": ValueError}[how](f"it is {how}")

    def bytes_of(self, size: int) -> Iterator[bytes]:
        if size < 0:
            raise Impossible("less than nothing")
        yield b"x" * size
        if size == 13:
            raise ValueError("broke")

    def close(self) -> None:
        self.closed = True


class ThingWire(Wire):
    def __init__(self, folder: Path) -> None:
        self.real = RealThing()
        super().__init__(folder, "thing", Thing, self.real)
        self.thing: Thing = self.remote


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[ThingWire]:
    made = ThingWire(tmp_path)
    yield made
    made.close()


def test_arguments_and_results_arrive_as_they_are(wire: ThingWire) -> None:
    assert wire.thing.add(Turn(7), {"a": b"\0\xff"}) == {"7", "none", "a=b'\\x00\\xff'"}
    assert wire.thing.add(Turn(7), files={}, note="given") == {"7", "given"}


@pytest.mark.parametrize(("how", "kind"), [("refused", Refused), ("impossible", Impossible), ("stale", StaleTurn)])
def test_what_drivers_raise_is_raised_here(wire: ThingWire, how: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=f"it is {how}"):
        wire.thing.fail(how)


def test_a_defect_there_is_a_refusal_here(wire: ThingWire) -> None:
    with pytest.raises(Refused, match="see the log of this host"):
        wire.thing.fail("defect")


def test_a_call_that_takes_long_is_asked_again_and_done_once(wire: ThingWire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAIT", 0.05)
    assert wire.thing.slow(0.4) == 1
    assert wire.real.slow_calls == 1


def test_the_same_call_twice_at_once_is_done_once(wire: ThingWire) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(wire.thing.slow(0.3))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1, 1, 1]


def test_patience_ends(wire: ThingWire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAIT", 0.02)
    monkeypatch.setattr(remote, "PATIENCE", 0.1)
    with pytest.raises(Refused, match="still busy with slow"):
        wire.thing.slow(1.0)


def test_streams(wire: ThingWire) -> None:
    assert sum(map(len, wire.thing.bytes_of(5_000_000))) == 5_000_000
    with pytest.raises(Refused, match="broke off"):
        list(wire.thing.bytes_of(13))
    with pytest.raises((Impossible, Refused)):
        list(wire.thing.bytes_of(-1))


def test_what_is_not_a_call(wire: ThingWire) -> None:
    for path in ("/thing/close", "/thing/__init__", "/nothing/add", "/"):
        assert wire.connection.ask("POST", path, b"[]").status == 404
    assert wire.connection.ask("GET", "/thing/add").status == 404
    assert wire.connection.ask("POST", "/thing/add", b"[1]").status == 400
    assert not wire.real.closed


def test_bodies_are_bounded(wire: ThingWire) -> None:
    with pytest.raises(Impossible, match="more than a host takes"):
        wire.thing.add(Turn(1), {"a": bytes(97 << 20)})
    with pytest.raises(Refused):
        wire.connection.ask("POST", "/thing/add", b"x" * (97 << 20))


def test_nobody_is_there(wire: ThingWire) -> None:
    wire.server.stop()
    wire.connection.close()
    with pytest.raises(Refused, match="machine does not answer"):
        wire.thing.slow(0)
