"""The disks of simulated guests as files that travel."""
from __future__ import annotations

import msgspec

from tiffin.core.driver import Impossible
from tiffin.services.compute.drivers import disk_ranges
from tiffin.services.compute.drivers.base import Disk, DiskSource
from tiffin.simulator.world import SimulatedGuest

ROOT, CONFIG = "root.qcow2", "config.iso"


class _Root(msgspec.Struct):
    """What stands in the file of a root disk."""

    size: int  # bytes that the guest sees
    written: bytes


def keep(id: str, guest: SimulatedGuest | None) -> tuple[Disk, ...]:
    """Set the disks of the guest aside."""
    if guest is not None and guest.kept is None and guest.disk is not None:
        guest.kept = {ROOT: msgspec.json.encode(_Root(guest.disk, guest.written))}
        if guest.config_drive is not None:
            guest.kept[CONFIG] = msgspec.json.encode(guest.config_drive)
        guest.disk, guest.written, guest.config_drive = None, b"", None
    if guest is None or guest.kept is None:
        raise Impossible(f"guest {id} has no root disk on this host")
    return tuple(Disk(name, len(content)) for name, content in guest.kept.items())


def readable(guest: SimulatedGuest | None, name: str) -> bytes | None:
    """The content of a disk that another host may read now."""
    if guest is None:
        return None
    if guest.departure is not None and name == CONFIG and guest.config_drive is not None:
        return msgspec.json.encode(guest.config_drive)
    return (guest.kept or {}).get(name)


def receive(id: str, guest: SimulatedGuest, disks: tuple[Disk, ...], source: DiskSource) -> None:
    """Have these disks, unless the guest has its own here."""
    guest.arriving = None
    if guest.disk is None:
        _place(guest, {d.name: disk_ranges.received(source(id, d.name, 0, d.size), d.size) for d in disks})


def restore(guest: SimulatedGuest) -> None:
    """Put the disks back that were set aside."""
    guest.arriving = None
    if guest.kept is not None:
        _place(guest, guest.kept)
        guest.kept = None


def _place(guest: SimulatedGuest, files: dict[str, bytes]) -> None:
    root = msgspec.json.decode(files[ROOT], type=_Root)
    guest.disk, guest.written = root.size, root.written
    guest.config_drive = msgspec.json.decode(files[CONFIG], type=dict[str, bytes]) if CONFIG in files else None
