"""How disks travel between hosts: in ranges, each followed by the SHA-256 of its bytes.

A range without bytes is a hole. So a copy can go on where it was interrupted, and sparse disks stay sparse."""
from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from tiffin.core.driver import Impossible, Refused

RANGE = 16 << 20
"""The most bytes of one range."""
_DIGEST = hashlib.sha256().digest_size


def sent(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes, then their digest."""
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(chunk)
        yield chunk
    yield total.digest()


def received(stream: Iterator[bytes], length: int) -> bytes:
    """The bytes of a range: `length` of them, or none for a hole. Raises `Refused` when they are not what was sent."""
    found = bytearray()
    for chunk in stream:
        found += chunk
        if len(found) > length + _DIGEST:
            break
    data, digest = bytes(found[:-_DIGEST]), bytes(found[-_DIGEST:])
    if len(data) not in (0, length) or hashlib.sha256(data).digest() != digest:
        raise Refused(f"a range of {length} bytes of a disk did not arrive as it was sent")
    return data


def check(offset: int, length: int) -> None:
    """Raises `Impossible` for a range that nobody may ask for."""
    if offset < 0 or not 0 < length <= RANGE:
        raise Impossible(f"{length} bytes at {offset} are no range of a disk")


def nowhere(guest_id: str, name: str, offset: int, length: int) -> Iterator[bytes]:
    """The `DiskSource` of a host that knows no other."""
    raise Impossible(f"there is no other host here that has disk {name} of guest {guest_id}")
