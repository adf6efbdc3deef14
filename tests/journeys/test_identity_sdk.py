"""openstacksdk's identity, every call that it has, against a whole cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openstack.identity.v3._proxy import Proxy

from recorder import Recorder, calls
from running_cloud import ADMIN, running_cloud

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")  # of the SDK

CALLS = calls(Proxy)
RULES = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "REMOTE_USER"}]}]
CONFIG = {"identity": {"driver": "ldap"}, "ldap": {"url": "ldap://here", "user_tree_dn": "ou=Users"}}


@pytest.fixture(scope="module")
def identity() -> Iterator[Recorder]:
    with running_cloud(simulated=True) as running, running.connect(ADMIN) as admin:
        yield Recorder(admin.identity)


def lives(do: Recorder, kind: str, plural: str, fields: dict[str, Any], changes: dict[str, Any], find: bool = True) -> None:
    """Create, show, find, list, update and delete one."""
    made = getattr(do, f"create_{kind}")(**fields)
    got = getattr(do, f"get_{kind}")(made.id)
    assert got.id == made.id
    for name, value in fields.items():
        shown = getattr(got, name)
        assert shown == value, (name, shown)
    if find:
        assert getattr(do, f"find_{kind}")(made.id, ignore_missing=False).id == made.id
        if isinstance(getattr(made, "name", None), str):
            assert getattr(do, f"find_{kind}")(made.name, ignore_missing=False).id == made.id
        assert getattr(do, f"find_{kind}")("there is none") is None
    assert made.id in [one.id for one in getattr(do, plural)()]
    getattr(do, f"update_{kind}")(made.id, **changes)
    got = getattr(do, f"get_{kind}")(made.id)
    assert {name: getattr(got, name) for name in changes} == changes
    if kind == "domain":
        do.update_domain(made.id, is_enabled=False)
    getattr(do, f"delete_{kind}")(made.id, ignore_missing=False)
    assert made.id not in [one.id for one in getattr(do, plural)()]


def plain(do: Recorder) -> None:
    """Things that stand by themselves."""
    d, e = {"name": "a", "description": "d"}, {"name": "b", "description": "e"}
    lives(do, "domain", "domains", d, e)
    lives(do, "project", "projects", {**d, "domain_id": "default", "is_enabled": True}, {**e, "tags": ["t"]})
    lives(do, "user", "users", {**d, "domain_id": "default", "email": "x@example.org"}, {**e, "is_enabled": False})
    lives(do, "group", "groups", {**d, "domain_id": "default"}, e)
    lives(do, "role", "roles", {**d, "options": {"immutable": False}}, e)
    lives(do, "region", "regions", {"id": "north", "description": "d"}, {"description": "e"})
    lives(do, "service", "services", {**d, "type": "x", "is_enabled": True}, {**e, "type": "y"})
    lives(do, "policy", "policies", {"blob": "{}", "type": "application/json"}, {"blob": "[]"})


def catalogue(do: Recorder) -> None:
    service, project = do.find_service("glance").id, do.find_project("demo").id
    fields = {"service_id": service, "interface": "admin", "url": "http://x", "region_id": "RegionOne", "is_enabled": True}
    lives(do, "endpoint", "endpoints", fields, {"url": "http://y", "interface": "internal"})
    group = {"name": "g", "description": "d", "filters": {"service_id": service}}
    lives(do, "endpoint_group", "endpoint_groups", group, {"name": "h", "filters": {"interface": "public"}})
    endpoint, made = do.create_endpoint(**fields), do.create_endpoint_group(**group)
    do.associate_endpoint_with_project(project, endpoint.id)
    assert [one.id for one in do.project_endpoints(project)] == [endpoint.id]
    assert [one.id for one in do.endpoint_projects(endpoint.id)] == [project]
    do.disassociate_endpoint_from_project(project, endpoint.id)
    do.associate_project_with_endpoint_group(made.id, project)
    assert endpoint.id in [one.id for one in do.endpoint_group_endpoints(made.id)]
    assert [one.id for one in do.endpoint_group_projects(made.id)] == [project]
    assert [one.id for one in do.project_endpoint_groups(project)] == [made.id]
    do.disassociate_project_from_endpoint_group(made.id, project)
    do.delete_endpoint(endpoint.id)
    do.delete_endpoint_group(made.id)


def limits(do: Recorder) -> None:
    fields = {"service_id": do.find_service("glance").id, "region_id": "RegionOne", "resource_name": "widgets"}
    registered = {**fields, "default_limit": 10, "description": "d"}
    lives(do, "registered_limit", "registered_limits", registered, {"default_limit": 12}, find=False)
    kept = do.create_registered_limit(**registered)
    # a token of a project lists the limits of that project only
    own = {**fields, "project_id": do.find_project("admin").id, "resource_limit": 5, "description": "d"}
    lives(do, "limit", "limits", own, {"resource_limit": 6}, find=False)
    do.delete_registered_limit(kept.id)


def people(do: Recorder) -> None:
    user, group = do.create_user(name="walker", password="old"), do.create_group(name="walkers")
    do.add_user_to_group(user, group)
    assert do.check_user_in_group(user, group)
    assert [one.id for one in do.group_users(group)] == [user.id]
    assert [one.id for one in do.user_groups(user)] == [group.id]
    do.remove_user_from_group(user, group)
    assert not do.check_user_in_group(user, group)
    do.update_password(user.id, "old", "new")
    lives(do, "credential", "credentials", {"user_id": user.id, "type": "cert", "blob": "x"}, {"blob": "y"})
    do.delete_user(user)
    do.delete_group(group)


def assignments(do: Recorder) -> None:
    role, user, group = do.find_role("reader"), do.create_user(name="clerk"), do.create_group(name="clerks")
    for where, scope in (("domain", do.find_domain("default")), ("project", do.find_project("demo"))):
        for who, one in (("user", user), ("group", group)):
            for inherited in (False, True):
                there = (scope, one, role)
                getattr(do, f"assign_{where}_role_to_{who}")(*there, inherited=inherited)
                has = getattr(do, f"validate_{who}_has_{where}_role")
                assert has(*there, inherited=inherited)
                if not inherited:
                    found = do.role_assignments_filter(**{where: scope.id, who: one.id})
                    assert [shown.id for shown in found] == [role.id]
                getattr(do, f"unassign_{where}_role_from_{who}")(*there, inherited=inherited)
                assert not has(*there, inherited=inherited)
    for who, one in (("user", user), ("group", group)):
        getattr(do, f"assign_system_role_to_{who}")(one, role, "all")
        assert getattr(do, f"validate_{who}_has_system_role")(one, role, "all")
        assert [shown.role["id"] for shown in do.role_assignments(scope_system="all", **{f"{who}_id": one.id})] == [role.id]
        getattr(do, f"unassign_system_role_from_{who}")(one, role, "all")
    do.assign_project_role_to_user(do.find_project("demo"), user, role)
    assert [one.name for one in do.user_projects(user)] == ["demo"]
    do.delete_user(user)
    do.delete_group(group)


def delegation(do: Recorder) -> None:
    user, project = do.proxy.session.get_user_id(), do.find_project("admin").id
    rules = [{"service": "compute", "method": "GET", "path": "/v2.1/servers"}]
    made = do.create_application_credential(user, "robot", roles=[{"name": "reader"}], access_rules=rules)
    assert made.secret
    assert do.get_application_credential(user, made.id).roles[0]["name"] == "reader"
    assert do.find_application_credential(user, "robot").id == made.id
    assert [one.id for one in do.application_credentials(user)] == [made.id]
    (rule,) = do.access_rules(user)
    assert do.get_access_rule(user, rule.id).path == "/v2.1/servers"
    do.delete_application_credential(user, made.id, ignore_missing=False)
    do.delete_access_rule(user, rule.id, ignore_missing=False)
    fields = {"trustor_user_id": user, "trustee_user_id": do.find_user("demo").id, "project_id": project}
    trust = do.create_trust(**fields, is_impersonation=True, roles=[{"name": "reader"}])
    assert do.get_trust(trust.id).roles[0]["name"] == "reader"
    assert do.find_trust(trust.id).id == trust.id
    assert [one.id for one in do.trusts(trustor_user_id=user)] == [trust.id]
    do.delete_trust(trust.id, ignore_missing=False)


def federation(do: Recorder) -> None:
    provider = {"id": "idp", "description": "d", "remote_ids": ["https://idp"]}
    lives(do, "identity_provider", "identity_providers", provider, {"description": "e", "is_enabled": True})
    lives(do, "mapping", "mappings", {"id": "map", "rules": RULES}, {"rules": RULES * 2})
    urls = {"auth_url": "https://sp/v3", "sp_url": "https://sp/sso"}
    lives(do, "service_provider", "service_providers", {"id": "sp", "description": "d", **urls}, {"description": "e"})
    do.create_identity_provider(**provider)
    do.create_mapping(id="map", rules=RULES)
    do.create_federation_protocol("idp", id="saml2", mapping_id="map")
    do.update_federation_protocol("idp", "saml2", mapping_id="map")
    assert do.get_federation_protocol("idp", "saml2").mapping_id == "map"
    assert do.find_federation_protocol("idp", "saml2").id == "saml2"
    assert [one.id for one in do.federation_protocols("idp")] == ["saml2"]
    do.delete_federation_protocol("idp", "saml2", ignore_missing=False)
    do.delete_identity_provider("idp")
    do.delete_mapping("map")


def configuration(do: Recorder) -> None:
    domain = do.create_domain(name="abroad", is_enabled=False)
    do.create_domain_config(domain, **CONFIG)
    assert do.get_domain_config(domain).ldap.url == "ldap://here"
    do.update_domain_config(domain, ldap={"url": "ldap://there"})
    assert do.get_domain_config(domain).ldap.url == "ldap://there"
    do.delete_domain_config(domain, ignore_missing=False)
    do.delete_domain(domain)


def tokens(do: Recorder) -> None:
    token = do.proxy.session.get_token()
    shown = do.validate_token(token)
    assert shown.user["name"] == "admin"
    assert do.check_token(token)
    reply = do.proxy.post("/auth/tokens", json={"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}})
    other = reply.headers["X-Subject-Token"]
    do.revoke_token(other)
    assert not do.check_token(other)


TOPICS: tuple[Callable[[Recorder], None], ...] = (
    plain, catalogue, limits, people, assignments, delegation, federation, configuration, tokens,
)  # fmt: skip


@pytest.fixture(scope="module")
def told(identity: Recorder) -> Iterator[set[str]]:
    """The topics that have been gone through. After the last of all, no call is left out."""
    names: set[str] = set()
    yield names
    if len(names) == len(TOPICS):
        assert CALLS - identity.called == set()


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.__name__)
def test_calls(identity: Recorder, told: set[str], topic: Callable[[Recorder], None]) -> None:
    topic(identity)
    told.add(topic.__name__)
