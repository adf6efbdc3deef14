"""What every hypervisor promises about a guest that goes to another host while it runs."""
from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import msgspec
import pytest

from drivers.hypervisor_labs import ONE, Lab
from tiffin.core.driver import Impossible, Refused, StaleTurn, Turn
from tiffin.services.compute.drivers.base import Guest
from tiffin.services.compute.drivers.departure import Channel, Departure, Progress

TWO = Turn(2)
FILES = {"openstack/latest/meta_data.json": b"{}"}


def running(lab: Lab) -> Guest:
    """A guest that runs, with every kind of disk, and has written."""
    guest = lab.guest(root_gb=1, config_drive=True, ephemeral_gb=1, swap_mb=8)
    lab.hypervisor.ensure_config_drive(ONE, guest.id, FILES)
    lab.boot(guest)
    lab.scribble(guest)
    return guest


@pytest.fixture
def other(lab: Lab) -> Iterator[Lab]:
    with lab.neighbour() as made:
        yield made


def await_it(lab: Lab, other: Lab, guest: Guest) -> Departure:
    assert guest.image is not None
    coming = lab.hypervisor.ensure_departing(ONE, guest.id)
    other.hypervisor.ensure_image(ONE, guest.id, guest.image)
    other.until(lambda: other.hypervisor.ensure_incoming(ONE, guest, coming))
    return coming


def go(lab: Lab, guest: Guest, *, hurry: bool = False) -> list[Progress]:
    """All that it tells until it is no longer on its way."""
    told: list[Progress] = []

    def over() -> bool:
        told.append(lab.hypervisor.ensure_migrating(ONE, guest.id, hurry))
        return told[-1].state != "going"

    lab.until(over)
    return told


def land(other: Lab, guest: Guest, *, run: bool = True) -> None:
    other.until(lambda: other.hypervisor.ensure_arrived(ONE, guest.id))
    assert other.power(guest) == "paused", "until somebody says that it is here"
    other.hypervisor.ensure_landed(ONE, guest.id, run)


def test_a_guest_goes_on_elsewhere(lab: Lab, other: Lab) -> None:
    guest = running(lab)
    await_it(lab, other, guest)
    assert (lab.power(guest), other.power(guest)) == ("running", "paused")
    told = go(lab, guest)
    assert told[-1].state == "gone", told[-1]
    assert lab.power(guest) == "paused"
    land(other, guest)
    assert other.power(guest) == "running"
    assert other.greetings(guest) == 0, "it goes on, it does not start"
    assert other.scribbled(guest)
    lab.hypervisor.forget_guest(ONE, guest.id)
    assert lab.leftovers() == []
    other.scribble(guest)
    other.hypervisor.ensure_stopped(ONE, guest.id, 0)
    other.boot(guest)


def test_whoever_is_killed_goes_on_where_it_was(lab: Lab, other: Lab) -> None:
    guest = running(lab)
    coming = await_it(lab, other, guest)
    for one in (lab, other):
        one.adopt()
    assert lab.hypervisor.ensure_departing(ONE, guest.id) == coming
    assert other.hypervisor.ensure_incoming(ONE, guest, coming)
    lab.hypervisor.ensure_migrating(ONE, guest.id, False)
    assert go(lab, guest)[-1].state == "gone"
    lab.adopt()
    other.adopt()
    assert lab.hypervisor.ensure_migrating(ONE, guest.id, False).state == "gone"
    for _ in range(2):
        other.until(lambda: other.hypervisor.ensure_arrived(ONE, guest.id))
        other.adopt()
    for _ in range(2):
        other.hypervisor.ensure_landed(ONE, guest.id, True)
        other.adopt()
    assert other.power(guest) == "running"


