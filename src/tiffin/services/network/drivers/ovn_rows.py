"""Set exactly this state: put rows, own them, drop them, and write nothing that is already so.

Every row has a uuid that follows from its table and our key (version 5, RFC 9562). So a row is found without a search,
two writers cannot make it twice, and a reference may be written by whoever knows the key."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from tiffin.core.driver import StaleTurn, Turn

_NAMESPACE = uuid.UUID("0b8a5f0e-6f0c-4d7a-9c43-3a4f0d3f7a11")

ID, TURN, KIND = "tiffin:id", "tiffin:turn", "tiffin:kind"
"""Keys of external_ids: our own id of the object, the newest turn that wrote it, and which sort of object it is."""


def row_uuid(table: str, key: str) -> uuid.UUID:
    """The uuid of the row of this table that belongs to our key."""
    return uuid.uuid5(_NAMESPACE, f"{table}/{key}")


class Rows:
    """The rows of a database within one transaction."""

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction
        self._tables = transaction.idl.tables
        self.changed = False  # whether anything was written so far

    def get(self, table: str, key: str) -> Any | None:
        return self._tables[table].rows.get(row_uuid(table, key))

    def all(self, table: str) -> Iterable[Any]:
        return list(self._tables[table].rows.values())

    def put(self, table: str, key: str, columns: Mapping[str, Any]) -> Any:
        """Have a row with these columns; others are left alone. Sets are lists, so are optional values."""
        row = self.get(table, key)
        if row is None:
            row = self._transaction.insert(self._tables[table], new_uuid=row_uuid(table, key), persist_uuid=True)
            self.changed = True
            for column, value in columns.items():
                setattr(row, column, value)
            return row
        for column, value in columns.items():
            if _plain(getattr(row, column)) != _plain(value):
                setattr(row, column, value)
                self.changed = True
        return row

    def own(self, owner: Any, column: str, row: Any) -> None:
        """Have `row` in a set of references of `owner`."""
        if not _holds(owner, column, row.uuid):
            owner.addvalue(column, row)
            self.changed = True

    def disown(self, owner: Any, column: str, row: Any) -> None:
        """Take `row` out of a set of references of `owner`; a row of a non-root table dies with its last reference."""
        if _holds(owner, column, row.uuid):
            owner.delvalue(column, row)
            self.changed = True

    def own_exactly(self, owner: Any, column: str, rows: Iterable[Any]) -> None:
        """Have these rows, and no others, in a set of references of `owner`."""
        self.put_columns(owner, {column: list(rows)})

    def put_columns(self, row: Any, columns: Mapping[str, Any]) -> None:
        for column, value in columns.items():
            if _plain(getattr(row, column, [])) != _plain(value):
                setattr(row, column, value)
                self.changed = True

    def drop(self, row: Any) -> None:
        """Delete a row of a root table."""
        row.delete()
        self.changed = True


def fence(row: Any | None, turn: Turn) -> None:
    """Raise `StaleTurn` if the row was written by a newer turn; the check holds until the transaction commits."""
    if row is None:
        return
    seen = int(row.external_ids.get(TURN, "0"))
    if turn < seen:
        raise StaleTurn(f"{row.external_ids.get(ID)}: turn {turn} is older than {seen}")
    row.verify("external_ids")


def marks(kind: str, id: str, turn: Turn, **more: str) -> dict[str, str]:
    """The external ids of the main row of an object."""
    return {ID: id, KIND: kind, TURN: str(turn)} | {f"tiffin:{key}": value for key, value in more.items()}


def mark(row: Any, key: str) -> str:
    """One of our external ids of a row, empty if it has none."""
    return str(row.external_ids.get(f"tiffin:{key}", ""))


def _holds(owner: Any, column: str, member: uuid.UUID) -> bool:
    """Whether a set of references has this member, without building a row object for each of its thousands."""
    if owner._data is None:
        return False
    from ovs.db import types
    from ovs.db.data import Atom

    return Atom(types.UuidType, member) in owner._data[column].values


def _plain(value: Any) -> Any:
    """A value of a column, comparable: sets lose their order, rows become their uuids."""
    if isinstance(value, (list, set, tuple)):
        return sorted(str(getattr(item, "uuid", item)) for item in value)
    return value
