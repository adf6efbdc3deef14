"""From a path to the operations behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from tiffin.core.resource import Operation


@dataclasses.dataclass
class _Node:
    literals: dict[str, _Node] = dataclasses.field(default_factory=dict)
    field: _Node | None = None
    tail: _Node | None = None
    operations: dict[str, list[Operation]] = dataclasses.field(default_factory=dict)


class Routes:
    """Literal segments win over `{field}`s, and those over a `{tail:path}`, which takes the rest of the path."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._root = _Node()
        for operation in operations:
            self._add(operation)

    def _add(self, operation: Operation) -> None:
        node = self._root
        for segment in _segments(operation.path):
            if segment.startswith("{") and segment.endswith(":path}"):
                node.tail = node.tail or _Node()
                node = node.tail
            elif segment.startswith("{"):
                node.field = node.field or _Node()
                node = node.field
            else:
                node = node.literals.setdefault(segment, _Node())
        node.operations.setdefault(operation.method, []).append(operation)

    def find(self, path: str) -> dict[str, list[Operation]]:
        """The operations at a path by method; empty when there is no such path."""
        node = _walk(self._root, _segments(path), 0)
        return node.operations if node else {}


def _walk(node: _Node, segments: list[str], at: int) -> _Node | None:
    if at == len(segments):
        return node if node.operations else None
    literal = node.literals.get(segments[at])
    found = _walk(literal, segments, at + 1) if literal else None
    if found is None and node.field is not None and segments[at]:
        found = _walk(node.field, segments, at + 1)
    if found is None and node.tail is not None and node.tail.operations:
        found = node.tail
    return found


def _segments(path: str) -> list[str]:
    return path.strip("/").split("/") if path.strip("/") else []


def fields(operation: Operation, path: str) -> dict[str, str]:
    """The values of the path's fields."""
    template, actual = _segments(operation.path), _segments(path)
    found: dict[str, str] = {}
    for n, segment in enumerate(template):
        if segment.endswith(":path}"):
            found[segment[1:-6]] = "/".join(path.lstrip("/").split("/")[n:])
        elif segment.startswith("{"):
            found[segment[1:-1]] = actual[n]
    return found
