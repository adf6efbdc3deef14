"""Image bytes are what they claim to be, or they go no further: digest, size, format, and nothing outside themselves.

Nothing else may look at an image before this has: the rules come from CVE-2015-5163, CVE-2022-47951, CVE-2024-32498
and their like. The inspector reads headers only, as the bytes pass.
"""
from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator
from typing import IO, cast

from oslo_utils.imageutils import format_inspector

from tiffin.core.driver import Impossible
from tiffin.services.compute.drivers.base import BaseImage

# What the inspector may find in a file of each declared format. A raw disk with a partition table is "gpt" to it; an
# ISO that also boots from a stick has both.
_DETECTED = {
    "raw": {"raw", "gpt"}, "ami": {"raw", "gpt"}, "iso": {"iso", "gpt"}, "qcow2": {"qcow2"}, "vmdk": {"vmdk"},
    "vdi": {"vdi"}, "vhd": {"vhd"}, "vhdx": {"vhdx"},
}
_VHDX_PIECE = 1 << 16  # its inspector looks for one table in each piece that it is given, and they are as far apart
_OPAQUE = ("aki", "ari")  # kernels and their ramdisks: loaded as they are, nobody parses them


def verified(chunks: Iterable[bytes], image: BaseImage, most_bytes: int, write: Callable[[bytes], object]) -> int:
    """Pass the chunks on to `write` and give the size in bytes that a guest sees.

    Raises `Impossible` when digest, size or format are not what `image` claims, when the image refers to anything
    outside itself, or when it is larger than `most_bytes`.
    """
    digest, size = hashlib.sha512(), 0
    # The inspector wants a file-like thing, but iterates it only.
    inspector = format_inspector.InspectWrapper(cast(IO[bytes], iter(_bounded(chunks, image))))
    for chunk in inspector:
        digest.update(chunk)
        size += len(chunk)
        write(chunk)
    inspector.close()
    if size != image.size or not hmac.compare_digest(digest.hexdigest(), image.sha512.lower()):
        raise Impossible(f"image {image.id} is corrupt: its bytes do not have the registered size and SHA-512")
    virtual_size = size if image.disk_format in _OPAQUE else _safe_size(inspector, image, size)
    if virtual_size > most_bytes:
        raise Impossible(f"image {image.id} is too large: {virtual_size} bytes, this host takes {most_bytes}")
    return virtual_size


def _bounded(chunks: Iterable[bytes], image: BaseImage) -> Iterator[bytes]:
    left = image.size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise Impossible(f"image {image.id} is corrupt: it has more than its registered {image.size} bytes")
        step = _VHDX_PIECE if image.disk_format == "vhdx" else len(chunk) or 1
        yield from (chunk[at : at + step] for at in range(0, len(chunk), step))


def _safe_size(inspector: format_inspector.InspectWrapper, image: BaseImage, size: int) -> int:
    found = {str(each): each for each in inspector.formats or []}
    fits = bool(found) and found.keys() <= _DETECTED[image.disk_format]
    if not fits or (image.disk_format == "iso" and "iso" not in found):
        raise Impossible(f"image {image.id} is registered as {image.disk_format}, but is {' and '.join(sorted(found))}")
    for each in found.values():
        try:
            each.safety_check()
        except format_inspector.SafetyCheckFailed as failed:
            raise Impossible(f"image {image.id} is unsafe: {', '.join(map(str, failed.failures.values()))}") from failed
        except format_inspector.ImageFormatError as error:
            raise Impossible(f"image {image.id} is damaged: {error}") from error
    if image.disk_format in ("raw", "ami", "iso"):
        return size
    with contextlib.suppress(format_inspector.ImageFormatError, ValueError, ArithmeticError):
        if virtual_size := found[image.disk_format].virtual_size:
            return virtual_size
    raise Impossible(f"image {image.id} is damaged: its header does not tell its size")
