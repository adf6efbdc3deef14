"""How identity's lists are narrowed and paged by the query string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, and_, func

from tiffin.core.call import Call
from tiffin.core.listing import limit_of, page
from tiffin.core.resource import Page

MOST_ROWS = 1000
"""The largest page that may be asked for by `limit`; without it a list is whole."""


def flag(text: str) -> bool:
    """A boolean of the query string: everything but a word for no is yes, as upstream reads it."""
    return text.lower() not in ("0", "f", "false", "n", "no", "off")


def asked(call: Call, word: str) -> bool:
    """Whether the query has a word that needs no value, such as `effective`; only 0 takes it back, as upstream."""
    return call.param(word, "0") != "0"


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _compare(column: Any, comparator: str, text: str) -> Any:
    """The condition that a comparator of upstream's stands for; None when it is none."""
    if comparator == "iexact":
        return func.lower(column) == text.lower()
    kind, ignoring_case = comparator.removeprefix("i"), comparator.startswith("i")
    pattern = {"contains": f"%{_like(text)}%", "startswith": f"{_like(text)}%", "endswith": f"%{_like(text)}"}.get(kind)
    if pattern is None:
        return None
    alike = column.ilike(pattern, escape="\\")
    return alike if ignoring_case or not text else and_(alike, _same_case(column, kind, text))


def _same_case(column: Any, kind: str, text: str) -> Any:
    """What LIKE does not tell on every database."""
    if kind == "startswith":
        return func.substr(column, 1, len(text)) == text
    if kind == "endswith":
        return func.substr(column, func.length(column) - len(text) + 1) == text
    return func.replace(column, text, "") != column


def narrow(call: Call, statement: Select[Any], columns: Mapping[str, Any]) -> Select[Any]:
    """Apply the query's filters: `name=x`, `name__contains=x` and its like. Other parameters mean nothing, as upstream."""
    for word, values in call.query.items():
        name, _, comparator = word.partition("__")
        column = columns.get(name)
        if column is None:
            continue
        text = values[-1]
        if column.type.python_type is bool:
            statement = statement.where(column.is_(flag(text)))
        elif not comparator:
            statement = statement.where(column == text)
        else:
            condition = _compare(column, comparator, text)
            statement = statement if condition is None else statement.where(condition)
    return statement


def listing(call: Call, statement: Select[Any], id_column: Any, *, sort: Any = None) -> Page:
    """The statement's rows by `sort`, as many as `limit` and behind `marker` where the query says so."""
    asked = call.param("limit")
    return page(
        call.db,
        statement,
        [(id_column if sort is None else sort, False)],
        id_column,
        limit=limit_of(asked, MOST_ROWS) if asked else None,
        marker=call.param("marker"),
    )
