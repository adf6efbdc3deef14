"""Disks that leave a host, and disks that come: what a move does to the folder of a guest.

    kept/                the disks as they were, and `complete` once all are in it
    incoming/            disks that arrive; `boot`: when the machine was started that wrote them

Every step is a rename or can be repeated; a machine that loses its power in the middle begins that disk anew.
"""
from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tiffin.core.confinement import give, user_for
from tiffin.core.driver import Impossible, Refused
from tiffin.services.compute.drivers import disk_ranges, qemu_power
from tiffin.services.compute.drivers.base import Disk, DiskSource

CONFIG = "config.iso"
_MODES = {"root.qcow2": 0o600, "ephemeral.raw": 0o600, "swap.raw": 0o600, CONFIG: 0o400}
"""The disks of a guest, and what its user may do with each."""
NAMES = tuple(_MODES)
_WORK = 3.0
"""Seconds that one call copies."""
_CHUNK = 1 << 20


def keep(folder: Path) -> tuple[Disk, ...]:
    """Set the disks aside."""
    kept = folder / "kept"
    shutil.rmtree(folder / "discarded", ignore_errors=True)
    if not (kept / "complete").exists():
        if not (folder / "root.qcow2").exists() and not (kept / "root.qcow2").exists():
            raise Impossible(f"guest {folder.name} has no root disk on this host")
        kept.mkdir(exist_ok=True)
        for name in _MODES:
            if (folder / name).exists():
                os.rename(folder / name, kept / name)
        (folder / "config.digest").unlink(missing_ok=True)
        (kept / "complete").touch()
    return tuple(Disk(name, (kept / name).stat().st_size) for name in _MODES if (kept / name).exists())


def restore(folder: Path) -> None:
    """Put the disks back that were set aside."""
    kept, back = folder / "kept", folder / "restoring"
    if (kept / "complete").exists():
        for name in _MODES:
            (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "incoming", ignore_errors=True)
    if kept.exists():
        os.rename(kept, back)
    for name in _MODES:
        if (back / name).exists():
            os.rename(back / name, folder / name)
    shutil.rmtree(back, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove what was set aside. It goes by a rename first: half a set of disks is none."""
    shutil.rmtree(folder / "discarded", ignore_errors=True)
    if (folder / "kept").exists():
        os.rename(folder / "kept", folder / "discarded")
        shutil.rmtree(folder / "discarded")


def read(folder: Path, name: str, offset: int, length: int) -> Iterator[bytes]:
    """A range of a disk that was set aside, or of the config drive of a guest that departs. Raises `Impossible`."""
    disk_ranges.check(offset, length)
    departs = name == CONFIG and (folder / "departing.json").exists()
    path = folder / name if departs else folder / "kept" / name
    if name not in _MODES or not (departs or (folder / "kept" / "complete").exists()) or not path.exists():
        raise Impossible(f"guest {folder.name} has no disk {name!r} set aside on this host")
    return disk_ranges.sent(_chunks(path, offset, length))


def _chunks(path: Path, offset: int, length: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        try:
            hole = os.lseek(file.fileno(), offset, os.SEEK_DATA) >= offset + length
        except OSError:  # no data behind it
            hole = True
        if hole:
            return
        file.seek(offset)
        while length and (chunk := file.read(min(_CHUNK, length))):
            length -= len(chunk)
            yield chunk


def receive(folder: Path, disks: tuple[Disk, ...], source: DiskSource) -> bool:
    """Copy for some seconds; whether every disk is in its place."""
    incoming, deadline = folder / "incoming", time.monotonic() + _WORK
    _same_boot(incoming)
    for disk in disks:
        if disk.name not in _MODES:
            raise Impossible(f"a guest has no disk {disk.name!r}")
        if (folder / disk.name).exists():
            continue
        if not _copied(incoming / disk.name, disk, source, deadline):
            return False
        give(incoming / disk.name, user_for(folder.name), _MODES[disk.name])
        os.rename(incoming / disk.name, folder / disk.name)
    shutil.rmtree(incoming, ignore_errors=True)
    return True


def _same_boot(incoming: Path) -> None:
    """What was written before the machine lost its power may have holes: begin anew."""
    boot, now = incoming / "boot", qemu_power.boot_id()
    if not boot.exists() or boot.read_text() != now:
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.mkdir(mode=0o700)
        boot.write_text(now)


def _copied(partial: Path, disk: Disk, source: DiskSource, deadline: float) -> bool:
    guest_id = partial.parent.parent.name
    with open(partial, "ab") as file:
        at = file.tell()
        if at > disk.size:
            raise Refused(f"disk {disk.name} of guest {guest_id} is larger here than where it comes from")
        while at < disk.size:
            if time.monotonic() > deadline:
                return False
            length = min(disk_ranges.RANGE, disk.size - at)
            data = disk_ranges.received(source(guest_id, disk.name, at, length), length)
            if data:
                file.write(data)
                file.flush()
            else:
                file.truncate(at + length)
                file.seek(0, os.SEEK_END)
            at += length
        os.fsync(file.fileno())
    return True
