"""The rules of identity are upstream's, by name and by default."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiffin.core.policy import Policy
from tiffin.services.identity.resources.federated_login import federated_login
from tiffin.services.identity.scopes import scopes
from tiffin.services.identity.service import service

UPSTREAM: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("policy_defaults.json").read_text())
"""Keystone's rules: the default check string, and the kinds of scope that a token must have."""


def test_rules_have_one_default_each() -> None:
    rules = Policy("identity", service.all_rules()).defaults
    assert all(name.startswith("identity:") or name in dict(service.rules) for name in rules)


def test_defaults_are_upstreams() -> None:
    ours = dict(service.all_rules())
    assert set(ours) - set(UPSTREAM) == set(), "upstream has no such rules"
    different = {name: (check, UPSTREAM[name]["check"]) for name, check in ours.items() if check != UPSTREAM[name]["check"]}
    assert not different, "\n".join(f"{name}\n    {o}\n    {u}" for name, (o, u) in different.items())


def test_scopes_are_upstreams() -> None:
    for name, facts in UPSTREAM.items():
        assert scopes(name) == (tuple(facts["scopes"]) if facts["scopes"] else None), name


def test_no_rule_of_upstream_is_missing() -> None:
    missing = sorted(set(UPSTREAM) - set(dict(service.all_rules())))
    assert not missing, f"{len(missing)} rules that no operation asks for: {', '.join(missing)}"


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_what_changes_something_has_a_rule(method: str) -> None:
    signed = {"/v3/OS-OAUTH1/request_token", "/v3/OS-OAUTH1/access_token", "/v3/OS-OAUTH2/token"}
    federated = {o.path for o in federated_login.operations}
    open_ones = {"/v3/auth/tokens", "/v3/users/{id}/password", *signed, *federated}
    for operation in service.operations():
        if operation.method == method and operation.policy is None:
            assert operation.path in open_ones, operation.name
