"""What the filters of a list of images mean, as SQL."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, or_, select

from tiffin.core.errors import BadRequest
from tiffin.core.sql import json_items, json_pairs
from tiffin.services.image.tables import ImageRow

_LISTS = ("id", "name", "status", "disk_format", "container_format")  # filters that know `in:`
_EQUAL = ("checksum", "owner", "os_hash_algo", "os_hash_value")
_NUMBERS = ("size", "virtual_size", "min_disk", "min_ram")
_TIMES = ("created_at", "updated_at")
_RANGES = {f"{name}_{end}": name for name in _NUMBERS for end in ("min", "max")}
_ELSEWHERE = frozenset(
    {"limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", "os_hidden", "deleted"}
)
MOST_VALUES = 1000
"""Of one `in:`."""


def last(query: Mapping[str, list[str]], name: str) -> str | None:
    values = query.get(name)
    return values[-1] if values else None


def conditions(
    query: Mapping[str, list[str]], readable: Callable[[str], bool]
) -> Iterator[ColumnElement[bool]]:
    """What the filters of a query string ask for. Of properties that are not `readable` nothing can be learned: no image
    has them. Raises `BadRequest` naming the parameter."""
    yield _is(ImageRow.os_hidden == _boolean("os_hidden", last(query, "os_hidden") or "false"))
    if last(query, "changes-since"):
        raise BadRequest('The "changes-since" filter is no longer available on v2.')
    for name, values in query.items():
        if name == "tag":
            yield from (_tagged(tag.strip()) for tag in values)
        elif name not in _ELSEWHERE:
            yield _condition(name, values[-1], readable)


def _condition(name: str, value: str, readable: Callable[[str], bool]) -> ColumnElement[bool]:
    column: Any = getattr(ImageRow, _RANGES.get(name, name), None)
    if name in _LISTS:
        return _among(column, value)
    if name in _EQUAL:
        return _is(column == value)
    if name in _NUMBERS:
        return _is(column == _number(name, value))
    if name in _RANGES:
        bound = _number(name, value)
        return _is(column >= bound if name.endswith("_min") else column <= bound)
    if name == "protected":
        return _is(ImageRow.protected == _boolean(name, value))
    if name in _TIMES:
        return _compare(name, value)
    if not readable(name):
        return false()
    pairs = json_pairs(ImageRow.properties).table_valued("key", "value")
    return exists(select(1).select_from(pairs).where(pairs.c.key == name, pairs.c.value == value))


def _is(condition: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = condition
    return found


def _tagged(tag: str) -> ColumnElement[bool]:
    items = json_items(ImageRow.tags).table_valued("value")
    return exists(select(1).select_from(items).where(items.c.value == tag))


# --- values -------------------------------------------------------------------------------------------------------------


def _operator(text: str) -> tuple[str, str]:
    """The operator before the first colon, `eq` where there is none, and what follows. A time has colons of its own."""
    operator, colon, rest = text.partition(":")
    return (operator, rest) if colon and _time(text) is None else ("eq", text)


def _among(column: Any, value: str) -> ColumnElement[bool]:
    operator, rest = _operator(value)
    if operator == "in":
        return _is(column.in_(_words(rest)))
    if operator == "eq":
        return _is(column == rest)
    raise BadRequest(f"Unable to filter by unknown operator '{operator:.80}'.")


_WORD = r'(?:"(?:[^"\\]|\\.)*"|[^",]*)'
_WORDS = re.compile(rf"{_WORD}(?:,{_WORD})*")


def _words(text: str) -> list[str]:
    """The values of `in:`, separated by commas; one with a comma in it stands in quotation marks."""
    if not _WORDS.fullmatch(text):
        raise BadRequest(
            f"Invalid filter value {text:.80}. Quotation marks stand around a whole value, with commas between values."
        )
    words = [word.removeprefix('"').removesuffix('"') for word in re.findall(rf"(?:^|(?<=,)){_WORD}", text) if text]
    if len(words) > MOST_VALUES:
        raise BadRequest(f"A filter may have at most {MOST_VALUES} values.")
    return words


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise BadRequest(f"{name} must be a whole number, not {value!r:.80}. Unable to filter with a non-numeric value.")
    return int(value)


def _boolean(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise BadRequest(f"Invalid value '{value:.80}' for '{name}' filter. Valid values are 'true' or 'false'.")
    return value.lower() == "true"


_COMPARE: dict[str, Callable[[Any, float], Any]] = {
    # stored times have fractions of a second, which clients do not see
    "gt": lambda column, at: column >= at + 1,
    "gte": lambda column, at: column >= at,
    "lt": lambda column, at: column < at,
    "lte": lambda column, at: column < at + 1,
    "eq": lambda column, at: and_(column >= at, column < at + 1),
    "neq": lambda column, at: or_(column < at, column >= at + 1),
}


def _time(text: str) -> float | None:
    """Seconds since the epoch, None of what is no time in ISO 8601. Without a zone it is UTC."""
    try:
        at = datetime.datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _compare(name: str, value: str) -> ColumnElement[bool]:
    operator, text = _operator(value)
    at = _time(text)
    if operator not in _COMPARE:
        raise BadRequest(f"Unable to filter by unknown operator '{operator:.80}' of {name}: {', '.join(_COMPARE)}.")
    if at is None:
        raise BadRequest(f'Bad "{name}" query filter format. Use ISO 8601 DateTime notation.')
    return _is(_COMPARE[operator](getattr(ImageRow, name), float(int(at))))
