"""The lock files, from which a newcomer's environment is made, hold all that pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib

from house import tree


def names(requirements: list[str]) -> set[str]:
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in requirements)
    return {re.sub(r"[._-]+", "-", match[0]).lower() for match in found if match}


def test_what_is_needed_is_locked() -> None:
    project = tomllib.loads((tree.ROOT / "pyproject.toml").read_text())["project"]
    needed, extras = project["dependencies"], project["optional-dependencies"]
    for lock, wanted in (
        ("requirements.lock", needed),
        ("requirements-test.lock", needed + extras["test"]),
        ("requirements-upstream.lock", extras["upstream"]),
    ):
        locked = (tree.ROOT / lock).read_text().splitlines()
        assert names(wanted) <= names(locked), f"run tools/lock: {lock} lacks {names(wanted) - names(locked)}"
