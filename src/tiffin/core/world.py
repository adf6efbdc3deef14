"""Time, chance and identity are passed in, so that tests and the simulator can own them."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
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


@functools.lru_cache(maxsize=1024)
def _day(days: int) -> str:
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days)).isoformat()


def iso(at: float | None, *, micro: bool = False, zulu: bool = True) -> str | None:
    """A stored time as ISO 8601 in UTC: 2026-01-31T23:59:59Z, with microseconds or without the Z where a service's
    clients expect that."""
    if at is None:
        return None
    if not micro:  # by hand: a long list has thousands
        days, seconds = divmod(math.floor(at), 86_400)
        text = f"{_day(days)}T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return text + "Z" if zulu else text
    text = datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="microseconds")  # ...+00:00
    return text[:26] + ("Z" if zulu else "")
