"""Turns and locks on disk: one small file for each id, which outlives our processes and the thing itself.

The file is both the lock and the memory: whoever holds it has compared its turn, and keeps others away until its effect
is complete. It outlives `forget_guest`, since a runner that lost its lease may come even later.
"""
from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tiffin.core.driver import Refused, StaleTurn, Turn

_WIDTH = 20  # digits; fixed, so that a write is one pwrite and never half a number


class Fences:
    """The newest turn of each id that this host has seen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def hold(self, id: str, turn: Turn) -> Iterator[None]:
        """Be the only one who changes `id`, in this or any process. Raises `StaleTurn` if a newer turn was seen,
        and turns an error of the operating system into `Refused`.

        Waits for whoever holds it; what they do is bounded by the deadlines of the processes they wait for.
        """
        with self._locked(id) as file:
            seen = int(os.pread(file, _WIDTH, 0) or b"0")
            if turn < seen:
                raise StaleTurn(f"{id}: turn {turn} is older than {seen}")
            if turn > seen:
                os.pwrite(file, b"%0*d" % (_WIDTH, turn), 0)
            yield

    @contextmanager
    def only(self, id: str, *, wait: bool = True) -> Iterator[None]:
        """Be the only one who changes `id`, for what has no turns (an image in the cache). `wait=False`: raises `Refused`
        when somebody else is."""
        with self._locked(id, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)):
            yield

    def prune(self, before: float, keep: Callable[[str], bool]) -> None:
        """Forget ids that nobody called since `before` (seconds since the epoch) and that `keep` does not want."""
        for path in self._folder.iterdir():
            if path.stat().st_mtime < before and not keep(path.name):
                path.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, id: str, how: int = fcntl.LOCK_EX) -> Iterator[int]:
        try:
            file = os.open(self._folder / id, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, how)
                yield file
            finally:
                os.close(file)
        except OSError as error:  # a full disk, say: all that changes this host passes here
            raise Refused(f"the host cannot do it now: {error}") from error
