"""Tokens that are good for some requests only."""

from __future__ import annotations

import pytest

from tiffin.core.actor import AccessRule


@pytest.mark.parametrize(("rule", "path", "allowed"), [
    ("/v2.1/servers", "/v2.1/servers", True), ("/v2.1/servers", "/v2x1/servers", False),
    ("/v2.1/servers/*", "/v2.1/servers/a", True), ("/v2.1/servers/*", "/v2.1/servers/a/b", False),
    ("/v2.1/servers/*", "/v2.1/servers/", False), ("/v2.1/**", "/v2.1/servers/a/b", True),
    ("/v2.1/{kind}/detail", "/v2.1/servers/detail", True), ("/v2.1/{kind}/detail", "/v2.1/servers/x/detail", False),
    ("/v2.1/(a|b)", "/v2.1/a", False)])  # fmt: skip
def test_paths(rule: str, path: str, allowed: bool) -> None:
    assert AccessRule("compute", "GET", rule).allows("compute", "GET", path) is allowed
    assert not AccessRule("compute", "GET", rule).allows("compute", "POST", path)
    assert not AccessRule("compute", "GET", rule).allows("network", "GET", path)
