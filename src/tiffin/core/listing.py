"""Lists at every size by one SQL statement: the page after a marker is found by an index, not by counting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from tiffin.core.errors import BadRequest
from tiffin.core.resource import Page

Key = tuple[ColumnElement[Any] | Any, bool]
"""A column (or expression) to sort by, and whether the largest comes first."""


def _text(column: Any) -> Any:
    """NULLs sort as the smallest value, alike on every database."""
    if not getattr(column, "nullable", False):
        return column
    return func.coalesce(column, "" if column.type.python_type is str else 0)


def after(keys: Sequence[Key], id_column: Any, marker: str) -> ColumnElement[bool]:
    """The condition that a row comes behind the row whose id is `marker`."""
    at = [select(_text(column)).where(id_column == marker).limit(1).scalar_subquery() for column, _ in keys]
    branches: list[ColumnElement[bool]] = []
    for n, (column, descending) in enumerate(keys):
        same = [_text(c) == v for (c, _), v in zip(keys[:n], at[:n], strict=True)]
        beyond = _text(column) < at[n] if descending else _text(column) > at[n]
        branches.append(and_(*same, beyond))
    first = _text(keys[0][0])
    # what follows from the branches anyhow, but lets an index begin at the marker instead of at the first row
    return and_(first <= at[0] if keys[0][1] else first >= at[0], or_(*branches))


def page(
    session: Session,
    statement: Select[*tuple[Any, ...]],
    keys: Sequence[Key],
    id_column: Any,
    *,
    limit: int | None = None,
    marker: str | None = None,
) -> Page:
    """The rows of `statement` in the order of `keys` (`id_column` breaks ties), behind `marker`, at most `limit`.

    Raises `BadRequest` when the marker names nothing.
    """
    if not any(column is id_column for column, _ in keys):
        keys = [*keys, (id_column, keys[-1][1] if keys else False)]
    if marker is not None:
        statement = statement.where(after(keys, id_column, marker))
    statement = statement.order_by(*(_text(c).desc() if descending else _text(c).asc() for c, descending in keys))
    if limit is not None:
        statement = statement.limit(limit + 1)
    rows = list(session.execute(statement).all())
    if marker is not None and not rows and session.scalar(select(id_column).where(id_column == marker).limit(1)) is None:
        raise BadRequest(f"marker [{marker}] not found")
    more = limit is not None and len(rows) > limit
    return Page(rows[:limit] if limit is not None else rows, more)


def limit_of(value: str | None, most: int, default: int | None = None) -> int | None:
    """A page size from the query string: at most `most`. Raises `BadRequest` unless it is a whole number >= 0."""
    if value is None:
        return default if default is not None else most
    if not value.isdecimal() or len(value) > 18:
        raise BadRequest(f"limit param must be an integer that is not negative, not {value[:40]!r}")
    return min(int(value), most)
