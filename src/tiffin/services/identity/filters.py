"""How identity's lists are narrowed and paged by the query string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, and_, func

from tiffin.core.call import Call
from tiffin.core.listing import limit_of, page
from tiffin.core.resource import Page
from tiffin.core.sql import begins_with

MOST_ROWS = 1000
"""The largest page that may be asked for by `limit`; without it a list is whole."""


def flag(text: str) -> bool:
    """A boolean of the query string: everything but a word for no is yes, as upstream reads it."""
    return text.lower() not in ("0", "f", "false", "n", "no", "off")


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _compare(column: Any, comparator: str, text: str) -> Any:
    """The condition that a comparator of upstream's stands for; None when it is none, or holds for everything."""
    if comparator == "iexact":
        return func.lower(column) == func.lower(text)
    if comparator in ("icontains", "istartswith", "iendswith"):
        pattern = {"icontains": f"%{_like(text)}%", "istartswith": f"{_like(text)}%", "iendswith": f"%{_like(text)}"}
        return column.ilike(pattern[comparator], escape="\\")
    if not text:
        return None
    if comparator == "contains":  # LIKE ignores case on some databases
        return func.replace(column, text, "") != column
    if comparator == "startswith":
        return begins_with(column, text)
    if comparator == "endswith":
        start = func.length(column) - len(text) + 1
        return and_(start >= 1, func.substr(column, start) == text)
    return None


def narrow(call: Call, statement: Select[Any], columns: Mapping[str, Any]) -> Select[Any]:
    """Apply the query's filters: `name=x`, `name__contains=x` and its like. Other parameters mean nothing, as upstream."""
    for word, values in call.query.items():
        name, _, comparator = word.partition("__")
        column = columns.get(name)
        if column is None:
            continue
        text = values[-1]
        if column.type.python_type is bool:
            statement = statement.where(column if flag(text) else ~column)
        elif not comparator:
            statement = statement.where(column == text)
        else:
            condition = _compare(column, comparator, text)
            statement = statement if condition is None else statement.where(condition)
    return statement


def listing(
    call: Call, statement: Select[Any], id_column: Any, *, sort: Any = None, sortable: Mapping[str, Any] | None = None
) -> Page:
    """The statement's rows by `sort`, as many as `limit` and behind `marker` where the query says so.

    Where there is a choice, `sortable` has the columns that `sort_key` may name; `sort_dir=desc` turns the order round.
    """
    asked = call.param("limit")
    by = (sortable or {}).get(call.param("sort_key") or "", id_column if sort is None else sort)
    return page(
        call.db,
        statement,
        [(by, sortable is not None and call.param("sort_dir") == "desc")],
        id_column,
        limit=limit_of(asked, MOST_ROWS) if asked else None,
        marker=call.param("marker"),
    )
