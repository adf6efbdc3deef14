"""What the bytes of an image are: digests and formats, found while they stream by, before anything else reads them.

The formats are found by oslo.utils' inspectors, which never trust what they read: no byte of an image reaches qemu-img or
a guest before the verdict.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec

from tiffin.core.errors import BadRequest

OPAQUE_CONTAINERS = frozenset({"ova", "docker", "compressed"})
"""Containers that wrap a disk so that its format does not show; nothing boots from them as they are."""

_ACCEPTED = {
    "raw": {"raw", "gpt"},
    "ami": {"raw", "gpt"},
    "aki": {"raw", "gpt"},
    "ari": {"raw", "gpt"},
    "ploop": {"raw"},
    "iso": {"iso", "gpt"},  # a hybrid image has a partition table as well
}
"""What may be found in the bytes of a declared format, where it is not just that format. A partition table at the start
of a raw disk (or of a kernel) is what raw disks have."""


_MAGIC = {
    b"QFI\xfb": "qcow2",
    b"QED\0": "qed",
    b"KDMV": "vmdk",
    b"COWD": "vmdk",
    b"# Disk DescriptorFile": "vmdk",
    b"conectix": "vhd",
    b"vhdxfile": "vhdx",
    b"LUKS\xba\xbe": "luks",
    b"Bochs Virtual HD Image": "bochs",
    b"WithoutFreeSpace": "ploop",
    b"WithouFreSpacExt": "ploop",
    b"#!/bin/sh\n#V2.0 Format\n": "cloop",
}
"""How files begin that QEMU would take for another format, were it asked to guess, though they are none that can be inspected:
too short, or too odd. Nobody of ours guesses; somebody who downloads such a raw disk may."""
_HEAD = 32  # bytes, as many as the longest of them
_LARGEST = (1 << 63) - 1  # bytes, as many as a row can say
_PIECE = 1 << 16  # bytes of a VHDX file at a time: its inspector looks for one table in each, and they are as far apart
_VHDX_PARENT = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le  # [MS-VHDX] 2.6.2.6, the parent locator


class Findings(msgspec.Struct):
    """What is known of bytes that have streamed by to their end."""

    size: int  # bytes
    checksum: str  # MD5
    sha512: str
    formats: list[str]  # every format that matched; ["raw"] when none did
    virtual_size: int | None  # bytes that a guest sees; None where the format is not known
    problem: str | None  # why the bytes are not safe


class Inspection:
    """Watches a stream: `for chunk in inspection.watch(chunks)`, then `findings()`."""

    def __init__(self, declared: str | None) -> None:
        """`declared`: the disk format that the bytes are said to have; a hint of which virtual size counts."""
        from oslo_utils.imageutils import format_inspector

        self._declared = declared
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha512 = hashlib.sha512()
        self._size, self._head = 0, b""
        self._inspectors = [make() for name, make in format_inspector.ALL_FORMATS.items() if name != "raw"]
        self._unsafe = (format_inspector.SafetyCheckFailed, format_inspector.ImageFormatError)

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass the chunks on. The digests are taken beside: hashing lets go of the interpreter's lock."""
        with ThreadPoolExecutor(2, "image-digest") as pool:
            pending: list[Future[None]] = []
            for chunk in chunks:
                for done in pending:
                    done.result()
                pending = [pool.submit(self._md5.update, chunk), pool.submit(self._sha512.update, chunk)]
                self._size += len(chunk)
                self._head += chunk[: _HEAD - len(self._head)]
                self._inspect(chunk)
                yield chunk

    def _inspect(self, chunk: bytes) -> None:
        self._inspectors = [inspector for inspector in self._inspectors if _eats(inspector, chunk)]

    def findings(self) -> Findings:
        """The verdict on the whole stream."""
        for inspector in self._inspectors:
            inspector.finish()
        found = {str(i): i for i in self._inspectors if _matches(i)}
        return Findings(
            size=self._size,
            checksum=self._md5.hexdigest(),
            sha512=self._sha512.hexdigest(),
            formats=sorted(found) or ["raw"],
            virtual_size=self._virtual_size(found),
            problem=self._problem(found),
        )

    def _virtual_size(self, found: dict[str, Any]) -> int | None:
        inspector = found.get(self._declared or "")
        if inspector is None or self._declared == "iso":
            return self._size if self._declared in _ACCEPTED and self._declared != "ploop" else None
        try:
            return min(int(inspector.virtual_size), _LARGEST)
        except Exception:  # hostile bytes: a size that cannot be read is no size
            return None

    def _problem(self, found: dict[str, Any]) -> str | None:
        if not found and (
            disguised := next((name for magic, name in _MAGIC.items() if self._head.startswith(magic)), None)
        ):
            return None if disguised == self._declared else f"raw: it begins as {disguised} does"
        for name, inspector in found.items():
            if name == "gpt":  # partition tables are the guest's affair: nothing of ours reads them
                continue
            try:
                inspector.safety_check()
                if _is_difference(name, inspector):
                    return f"{name}: parent: it holds only what differs from another disk"
            except self._unsafe as no:
                failures = getattr(no, "failures", None) or {"format": no}
                return f"{name}: " + "; ".join(f"{check}: {why}" for check, why in failures.items())
            except Exception as no:
                return f"{name}: its structure is broken ({type(no).__name__})"
        return None


def _eats(inspector: Any, chunk: bytes) -> bool:
    """Whether the parser of a format still makes sense of the bytes."""
    try:
        step = _PIECE if str(inspector) == "vhdx" else len(chunk) or 1
        for at in range(0, len(chunk), step):
            inspector.eat_chunk(chunk[at : at + step])
    except Exception:  # hostile bytes broke it: they are not of that format
        return False
    return True


def _is_difference(name: str, inspector: Any) -> bool:
    """Whether a disk has a parent elsewhere, of the formats of which oslo.utils does not look for it. QEMU opens no such
    parent: it refuses the disk, or reads zeros."""
    if name == "vhdx":
        return inspector.has_region("metadata") and _VHDX_PARENT in inspector.region("metadata").data
    header = inspector.region("header").data if name in ("vhd", "vdi") else b""
    if name == "vhd":
        return int.from_bytes(header[60:64], "big") == 4
    return name == "vdi" and (int.from_bytes(header[76:80], "little") in (3, 4) or any(header[0x1A8:0x1C8]))


def _matches(inspector: Any) -> bool:
    try:
        return bool(inspector.format_match)
    except Exception:  # hostile bytes broke the parser
        return False


def check(found: Findings, disk_format: str, container_format: str, max_virtual: int) -> None:
    """Whether bytes are what their image says. Raises `BadRequest` with the reason."""
    if container_format in OPAQUE_CONTAINERS:
        return
    accepted = _ACCEPTED.get(disk_format, {disk_format})
    if not set(found.formats) <= accepted or (disk_format == "iso" and "iso" not in found.formats):
        what = ", ".join(found.formats)
        raise BadRequest(f"Image content is {what}, which does not match disk_format {disk_format}.")
    if found.problem is not None:
        raise BadRequest(f"Image content was refused by the safety check of {found.problem}.")
    if disk_format not in _ACCEPTED and not found.virtual_size:
        raise BadRequest("The virtual size of the image cannot be read from its content.")
    if found.virtual_size is not None and found.virtual_size > max_virtual:
        raise BadRequest(f"The image unfolds to {found.virtual_size} bytes; at most {max_virtual} are accepted.")
