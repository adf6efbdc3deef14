"""Time, chance and identity are passed in, so that tests and the simulator can own them."""

from __future__ import annotations

import dataclasses
import datetime
import secrets
import time
import uuid
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class World:
    clock: Callable[[], float] = time.time  # seconds since the epoch
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    random_bytes: Callable[[int], bytes] = secrets.token_bytes

    def hex(self, size: int) -> str:
        """`size` random bytes in hexadecimal."""
        return self.random_bytes(size).hex()


def iso(at: float | None, *, micro: bool = False, zulu: bool = True) -> str | None:
    """A stored time as ISO 8601 in UTC: 2026-01-31T23:59:59Z, with microseconds or without the Z where a service's
    clients expect that."""
    if at is None:
        return None
    text = datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="microseconds")  # ...+00:00
    return text[: 26 if micro else 19] + ("Z" if zulu else "")
