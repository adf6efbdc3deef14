"""Images in a pool of a Ceph cluster, each as an RBD image that can be cloned.

An image is written under a name of its own, `tiffin-KEY.part`, and renamed when it is complete. Images of other names are
somebody else's and are never touched. Whoever has an image open holds a watch on it, by which `delete` sees writers and
readers of other processes; those of this process are told.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tiffin.core.driver import Refused
from tiffin.services.image.drivers.base import CHUNK, Missing, StoreFull, check_key
from tiffin.services.image.drivers.librbd import ORDER, Account, Image, Pending, Pool, closing, fsid

PREFIX = "tiffin-"
PART = ".part"
SNAPSHOT = "snap"
"""As upstream calls it: who clones an image finds it by this name."""
IN_FLIGHT = 4
"""Chunks that are written at once."""
FIRST_SIZE, MOST_GROWTH = 64 << 20, 8 << 30
"""An image is as large as what has come, doubled from the first size on, by so many bytes at most."""
_ZEROS = bytes(CHUNK)


class RbdStore:
    kind = "rbd"
    writable = True

    def __init__(
        self,
        account: Account,
        *,
        name: str = "rbd",
        description: str = "A pool of a Ceph cluster.",
        fate: Callable[[str], None] = lambda point: None,
    ) -> None:
        """Connects when it is first used. `fate` is called before (`?`) and after (`!`) each effect, for the crash tests."""
        self.account, self.name, self.description, self._fate = account, name, description, fate
        self._pool: Pool | None = None
        self._writers: dict[str, _Writer] = {}
        self._lock = threading.Lock()

    def _connected(self) -> Pool:
        if self._pool is not None:
            return self._pool
        pool = Pool(self.account)  # not under the lock: nobody waits for another's attempt at a dead cluster
        with self._lock:
            if self._pool is None:
                self._pool = pool
                return pool
        pool.close()
        return self._connected()

    def close(self) -> None:
        """Let go of the cluster."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def address(self, key: str) -> str:
        """Where other programs find the image, in upstream's form."""
        return f"rbd://{self._fsid}/{self.account.pool}/{PREFIX}{check_key(key)}/{SNAPSHOT}"

    @functools.cached_property
    def _fsid(self) -> str:
        with _refusals("told what it is"):
            return fsid(self.account)

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        name = PREFIX + check_key(key)
        self._fate("write?")
        with _refusals(f"kept {key}"):
            pool = self._connected()
            if pool.has(name):
                raise Refused(f"The image store has {key} already.")
            pool.create(name + PART)
        try:
            size = self._fill(pool, key, chunks)
            with _refusals(f"kept {key}"):
                pool.rename(name + PART, name)
        except Exception:
            with contextlib.suppress(Refused):  # its row is still there: who owns it asks until it is deleted
                self.delete(key)
            raise
        self._fate("write!")
        return size

    def _fill(self, pool: Pool, key: str, chunks: Iterable[bytes]) -> int:
        with _refusals(f"kept {key}"):
            writer = self._writers[key] = _Writer(pool.open(PREFIX + key + PART))
        try:
            for chunk in chunks:
                with _refusals(f"kept {key}"):
                    writer.take(chunk)
            self._fate("written!")
            with _refusals(f"kept {key}"):
                return writer.finish()
        finally:
            self._writers.pop(key, None)
            with _refusals(f"kept {key}"):
                writer.close()

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        name = PREFIX + check_key(key)
        missing = Missing(f"The store {self.name} has no data {key}.")
        with _refusals(f"read {key}"):
            pool = self._connected()
            try:
                image = pool.open(name)
            except FileNotFoundError:
                raise missing from None
            there = False
            try:
                there = pool.has(name)  # a deletion from here on sees that it is open
            finally:
                if not there:
                    image.close()
        if not there:
            raise missing
        chunks = _chunks(image, start, length)
        next(chunks)  # from here on the generator closes the image, whether or not it is read to its end
        return chunks

    def delete(self, key: str) -> None:
        name = PREFIX + check_key(key)
        self._fate("delete?")
        with _refusals(f"deleted {key}"):
            pool = self._connected()
            writer = self._writers.get(key)
            if writer is not None:
                writer.close()
            if pool.has(name):
                with closing(pool.open(name)) as image:
                    image.unprotect(SNAPSHOT)
                pool.rename(name, name + PART)  # nobody opens it any more
            with contextlib.suppress(FileNotFoundError):
                with closing(pool.open(name + PART)) as image:
                    image.unprotect(SNAPSHOT)
                pool.remove(name + PART)
        self._fate("delete!")

    def in_use(self, key: str) -> bool:
        with _refusals(f"looked at {key}"):
            try:
                with closing(self._connected().open(PREFIX + check_key(key), snapshot=SNAPSHOT)) as image:
                    return image.has_clones()
            except FileNotFoundError:
                return False

    def facts(self) -> dict[str, Any]:
        return {"pool": self.account.pool, "chunk_size": 1 << ORDER, "thin_provisioning": True, "fsid": self._fsid}

    def keys(self) -> Iterator[str]:
        with _refusals("listed what it has"):
            names = self._connected().names()
        yield from {name.removeprefix(PREFIX).removesuffix(PART) for name in names if name.startswith(PREFIX)}


class _Writer:
    """Bytes on their way into an open image. `close` may come at any time, from another thread too."""

    def __init__(self, image: Image) -> None:
        self._image: Image | None = image
        self._lock = threading.Lock()
        self._pending: deque[Pending] = deque()
        self._size = self._room = 0

    def take(self, chunk: bytes) -> None:
        for at in range(0, len(chunk), CHUNK):
            with self._lock:
                self._write(chunk[at : at + CHUNK])

    def _write(self, piece: bytes) -> None:
        image = self._open()
        if self._size + len(piece) > self._room:
            growth = min(max(self._room, FIRST_SIZE), MOST_GROWTH)
            self._room += growth
            image.resize(self._room)
        if piece != _ZEROS[: len(piece)]:  # what was never written reads as zeros
            self._settle(IN_FLIGHT - 1)
            self._pending.append(image.write(self._size, piece))
        self._size += len(piece)

    def _open(self) -> Image:
        if self._image is None:
            raise Refused("The data was deleted while it was being written.")
        return self._image

    def _settle(self, left: int) -> None:
        while len(self._pending) > left:
            self._pending.popleft().wait()

    def finish(self) -> int:
        with self._lock:
            image = self._open()
            self._settle(0)
            image.flush()
            image.resize(self._size)
            image.protect(SNAPSHOT)
            return self._size

    def close(self) -> None:
        with self._lock:
            image, self._image = self._image, None
            if image is None:
                return
            try:
                with contextlib.suppress(OSError):  # it is given up
                    self._settle(0)
            finally:
                image.close()


def _chunks(image: Image, start: int, length: int | None) -> Iterator[bytes]:
    with closing(image):
        yield b""
        size = image.size()
        end = size if length is None else min(size, start + length)
        for at in range(start, end, CHUNK):
            with _refusals("read what was asked"):
                yield image.read(at, min(CHUNK, end - at))


@contextlib.contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Raise what the cluster says in our words; `what` it has not done."""
    try:
        yield
    except OSError as no:
        if no.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull("There is not enough room in the image store.") from no
        if no.errno == errno.EBUSY:
            raise Refused(f"The image store has not {what}: it is in use.") from no
        if no.errno == errno.EEXIST:
            raise Refused(f"The image store has not {what}: it is there already.") from no
        raise Refused(f"The image store has not {what}: {no.strerror or no}.") from no
