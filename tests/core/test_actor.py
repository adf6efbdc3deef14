"""Tokens that are good for some requests only."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.core.actor import LONGEST_PATH, AccessRule


@pytest.mark.parametrize(("rule", "path", "allowed"), [
    ("/v2.1/servers", "/v2.1/servers", True), ("/v2.1/servers", "/v2x1/servers", False),
    ("/v2.1/servers/*", "/v2.1/servers/a", True), ("/v2.1/servers/*", "/v2.1/servers/a/b", False),
    ("/v2.1/servers/*", "/v2.1/servers/", False), ("/v2.1/**", "/v2.1/servers/a/b", True),
    ("/v2.1/{kind}/detail", "/v2.1/servers/detail", True), ("/v2.1/{kind}/detail", "/v2.1/servers/x/detail", False),
    ("/v2.1/(a|b)", "/v2.1/a", False), ("/v2.1/servers/**", "/v2.1/servers", False),
    ("/v2.1/servers/**", "/v2.1/servers/", True), ("/v1/**/data", "/v1/data", False), ("/v1/**/data", "/v1/a/b/data", True),
    ("/v1/*-{x}.tar", "/v1/a-b.tar", True), ("/v1/*-{x}.tar", "/v1/-b.tar", False),
    ("/***", "/", False), ("/***", "/a", True)])  # fmt: skip
def test_paths(rule: str, path: str, allowed: bool) -> None:
    assert AccessRule("compute", "GET", rule).allows("compute", "GET", path) is allowed
    assert not AccessRule("compute", "GET", rule).allows("compute", "POST", path)
    assert not AccessRule("compute", "GET", rule).allows("network", "GET", path)


@settings(settings.get_profile("ci"))  # it takes as long as it takes
@given(
    st.lists(st.sampled_from(["a", "b", "/", "*", "**", "{x}"]), max_size=9),
    st.text(st.sampled_from("ab/"), max_size=10),
)
def test_they_mean_what_they_mean_upstream(rule: list[str], path: str) -> None:
    """keystonemiddleware makes regular expressions of them."""
    words = {"*": "[^/]+", "{x}": "[^/]+", "**": ".*"}
    tokens = re.findall(r"\*\*|\*|\{x\}|.", "/" + "".join(rule))
    expression = "".join(words.get(token, re.escape(token)) for token in tokens)
    expected = re.fullmatch(expression, f"/{path}") is not None
    assert AccessRule("s", "GET", "/" + "".join(rule)).allows("s", "GET", f"/{path}") is expected


def test_no_rule_takes_for_ever() -> None:
    rule = AccessRule("s", "GET", "/" + "**a*" * 55)
    started = time.process_time()
    assert not rule.allows("s", "GET", "/" + "a" * (LONGEST_PATH - 2) + "/")
    assert time.process_time() - started < 5, "of some milliseconds; trying all ways takes years"
    assert not AccessRule("s", "GET", "/**").allows("s", "GET", "/" + "a" * LONGEST_PATH)
