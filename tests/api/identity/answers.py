"""The fields of Keystone's answers. Every successful answer in the conversations is compared with them: none may be
missing, none may be there besides. `test_samples.py` compares this table with the bodies that Keystone's API reference shows.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Kind(msgspec.Struct, frozen=True):
    always: frozenset[str]
    may: frozenset[str]
    open: bool
    """Whether fields of the client's own are kept and shown."""


def kind(fields: str, *, open: bool = False) -> Kind:
    """`name` is always there, `name?` may be."""
    words = fields.split()
    always = frozenset(w for w in words if not w.endswith("?"))
    return Kind(always, frozenset(w.rstrip("?") for w in words), open)


ONE = {
    "access_rule": kind("id service path method links"),
    "access_token": kind("id consumer_id project_id authorizing_user_id expires_at links"),
    "application_credential": kind(
        "id name description user_id project_id system expires_at unrestricted roles links access_rules? secret?"
    ),
    "consumer": kind("id description links secret?", open=True),
    "credential": kind("id type blob user_id project_id links", open=True),
    "domain": kind("id name description enabled tags options links", open=True),
    "endpoint": kind("id interface url service_id region_id region enabled links name? description?", open=True),
    "endpoint_group": kind("id name description filters links"),
    "group": kind("id name description domain_id links membership_expires_at?", open=True),
    "identity_provider": kind("id domain_id description enabled remote_ids authorization_ttl links"),
    "limit": kind(
        "id project_id domain_id service_id region_id resource_name resource_limit description links"
    ),
    "mapping": kind("id rules schema_version? links"),
    "policy": kind("id type blob links", open=True),
    "project": kind(
        "id name description domain_id enabled parent_id is_domain tags options links parents? subtree?", open=True
    ),
    "protocol": kind("id mapping_id remote_id_attribute? idp_id? links"),
    "region": kind("id description parent_region_id links", open=True),
    "registered_limit": kind("id service_id region_id resource_name default_limit description links"),
    "role": kind("id name description domain_id options links", open=True),
    "role_assignment": kind("role scope links user? group?"),
    "role_inference": kind("prior_role implies"),
    "service": kind("id type enabled links name? description?", open=True),
    "service_provider": kind("id auth_url sp_url relay_state_prefix description enabled links"),
    "trust": kind(
        "id trustor_user_id trustee_user_id project_id impersonation expires_at remaining_uses deleted_at "
        "redelegated_trust_id redelegation_count links roles? roles_links? allow_redelegation?", open=True
    ),
    "user": kind(
        "id name domain_id enabled options password_expires_at links default_project_id? federated?", open=True
    ),
    "model": kind("name description"),
    "token": kind(
        "methods user audit_ids expires_at issued_at roles? catalog? project? is_domain? domain? system? "
        "application_credential? OS-TRUST:trust? OS-OAUTH1? service_providers? oauth2_credential?"
    ),
    "receipt": kind("methods user expires_at issued_at"),
}
"""By the name under which one of them stands in a body."""

EC2 = kind("access secret user_id tenant_id trust_id links")
"""It also stands under `credential`."""

MANY = {
    **{f"{name}s": name for name in ONE},
    "registered_limits": "registered_limit",
    "policies": "policy",
}
"""By the name under which a list of them stands in a body."""

WITH_OPTIONAL_LINKS = ("role_inferences", "tags", "registered_limits", "limits", "events")
"""Of these, creating or listing answers without the links of a list."""

NESTED = {
    "token": {
        "user": kind("id name domain password_expires_at? OS-FEDERATION?"),
        "project": kind("id name domain"),
        "domain": kind("id name"),
        "system": kind("all"),
        "roles": kind("id name"),
        "catalog": kind("id type name endpoints"),
        "application_credential": kind("id name restricted access_rules?"),
        "OS-TRUST:trust": kind("id impersonation trustor_user trustee_user"),
        "OS-OAUTH1": kind("access_token_id consumer_id"),
        "service_providers": kind("id auth_url sp_url"),
    },
    "receipt": {"user": kind("id name domain")},
    "role_inference": {
        "prior_role": kind("id name links description?"),
        "implies": kind("id name links description?"),
    },
    "application_credential": {
        "roles": kind("id name domain_id description? options?"),
        "access_rules": kind("id service path method"),
    },
    "trust": {"roles": kind("id name links domain_id? description? options?", open=True)},
}


def check(body: Any, sent: set[str]) -> None:
    """Raises `AssertionError` for a field that Keystone would not show or would. `sent`: the fields that clients sent."""
    assert isinstance(body, dict)
    if "oauth_verifier" in body.get("token", {}):
        return  # a request token that was authorized
    for root, value in body.items():
        if root in MANY and isinstance(value, list):
            if root not in WITH_OPTIONAL_LINKS:
                assert set(body.get("links", ())) == {"self", "next", "previous"}, f"links of {root}"
            for one in value:
                _check_one(MANY[root], one, sent)
        elif root in ONE and isinstance(value, dict):
            _check_one(root, value, sent)


def _check_one(name: str, value: dict[str, Any], sent: set[str]) -> None:
    _check_fields(name, EC2 if name == "credential" and "access" in value else ONE[name], value, sent)
    for field, inner in NESTED.get(name, {}).items():
        things = value.get(field, [])
        for thing in things if isinstance(things, list) else [things]:
            _check_fields(f"{name}.{field}", inner, thing, sent)


def _check_fields(name: str, kind: Kind, value: dict[str, Any], sent: set[str]) -> None:
    missing = kind.always - set(value)
    assert not missing, f"{name} lacks {sorted(missing)}"
    more = set(value) - kind.may - (sent if kind.open else set())
    assert not more, f"{name} has {sorted(more)} besides"
