"""Domains: their names and options, and what goes with them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from api.identity.changes import changes_of
from api.identity.conftest import URL, IdentityCloud
from tiffin.core.tables import Table
from tiffin.services.identity.tables import Project, User

ID = "9aea63518f0040c6b4518d8d2242911c"


def test_a_domain_lives_and_dies(cloud: IdentityCloud) -> None:
    made = cloud.make("domain", "/domains", name="  land ", description="d", tags=["b", "a"], color="red")
    path = f"/domains/{made['id']}"
    assert made == {
        "id": made["id"], "name": "land", "description": "d", "enabled": True, "tags": ["a", "b"], "options": {},
        "color": "red", "links": {"self": f"{URL}/identity/v3{path}"},
    }  # fmt: skip
    assert cloud.do("GET", path).json["domain"] == made
    assert cloud.do("HEAD", path).status == 200
    assert made in cloud.do("GET", "/domains").json["domains"]
    body = {"name": " sea", "description": None, "tags": ["c"], "color": "blue"}
    changed = cloud.do("PATCH", path, {"domain": body}).json["domain"]
    assert changed == {**made, "name": "sea", "description": "", "tags": ["c"], "color": "blue"}
    assert cloud.do("DELETE", path).status == 403
    assert cloud.do("PATCH", path, {"domain": {"enabled": False}}).json["domain"]["enabled"] is False
    assert cloud.do("DELETE", path).status == 204
    for method, json in (("GET", None), ("DELETE", None), ("PATCH", {"domain": {"name": "x"}})):
        assert cloud.do(method, path, json).status == 404


def test_names_are_unique(cloud: IdentityCloud) -> None:
    cloud.make("domain", "/domains", name="land")
    sea = cloud.make("domain", "/domains", name="sea")
    for name in ("land", " land ", "Default"):
        assert cloud.do("POST", "/domains", {"domain": {"name": name}}).status == 409
        assert cloud.do("PATCH", f"/domains/{sea['id']}", {"domain": {"name": name}}).status == 409
    assert cloud.do("PATCH", f"/domains/{sea['id']}", {"domain": {"name": "sea"}}).status == 200


def test_an_id_may_be_chosen(cloud: IdentityCloud) -> None:
    assert cloud.make("domain", "/domains", name="land", explicit_domain_id=ID)["id"] == ID
    assert cloud.do("POST", "/domains", {"domain": {"name": "sea", "explicit_domain_id": ID}}).status == 409
    for id in ("bad!", "", ID[:15], ID + ID[:19], ID.upper(), "default", None):
        assert cloud.do("POST", "/domains", {"domain": {"name": "sea", "explicit_domain_id": id}}).status == 400


@pytest.mark.parametrize("wrong", [
    {"name": ""}, {"name": " "}, {"name": "x" * 65}, {"name": None}, {"name": 1}, {"enabled": "maybe"}, {"enabled": 1},
    {"description": 1}, {"description": "x" * 256}, {"options": {"immutable": "yes"}}, {"options": {"other": True}},
    {"options": None}, {"tags": ["a", "a"]}, {"tags": ["a,b"]}, {"tags": ["a/b"]}, {"tags": [""]}, {"tags": None},
    {"tags": [str(n) for n in range(81)]}])  # fmt: skip
def test_bad_domains(cloud: IdentityCloud, wrong: dict[str, Any]) -> None:
    made = cloud.make("domain", "/domains", name="land")
    assert cloud.do("POST", "/domains", {"domain": {"name": "sea", **wrong}}).status == 400
    assert cloud.do("PATCH", f"/domains/{made['id']}", {"domain": wrong}).status == 400
    assert cloud.do("PATCH", f"/domains/{made['id']}", {"domain": {}}).status == 400
    assert cloud.do("PATCH", f"/domains/{made['id']}", {"domain": {"id": "x"}}).status == 400
    assert cloud.do("POST", "/domains", {"domain": {}}).status == 400
    assert [d["name"] for d in cloud.do("GET", "/domains").json["domains"]] == ["Default", "land"]


def test_domains_are_filtered_and_paged(cloud: IdentityCloud) -> None:
    for name in ("a", "b", "c"):
        cloud.make("domain", "/domains", name=name, enabled=name != "b")

    def found(query: str) -> list[str]:
        return [d["name"] for d in cloud.do("GET", f"/domains?{query}").json["domains"]]

    assert found("") == ["Default", "a", "b", "c"]
    assert found("name=b") == ["b"]
    assert found("name__startswith=Def") == ["Default"]
    assert found("enabled=false") == ["b"]
    assert found("enabled") == ["Default", "a", "c"]
    page = cloud.do("GET", "/domains?limit=2").json
    assert ([d["name"] for d in page["domains"]], page["links"]["next"] is None) == (["Default", "a"], False)
    assert found(f"limit=2&marker={page['domains'][-1]['id']}") == ["b", "c"]
    assert cloud.do("GET", "/domains?limit=x").status == 400


def test_a_domains_token_lists_its_domain(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", "/domains", name="land")["id"]
    user = cloud.make("user", "/users", name="ann", password="pw", domain_id=domain)["id"]
    cloud.do("PUT", f"/domains/{domain}/users/{user}/roles/{cloud.role('reader')}")
    token = cloud.login("ann", "pw", {"domain": {"id": domain}}, domain=domain).headers["x-subject-token"]
    assert [d["id"] for d in cloud.do("GET", "/domains", token=token).json["domains"]] == [domain]
    assert cloud.do("GET", f"/domains/{domain}", token=token).status == 200
    assert cloud.do("GET", "/domains/default", token=token).status == 403
    assert cloud.do("GET", "/domains/none", token=token).status == 403


def test_what_is_disabled_loses_its_tokens(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", "/domains", name="land")["id"]
    project = cloud.make("project", "/projects", name="p", domain_id=domain)["id"]
    inside = cloud.make("user", "/users", name="ann", password="pw", domain_id=domain)["id"]
    outside = cloud.make("user", "/users", name="bob", password="pw")["id"]
    for user in (inside, outside):
        cloud.do("PUT", f"/projects/{project}/users/{user}/roles/{cloud.role('member')}")
        cloud.do("PUT", f"/domains/{domain}/users/{user}/roles/{cloud.role('member')}")
    scopes = [{"project": {"id": project}}, {"domain": {"id": domain}}]
    logins = [("ann", scope, domain) for scope in (*scopes, None)] + [("bob", scope, "default") for scope in scopes]
    tokens = [cloud.login(name, "pw", scope, domain=home).headers["x-subject-token"] for name, scope, home in logins]
    assert all(cloud.do("GET", "/auth/projects", token=token).status == 200 for token in tokens)
    for enabled in (False, True):
        cloud.do("PATCH", f"/domains/{domain}", {"domain": {"enabled": enabled}})
        assert [cloud.do("GET", "/auth/projects", token=token).status for token in tokens] == [401] * 5
        answers = {cloud.login(name, "pw", scope, domain=home).status for name, scope, home in logins}
        assert answers == ({201} if enabled else {401})


# --- the end -------------------------------------------------------------------------------------------------------------


def rows(cloud: IdentityCloud) -> dict[str, int]:
    """How many rows each of identity's tables has."""
    with cloud.cloud.database.read() as session:
        return {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Table.metadata.tables.items()
            if name.startswith("identity_") and name != "identity_epoch"
        }


