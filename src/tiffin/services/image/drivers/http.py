"""Images that are somewhere else: read over HTTP from the addresses that clients gave, never written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from tiffin.core.driver import Impossible


class Web(Protocol):
    """Reads from addresses that tenants name, as far as its rules let it; `WebReader` of web.py."""

    def read(self, url: str, start: int, length: int | None) -> Iterator[bytes]: ...

    def size(self, url: str) -> int | None: ...


class HttpStore:
    """Its keys are addresses. What is there belongs to somebody else: it may be gone, and is never deleted from here."""

    kind = "http"
    writable = False

    def __init__(self, web: Web, *, name: str = "http", description: str = "Images on other servers, read only.") -> None:
        self._web, self.name, self.description = web, name, description

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        raise Impossible(f"Nothing can be written to the store {self.name}.")

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See `ImageStore`; in addition raises `Refused` and `Impossible` for a server that does not give the bytes."""
        return self._web.read(key, start, length) if length != 0 else iter(())

    def size(self, key: str) -> int | None:
        """How many bytes there are, where the server tells. Raises `Missing`, `Refused` or `Impossible`."""
        return self._web.size(key)

    def delete(self, key: str) -> None:
        """Nothing of ours is there."""

    def in_use(self, key: str) -> bool:
        return False

    def address(self, key: str) -> str:
        return key

    def facts(self) -> dict[str, Any]:
        return {}

    def keys(self) -> Iterator[str]:
        return iter(())
