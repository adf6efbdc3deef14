"""qemu-img is called in one place, on a leash, and every call says which formats it means.

Who lets it guess reads what a tenant wants him to read (CVE-2014-0134, CVE-2015-1850, CVE-2024-40767, CVE-2026-24708).
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from house import tree

ITSELF = "src/tiffin/core/qemu_img.py"
PROGRAM = "qemu-img"
OTHERS = ("qemu-io", "qemu-nbd", "qemu-storage-daemon")
NAMED = {"src/tiffin/cli/packages.py"}
"""Which package the program is in."""
NEEDS = {
    "create": {"-f"},
    "convert": {"-f", "-O"},
    "resize": {"-f"},
}
"""What an action must say; another action must first be written here."""


def words(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def calls(path: Path) -> list[list[str]]:
    """The constant words of each call of `qemu_img.run`, and of each command that names the program."""
    found = []
    for node in ast.walk(tree.parsed(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "qemu_img.run":
            found.append(words(node))
        elif isinstance(node, (ast.Tuple, ast.List)) and PROGRAM in words(node):
            assert "qemu_img.leash" in ast.unparse(node), f"{tree.name(path)}:{node.lineno} calls it without a leash"
            found.append(words(node)[words(node).index(PROGRAM) + 1 :])
    return found


def test_a_call_names_its_formats() -> None:
    found = [(path, call) for path in tree.files() if tree.name(path) not in {ITSELF, *NAMED} for call in calls(path)]
    assert len(found) >= 6
    for path, call in found:
        assert call[0] in NEEDS, f"{call[0]}: say in NEEDS by which words it names its formats"
        assert NEEDS[call[0]] <= set(call), f"{tree.name(path)}: {call}"
        source = path.read_text()
        assert ('"-b"' in source) <= ('"-F"' in source), f"{tree.name(path)}: a backing file without its format"


@pytest.mark.parametrize("path", tree.files(), ids=tree.name)
def test_nobody_runs_it_otherwise(path: Path) -> None:
    for node in ast.walk(tree.parsed(path)):
        if isinstance(node, ast.Call):
            said = words(node)
            assert not set(OTHERS) & set(said), f"line {node.lineno}"
            runs = ast.unparse(node.func).startswith(("subprocess.", "os."))
            assert not (runs and PROGRAM in said), f"line {node.lineno}: use core/qemu_img.py"
