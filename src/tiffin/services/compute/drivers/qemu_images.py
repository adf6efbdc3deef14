"""The host's cache of images: each fetched once, verified, made read-only, and then the base of many disks."""
from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from tiffin.core import qemu_img
from tiffin.core.confinement import give, user_for
from tiffin.core.driver import Impossible, Refused
from tiffin.services.compute.drivers.base import BaseImage, CachedImage, ImageSource
from tiffin.services.compute.drivers.fences import Fences

_CONVERTED = {"vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}  # to qcow2; QEMU's names of the formats


class Cached(msgspec.Struct, frozen=True):
    """An image in the cache: the format of the file, the bytes a guest sees, and the digest of what was uploaded."""

    format: Literal["raw", "qcow2"]
    virtual_size: int
    sha512: str


class ImageCache:
    """A folder with one folder for each image: `image` (read-only), `facts.json`, and `hits`, which grows by a byte for each
    guest that finds the image there. A rename makes it appear whole."""

    def __init__(
        self, folder: Path, source: ImageSource, fences: Fences, most_bytes: int, in_use: Callable[[str], bool]
    ) -> None:
        """`most_bytes` is the largest virtual size that is taken, `in_use` whether a guest stands on an image."""
        self._folder, self._source, self._fences, self._most_bytes = folder, source, fences, most_bytes
        self._in_use = in_use
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)  # QEMU's users may open an image whose id they know; nobody may list

    def path(self, image_id: str) -> Path:
        return self._folder / image_id / "image"

    def get(self, image: BaseImage) -> Cached:
        """The cached image. Raises `Impossible` when it is not there, or was another one."""
        try:
            cached = msgspec.json.decode((self._folder / image.id / "facts.json").read_bytes(), type=Cached)
        except FileNotFoundError as error:
            raise Impossible(f"image {image.id} is not in this host's cache") from error
        if cached.sha512 != image.sha512.lower():
            raise Impossible(f"image {image.id} is in this host's cache with another digest")
        return cached

    def ensure(self, image: BaseImage, *, hit: bool = False) -> None:
        """Have the image; `hit`: count it when it was there. Raises `Impossible` when its bytes are not what it claims;
        what its source raises passes."""
        with self._fences.only(f"image-{image.id}"):
            if (self._folder / image.id).exists():
                self.get(image)
                if hit:
                    with open(self._folder / image.id / "hits", "ab") as hits:
                        hits.write(b".")
                return
            partial = self._folder / f".{image.id}"  # of a predecessor, who died while he fetched it
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            partial.chmod(0o711)
            try:
                self._fetch(image, partial)
                os.rename(partial, self._folder / image.id)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    def all(self) -> list[CachedImage]:
        ids = sorted(folder.name for folder in self._folder.iterdir() if not folder.name.startswith("."))
        return [found for id in ids if (found := self._described(id)) is not None]

    def _described(self, id: str) -> CachedImage | None:
        """None when it has gone meanwhile."""
        try:
            image = (self._folder / id / "image").stat()
            hits = (self._folder / id / "hits").stat()
        except FileNotFoundError:
            return None
        return CachedImage(id, image.st_size, hits.st_size, hits.st_mtime, image.st_mtime)

    def forget(self, id: str) -> bool:
        """Remove an image, and what is left of an interrupted download of it, unless it is in use. Raises `Refused` while
        it is being fetched."""
        with self._fences.only(f"image-{id}", wait=False):
            if self._in_use(id):
                return False
            self._remove(id)
            shutil.rmtree(self._folder / f".{id}", ignore_errors=True)
            return True

    def _remove(self, id: str) -> None:
        """It leaves by a rename as it came: who dies here leaves an interrupted download, not half an image."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder / f".{id}", ignore_errors=True)
            os.rename(self._folder / id, self._folder / f".{id}")

    def clean(self, stalled: float) -> int:
        """Remove what downloads left that nobody has continued for so many seconds; how many there were."""
        return sum(self._clean(part, stalled) for part in list(self._folder.glob(".*")))

    def _clean(self, part: Path, stalled: float) -> bool:
        try:
            with self._fences.only(f"image-{part.name[1:]}", wait=False):
                found = part.exists() and time.time() - _touched(part) >= stalled
                if found:
                    shutil.rmtree(part)
                return found
        except Refused:  # it is being fetched: it is not stalled
            return False

    def _fetch(self, image: BaseImage, folder: Path) -> None:
        from tiffin.services.compute.drivers.image_inspection import verified  # late: it is slow

        path = folder / "image"
        with open(path, "xb") as file:
            virtual_size = verified(self._source(image.id), image, self._most_bytes, file.write)
            file.flush()
            os.fsync(file.fileno())
        format: Literal["raw", "qcow2"] = "raw"
        if image.disk_format in _CONVERTED:
            virtual_size = self._convert(image, folder)
            if virtual_size > self._most_bytes:  # QEMU reads the size elsewhere than the inspector for some formats
                raise Impossible(f"image {image.id} is too large: {virtual_size} bytes, this host takes {self._most_bytes}")
        if image.disk_format == "qcow2" or image.disk_format in _CONVERTED:
            format = "qcow2"
        path.chmod(0o444)
        facts = Cached(format, virtual_size, image.sha512.lower())
        (folder / "facts.json").write_bytes(msgspec.json.encode(facts))
        (folder / "hits").touch()

    def _convert(self, image: BaseImage, folder: Path) -> int:
        """Turn the file into qcow2 and give its virtual size: some formats round it."""
        user = user_for(image.id)
        give(folder, user, 0o700)
        give(folder / "image", user, 0o400)
        try:
            qemu_img.run(folder, user, "convert", "-f", _CONVERTED[image.disk_format], "-O", "qcow2", "-t", "writeback",
                         "image", "converted")
        except Refused as refused:
            raise Impossible(f"image {image.id} cannot be converted from {image.disk_format}: {refused}") from refused
        os.rename(folder / "converted", folder / "image")
        if user is not None:
            os.chown(folder, 0, 0)
            os.chown(folder / "image", 0, 0)
        folder.chmod(0o711)
        return qemu_img.qcow2_size(folder / "image")


def _touched(folder: Path) -> float:
    """When anything in the folder last changed, in seconds since the epoch."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
