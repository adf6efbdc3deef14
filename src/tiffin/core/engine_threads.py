"""Threads of their own for slow steps, with a heartbeat that keeps the leases of the lifecycles that they run.

A step that copies an image for an hour must neither hold one of the engine's threads nor lose its lease to another engine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import update

from tiffin.core.tables import LifecycleRow

if TYPE_CHECKING:
    from tiffin.core.cloud import Cloud

SLOW = 8
"""Slow steps that an engine runs at a time; more wait in their rows."""
FULL = 1.0
"""Seconds between two looks of such a waiting one."""

log = structlog.get_logger("engine")


def name_this_thread() -> None:
    """Tell the kernel this thread's name, so that `ps -T` and the benchmarks can tell it from those of requests."""
    Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(threading.current_thread().name[:15])


class SlowThreads:
    def __init__(self, cloud: Cloud, node: str, lease: float) -> None:
        """`node` is the engine's place; `lease`: the seconds for which it keeps one, renewed after a sixth of that."""
        self._cloud, self._node, self._lease = cloud, node, lease
        self._rows: dict[threading.Thread, LifecycleRow] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._beat: threading.Thread | None = None

    def start(self) -> None:
        """From here on `begin` has threads to give, until `stop`."""
        self._beat = threading.Thread(target=self._keep_leases, name="engine-beat", daemon=True)
        self._beat.start()

    def stop(self, timeout: float) -> None:
        """Begin nothing any more, and wait a little for what is running: its rows are free for the next engine at this
        place, which begins those steps anew."""
        self._stopping.set()
        end = time.monotonic() + timeout  # for all of them together
        for thread in [*self._rows, *([self._beat] if self._beat else [])]:
            thread.join(max(0.0, end - time.monotonic()))

    def wanted(self) -> bool:
        """Whether a slow step has to be handed over: not where nothing runs in the background, and not from one of these
        threads to another."""
        return self._beat is not None and threading.current_thread() not in self._rows

    def begin(self, row: LifecycleRow, run: Callable[[LifecycleRow], None]) -> bool:
        """Run the lifecycle in a thread of its own until it waits. False when all are taken."""
        thread = threading.Thread(target=self._work, args=(row, run), name=f"slow-{row.kind}", daemon=True)
        with self._lock:
            if len(self._rows) >= SLOW or self._stopping.is_set():
                return False
            self._rows[thread] = row
        thread.start()
        return True

    def _work(self, row: LifecycleRow, run: Callable[[LifecycleRow], None]) -> None:
        name_this_thread()
        try:
            run(row)
        except Exception:
            log.exception("engine.defect")
        finally:
            with self._lock:
                del self._rows[threading.current_thread()]

    def _keep_leases(self) -> None:
        name_this_thread()
        while not self._stopping.wait(self._lease / 6):
            for row in list(self._rows.values()):
                try:
                    kept = self.renew(row)
                except Exception:  # a busy database: the lease lasts for several beats
                    log.exception("engine.beat")
                    continue
                if not kept:
                    log.warning("lifecycle.lease_lost", lifecycle=row.kind, resource=row.resource_id)

    def renew(self, row: LifecycleRow) -> bool:
        """Keep the lease of a row whose slow step is running; False when it is another's by now."""
        ours = LifecycleRow.id == row.id, LifecycleRow.turn == row.turn, LifecycleRow.owner == self._node
        until = self._cloud.world.clock() + self._lease
        with self._cloud.database.write() as session:
            kept = session.scalar(update(LifecycleRow).where(*ours).values(lease=until).returning(LifecycleRow.id))
        return kept is not None
