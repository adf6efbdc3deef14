"""The small languages in which flavors and hints say what a host must be like. Pure functions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

_NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "=": operator.ge,  # as upstream: "at least"
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_TEXTUAL: dict[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s>=": operator.ge,
    "s<=": operator.le,
    "s>": operator.gt,
    "s<": operator.lt,
}


def matches(value: Any, wanted: str) -> bool:
    """Whether a value is as an extra spec wants it: `OPERATOR OPERAND...`, or just the value. Numbers by = (at least),
    ==, !=, >=, <=, >, <; texts by s==, s!=, s>=, s<=, s>, s<; `<in> PART`; `<all-in> A B`; `<or> A <or> B`."""
    words = wanted.split()
    if not words:
        return str(value) == wanted
    word, rest = words[0], words[1:]
    if word in _NUMERIC and rest:
        return _compared(_NUMERIC[word], value, rest[0])
    if word in _TEXTUAL and rest:
        return _TEXTUAL[word](str(value), " ".join(rest))
    if word == "<in>":
        return " ".join(rest) in value if isinstance(value, (str, list, tuple)) else " ".join(rest) == str(value)
    if word == "<all-in>":
        return all(one in value for one in rest) if isinstance(value, (str, list, tuple)) else False
    if word == "<or>":
        return str(value) in [" ".join(one.split()) for one in wanted.split("<or>") if one.strip()]
    return str(value) == wanted


def _compared(compare: Callable[[float, float], bool], value: Any, wanted: str) -> bool:
    try:
        return compare(float(value), float(wanted))
    except (TypeError, ValueError):
        return False


# --- the JSON language of the hint `query` --------------------------------------------------------------------------------

DEEPEST, LONGEST = 32, 100

_PAIRS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_WORDS = (*_PAIRS, "in", "not", "and", "or")


def check(query: Any, depth: int = 0) -> int:
    """How many operators and arguments a query has: [OPERATOR, ARGUMENT, ...], nested. Raises `ValueError` for people when
    it is none, or has too many."""
    if depth > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} deep.")
    if not isinstance(query, list):
        return 1
    if not query:
        raise ValueError("a list in it is empty.")
    if query[0] not in _WORDS:
        raise ValueError(f"{str(query[0])[:40]!r} is no operator; known: {', '.join(_WORDS)}.")
    size = 1 + sum(check(one, depth + 1) for one in query[1:])
    if size > LONGEST:
        raise ValueError(f"it has more than {LONGEST} parts.")
    return size


def holds(query: Any, values: Mapping[str, Any]) -> bool:
    """Whether a query that was checked is true; `$name` and `$name.part` stand for values, and compare false when there
    is none."""
    return _result(query, values) is True


def _result(query: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(query, str) and query.startswith("$"):
        return _named(query[1:], values)
    if not isinstance(query, list):
        return query
    word, *rest = query
    found = [_result(one, values) for one in rest]
    if word == "and":
        return all(one is True for one in found)
    if word == "or":
        return any(one is True for one in found)
    if word == "not":
        return not any(one is True for one in found)
    first, others = (found[0], found[1:]) if found else (None, [])
    if first is None or not others:
        return False
    if word == "in":
        return first in others
    return all(_related(_PAIRS[word], first, one) for one in others)


def _named(name: str, values: Mapping[str, Any]) -> Any:
    found: Any = values
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _related(compare: Callable[[Any, Any], bool], first: Any, other: Any) -> bool:
    if isinstance(first, str) and isinstance(other, (int, float)):
        try:
            first = float(first)
        except ValueError:
            return False
    elif isinstance(other, str) and isinstance(first, (int, float)):
        try:
            other = float(other)
        except ValueError:
            return False
    try:
        return bool(compare(first, other))
    except TypeError:
        return False
