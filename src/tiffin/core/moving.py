"""Moves all rows of a cloud from its SQLite file to an empty PostgreSQL database, in one transaction there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy
from sqlalchemy import JSON, Boolean, Float, LargeBinary, Text, case, cast, func, select, text
from sqlalchemy.orm import Session

from tiffin.core.database import Database
from tiffin.core.migrate import current, migrate, newest
from tiffin.core.tables import Table

AT_A_TIME = 1_000
"""Rows that are read before they are sent on."""

Told = Callable[[str, int], None]
"""Is called with a table's name and how many of its rows have gone over so far."""


class CannotMove(Exception):
    """Why not, in one sentence; nothing has changed."""


def tables(session: Session) -> list[sqlalchemy.Table]:
    """Every table of the cloud, those that are referred to first."""
    there = set(sqlalchemy.inspect(session.connection()).get_table_names())
    return [table for table in Table.metadata.sorted_tables if table.name in there]


def prepare(target: Database) -> None:
    """Have every table, and no row. Raises `CannotMove` for a database that somebody uses."""
    if not target.is_server:
        raise CannotMove("the target must be a PostgreSQL server's: postgresql://user@host/name")
    if current(target) is None:
        with target.engine.connect() as connection:
            found = sqlalchemy.inspect(connection).get_table_names()
        if found:
            raise CannotMove(f"the target is not empty: it has a table `{found[0]}`; make a new database for the cloud")
    elif current(target) != newest():
        raise CannotMove("the target holds a cloud of another release; make a new database for this one")
    migrate(target)
    with target.read() as session:
        for table in tables(session):
            if session.execute(select(table).limit(1)).first() is not None:
                raise CannotMove(
                    f"the target is not empty: its table `{table.name}` has rows; drop that database and make a new one"
                )


def move(source: Session, target: Database, told: Told) -> dict[str, int]:
    """Copy everything that the open transaction sees; gives the number of rows by table. All or nothing, compared at the
    end. Raises `CannotMove` where the two differ."""
    with target.write() as session:
        every = tables(session)
        counts = {table.name: _copy(source, session, table, told) for table in every}
        for table in every:
            _continue_numbers(session, table)
            if (here := _sums(source, table)) != (there := _sums(session, table)):
                raise CannotMove(f"the rows of `{table.name}` differ after the copy: {here} became {there}")
    return counts


def _copy(source: Session, target: Session, table: sqlalchemy.Table, told: Told) -> int:
    """By one COPY, so that rows may refer to later ones of the same table. Values go over as they are kept: both databases
    keep JSON as text, and PostgreSQL reads 0 and 1 as booleans."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    rows = source.connection().exec_driver_sql(f'SELECT {names} FROM "{table.name}"')  # noqa: S608  # names of our own
    cursor: Any = target.connection().connection.cursor()
    count = 0
    with cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
        while chunk := rows.fetchmany(AT_A_TIME):
            for row in chunk:
                copy.write_row(tuple(row))
            count += len(chunk)
            told(table.name, count)
    return count


def _continue_numbers(target: Session, table: sqlalchemy.Table) -> None:
    """The next number of a table that counts its rows is after the last one."""
    column = table.autoincrement_column
    if column is None:
        return
    last = target.scalar(select(func.max(column)))
    if last is not None:
        sequence = text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)")
        target.execute(sequence, {"table": table.name, "column": column.name, "last": last})


def _sums(session: Session, table: sqlalchemy.Table) -> tuple[int, ...]:
    """What tells two copies of a table apart, short of comparing them: rows; and of each column the values, and the sum of
    the numbers or of the texts' lengths (times are rounded to seconds)."""
    columns: list[Any] = [func.count()]
    for column in table.columns:
        columns += [func.count(column), func.coalesce(func.sum(_size(column)), 0)]
    return tuple(int(value) for value in session.execute(select(*columns).select_from(table)).one())


def _size(column: sqlalchemy.Column[Any]) -> Any:
    kind = column.type
    if isinstance(kind, Boolean):
        return case((column, 1), else_=0)
    if isinstance(kind, LargeBinary):
        return func.length(column)
    if isinstance(kind, Float):
        return func.floor(func.coalesce(column, 0.0))
    if isinstance(kind, (sqlalchemy.String, JSON)):
        return func.length(cast(column, Text))
    return column
