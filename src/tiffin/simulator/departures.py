"""Simulated guests that go to another host while they run: the ways are open all the while, and in the end what there is of
one travels in two short messages."""
from __future__ import annotations

import socket
import ssl

import msgspec

from tiffin.core.driver import Impossible
from tiffin.services.compute.drivers import disk_ranges
from tiffin.services.compute.drivers.base import DiskSource
from tiffin.services.compute.drivers.departure import Block, Board, Channel, Departure, Progress, Slot, TunnelSource
from tiffin.simulator.disks import CONFIG, ROOT
from tiffin.simulator.world import SimulatedDeparture, SimulatedGuest, SimulatedStream

BOARD, MODEL = "pc-q35-0.0", "virtio-net-pci"
CHANNELS: tuple[Channel, ...] = ("disks", "memory")
_MOST = 16 << 20
_PATIENCE = 10.0


class _Memory(msgspec.Struct):
    """What a guest knows while it runs."""

    name: str
    started: float
    starts: int
    greeted: int
    deaf: bool
    on_disk: int  # bytes that have gone by the other way


def depart(guest: SimulatedGuest, accelerator: str) -> Departure:
    """What the other host needs."""
    guest.departure = guest.departure or SimulatedDeparture()
    slots = tuple(Slot(port_id, number, MODEL, False) for number, port_id in enumerate(guest.nics))
    return Departure(Board(BOARD, accelerator, len(slots) + 8, slots), blocks(guest))


def blocks(guest: SimulatedGuest) -> tuple[Block, ...]:
    assert guest.disk is not None
    config = None if guest.config_drive is None else msgspec.json.encode(guest.config_drive)
    return (Block(ROOT, guest.disk), *((Block(CONFIG, len(config)),) if config is not None else ()))


def fetch_config(id: str, guest: SimulatedGuest, coming: Departure, source: DiskSource) -> None:
    size = next((disk.size for disk in coming.disks if disk.name == CONFIG), None)
    if size is not None and guest.config_drive is None:
        content = disk_ranges.received(source(id, CONFIG, 0, size), size)
        guest.config_drive = msgspec.json.decode(content, type=dict[str, bytes])


def lead(id: str, guest: SimulatedGuest, tunnels: TunnelSource, now: float, seconds: float, hurry: bool) -> Progress:
    """How far a departing guest is that takes so many seconds. Raises as the drivers do."""
    departure = guest.departure
    if departure is None:
        raise Impossible(f"guest {id} does not depart")
    if departure.failed:
        return Progress("failed", departure.failed)
    if not departure.gone and (broken := _set_out(id, departure, tunnels)) is not None:
        return broken
    told = _progress(guest, departure, now, seconds, hurry)
    if told.state == "gone" and not departure.gone:
        return _send(guest, departure) or told
    return told


def _progress(guest: SimulatedGuest, departure: SimulatedDeparture, now: float, seconds: float, hurry: bool) -> Progress:
    total = guest.disk or 0
    if departure.since is None:
        departure.since = now
    done = 1.0 if hurry or departure.gone or seconds <= 0 else min(1.0, (now - departure.since) / seconds)
    moved, memory = int(total * done), 256 << 20
    known = int(memory * done)
    return Progress("gone" if done == 1.0 else "going", "", memory, known, memory - known, total, moved, total - moved)


def _set_out(id: str, departure: SimulatedDeparture, tunnels: TunnelSource) -> Progress | None:
    """Have its ways open; what it is to tell when one has broken off. Raises as the drivers do."""
    for channel in CHANNELS:
        if channel not in departure.ways:
            departure.ways[channel] = tunnels(id, channel)
            departure.ways[channel].setblocking(False)
        if _hung_up(departure.ways[channel]):
            return Progress("broken", f"the way of its {channel} broke off")
    return None


def _hung_up(way: socket.socket) -> bool:
    """Whoever is there listens, and says nothing."""
    try:
        return not way.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


def _send(guest: SimulatedGuest, departure: SimulatedDeparture) -> Progress | None:
    """All that it is goes; what it is to tell when that broke off."""
    memory = _Memory(guest.name, guest.started, guest.starts, guest.greeted, guest.deaf, len(guest.written))
    content = {"disks": guest.written, "memory": msgspec.json.encode(memory)}
    for channel in CHANNELS:
        try:
            with departure.ways[channel] as way:
                way.settimeout(_PATIENCE)
                way.sendall(content[channel])
        except OSError as no:
            return Progress("broken", f"the way of its {channel} broke off: {no}")
    departure.gone, guest.power = True, "paused"
    return None


def dial(id: str, guest: SimulatedGuest | None, channel: Channel) -> socket.socket:
    """A stream to a guest that is awaited. Of several of a channel the last counts."""
    if guest is None or guest.coming is None:
        raise Impossible(f"guest {id} is not awaited here")
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    if (old := guest.coming.get(channel)) is not None:
        old.socket.close()
    guest.coming[channel] = SimulatedStream(ours)
    return theirs


def arrive(id: str, guest: SimulatedGuest) -> bool:
    """Take in what has come; whether that is all."""
    assert guest.coming is not None
    for stream in guest.coming.values():
        _read(stream)
    if not all(channel in guest.coming and guest.coming[channel].ended for channel in ("disks", "memory")):
        return False
    try:
        memory = msgspec.json.decode(guest.coming["memory"].data, type=_Memory)
    except msgspec.MsgspecError:
        raise Impossible(f"what came of guest {id} broke off") from None
    guest.written = guest.coming["disks"].data
    if len(guest.written) != memory.on_disk:
        raise Impossible(f"what came of the disks of guest {id} broke off")
    guest.name, guest.started, guest.starts = memory.name, memory.started, memory.starts
    guest.greeted, guest.deaf = memory.greeted, memory.deaf
    guest.hang_up()
    guest.coming, guest.arrived = None, True
    return True


def _read(stream: SimulatedStream) -> None:
    while not stream.ended and len(stream.data) < _MOST:
        try:
            more = stream.socket.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            more = b""
        stream.data += more
        stream.ended = not more
