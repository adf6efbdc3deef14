"""Everything that is stored in a database in memory: whether a request changed anything, and back to how it was."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from tiffin.core.database import Database


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
        """Of every row; made anew only when rows have been written since the last one."""
        with self._connection() as connection:
            if connection.total_changes != self._written:
                self._written, self._print = connection.total_changes, hashlib.blake2b(connection.serialize()).digest()
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
