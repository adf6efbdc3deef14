"""What a simulated hypervisor host has, and how to make trouble in it."""
from __future__ import annotations

import socket
import threading
from dataclasses import dataclass, field

from tiffin.core.driver import Turns
from tiffin.services.compute.drivers.base import BaseImage, Nic, Power
from tiffin.services.compute.drivers.departure import Channel

_KEPT = 1 << 20  # bytes of a console


@dataclass(slots=True)
class SimulatedDeparture:
    """That a guest leaves, and how far it is."""

    since: float | None = None  # when it began to go
    gone: bool = False
    failed: str = ""  # why it cannot go
    ways: dict[Channel, socket.socket] = field(default_factory=dict)  # by which it goes


@dataclass(slots=True)
class SimulatedStream:
    """What has come of something on its way."""

    socket: socket.socket
    data: bytes = b""
    ended: bool = False


@dataclass(slots=True)
class SimulatedGuest:
    """What the host has of one guest."""

    name: str = ""  # what it calls itself
    disk: int | None = None  # bytes of the root disk
    config_drive: dict[str, bytes] | None = None
    images: set[str] = field(default_factory=set)
    written: bytes = b""  # what the guest has on its root disk
    kept: dict[str, bytes] | None = None  # disks that were set aside: their content by name
    arriving: float | None = None  # since when its disks come from another host
    departure: SimulatedDeparture | None = None  # to another host, while it runs
    coming: dict[str, SimulatedStream] | None = None  # what it comes by from another host, by channel
    arrived: bool = False  # from there, and not yet ours
    power: Power = "shutdown"
    reason: str = ""
    started: float = 0.0
    starts: int = 0
    nics: dict[str, Nic] = field(default_factory=dict)
    console: bytes = b""  # what its serial console has shown, the last 1 MiB
    stop_asked: float | None = None
    reboot: tuple[str, float, int, bool] | None = None  # key, since, the start that was to end, done
    snapshots: dict[str, tuple[float, int]] = field(default_factory=dict)  # since, bytes
    deaf: bool = False  # does not hear its power button
    greeted: int = 0  # the start whose boot is on the console

    def hang_up(self) -> None:
        """Close what it goes by and comes by."""
        for stream in (self.coming or {}).values():
            stream.socket.close()
        for way in self.departure.ways.values() if self.departure else ():
            way.close()


@dataclass(slots=True)
class SimulatedImage:
    """An image in the host's cache."""

    image: BaseImage
    size: int  # bytes that a guest sees
    modified: float
    accessed: float
    hits: int = 0


@dataclass(slots=True)
class SimulatedWorld:
    """What outlives the driver, and what tests look at and change: guests, cached images, turns."""

    guests: dict[str, SimulatedGuest] = field(default_factory=dict)
    images: dict[str, SimulatedImage] = field(default_factory=dict)
    judged: dict[tuple[str, str], int] = field(default_factory=dict)  # by id and digest; hosts may share it
    turns: Turns = field(default_factory=Turns)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def crash(self, guest_id: str, reason: str = "it was told to") -> None:
        """The guest's process dies."""
        guest = self.guests[guest_id]
        guest.power, guest.reason, guest.nics = "crashed", reason, {}

    def close(self) -> None:
        """The machine goes, with all that its guests were connected to."""
        for guest in self.guests.values():
            guest.hang_up()

    def show(self, guest_id: str, text: str) -> None:
        """Write on the serial console of the guest."""
        guest = self.guests[guest_id]
        guest.console = (guest.console + text.encode())[-_KEPT:]

    def power_off_inside(self, guest_id: str) -> None:
        """The guest powers itself off."""
        guest = self.guests[guest_id]
        guest.power, guest.nics = "shutdown", {}


@dataclass
class Troubles:
    """A `fate` that can be set by call and id: `troubles.set("ensure_disks", id, Refused("no room"), times=2)`."""

    waiting: dict[tuple[str, str], list[Exception]] = field(default_factory=dict)

    def set(self, call: str, id: str, trouble: Exception, times: int = 1) -> None:
        """Raise `trouble` the next `times` times before the call for this id has any effect; id "*" is any."""
        self.waiting.setdefault((call, id), []).extend([trouble] * times)

    def __call__(self, point: str) -> None:
        call, _, id = point.removesuffix("?").partition("/")
        for key in ((call, id), (call, "*")):
            if point.endswith("?") and self.waiting.get(key):
                raise self.waiting[key].pop(0)


def untroubled(point: str) -> None:
    """The fate of those whom nothing happens to."""