def test_a_paused_guest_stays_paused(lab: Lab, other: Lab) -> None:
    guest = running(lab)
    lab.hypervisor.ensure_paused(ONE, guest.id)
    await_it(lab, other, guest)
    assert go(lab, guest)[-1].state == "gone"
    land(other, guest, run=False)
    assert other.power(guest) == "paused"
    assert other.scribbled(guest), "what it has can be looked at"
    lab.hypervisor.forget_guest(ONE, guest.id)
    other.hypervisor.ensure_running(ONE, guest)
    assert other.power(guest) == "running"
    other.scribble(guest)


def test_a_guest_in_a_hurry_stands_still_meanwhile(lab: Lab, other: Lab) -> None:
    guest = running(lab)
    await_it(lab, other, guest)
    assert go(lab, guest, hurry=True)[-1].state == "gone"
    land(other, guest)
    assert other.power(guest) == "running"


@pytest.mark.parametrize("how_far", ["awaited", "going", "gone", "arrived"])
@pytest.mark.parametrize("runs", [True, False], ids=["running", "paused"])
def test_a_guest_that_is_called_back_was_never_away(lab: Lab, other: Lab, how_far: str, runs: bool) -> None:
    guest = running(lab)
    if not runs:
        lab.hypervisor.ensure_paused(ONE, guest.id)
    await_it(lab, other, guest)
    if how_far == "going":
        lab.hypervisor.ensure_migrating(ONE, guest.id, True)
    elif how_far != "awaited":
        assert go(lab, guest)[-1].state == "gone"
    if how_far == "arrived":
        other.until(lambda: other.hypervisor.ensure_arrived(ONE, guest.id))
    for _ in range(2):
        lab.hypervisor.forget_departing(ONE, guest.id, runs)
        lab.adopt()
    other.hypervisor.forget_guest(ONE, guest.id)
    assert other.leftovers() == []
    assert lab.power(guest) == ("running" if runs else "paused")
    assert lab.scribbled(guest)
    if not runs:
        lab.hypervisor.ensure_running(ONE, guest)
    lab.scribble(guest)
    await_it(lab, other, guest)
    assert go(lab, guest)[-1].state == "gone", "and it can go once more"
    land(other, guest)


def test_a_guest_whose_way_breaks_off_stays(lab: Lab, other: Lab) -> None:
    guest = running(lab)
    await_it(lab, other, guest)
    other.hypervisor.forget_guest(ONE, guest.id)
    with contextlib.suppress(Impossible, Refused):  # as soon as it wants to connect
        assert go(lab, guest)[-1].state == "broken"
    lab.hypervisor.forget_departing(ONE, guest.id, True)
    assert lab.power(guest) == "running"
    lab.scribble(guest)
    assert lab.scribbled(guest)


@pytest.mark.parametrize("channel", ["disks", "memory"])
def test_a_guest_whose_way_is_cut_sets_out_anew(lab: Lab, other: Lab, channel: str) -> None:
    """Whoever relays dies: nobody hangs up properly, and what was on its way is lost."""
    guest, direct = running(lab), lab.tunnels
    relays: list[Relay] = []

    def relayed(id: str, which: Channel) -> socket.socket:
        relays.append(Relay(direct(id, which), most=lab.midway if which == channel else 1 << 40))
        return relays[-1].near

    await_it(lab, other, guest)
    lab.tunnels = relayed
    try:
        gone = go(lab, guest)[-1]
        if gone.state == "gone":  # with what the relay did not pass on
            with pytest.raises(Impossible):
                other.until(lambda: other.hypervisor.ensure_arrived(ONE, guest.id))
        else:
            assert gone.state == "broken", gone
    finally:
        for relay in relays:
            relay.die()
    lab.hypervisor.forget_departing(ONE, guest.id, True)
    other.hypervisor.forget_guest(ONE, guest.id)
    assert (lab.power(guest), other.leftovers()) == ("running", [])
    lab.tunnels = direct
    lab.scribble(guest)
    await_it(lab, other, guest)
    assert go(lab, guest)[-1].state == "gone"
    land(other, guest)
    assert other.power(guest) == "running"
    assert other.greetings(guest) == 0
    assert other.scribbled(guest)