def fill(cloud: IdentityCloud, domain: str) -> tuple[str, str]:
    """Something of each kind in a domain; the ids of a user and of a project."""
    project = cloud.make("project", "/projects", name="p", domain_id=domain, tags=["t"])["id"]
    child = cloud.make("project", "/projects", name="q", domain_id=domain, parent_id=project)["id"]
    user = cloud.make("user", "/users", name="ann", password="pw", domain_id=domain, default_project_id=child)["id"]
    group = cloud.make("group", "/groups", name="g", domain_id=domain)["id"]
    role = cloud.make("role", "/roles", name="r", domain_id=domain)["id"]
    reader = cloud.role("reader")
    for path in (
        f"/groups/{group}/users/{user}", f"/roles/{role}/implies/{reader}",
        f"/projects/{project}/users/{user}/roles/{reader}", f"/projects/{child}/groups/{group}/roles/{role}",
        f"/domains/{domain}/users/{user}/roles/{reader}", f"/system/users/{user}/roles/{reader}",
        f"/OS-INHERIT/domains/{domain}/users/{user}/roles/{reader}/inherited_to_projects",
    ):  # fmt: skip
        assert cloud.do("PUT", path).status in (201, 204), path
    assert cloud.do("PUT", f"/domains/{domain}/config", {"config": {"ldap": {"password": "x"}}}).status == 201
    idp = {"identity_provider": {"domain_id": domain, "remote_ids": ["x"]}}
    assert cloud.do("PUT", "/OS-FEDERATION/identity_providers/i", idp).status == 201
    own = cloud.login("ann", "pw", {"project": {"id": project}}, domain=domain).headers["x-subject-token"]
    credential = {"name": "c", "access_rules": [{"path": "/v3/x", "method": "GET", "service": "identity"}]}
    path = f"/users/{user}/application_credentials"
    assert cloud.do("POST", path, {"application_credential": credential}, token=own).status == 201
    cloud.make("credential", "/credentials", user_id=user, project_id=project, type="ec2",
               blob='{"access": "a", "secret": "b"}')  # fmt: skip
    service = cloud.do("GET", "/services?type=compute").json["services"][0]["id"]
    limit = {"service_id": service, "resource_name": "cores", "default_limit": 1}
    if not cloud.do("GET", "/registered_limits").json["registered_limits"]:
        assert cloud.do("POST", "/registered_limits", {"registered_limits": [limit]}).status == 201
    own_limit = {"service_id": service, "resource_name": "cores", "project_id": project, "resource_limit": 1}
    assert cloud.do("POST", "/limits", {"limits": [own_limit]}).status == 201
    return user, project


