"""What every driver of the outside world shares: turns, and the two ways in which the world says no."""

from __future__ import annotations

from typing import NewType

Turn = NewType("Turn", int)
"""The number of a lifecycle's turn. It only grows; whoever executes a driver call refuses an older one than it has
seen for the same id, so that a runner which lost its lease cannot undo what its successor did."""


class Refused(Exception):
    """The world said no for now (busy, unreachable, out of time). The same call may succeed later."""


class Impossible(Exception):
    """The world said no for good (a corrupt image, a flavor that no guest can boot). The message is for the user."""


class StaleTurn(Exception):
    """The call carried an older turn than one already seen for this id: the caller is no longer the owner."""


class Turns:
    """Remembers the newest turn by id, for executors that live in one process.

    It forgets the ids that it has not heard of for longest, beyond `limit`: a runner is never that late."""

    def __init__(self, limit: int = 100_000) -> None:
        self._seen: dict[str, int] = {}
        self._limit = limit

    def check(self, id: str, turn: Turn) -> None:
        """Raise `StaleTurn` if a newer turn of this id was seen, else remember this one."""
        seen = self._seen.get(id, 0)
        if turn < seen:
            raise StaleTurn(f"{id}: turn {turn} is older than {seen}")
        self._seen.pop(id, None)
        self._seen[id] = turn
        if len(self._seen) > self._limit:
            del self._seen[next(iter(self._seen))]

    def forget(self, id: str) -> None:
        self._seen.pop(id, None)
