"""Everything that is stored in a database in memory: whether a request changed anything, and back to how it was."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from tiffin.core.database import Database
from tiffin.core.tables import LOGIN


class Stored:
    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._kept = sqlite3.connect(":memory:", check_same_thread=False)
        self._written, self._print = -1, b""

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(self._engine.raw_connection()) as connection:
            driver: Any = connection.driver_connection
            yield driver

    def fingerprint(self) -> bytes:
        """Of every row but those that keep account of logins, since a login that fails is recorded; made anew only when
        rows have been written since the last one."""
        with self._connection() as connection:
            if connection.total_changes != self._written:
                self._written, self._print = connection.total_changes, _digest(connection)
        return self._print

    def keep(self) -> None:
        """Remember everything as it is now."""
        with self._connection() as connection:
            connection.backup(self._kept)

    def restore(self) -> None:
        """Have everything as it was at `keep`."""
        with self._connection() as connection:
            self._kept.backup(connection)
        self._written = -1

    def close(self) -> None:
        self._kept.close()


def _digest(connection: sqlite3.Connection) -> bytes:
    found = hashlib.blake2b()
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'sqlite_sequence'")
    for (table,) in tables.fetchall():
        rows = f'SELECT * FROM "{table}"' + (f" WHERE kind <> '{LOGIN}'" if table == "change" else "")
        found.update(repr((table, connection.execute(rows).fetchall())).encode())
    return found.digest()