def test_a_domain_takes_everything_with_it(cloud: IdentityCloud) -> None:
    other = cloud.make("domain", "/domains", name="other")["id"]
    fill(cloud, other)
    cloud.do("DELETE", "/OS-FEDERATION/identity_providers/i")
    cloud.do("DELETE", cloud.do("GET", "/credentials").json["credentials"][0]["links"]["self"].partition("/v3")[2])
    before = rows(cloud)
    domain = cloud.make("domain", "/domains", name="land", tags=["t"])["id"]
    user, project = fill(cloud, domain)
    guest = cloud.make("user", "/users", name="guest", default_project_id=project)["id"]
    assert cloud.do("PUT", f"/projects/{project}/users/{guest}/roles/{cloud.role('member')}").status == 204
    trust = {"trustor_user_id": user, "trustee_user_id": guest, "impersonation": True, "project_id": project,
             "roles": [{"name": "reader"}]}  # fmt: skip
    own = cloud.login("ann", "pw", {"project": {"id": project}}, domain=domain).headers["x-subject-token"]
    assert cloud.do("POST", "/OS-TRUST/trusts", {"trust": trust}, token=own).status == 201
    assert {name for name, count in rows(cloud).items() if count > before[name]} >= OF_DOMAIN
    cloud.do("PATCH", f"/domains/{domain}", {"domain": {"enabled": False}})
    assert cloud.do("DELETE", f"/domains/{domain}").status == 204
    cloud.do("DELETE", f"/users/{guest}")
    assert rows(cloud) == before
    for kind, id in (("domain", domain), ("project", project), ("user", user), ("identity_provider", "i")):
        assert changes_of(cloud, f"identity.{kind}", id)[-1].kind == "delete"


OF_DOMAIN = {
    "identity_project", "identity_project_tag", "identity_user", "identity_group", "identity_membership", "identity_role",
    "identity_implied_role", "identity_assignment", "identity_application_credential", "identity_access_rule",
    "identity_trust", "identity_credential", "identity_limit", "identity_identity_provider", "identity_remote_id",
    "identity_domain_option",
}  # fmt: skip
"""Tables in which things of a domain have rows."""


def test_nobody_keeps_a_project_that_is_gone(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", "/domains", name="land", enabled=False)["id"]
    with cloud.cloud.database.write() as session:
        session.add(Project(id="gone", name="p", domain_id=domain, parent_id=domain, is_domain=False, enabled=True,
                            description=""))  # fmt: skip
    guest = cloud.make("user", "/users", name="guest")["id"]
    with cloud.cloud.database.write() as session:
        session.get_one(User, guest).default_project_id = "gone"
    assert cloud.do("DELETE", f"/domains/{domain}").status == 204
    assert "default_project_id" not in cloud.do("GET", f"/users/{guest}").json["user"]


@pytest.mark.parametrize(("kind", "path"), [("project", "/projects"), ("role", "/roles"), ("domain", "")])
def test_what_is_immutable_keeps_its_domain(cloud: IdentityCloud, kind: str, path: str) -> None:
    fixed = {"options": {"immutable": True}}
    domain = cloud.make("domain", "/domains", name="land", enabled=False, **(fixed if not path else {}))["id"]
    cloud.make("group", "/groups", name="g", domain_id=domain)
    if path:
        cloud.do("PATCH", f"/domains/{domain}", {"domain": {"enabled": True}})
        id = cloud.make(kind, path, name="p", domain_id=domain, **fixed)["id"]
        cloud.do("PATCH", f"/domains/{domain}", {"domain": {"enabled": False}})
    else:
        path, id = "/domains", domain
        assert cloud.do("PATCH", f"/domains/{domain}", {"domain": {"enabled": True}}).status == 403
    before = rows(cloud)
    assert cloud.do("DELETE", f"/domains/{domain}").status == 403
    assert rows(cloud) == before
    assert cloud.do("PATCH", f"{path}/{id}", {kind: {"options": {"immutable": None}}}).status == 200
    assert cloud.do("DELETE", f"/domains/{domain}").status == 204


def test_a_domain_as_a_project(cloud: IdentityCloud) -> None:
    """What upstream calls a project that acts as a domain has the same end."""
    domain = cloud.make("domain", "/domains", name="land")["id"]
    fill(cloud, domain)
    assert cloud.do("DELETE", f"/projects/{domain}").status == 403
    cloud.do("PATCH", f"/projects/{domain}", {"project": {"enabled": False}})
    assert cloud.do("DELETE", f"/projects/{domain}").status == 204
    assert cloud.do("GET", f"/domains/{domain}").status == 404
