"""Neutron's query language: any attribute as a filter, tags, sorting, pages in both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.listing import limit_of, page
from tiffin.core.resource import Page
from tiffin.services.network import faults
from tiffin.services.network import tables as t
from tiffin.services.network.standard import Filter, Kind, allowed, seen_rows, target_of, truth

_RESERVED = {"fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir"}
_STANDARD = ("id", "name", "description", "project_id", "revision_number")


def index(kind: Kind) -> Callable[[Call], Page]:
    """GET of the collection, with Neutron's query language."""
    filters = {
        **{name: getattr(kind.table, name) for name in _STANDARD if hasattr(kind.table, name)},
        **_tag_filters(kind),
        **kind.filters,
    }
    filters["tenant_id"] = filters["project_id"]

    def listed(call: Call) -> Page:
        statement = seen_rows(kind, call).where(*_conditions(call, filters))
        reverse = truth(call.param("page_reverse") or "")
        keys = [(column, descending != reverse) for column, descending in _sorting(call, filters)]
        limit = limit_of(call.param("limit"), 1000) or 1000
        try:
            found = page(call.db, statement, keys, kind.table.id, limit=limit, marker=call.param("marker") or None)
        except BadRequest:
            raise faults.missing(kind.name, call.param("marker") or "") from None
        if reverse:
            found.rows.reverse()
        get = f"get_{kind.name}"
        found.rows = [row for row in found.rows if allowed(call, get, target_of(kind, row))]
        return found

    return listed


def _tag_filters(kind: Kind) -> dict[str, Filter]:
    def has(tag: str) -> ColumnElement[bool]:
        return select(t.TagRow.tag).where(t.TagRow.resource_id == kind.table.id, t.TagRow.tag == tag).exists()

    def every(values: list[str]) -> ColumnElement[bool]:
        found: ColumnElement[bool] = has(values[0].split(",")[0])
        for tag in [tag for value in values for tag in value.split(",")][:100]:
            found = found & has(tag)
        return found

    def some(values: list[str]) -> ColumnElement[bool]:
        tags = [tag for value in values for tag in value.split(",")][:100]
        return select(t.TagRow.tag).where(t.TagRow.resource_id == kind.table.id, t.TagRow.tag.in_(tags)).exists()

    return {
        "tags": every,
        "tags-any": some,
        "not-tags": lambda values: ~every(values),
        "not-tags-any": lambda values: ~some(values),
    }


def _conditions(call: Call, filters: Mapping[str, Filter]) -> Iterable[ColumnElement[bool]]:
    for name, values in call.query.items():
        if name in _RESERVED:
            continue
        wanted = filters.get(name)
        if wanted is None:
            raise BadRequest(f"['{name[:80]}'] is invalid attribute for filtering", code="HTTPBadRequest")
        if isinstance(wanted, (InstrumentedAttribute, ColumnElement)):
            yield _equals(name, wanted, values)
        else:
            yield wanted(values)


def _equals(name: str, column: Any, values: list[str]) -> ColumnElement[bool]:
    kind = column.type.python_type
    if kind is bool:
        bad = [v for v in values if v.lower() not in ("true", "false", "1", "0")]
        if bad:
            raise faults.invalid_input(f"'{bad[0][:80]}' cannot be converted to boolean")
        return column.in_([truth(v) for v in values])  # type: ignore[no-any-return]
    if kind is int:
        if any(not v.lstrip("-").isdecimal() or len(v) > 18 for v in values):
            raise faults.invalid_input(f"'{name}' must be an integer")
        return column.in_([int(v) for v in values])  # type: ignore[no-any-return]
    found: ColumnElement[bool] = column.in_(values)
    return found | column.is_(None) if "" in values else found


def _sorting(call: Call, filters: Mapping[str, Filter]) -> list[tuple[Any, bool]]:
    names, directions = call.query.get("sort_key", []), call.query.get("sort_dir", [])
    if directions and len(directions) != len(names):
        raise BadRequest("The number of sort_keys and sort_dirs must be same")
    keys: list[tuple[Any, bool]] = []
    for name, direction in zip(names, directions or ["asc"] * len(names), strict=True):
        if not isinstance(filters.get(name), InstrumentedAttribute):
            raise BadRequest(f"['{name[:80]}'] is invalid attribute for sort_keys")
        if direction not in ("asc", "desc"):
            raise BadRequest("sort_dir must be asc or desc")
        keys.append((filters[name], direction == "desc"))
    return keys
