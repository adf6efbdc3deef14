"""What the supported databases say in different words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import JSON, ColumnElement, Select, literal, select, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class json_objects(GenericFunction[Any]):
    """json_objects('a', a, 'b', b): the JSON array of one object for each row of a group."""

    inherit_cache = True
    type = JSON()
    name = "json_objects"


@compiles(json_objects, "sqlite")
def _sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"json_group_array(json_object({compiler.process(element.clauses, **kw)}))"


@compiles(json_objects, "postgresql")
def _postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"coalesce(json_agg(json_build_object({compiler.process(element.clauses, **kw)})), '[]'::json)"


def children(statement: Select[*tuple[Any, ...]], **fields: Any) -> ColumnElement[Any]:
    """A column that holds, as a list of dicts, the rows of a correlated statement: a list with its children in one
    SQL statement. `statement` is a `select()` whose columns are replaced by `fields`."""
    pairs: list[Any] = []
    for name, column in fields.items():
        pairs += [name, column]
    inner = statement.with_only_columns(json_objects(*pairs))
    return type_coerce(inner.scalar_subquery(), JSON)


class json_pairs(GenericFunction[Any]):
    """json_pairs(column).table_valued("key", "value"): the fields of a JSON object of strings, as rows."""

    inherit_cache = True
    name = "json_pairs"


@compiles(json_pairs, "sqlite")
def _pairs_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(json_pairs, "postgresql")
def _pairs_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"json_each_text({compiler.process(element.clauses, **kw)})"


class json_items(GenericFunction[Any]):
    """json_items(column).table_valued("value"): the items of a JSON list of strings, as rows."""

    inherit_cache = True
    name = "json_items"


@compiles(json_items, "sqlite")
def _items_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **kw)})"


@compiles(json_items, "postgresql")
def _items_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    # an alias of a function that gives one column names that column too
    return f"json_array_elements_text({compiler.process(element.clauses, **kw)})"


def listed(strings: Iterable[str]) -> Select[tuple[str]]:
    """These strings as rows, by one parameter: for `in_()`, where there may be more than a statement can have parameters."""
    return select(json_items(literal(sorted(strings), JSON)).table_valued("value").c.value)
