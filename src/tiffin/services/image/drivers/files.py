"""Images as files in one folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tiffin.core.driver import Refused
from tiffin.services.image.drivers.base import CHUNK, Missing, StoreFull, check_key


class FileStore:
    kind = "file"
    writable = True

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "file",
        description: str = "Files on this machine.",
        fate: Callable[[str], None] = lambda point: None,
    ) -> None:
        """`fate` is called before (`?`) and after (`!`) each effect, for the crash tests."""
        self.folder, self.name, self.description, self._fate = folder, name, description, fate
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / check_key(key)

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        path = self._path(key)
        part = path.with_suffix(".part")
        self._fate("write?")
        if path.exists():
            raise Refused(f"The image store has {key} already.")
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as no:
            raise _refusal(no) from no
        try:
            with open(handle, "wb", buffering=0) as file:
                size = sum(_write_all(file.fileno(), chunk) for chunk in chunks)
                self._fate("written!")
                os.fsync(file.fileno())
            os.replace(part, path)
            self._sync_folder()
        except OSError as no:
            part.unlink(missing_ok=True)
            raise _refusal(no) from no
        except Exception:
            part.unlink(missing_ok=True)
            raise
        self._fate("write!")
        return size

    def _sync_folder(self) -> None:
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        try:
            handle = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Missing(f"The store {self.name} has no data {key}.") from None
        chunks = _chunks(handle, start, length)
        next(chunks)  # from here on the generator closes the file, whether or not it is read to its end
        return chunks

    def delete(self, key: str) -> None:
        self._fate("delete?")
        path = self._path(key)
        try:
            # the half-written one first: a writer that comes to its end in between then finds nothing to finish
            path.with_suffix(".part").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        except OSError as no:
            raise Refused(f"The image store could not delete {key}: {no.strerror}.") from no
        self._fate("delete!")

    def in_use(self, key: str) -> bool:
        return False

    def address(self, key: str) -> str:
        return self._path(key).as_uri()

    def facts(self) -> dict[str, Any]:
        return {"data_dir": str(self.folder), "chunk_size": CHUNK, "thin_provisioning": False}

    def keys(self) -> Iterator[str]:
        yield from {name.removesuffix(".part") for name in os.listdir(self.folder)}


def _refusal(no: OSError) -> Refused:
    if no.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreFull("There is not enough room in the image store.")
    return Refused(f"The image store could not keep the data: {no.strerror}.")


def _write_all(handle: int, chunk: bytes) -> int:
    view = memoryview(chunk)
    while view:
        view = view[os.write(handle, view) :]
    return len(chunk)


def _chunks(handle: int, start: int, length: int | None) -> Iterator[bytes]:
    try:
        yield b""
        while length is None or length > 0:
            chunk = os.pread(handle, CHUNK if length is None else min(CHUNK, length), start)
            if not chunk:
                return
            yield chunk
            start += len(chunk)
            length = None if length is None else length - len(chunk)
    finally:
        os.close(handle)
