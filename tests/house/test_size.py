"""A file is one thought, a function fits a screen."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from house import tree

FILE, FILE_WITH_REASON = 400, 600
FUNCTION, FUNCTION_WITH_REASON = 40, 60
PARAMETERS = 6


@pytest.mark.parametrize("path", tree.files(), ids=tree.name)
def test_sizes(path: Path) -> None:
    if "migrations/versions" in str(path):
        return  # generated, and never read twice
    lines = path.read_text().splitlines()
    reason = bool(lines) and lines[0].startswith("# long:")
    assert len(lines) <= (FILE_WITH_REASON if reason else FILE), f"{len(lines)} lines: is it still one thought?"
    for function in tree.functions(path):
        length = (function.end_lineno or 0) - function.lineno + 1 - _docstring(function)
        reason = "# long:" in lines[function.lineno - 1]
        assert length <= (FUNCTION_WITH_REASON if reason else FUNCTION), f"{function.name} has {length} lines"
        assert _parameters(function) <= PARAMETERS, f"{function.name} has {_parameters(function)} parameters"


def _docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return (first.end_lineno or 0) - first.lineno + 1 if is_text else 0


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Those that can be given by position: one that must be named explains itself where it is used."""
    given = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    return len([a for a in given if a not in ("self", "cls")])
