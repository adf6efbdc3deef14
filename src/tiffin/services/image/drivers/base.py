"""What the image service needs from a place that keeps bytes.

Implementations share one conformance suite: `tests/drivers/test_image_store_conformance.py`. Keys are our own ids, never
words of a tenant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, cast

import msgspec

from tiffin.core.driver import Impossible, Refused

CHUNK = 1 << 20
"""Bytes that are moved at a time."""

READS = {"http": ("http", "https")}
"""The schemes of addresses that a store of a kind reads, where it is not one that keeps bytes under keys of ours."""

_KEY = re.compile(r"[0-9a-zA-Z-]{1,64}")


class StoreFull(Refused):
    """There is no room for the bytes."""


class Missing(Impossible):
    """No bytes are kept under this key."""


class ImageStore(Protocol):
    name: str  # as clients see it
    kind: str  # file, rbd, http, memory
    description: str
    writable: bool  # whether it takes bytes; what it does not take it reads from addresses that clients name

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Keep the bytes and give their number. All or nothing, and durable when it returns: when `chunks` raises, when
        the store refuses or `delete` comes in between, nothing is left. A key is written once: its bytes never change.
        Raises `StoreFull` or `Refused`, and whatever `chunks` raises.
        """
        ...

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes from `start`, `length` of them or all that follow, in chunks of at most `CHUNK`. Raises `Missing` at
        once, not at the first chunk; close the iterator to let go early."""
        ...

    def delete(self, key: str) -> None:
        """Forget the bytes, finished or half written. May be repeated. Raises `Refused`, also for as long as somebody reads
        them from whom they cannot be taken, or makes use of them where they are."""
        ...

    def in_use(self, key: str) -> bool:
        """Whether something outside of the image service lives on these bytes where they are, such as a volume that was
        cloned from them. Raises `Refused`."""
        ...

    def address(self, key: str) -> str:
        """Where the bytes are, as operators and other programs would find them: a URL. Asks nobody: it is told in
        transactions. Raises `Refused` when the store is not what its settings say."""
        ...

    def facts(self) -> dict[str, Any]:
        """What an administrator may know of the place: properties by upstream's names. Raises `Refused`."""
        ...

    def keys(self) -> Iterator[str]:
        """Every key of which there is a byte, half-written ones too."""
        ...


class ReadingStore(ImageStore, Protocol):
    """A store that takes no bytes; its keys are the addresses of others'."""

    def size(self, key: str) -> int | None:
        """How many bytes there are, where that is told. Raises `Missing`, `Refused` or `Impossible`."""
        ...


class ImageStores:
    """The stores of a cloud by name, which of them is meant when nobody says, and where bytes wait for their import."""

    def __init__(
        self,
        stores: Iterable[ImageStore],
        default: str = "",
        staging: ImageStore | None = None,
        weights: Mapping[str, int] | None = None,
    ) -> None:
        """`default`: the first one unless said. `staging`: the default one unless said; clients do not see it. `weights`: by
        name, 0 unless said; the heaviest is preferred."""
        self._stores = {store.name: store for store in stores}
        self._weights = dict(weights or {})
        self.default = default or next(iter(self._stores))
        self.staging = staging or self._stores[self.default]

    def __iter__(self) -> Iterator[ImageStore]:
        return iter(self._stores.values())

    def names(self) -> list[str]:
        return list(self._stores)

    def get(self, name: str) -> ImageStore:
        """Raises `Impossible` when there is no such store (any more)."""
        found = self.staging if name == self.staging.name else self._stores.get(name)
        if found is None:
            raise Impossible(f"There is no image store {name}.")
        return found

    def weight(self, name: str) -> int:
        return self._weights.get(name, 0)

    def ordered(self, names: Iterable[str]) -> list[str]:
        """The heaviest first, otherwise as they come."""
        return sorted(names, key=lambda name: -self.weight(name)) if self._weights else list(names)

    def reading(self, address: str) -> ReadingStore | None:
        """The store that reads this address of somebody else's, if there is one."""
        scheme = address.partition(":")[0].lower()
        found = (store for store in self._stores.values() if not store.writable and scheme in READS[store.kind])
        return cast("ReadingStore | None", next(found, None))

    def all(self) -> list[ImageStore]:
        """Those that clients see, and where bytes wait."""
        return list({**self._stores, self.staging.name: self.staging}.values())


def check_key(key: str) -> str:
    """Raises ValueError on what is no id of ours: a defect, not an input."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key: {key[:80]!r}")
    return key


class CachedCopy(msgspec.Struct, frozen=True):
    """An image in the cache of one node."""

    image_id: str
    size: int  # bytes that it takes there
    hits: int  # how often it was found there
    last_accessed: float  # seconds since the epoch
    last_modified: float


class ImageCaches(Protocol):
    """Where images are kept ready: the caches of the hosts. Calls may be repeated, and raise `Refused` for a node that does
    not answer."""

    def nodes(self) -> list[str]: ...

    def own(self) -> ImageCaches:
        """Those that nobody but this process looks after."""
        ...

    def looked_after(self) -> ImageCaches:
        """Those that whoever leads looks after."""
        ...

    def cached(self, node: str) -> list[CachedCopy]:
        """What is in the cache of a node."""
        ...

    def ensure(self, node: str, image_id: str) -> None:
        """Have an active image in the cache of a node. Raises `Impossible` when it can never be there."""
        ...

    def forget(self, node: str, image_id: str) -> bool:
        """Remove an image and what is left of a download of it. False when it is in use."""
        ...

    def clean(self, node: str, stalled: float) -> int:
        """Remove what downloads left that were interrupted at least so many seconds ago; how many there were."""
        ...
