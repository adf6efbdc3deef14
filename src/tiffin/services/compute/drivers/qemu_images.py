"""The host's cache of images: each fetched once, verified, made read-only, and then the base of many disks."""
from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from tiffin.core import qemu_img
from tiffin.core.confinement import give, user_for
from tiffin.core.driver import Impossible, Refused
from tiffin.services.compute.drivers.base import BaseImage, ImageSource
from tiffin.services.compute.drivers.fences import Fences

_CONVERTED = {"vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}  # to qcow2; QEMU's names of the formats


class Cached(msgspec.Struct, frozen=True):
    """An image in the cache: the format of the file, the bytes a guest sees, and the digest of what was uploaded."""

    format: Literal["raw", "qcow2"]
    virtual_size: int
    sha512: str


class ImageCache:
    """A folder with one folder for each image: `image` (read-only) and `facts.json`. A rename makes it appear whole."""

    def __init__(self, folder: Path, source: ImageSource, fences: Fences, most_bytes: int) -> None:
        """`most_bytes` is the largest virtual size that is taken."""
        self._folder, self._source, self._fences, self._most_bytes = folder, source, fences, most_bytes
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

    def ensure(self, image: BaseImage) -> None:
        """Have the image. Raises `Impossible` when its bytes are not what it claims; what its source raises passes."""
        with self._fences.only(f"image-{image.id}"):
            if (self._folder / image.id).exists():
                self.get(image)
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

    def prune(self, kept: Callable[[str], bool]) -> None:
        """Remove the images, and what is left of interrupted downloads, whose id is not `kept` at their turn."""
        for id in {folder.name.removeprefix(".") for folder in self._folder.iterdir()}:
            if not kept(id):
                with self._fences.only(f"image-{id}"):
                    if not kept(id):  # a guest may have come for it while we waited
                        shutil.rmtree(self._folder / id, ignore_errors=True)
                        shutil.rmtree(self._folder / f".{id}", ignore_errors=True)

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
        if image.disk_format == "qcow2" or image.disk_format in _CONVERTED:
            format = "qcow2"
        path.chmod(0o444)
        facts = Cached(format, virtual_size, image.sha512.lower())
        (folder / "facts.json").write_bytes(msgspec.json.encode(facts))

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
