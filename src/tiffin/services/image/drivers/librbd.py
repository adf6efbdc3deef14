"""Ceph's own libraries, librados.so.2 and librbd.so.1, by ctypes: their Python modules are for the system's Python only.

Names, arguments and codes are those of librados.h and librbd.h. Calls let go of the interpreter's lock. Nothing is loaded
before the first `Pool`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_ssize_t, c_uint64, c_void_p
from typing import Any

import msgspec

LAYERING = 1
"""RBD_FEATURE_LAYERING: clones. No other feature is wanted: locks and object maps are for disks that are written."""

ORDER = 22
"""The objects of an image have two to the power of this many bytes."""

_HANDLE = POINTER(c_void_p)
_RADOS: dict[str, tuple[Any, ...]] = {
    "rados_create2": (_HANDLE, c_char_p, c_char_p, c_uint64),
    "rados_conf_read_file": (c_void_p, c_char_p),
    "rados_conf_set": (c_void_p, c_char_p, c_char_p),
    "rados_connect": (c_void_p,),
    "rados_shutdown": (c_void_p,),
    "rados_conf_get": (c_void_p, c_char_p, c_char_p, c_size_t),
    "rados_ioctx_create": (c_void_p, c_char_p, _HANDLE),
    "rados_ioctx_destroy": (c_void_p,),
    "rados_stat": (c_void_p, c_char_p, POINTER(c_uint64), POINTER(c_uint64)),
}
_RBD: dict[str, tuple[Any, ...]] = {
    "rbd_create2": (c_void_p, c_char_p, c_uint64, c_uint64, POINTER(c_int)),
    "rbd_open": (c_void_p, c_char_p, _HANDLE, c_char_p),
    "rbd_close": (c_void_p,),
    "rbd_resize": (c_void_p, c_uint64),
    "rbd_flush": (c_void_p,),
    "rbd_get_size": (c_void_p, POINTER(c_uint64)),
    "rbd_read": (c_void_p, c_uint64, c_size_t, c_char_p),
    "rbd_remove": (c_void_p, c_char_p),
    "rbd_rename": (c_void_p, c_char_p, c_char_p),
    "rbd_list": (c_void_p, c_char_p, POINTER(c_size_t)),
    "rbd_list_children": (c_void_p, c_char_p, POINTER(c_size_t), c_char_p, POINTER(c_size_t)),
    "rbd_snap_create": (c_void_p, c_char_p),
    "rbd_snap_protect": (c_void_p, c_char_p),
    "rbd_snap_unprotect": (c_void_p, c_char_p),
    "rbd_snap_remove": (c_void_p, c_char_p),
    "rbd_aio_create_completion": (c_void_p, c_void_p, _HANDLE),
    "rbd_aio_write": (c_void_p, c_uint64, c_size_t, c_char_p, c_void_p),
    "rbd_aio_wait_for_complete": (c_void_p,),
    "rbd_aio_get_return_value": (c_void_p,),
    "rbd_aio_release": (c_void_p,),
}
_NOTHING = ("rados_shutdown", "rados_ioctx_destroy", "rbd_aio_release")  # they return nothing
_LONG = ("rbd_read", "rbd_list_children", "rbd_aio_get_return_value")


class Account(msgspec.Struct, frozen=True):
    """How a cluster is reached."""

    conf: str  # path of ceph.conf
    user: str  # without "client."
    pool: str
    seconds: int  # that the cluster may take to answer


@functools.cache
def _library(name: str) -> ctypes.CDLL:
    """Raises OSError when it is not installed."""
    return ctypes.CDLL(name)


@functools.cache
def _function(name: str) -> Any:
    table, library = (_RADOS, "librados.so.2") if name in _RADOS else (_RBD, "librbd.so.1")
    found = getattr(_library(library), name)
    found.argtypes = table[name]
    found.restype = None if name in _NOTHING else c_ssize_t if name in _LONG else c_int
    return found


def call(name: str, *args: Any) -> int:
    """Raises OSError with the library's code when it says no."""
    code = _function(name)(*args)
    if code is not None and code < 0:
        raise OSError(-code, os.strerror(-code), name)
    return code or 0


def fsid(account: Account) -> str:
    """The identifier of the cluster, as its configuration tells it; nobody is asked. Raises OSError."""
    cluster, text = c_void_p(), ctypes.create_string_buffer(64)
    call("rados_create2", byref(cluster), b"ceph", f"client.{account.user}".encode(), 0)
    try:
        call("rados_conf_read_file", cluster, os.fsencode(account.conf))
        call("rados_conf_get", cluster, b"fsid", text, len(text))
    finally:
        call("rados_shutdown", cluster)
    return text.value.decode()


