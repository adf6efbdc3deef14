"""Images in memory: for the simulator and for tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tiffin.core.driver import Refused
from tiffin.services.image.drivers.base import CHUNK, Missing, StoreFull, check_key


class MemoryStore:
    kind = "memory"
    writable = True

    def __init__(
        self,
        *,
        capacity: int = 1 << 30,
        name: str = "memory",
        description: str = "The memory of this process.",
        fate: Callable[[str], None] = lambda point: None,
    ) -> None:
        """`capacity`: bytes that fit. `fate` is called before (`?`) and after (`!`) each effect, for the crash tests."""
        self.capacity, self.name, self.description, self._fate = capacity, name, description, fate
        self._kept: dict[str, bytes] = {}
        self._parts: dict[str, bytearray] = {}
        self._lock = threading.Lock()

    def _used(self) -> int:
        return sum(map(len, self._kept.values())) + sum(map(len, self._parts.values()))

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        self._fate("write?")
        with self._lock:
            if check_key(key) in self._parts or key in self._kept:
                raise Refused(f"The image store has {key} already.")
            part = self._parts[key] = bytearray()
        try:
            for chunk in chunks:
                with self._lock:
                    if self._used() + len(chunk) > self.capacity:
                        raise StoreFull("There is not enough room in the image store.")
                    part += chunk
            self._fate("written!")
            with self._lock:
                if self._parts.get(key) is not part:
                    raise Refused(f"The data {key} was deleted while it was being written.")
                self._kept[key] = bytes(part)
        finally:
            with self._lock:
                if self._parts.get(key) is part:
                    del self._parts[key]
        self._fate("write!")
        return len(part)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        try:
            kept = self._kept[check_key(key)]
        except KeyError:
            raise Missing(f"The store {self.name} has no data {key}.") from None
        end = len(kept) if length is None else min(start + length, len(kept))
        return (kept[at : min(at + CHUNK, end)] for at in range(start, end, CHUNK))

    def delete(self, key: str) -> None:
        self._fate("delete?")
        with self._lock:
            self._parts.pop(check_key(key), None)
            self._kept.pop(key, None)
        self._fate("delete!")

    def in_use(self, key: str) -> bool:
        return False

    def address(self, key: str) -> str:
        return f"memory://{self.name}/{check_key(key)}"

    def facts(self) -> dict[str, Any]:
        return {"capacity": self.capacity}

    def keys(self) -> Iterator[str]:
        with self._lock:
            yield from sorted({*self._kept, *self._parts})
