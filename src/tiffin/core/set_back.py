"""A clock that was set back: what sleeps until a moment that was near is not to sleep until that moment comes again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import update

from tiffin.core.tables import LifecycleRow

if TYPE_CHECKING:
    from tiffin.core.cloud import Cloud

NOTICED = 1.0
"""Seconds; less does no harm."""
log = structlog.get_logger("engine")


class SetBack:
    """The clock of an engine, which looks at least every few seconds."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._latest, self._lock = cloud, 0.0, threading.Lock()

    def now(self) -> float:
        """Seconds since the epoch."""
        with self._lock:
            now = self._cloud.world.clock()
            if now < self._latest - NOTICED:
                self._wake(now, self._latest - now)
            self._latest = now
        return now

    def wake_all(self) -> None:
        """Have nothing sleep: nobody knows what the clock did while no engine ran. A step that is run early sleeps again."""
        self._wake(self._cloud.world.clock(), 0.0)

    def _wake(self, now: float, by: float) -> None:
        """`by`: for how many seconds deadlines are too far away."""
        if by:
            log.warning("engine.clock_set_back", seconds=round(by, 1))
        with self._cloud.database.write() as session:
            session.execute(update(LifecycleRow).where(LifecycleRow.wake > now).values(wake=now))
            if by:
                late = LifecycleRow.deadline  # one that is nearer was told before the clock went ahead
                session.execute(update(LifecycleRow).where(late > now + by).values(deadline=late - by))