class Relay:
    """Passes on what comes either way, until it has passed on so many bytes: then it dies."""

    def __init__(self, far: socket.socket, most: int) -> None:
        self.near, self._mine = socket.socketpair()
        self._far, self._left = far, most
        self._threads = [
            threading.Thread(target=self._pass_on, args=ends) for ends in ((self._mine, far), (far, self._mine))
        ]
        for thread in self._threads:
            thread.start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while self._left > 0 and (data := source.recv(min(self._left, 4096))):
                self._left -= len(data)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def die(self) -> None:
        for end in (self._mine, self._far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._mine.close()
        self._far.close()


def test_what_is_not_awaited_cannot_be_reached(lab: Lab, other: Lab) -> None:
    guest = running(lab)
    for channel in ("memory", "disks"):
        with pytest.raises(Impossible):
            other.hypervisor.connect_incoming(guest.id, channel)  # type: ignore[arg-type]
        with pytest.raises(Impossible):
            lab.hypervisor.connect_incoming(guest.id, channel)  # type: ignore[arg-type]
    with pytest.raises(Impossible, match="does not depart"):
        lab.hypervisor.ensure_migrating(ONE, guest.id, False)
    with pytest.raises(Impossible, match="does not run"):
        other.hypervisor.ensure_departing(ONE, guest.id)
    lab.hypervisor.forget_departing(ONE, guest.id, True)
    other.hypervisor.forget_departing(ONE, guest.id, True)
    with pytest.raises(Impossible):
        b"".join(lab.hypervisor.read_disk(guest.id, "config.iso", 0, 512))


def test_a_guest_that_is_another_there_does_not_come(lab: Lab, other: Lab) -> None:
    guest = running(lab)
    coming = await_it(lab, other, guest)
    other.hypervisor.forget_guest(ONE, guest.id)
    board = coming.board
    for wrong in (
        msgspec.structs.replace(board, type="virt; rm"),
        msgspec.structs.replace(board, accelerator="hax"),
        msgspec.structs.replace(board, ports=1000),
    ):
        with pytest.raises(Impossible):
            other.hypervisor.ensure_incoming(ONE, guest, msgspec.structs.replace(coming, board=wrong))
    assert guest.image is not None
    other.hypervisor.ensure_image(ONE, guest.id, guest.image)
    disks = (msgspec.structs.replace(coming.disks[0], size=1 << 60), *coming.disks[1:])
    with pytest.raises(Impossible, match="disks"):
        other.until(lambda: other.hypervisor.ensure_incoming(ONE, guest, msgspec.structs.replace(coming, disks=disks)))
    with pytest.raises(Impossible):
        other.hypervisor.connect_incoming(guest.id, "memory")
    assert lab.power(guest) == "running"


def test_going_is_fenced(lab: Lab, other: Lab) -> None:
    guest = running(lab)
    assert guest.image is not None
    coming = lab.hypervisor.ensure_departing(TWO, guest.id)
    other.hypervisor.ensure_image(TWO, guest.id, guest.image)
    other.until(lambda: other.hypervisor.ensure_incoming(TWO, guest, coming))
    for late in (
        lambda: lab.hypervisor.ensure_departing(ONE, guest.id),
        lambda: lab.hypervisor.ensure_migrating(ONE, guest.id, False),
        lambda: lab.hypervisor.forget_departing(ONE, guest.id, True),
        lambda: other.hypervisor.ensure_incoming(ONE, guest, coming),
        lambda: other.hypervisor.ensure_arrived(ONE, guest.id),
        lambda: other.hypervisor.ensure_landed(ONE, guest.id, True),
    ):
        with pytest.raises(StaleTurn):
            late()
    with pytest.raises(Impossible, match="arrived"):
        other.hypervisor.ensure_landed(TWO, guest.id, True)
    lab.hypervisor.forget_departing(TWO, guest.id, True)