class Pool:
    """A connection to one pool. Methods may be called from several threads; they raise OSError."""

    def __init__(self, account: Account) -> None:
        self._cluster, self._io = c_void_p(), c_void_p()
        call("rados_create2", byref(self._cluster), b"ceph", f"client.{account.user}".encode(), 0)
        try:
            self._connect(account)
        except OSError:
            call("rados_shutdown", self._cluster)
            raise

    def _connect(self, account: Account) -> None:
        call("rados_conf_read_file", self._cluster, os.fsencode(account.conf))
        patience = str(account.seconds).encode()
        for option in ("client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout"):
            call("rados_conf_set", self._cluster, option.encode(), patience)
        # a cache would try to write for ever what a dead cluster does not take
        call("rados_conf_set", self._cluster, b"rbd_cache", b"false")
        call("rados_connect", self._cluster)
        call("rados_ioctx_create", self._cluster, account.pool.encode(), byref(self._io))

    def close(self) -> None:
        if self._io:
            call("rados_ioctx_destroy", self._io)
        call("rados_shutdown", self._cluster)

    def names(self) -> list[str]:
        """Every image in the pool."""
        size = c_size_t(1 << 16)
        while True:
            text = ctypes.create_string_buffer(size.value)
            try:
                call("rbd_list", self._io, text, byref(size))
            except OSError as no:
                if no.errno != errno.ERANGE:  # ERANGE has set the size that is needed
                    raise
                continue
            return [name.decode() for name in text.raw[: size.value].split(b"\0") if name]

    def has(self, name: str) -> bool:
        """Whether an image has this name now: by its object `rbd_id.NAME`, which comes and goes with it."""
        try:
            call("rados_stat", self._io, f"rbd_id.{name}".encode(), byref(c_uint64()), byref(c_uint64()))
        except FileNotFoundError:
            return False
        return True

    def create(self, name: str) -> None:
        """An empty image. Raises FileExistsError."""
        call("rbd_create2", self._io, name.encode(), 0, LAYERING, byref(c_int(ORDER)))

    def rename(self, name: str, new: str) -> None:
        call("rbd_rename", self._io, name.encode(), new.encode())

    def remove(self, name: str) -> None:
        """Raises OSError EBUSY while somebody has it open."""
        call("rbd_remove", self._io, name.encode())

    def open(self, name: str, *, snapshot: str | None = None) -> Image:
        """Whoever has it open is seen by `remove`, here and elsewhere. Raises FileNotFoundError."""
        handle = c_void_p()
        call("rbd_open", self._io, name.encode(), byref(handle), snapshot.encode() if snapshot else None)
        return Image(handle)


class Image:
    """An open image. Close it once."""

    def __init__(self, handle: c_void_p) -> None:
        self._handle = handle

    def close(self) -> None:
        call("rbd_close", self._handle)

    def size(self) -> int:
        size = c_uint64()
        call("rbd_get_size", self._handle, byref(size))
        return size.value

    def resize(self, size: int) -> None:
        call("rbd_resize", self._handle, size)

    def flush(self) -> None:
        call("rbd_flush", self._handle)

    def read(self, start: int, length: int) -> bytes:
        buffer = ctypes.create_string_buffer(length)
        return ctypes.string_at(buffer, call("rbd_read", self._handle, start, length, buffer))

    def write(self, start: int, data: bytes) -> Pending:
        """Begins to; `Pending.wait` tells how it went."""
        return Pending(self._handle, start, data)

    def protect(self, snapshot: str) -> None:
        """Make a snapshot of which clones may be made."""
        call("rbd_snap_create", self._handle, snapshot.encode())
        call("rbd_snap_protect", self._handle, snapshot.encode())

    def unprotect(self, snapshot: str) -> None:
        """Remove the snapshot, if it is there. Raises OSError EBUSY when it has clones."""
        with contextlib.suppress(FileNotFoundError):
            try:
                call("rbd_snap_unprotect", self._handle, snapshot.encode())
            except OSError as no:
                if no.errno != errno.EINVAL:  # EINVAL: it is not protected (any more)
                    raise
            call("rbd_snap_remove", self._handle, snapshot.encode())

    def has_clones(self) -> bool:
        """Whether there are clones of the snapshot at which it was opened."""
        pools, images = c_size_t(0), c_size_t(0)
        try:
            return call("rbd_list_children", self._handle, None, byref(pools), None, byref(images)) > 0
        except OSError as no:
            if no.errno == errno.ERANGE:  # no room here for their names
                return True
            raise


class Pending:
    """A write that is on its way."""

    def __init__(self, handle: c_void_p, start: int, data: bytes) -> None:
        self._data = data  # kept until it is written
        self._completion = c_void_p()
        call("rbd_aio_create_completion", None, None, byref(self._completion))
        try:
            call("rbd_aio_write", handle, start, len(data), data, self._completion)
        except OSError:
            call("rbd_aio_release", self._completion)
            raise

    def wait(self) -> None:
        """Raises OSError when it could not be written."""
        try:
            call("rbd_aio_wait_for_complete", self._completion)
            call("rbd_aio_get_return_value", self._completion)
        finally:
            call("rbd_aio_release", self._completion)


@contextlib.contextmanager
def closing(image: Image) -> Iterator[Image]:
    try:
        yield image
    finally:
        image.close()
