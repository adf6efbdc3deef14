"""The rules of identity are upstream's, by name and by default."""

from __future__ import annotations

import pytest

from tiffin.core.policy import Policy
from tiffin.services.identity.resources.federated_login import federated_login
from tiffin.services.identity.service import service


def test_rules_have_one_default_each() -> None:
    rules = Policy("identity", service.all_rules()).defaults
    assert all(name.startswith("identity:") or name in dict(service.rules) for name in rules)


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_what_changes_something_has_a_rule(method: str) -> None:
    signed = {"/v3/OS-OAUTH1/request_token", "/v3/OS-OAUTH1/access_token", "/v3/OS-OAUTH2/token"}
    federated = {o.path for o in federated_login.operations}
    open_ones = {"/v3/auth/tokens", "/v3/users/{id}/password", *signed, *federated}
    for operation in service.operations():
        if operation.method == method and operation.policy is None:
            assert operation.path in open_ones, operation.name
