"""The other processes of a cloud, as its database's server tells of them: what their commits made due, and which have died.

A process holds a lock in its node's name for as long as it is connected. Who else gets that lock knows that the process is
gone, within a second of a kill and some ten seconds of a cable that was cut, and frees what it had leased. Where that was
wrong, since only the connection was lost, the turns of the leases fence off what is done twice.

Another lock is held by one of them all: it leads, and does what one is enough for.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.database import CHANNEL, Database
from tiffin.core.tables import LifecycleRow

ROUND = 1.0
"""Seconds between two looks at who is there."""
AGAIN = 1.0
"""Seconds until a lost connection is made anew."""

log = structlog.get_logger("peers")
_LOCK = "SELECT pg_advisory_lock(hashtextextended(%s, 1))"
_TRY = "SELECT pg_try_advisory_lock(hashtextextended(%s, 1))"
_TRY_ONCE = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 1))"
_LEAD = "SELECT pg_try_advisory_lock(8433463)"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, 1))"
_OWNERS = select(LifecycleRow.owner).where(LifecycleRow.owner.is_not(None)).distinct()


class Peers:
    """Nothing at all where the database is a file of one process."""

    def __init__(self, database: Database, node: str, bury: Callable[[str], None]) -> None:
        """`bury` is called with the node of a process that is gone."""
        self._database, self._node, self._bury = database, node, bury
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.leads = not database.is_server
        """Whether this process does what one of them all is to do. Two may believe it for a moment."""

    def start(self) -> None:
        """Hear from now on. Waits until the node's name is free: while somebody buries its predecessor."""
        if not self._database.is_server:
            return
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="peers", daemon=True)
        self._thread.start()
        ready.wait(30)

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self, ready: threading.Event) -> None:
        while not self._stopping.is_set():
            try:
                with self._connected() as connection:
                    ready.set()
                    self._database.told()  # what was missed meanwhile
                    self._listen(connection)
            except Exception as lost:
                log.warning("peers.lost", why=str(lost))
                self._stopping.wait(AGAIN)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        """A connection of our own, which is none of the pool any more, with our name and our ears."""
        own = self._database.engine.raw_connection()
        connection: Any = own.driver_connection
        own.detach()
        try:
            connection.execute(_LOCK, (self._node,))
            connection.execute(f"LISTEN {CHANNEL}")
            yield connection
        finally:
            self.leads = False
            connection.close()

    def _listen(self, connection: Any) -> None:
        while not self._stopping.is_set():
            self.leads = self.leads or connection.execute(_LEAD).fetchone()[0]
            for heard in connection.notifies(timeout=ROUND):
                sender, _, about = heard.payload.partition(" ")
                if sender != self._database.name:
                    self._database.told(about)
            for owner in self._owners():
                self._look_after(connection, owner)

    def _owners(self) -> list[str]:
        with self._database.read() as session:
            return [owner for owner in session.scalars(_OWNERS) if owner and owner != self._node]

    def _look_after(self, connection: Any, owner: str) -> None:
        if not connection.execute(_TRY, (owner,)).fetchone()[0]:
            return  # it lives
        try:
            log.warning("peers.gone", node=owner)
            self._bury(owner)
        finally:
            connection.execute(_UNLOCK, (owner,))


def can_share(database: Database) -> bool:
    """Whether other processes may serve the same cloud."""
    return database.is_server


def lives(session: Session, node: str) -> bool:
    """Whether another process of this name is connected to the same server."""
    return not session.connection().exec_driver_sql(_TRY_ONCE, (node,)).scalar()
