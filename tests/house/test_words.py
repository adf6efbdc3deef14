"""What code may not say or do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from house import tree

CHANCE = {"datetime.now", "datetime.utcnow", "time.time", "uuid.uuid4", "uuid4", "time.sleep", "random.random"}
OWN_NAMES = ("Manager", "Helper", "Utils", "Util", "Base")


def called(node: ast.Call) -> str:
    return ast.unparse(node.func)


@pytest.mark.parametrize(
    "path", [p for p in tree.files() if "services" in p.parts and "drivers" not in p.parts], ids=tree.name
)
def test_time_and_chance_are_passed_in(path: Path) -> None:
    for node in ast.walk(tree.parsed(path)):
        if isinstance(node, ast.Call):
            assert not any(called(node) == c or called(node).endswith("." + c) for c in CHANCE), f"line {node.lineno}"


@pytest.mark.parametrize("path", tree.files(), ids=tree.name)
def test_names_and_exceptions(path: Path) -> None:
    for node in ast.walk(tree.parsed(path)):
        if isinstance(node, ast.ClassDef):
            assert not node.name.endswith(OWN_NAMES), f"{node.name}: say what it is"
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            silent = all(isinstance(s, (ast.Pass, ast.Continue)) for s in node.body)
            assert not (broad and silent), f"line {node.lineno} swallows an exception"


@pytest.mark.parametrize("path", tree.files(), ids=tree.name)
def test_every_module_says_what_it_is(path: Path) -> None:
    if path.read_text().strip():
        assert ast.get_docstring(tree.parsed(path)), "no docstring"
