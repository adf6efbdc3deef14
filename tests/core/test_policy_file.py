"""An operator's policy file: what is wrong with it is said, and the worst of it is not used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support import PERSONAS
from tiffin.core.policy import Policy
from tiffin.core.policy_file import PolicyFileError, problems, read

DEFAULTS = {"admin": "role:admin", "list": "rule:admin", "show": "rule:list or role:reader", "delete": "rule:admin"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"list": "role:auditor"', []),
        ("", []),
        ("# nothing but a comment", []),
        ('"list": "rule:auditor"\n"auditor": "role:auditor"', []),  # a new rule
        ('"delete": "rule:list"', []),  # another name for it
        ('"delete": "!"\n"list": "@"\n"show": ""', []),
        ('"delete": [["role:admin"], ["role:operator"]]', []),  # the old form of the language
        ('"lst": "@"', ["lst: there is no such rule; nothing asks for it."]),
        ('"list": "role:admin and"', ["list: the expression 'role:admin and' has a mistake; it allows nobody."]),
        ('"list": "not rule:gone"', ["list: it refers to a rule gone that does not exist."]),
        ('"list": "rule:admin"', ["list: this is the default; the line may go."]),
    ],
)
def test_problems(text: str, said: list[str]) -> None:
    assert problems(DEFAULTS, text) == said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('"list": [', "not YAML"),
        ("just text", "must be lines"),
        ("- a", "must be lines"),
        ('"list":', "needs an expression"),  # to oslo.policy this is everybody
        ('"list": true', "needs an expression"),
        ("5: '@'", "needs an expression"),
        ('"admin": "rule:delete"', "in a circle: admin > delete > admin"),
        ('"a": "rule:b"\n"b": "not (rule:list or rule:a)"', "in a circle: a > b > a"),
        ('"list": "rule:list"', "in a circle: list > list"),
    ],
)
def test_what_cannot_be_used_at_all(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match=why.replace("(", r"\(")):
        problems(DEFAULTS, text)
    file = tmp_path / "x.yaml"
    file.write_text('"list": "role:reader"')
    policy = Policy("x", DEFAULTS.items(), file)
    assert policy.allows("list", PERSONAS["reader"], {})
    file.write_text(text)
    os.utime(file, (0, 1))
    policy.look_again()
    assert policy.allows("list", PERSONAS["reader"], {})  # as before
    fresh = Policy("x", DEFAULTS.items(), file)
    assert not fresh.allows("list", PERSONAS["admin"], {})  # nothing was before: all is refused


def test_the_file_as_a_mapping() -> None:
    assert read('"a": "@"\n"b": "role:x"') == {"a": "@", "b": "role:x"}
