"""Everything that is stored in a database: whether a request changed anything, and back to how it was."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Any, Protocol

from sqlalchemy import text

from databases import FUNCTION, run
from tiffin.core.database import Database
from tiffin.core.tables import LOGIN


class Stored(Protocol):
    def fingerprint(self) -> object:
        """Of every row but those that keep account of logins, since a login that fails is recorded; made anew only when
        rows have been written since the last one."""

    def keep(self) -> None:
        """Remember everything as it is now."""

    def restore(self) -> None:
        """Have everything as it was at `keep`."""

    def close(self) -> None: ...


def stored(database: Database) -> Stored:
    """What is in a database in memory or on a server."""
    return OnServer(database) if database.is_server else InMemory(database)


def contents(database: Database) -> bytes:
    """All that is kept, with bytes as they are."""
    if database.is_server:
        every = " || ".join(_ROWS.format(f'"{name}"') for name in _tables(database))
        return str(run(database, "SET LOCAL bytea_output = escape", f"SELECT {every}")).encode()
    with contextlib.closing(database.engine.raw_connection()) as connection:
        driver: Any = connection.driver_connection
        serialized: bytes = driver.serialize()
        return serialized


class InMemory:
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
        with self._connection() as connection:
            if connection.total_changes != self._written:
                self._written, self._print = connection.total_changes, _digest(connection)
        return self._print

    def keep(self) -> None:
        with self._connection() as connection:
            connection.backup(self._kept)

    def restore(self) -> None:
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


_ROWS = "(SELECT coalesce(string_agg(x::text, chr(10) ORDER BY x::text), '') FROM {} x)"
"""All rows of a table as one text."""


def _tables(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")))


class OnServer:
    """Rows are kept beside the tables, in a schema of their own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._commits, self._printed_at, self._print = 0, -1, ""
        database.on_commit(self._count)
        self._tables = _tables(database)
        those = [f"(SELECT * FROM change WHERE kind <> '{LOGIN}')" if n == "change" else f'"{n}"' for n in self._tables]
        all_rows = " || chr(9) || ".join(_ROWS.format(name) for name in those)
        run(database, FUNCTION.format(name="fingerprint", gives="text", body=f"RETURN md5({all_rows});"))

    def _count(self) -> None:
        self._commits += 1

    def fingerprint(self) -> str:
        if self._printed_at != self._commits:
            self._printed_at, self._print = self._commits, str(run(self._database, "SELECT tests.fingerprint()"))
        return self._print

    def keep(self) -> None:
        copies, back = [], []
        for name in self._tables:
            ours, kept = f'"{name}"', f'tests."{name}"'
            copies.append(f"DROP TABLE IF EXISTS {kept}; CREATE UNLOGGED TABLE {kept} AS TABLE {ours};")
            put_back = f"DELETE FROM {ours}; INSERT INTO {ours} TABLE {kept};"
            back.append(f"IF {_ROWS.format(ours)} <> {_ROWS.format(kept)} THEN {put_back} END IF;")
        run(self._database, "\n".join(copies))
        run(self._database, FUNCTION.format(name="restore", gives="void", body="\n".join(back)))

    def restore(self) -> None:
        run(self._database, "SELECT tests.restore()")
        self._printed_at = -1

    def close(self) -> None:
        run(self._database, "\n".join(f'DROP TABLE IF EXISTS tests."{name}";' for name in self._tables))
