"""What the supported databases say in different words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import JSON, BigInteger, ColumnElement, Select, Text, cast, func, literal, select, type_coerce
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


class json_objects_by(GenericFunction[Any]):
    """json_objects_by(key, 'a', a, 'b', b): the same, in the order of the key; SQLite's own order is that of its loops."""

    inherit_cache = True
    type = JSON()
    name = "json_objects_by"


@compiles(json_objects_by, "sqlite")
def _sqlite_by(element: Any, compiler: Any, **kw: Any) -> str:
    _, *pairs = element.clauses
    return f"json_group_array(json_object({', '.join(compiler.process(pair, **kw) for pair in pairs)}))"


@compiles(json_objects_by, "postgresql")
def _postgresql_by(element: Any, compiler: Any, **kw: Any) -> str:
    key, *pairs = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"coalesce(json_agg(json_build_object({', '.join(pairs)}) ORDER BY {key}), '[]'::json)"


class json_rows(GenericFunction[str]):
    """json_rows(a, b): the rows of a group as the text of one JSON array of arrays, for a decoder of array-like structs. It is
    made without the interpreter's lock, while thousands of rows would have to take it one by one."""

    inherit_cache = True
    type = Text()
    name = "json_rows"


@compiles(json_rows, "sqlite")
def _rows_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    found = [(compiler.process(column, **kw), isinstance(column.type, JSON)) for column in element.clauses]
    return f"json_group_array(json_array({', '.join(f'json({sql})' if is_json else sql for sql, is_json in found)}))"


@compiles(json_rows, "postgresql")
def _rows_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"coalesce(json_agg(json_build_array({compiler.process(element.clauses, **kw)})), '[]'::json)::text"


def children(statement: Select[*tuple[Any, ...]], *, order: Any = None, **fields: Any) -> ColumnElement[Any]:
    """A column that holds, as a list of dicts, the rows of a correlated statement: a list with its children in one
    SQL statement. `statement` is a `select()` whose columns are replaced by `fields`; `order` is a column to order by."""
    pairs: list[Any] = []
    for name, column in fields.items():
        pairs += [name, column]
    objects: Any = json_objects(*pairs) if order is None else json_objects_by(order, *pairs)
    inner = statement.with_only_columns(objects)
    return type_coerce(inner.scalar_subquery(), JSON)


def total(amount: Any) -> ColumnElement[int]:
    """The sum of whole numbers as a whole number, 0 of none; PostgreSQL's is a decimal one."""
    return func.coalesce(cast(func.sum(amount), BigInteger), 0)


def listed(strings: Iterable[str]) -> Select[tuple[str]]:
    """These strings as rows, by one parameter: for `in_()`, where there may be more than a statement can have parameters."""
    return select(json_items(literal(sorted(strings), JSON)).table_valued("value").c.value)


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


class begins_with(GenericFunction[bool]):
    """begins_with(column, text): whether the column's value begins with just this text; a range of the column's index."""

    inherit_cache = True
    name = "begins_with"  # without a type: a boolean would be compared with 1, which no index answers


@compiles(begins_with, "sqlite")
def _begins_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    column, text = (compiler.process(part, **kw) for part in element.clauses)
    return f"({column} >= {text} AND {column} < {text} || char(1114111))"  # the last character there is


@compiles(begins_with, "postgresql")
def _begins_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return f"starts_with({compiler.process(element.clauses, **kw)})"
