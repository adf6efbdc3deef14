"""The import plug-in that converts disks to the operator's format.

It is the one place of this service where a program reads what a tenant wrote: only after inspection has found exactly the
declared format and nothing unsafe in it, by an explicit name of that format, as a user without rights, with little memory and
time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tiffin.core import qemu_img
from tiffin.core.confinement import give, user_for
from tiffin.core.driver import Impossible, Refused
from tiffin.core.errors import BadRequest
from tiffin.services.image import inspection
from tiffin.services.image.import_parts import Changed, Facts
from tiffin.services.image.settings import Settings

_FORMATS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
"""Disk formats that can be converted, and QEMU's names of them."""
_SECONDS, _SECONDS_PER_GIB = 30, 10
"""Of CPU: converting reads and writes a few hundred megabytes in each."""


class ImageConversion:
    """Implements `import_parts.Transform`."""

    name = "image_conversion"

    def wanted(self, facts: Facts, settings: Settings) -> bool:
        return facts.disk_format not in ("iso", settings.imports.image_conversion.output_format)

    def run(self, source: Path, target: Path, facts: Facts, settings: Settings) -> Changed:
        size, wanted = _fit(source, facts, settings), settings.imports.image_conversion.output_format
        seconds = _SECONDS + _SECONDS_PER_GIB * (size >> 30)
        limits = qemu_img.Limits(seconds, settings.imports.max_unpacked_bytes)
        user = user_for(facts.image_id)
        with _lent(source, target.parent / f".{target.name}", user) as work:
            _convert(work, user, _FORMATS[facts.disk_format], wanted, limits)
            os.rename(work / "converted", target)
        give(target, None if user is None else os.geteuid(), 0o600)
        return Changed(wanted, "bare")


def _fit(source: Path, facts: Facts, settings: Settings) -> int:
    """The virtual size of a disk that may be converted, in bytes. Raises `Impossible`."""
    found = facts.found
    if facts.disk_format not in _FORMATS or facts.container_format in inspection.OPAQUE_CONTAINERS:
        what = f"{facts.disk_format} in a container of format {facts.container_format}"
        raise Impossible(f"An image of disk format {what} cannot be converted.")
    if found is None or found.size != source.stat().st_size:
        raise Impossible("The image cannot be converted: it was not inspected as it is.")
    try:
        inspection.check(found, facts.disk_format, facts.container_format, settings.limits.virtual_bytes)
    except BadRequest as no:
        raise Impossible(no.message) from no
    size, most = found.virtual_size or 0, settings.imports.max_unpacked_bytes
    if size > most:
        raise Impossible(f"The image unfolds to {size} bytes; at most {most} are converted.")
    return size


@contextlib.contextmanager
def _lent(source: Path, work: Path, user: int | None) -> Iterator[Path]:
    """A folder of the user's own with the file `source` in it; the file is given back afterwards."""
    shutil.rmtree(work, ignore_errors=True)  # of a predecessor, who died here
    work.mkdir(mode=0o700)
    before = source.stat()
    try:
        os.link(source, work / "source")
        give(work / "source", user, 0o400)
        give(work, user, 0o700)
        yield work
    finally:
        os.chown(source, before.st_uid, before.st_gid)
        os.chmod(source, before.st_mode & 0o7777)
        shutil.rmtree(work)


def _convert(work: Path, user: int | None, old: str, new: str, limits: qemu_img.Limits) -> None:
    arguments = ("-t", "writeback", "source", "converted")
    try:
        qemu_img.run(work, user, "convert", "-f", old, "-O", new, *arguments, limits=limits)
    except Refused as no:
        if "No space left" in str(no):
            raise
        raise Impossible(f"The image cannot be converted: {no}") from no


conversion = ImageConversion()
