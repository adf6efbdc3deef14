"""qemu-img, held on a short leash: no guessing of formats, little memory, little time, no rights."""
from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import msgspec

from tiffin.core.confinement import as_user
from tiffin.core.driver import Impossible, Refused

_MEMORY = 1 << 30  # bytes of address space; CVE-2015-5162
_STACK = 1 << 20  # bytes for each of up to 64 threads
QCOW2_MAGIC = b"QFI\xfb"


class Limits(msgspec.Struct, frozen=True):
    """What a call may take."""

    cpu_seconds: int = 30
    file_bytes: int | None = None  # the largest file that it may write; None: any


def leash(user: int | None, limits: Limits = Limits()) -> tuple[str, ...]:  # noqa: B008 (frozen)
    """What to put before a command that reads what tenants wrote."""
    # glibc reserves 64 MiB of addresses for the heap of each thread (MALLOC_ARENA_MAX) and 8 for its stack: with a busy
    # pool, qemu-img would run out of its space and abort.
    words = [f"--as={_MEMORY}", f"--stack={_STACK}", f"--cpu={limits.cpu_seconds}", "--core=0"]
    words += [] if limits.file_bytes is None else [f"--fsize={limits.file_bytes}"]
    return ("env", "MALLOC_ARENA_MAX=1", "prlimit", *words, *as_user(user))


def run(folder: Path, user: int | None, *arguments: str, limits: Limits = Limits()) -> None:  # noqa: B008 (frozen)
    """Run `qemu-img ARGUMENTS` in `folder` as `user`. Every call names its formats. Raises `Refused` with its words."""
    command = (*leash(user, limits), "qemu-img", *arguments)
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=limits.cpu_seconds * 10)
    except (subprocess.TimeoutExpired, OSError) as error:
        raise Refused(f"qemu-img {arguments[0]} did not end: {error}") from error
    if done.returncode:
        words = done.stderr[-400:].decode(errors="replace").strip()
        raise Refused(f"qemu-img {arguments[0]} failed ({done.returncode}): {words}")


def qcow2_size(path: Path) -> int:
    """The virtual size in bytes, from the header (QEMU's docs/interop/qcow2.txt), without running anything."""
    with open(path, "rb") as file:
        header = file.read(32)
    if header[:4] != QCOW2_MAGIC or len(header) < 32:
        raise Impossible(f"{path.name} is not a qcow2 image")
    size: int = struct.unpack_from(">Q", header, 24)[0]
    return size
