"""Databases of tests: in memory, or on the PostgreSQL server that TIFFIN_TEST_DATABASE names. Once closed, one is emptied and
serves the next test, since SQLAlchemy keeps the SQL that it has compiled with the engine, and compiling is most of what a test
would do."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import Column, Integer, StaticPool, create_engine, make_url
from sqlalchemy import Table as SqlTable

from tiffin.core.database import Database
from tiffin.core.tables import Table

SERVER = os.environ.get("TIFFIN_TEST_DATABASE")
"""The URL of a database on the server where tests make their own, as who may make them; None: tests use SQLite."""
_numbers = itertools.count(1)


@functools.cache
def _template(tables: int) -> sqlite3.Connection:
    """A database with this many tables (they only ever become more, by importing services) and no rows."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Table.metadata.create_all(engine)
    found: sqlite3.Connection = engine.raw_connection().driver_connection
    return found


class MemoryDatabase(Database):
    """A database in memory with every known table."""

    _free: ClassVar[list[MemoryDatabase]] = []
    on_server = SERVER is not None

    @classmethod
    def take(cls) -> Database:
        """An empty one. Pages are copied from a template: a hundredth of the time that CREATE TABLE takes."""
        if cls.on_server:
            return ServerDatabase.take()
        database = cls._free.pop() if cls._free else cls("sqlite://")
        with contextlib.closing(database.engine.raw_connection()) as connection:
            _template(len(Table.metadata.tables)).backup(connection.driver_connection)
        return database

    def close(self) -> None:
        self._after.clear()
        self._free.append(self)


@contextlib.contextmanager
def in_memory() -> Iterator[None]:
    """Databases in memory for this block, wherever the tests themselves run: they do all in the same order each time."""
    before, MemoryDatabase.on_server = MemoryDatabase.on_server, False
    yield
    MemoryDatabase.on_server = before


def side_by_side(folder: Path) -> Database:
    """A database with every table in which transactions run side by side: on the server, or in a file of the folder."""
    if SERVER is not None:
        return ServerDatabase.take()
    database = Database(f"sqlite:///{folder / 'x.db'}", durable=False)
    Table.metadata.create_all(database.writer)
    return database


def another(database: Database) -> Database:
    """The same as another process has it, with connections of its own."""
    return Database(database.engine.url.render_as_string(hide_password=False), durable=False)


class ServerDatabase(Database):
    """A database of this process on the server. That of a test which failed to close it is left alone."""

    _free: ClassVar[list[ServerDatabase]] = []
    _tables = 0

    @classmethod
    def take(cls) -> Database:
        database = cls._free.pop() if cls._free else cls(new_database())
        if database._tables != len(Table.metadata.tables):
            Table.metadata.create_all(database.writer)
            database._tables = len(Table.metadata.tables)
            run(database, _emptying())
        return database

    def close(self) -> None:
        self._after.clear()
        run(self, "SELECT tests.empty()")
        self._free.append(self)


def run(database: Database, *scripts: str) -> Any:
    """Run SQL on a server, in one transaction. What the last script, where it is a single query, gives."""
    with database.writer.begin() as connection:
        for script in scripts:
            done = connection.exec_driver_sql(script, execution_options={"no_parameters": True})
        return done.scalar() if done.returns_rows else None


def new_database() -> str:
    """The URL of a new one on the server, without tables; named after this process."""
    assert SERVER is not None
    name = f"test{os.getpid()}_{next(_numbers)}"
    _tell_server(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}")
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


def empty_url() -> str:
    """The URL of a database without tables: a new one on the server, or one in memory."""
    return new_database() if SERVER else "sqlite://"


@contextlib.contextmanager
def for_a_cloud() -> Iterator[str | None]:
    """The URL of a new database on the server for as long as the block runs; None where tests use SQLite."""
    if SERVER is None:
        yield None
        return
    url = new_database()
    try:
        yield url
    finally:
        _tell_server(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")  # whoever is still connected


def _tell_server(*statements: str) -> None:
    assert SERVER is not None
    engine = create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


FUNCTION = """
CREATE SCHEMA IF NOT EXISTS tests;
CREATE OR REPLACE FUNCTION tests.{name}() RETURNS {gives} LANGUAGE plpgsql
SET session_replication_role = replica SET enable_seqscan = on AS $$ BEGIN {body} END $$
"""
"""One whose statements the server plans once for each connection; foreign keys are not looked at in it."""


def _emptying() -> str:
    """The definition of `tests.empty()`: no rows are left, and numbers begin anew."""
    tables = Table.metadata.tables
    rows = [f'IF EXISTS (SELECT FROM "{name}") THEN DELETE FROM "{name}"; END IF;' for name in tables]
    counted = [(name, column.name) for name, table in tables.items() if (column := _counted(table)) is not None]
    numbers = [f"PERFORM setval('\"{name}_{column}_seq\"', 1, false);" for name, column in counted]
    return FUNCTION.format(name="empty", gives="void", body="\n".join(rows + numbers))


def _counted(table: SqlTable) -> Column[int] | None:
    """The column that gets its numbers from the server."""
    column = table.autoincrement_column
    return column if column is not None and isinstance(column.type, Integer) else None
