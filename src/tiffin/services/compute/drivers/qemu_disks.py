"""The disks of a guest: files in its folder, which belong to its own user.

The root disk is a qcow2 copy-on-write layer on the cached image, or an empty qcow2. Ephemeral and swap disks are raw,
formatted as Nova does (ext4 labelled ephemeral0, swap), and stay raw for ever, whatever a guest writes into them.
"""
from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tiffin.core import qemu_img
from tiffin.core.confinement import give, user_for
from tiffin.core.driver import Impossible, Refused
from tiffin.services.compute.drivers import guest_check
from tiffin.services.compute.drivers.base import Guest
from tiffin.services.compute.drivers.qemu_command import Boot, Drive, File
from tiffin.services.compute.drivers.qemu_images import ImageCache

_SWAP = "swap.raw"
"""Holds nothing that lasts: one of another size is made anew."""


def ensure(folder: Path, guest: Guest, cache: ImageCache) -> None:
    """Have the disks of the guest in its folder, the root disk at least as large as its flavor says.

    Raises `Impossible` when the image is not in the cache, needs more room than the flavor has, or has no size.
    """
    for image in (guest.kernel, guest.ramdisk):
        if image:
            cache.get(image)
    _ensure_root(folder, guest, cache)
    if guest.ephemeral_gb:
        _ensure_raw(folder, guest.id, "ephemeral.raw", guest.ephemeral_gb << 30,
                    ("mkfs.ext4", "-q", "-F", "-L", "ephemeral0", "-E", "lazy_itable_init=1,lazy_journal_init=1"))
    if guest.swap_mb:
        _ensure_raw(folder, guest.id, _SWAP, guest.swap_mb << 20, ("mkswap", "-q", "-L", "swap0"))


def drives(folder: Path, guest: Guest, cache: ImageCache) -> tuple[Drive, ...]:
    """What the guest boots with, in the order that names them vda, vdb, ... Raises `Impossible` when one is missing."""
    base = File(base_path(cache, guest.image.id), cache.get(guest.image).format) if guest.image else None
    wanted = [Drive("root", File("root.qcow2", "qcow2"), base)]
    if guest.ephemeral_gb:
        wanted.append(Drive("ephemeral", File("ephemeral.raw", "raw")))
    if guest.swap_mb:
        wanted.append(Drive("swap", File(_SWAP, "raw")))
    if guest.config_drive:
        wanted.append(Drive("config", File("config.iso", "raw"), read_only=True))
    for drive in wanted:
        if not (folder / drive.file.path).exists():
            raise Impossible(f"guest {guest.id} has no {drive.name} disk on this host")
    return tuple(wanted)


def boot(guest: Guest, cache: ImageCache) -> Boot | None:
    """The kernel that the guest boots directly, if its image has one."""
    if guest.kernel is None:
        return None
    cache.get(guest.kernel)
    if guest.ramdisk:
        cache.get(guest.ramdisk)
    return Boot(base_path(cache, guest.kernel.id), base_path(cache, guest.ramdisk.id) if guest.ramdisk else None)


def base_path(cache: ImageCache, image_id: str) -> str:
    """The cached file as seen from a guest's folder: relative, so that parents of our root may be closed to QEMU."""
    return f"../../cache/{image_id}/{cache.path(image_id).name}"


def _ensure_root(folder: Path, guest: Guest, cache: ImageCache) -> None:
    cached = cache.get(guest.image) if guest.image else None
    size = guest_check.root_bytes(guest, cached.virtual_size if cached else None)
    user, disk = user_for(guest.id), folder / "root.qcow2"
    if not disk.exists():
        partial = folder / "root.partial"
        partial.unlink(missing_ok=True)
        # -u: the base is known from the cache's facts, qemu-img need not open it.
        base = ("-u", "-b", base_path(cache, guest.image.id), "-F", cached.format) if guest.image and cached else ()
        qemu_img.run(folder, None, "create", "-q", "-f", "qcow2", *base, partial.name, str(size))
        give(partial, user, 0o600)
        os.rename(partial, disk)
    elif qemu_img.qcow2_size(disk) < size:
        qemu_img.run(folder, user, "resize", "-q", "-f", "qcow2", disk.name, str(size))


def _ensure_raw(folder: Path, guest_id: str, name: str, size: int, format_command: Sequence[str]) -> None:
    disk = folder / name
    if disk.exists() and (disk.stat().st_size == size or name != _SWAP):
        if disk.stat().st_size < size:
            os.truncate(disk, size)  # what is on it is the guest's, who may grow it
        return
    partial = folder / f"{name}.partial"
    with open(partial, "wb") as file:
        file.truncate(size)
    try:
        subprocess.run((*format_command, str(partial)), check=True, capture_output=True, stdin=subprocess.DEVNULL,
                       timeout=120)
    except (subprocess.SubprocessError, OSError) as error:
        raise Refused(f"disk {name} cannot be formatted: {error}") from error
    give(partial, user_for(guest_id), 0o600)
    os.rename(partial, disk)
