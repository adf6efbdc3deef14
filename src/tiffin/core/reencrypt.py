"""After a rotation of the keys that keep secrets: every stored secret is encrypted anew, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec
from sqlalchemy import Column, bindparam, select, update

from tiffin.core.database import Database
from tiffin.core.tables import Table

BATCH = 200
"""Rows of one transaction: others wait for it, for some milliseconds."""


class Renewable(Protocol):
    def renew(self, kept: bytes) -> bytes:
        """The same secret under the newest key; `kept` itself where it is so already. Raises `ValueError` for what no key
        opens."""


class Renewed(msgspec.Struct):
    """How many secrets were looked at, how many of them were encrypted anew, how many no key opens."""

    seen: int = 0
    renewed: int = 0
    unreadable: int = 0


def columns() -> list[Column[Any]]:
    """The columns of all known tables that hold encrypted secrets."""
    return [c for table in Table.metadata.sorted_tables for c in table.columns if c.info.get("encrypted")]


def renew_all(database: Database, secrets: Renewable) -> Renewed:
    """Encrypt what an older key has encrypted by the newest one. May be repeated, and run beside a working cloud: a row that
    is changed meanwhile is left as it is, since whoever changed it had the newest key."""
    done = Renewed()
    for column in columns():
        for batch in _batches(database, column):
            _renew(database, secrets, column, batch, done)
    return done


def _batches(database: Database, column: Column[Any]) -> Iterator[list[tuple[str, bytes]]]:
    key, last = column.table.c.id, ""
    while True:
        wanted = select(key, column).where(key > last, column.is_not(None)).order_by(key).limit(BATCH)
        with database.read() as session:
            rows = [(id, kept) for id, kept in session.execute(wanted)]
        if not rows:
            return
        yield rows
        last = rows[-1][0]


def _renew(
    database: Database, secrets: Renewable, column: Column[Any], batch: list[tuple[str, bytes]], done: Renewed
) -> None:
    changes = []
    for id, kept in batch:
        done.seen += 1
        try:
            new = secrets.renew(kept)
        except ValueError:
            done.unreadable += 1
            continue
        if new != kept:
            changes.append({"row": id, "old": kept, "new": new})
    if not changes:
        return
    same = (column.table.c.id == bindparam("row")) & (column == bindparam("old"))
    with database.write() as session:
        session.connection().execute(update(column.table).where(same).values({column: bindparam("new")}), changes)
    done.renewed += len(changes)
