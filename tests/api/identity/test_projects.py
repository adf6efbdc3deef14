"""Domains and projects."""

from __future__ import annotations

from typing import Any

import pytest

from api.identity.conftest import ADMIN_PASSWORD, IdentityCloud


def test_a_domain_lives_and_dies(cloud: IdentityCloud) -> None:
    made = cloud.make("domain", "/domains", name="d", color="red")
    path = f"/domains/{made['id']}"
    assert (made["description"], made["enabled"], made["color"], made["options"]) == ("", True, "red", {})
    assert cloud.do("GET", path).json["domain"] == made
    assert cloud.do("GET", "/domains?name=d").json["domains"] == [made]
    assert cloud.do("POST", "/domains", {"domain": {"name": "d"}}).status == 409
    assert cloud.do("GET", f"/projects/{made['id']}").json["project"]["is_domain"] is True
    assert [p["id"] for p in cloud.do("GET", "/projects?is_domain=true&name=d").json["projects"]] == [made["id"]]
    cloud.make("project", "/projects", name="p", domain_id=made["id"])
    cloud.make("user", "/users", name="u", domain_id=made["id"])
    assert cloud.do("DELETE", path).status == 403
    assert (
        cloud.do("PATCH", path, {"domain": {"enabled": False, "description": "x"}}).json["domain"]["enabled"] is False
    )
    assert cloud.do("DELETE", path).status == 204
    assert cloud.do("GET", path).status == 404
    assert cloud.do("GET", "/users?name=u").json["users"] == []
    assert cloud.do("GET", "/projects?name=p").json["projects"] == []


def test_a_disabled_domain_locks_everybody_out(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", "/domains", name="d")["id"]
    user = cloud.make("user", "/users", name="ann", password="pw", domain_id=domain)["id"]
    project = cloud.make("project", "/projects", name="p", domain_id=domain)["id"]
    cloud.do("PUT", f"/projects/{project}/users/{user}/roles/{cloud.role('member')}")
    cloud.do("PUT", f"/domains/{domain}/users/{user}/roles/{cloud.role('member')}")
    scopes: list[dict[str, Any]] = [{"domain": {"name": "d"}}, {"project": {"id": project}}]
    tokens = [cloud.login("ann", "pw", s, domain).headers["x-subject-token"] for s in scopes]
    for token in tokens:
        assert [d["id"] for d in cloud.do("GET", "/auth/domains", token=token).json["domains"]] == [domain]
    for enabled in (False, True):
        cloud.do("PATCH", f"/domains/{domain}", {"domain": {"enabled": enabled}})
        assert cloud.login("ann", "pw", None, domain).status == (201 if enabled else 401)
        for token in tokens:
            assert cloud.do("GET", "/auth/domains", token=token).status == 401


def test_the_own_domain_is_seen(cloud: IdentityCloud) -> None:
    _, _, token = cloud.member("ann", "p", "reader")
    assert cloud.do("GET", "/domains/default", token=token).json["domain"]["name"] == "Default"
    other = cloud.make("domain", "/domains", name="d")["id"]
    assert cloud.do("GET", f"/domains/{other}", token=token).status == 403
    assert cloud.do("GET", "/domains", token=token).status == 403


def test_a_project_lives_and_dies(cloud: IdentityCloud) -> None:
    made = cloud.make("project", "/projects", name="p", tags=["b", "a"], color="red")
    path = f"/projects/{made['id']}"
    assert made == {
        "id": made["id"], "name": "p", "domain_id": "default", "parent_id": "default", "is_domain": False,
        "enabled": True, "description": "", "tags": ["a", "b"], "options": {}, "color": "red",
        "links": {"self": f"http://127.0.0.1:8000/identity/v3{path}"},
    }  # fmt: skip
    assert cloud.do("GET", path).json["project"] == made
    assert made in cloud.do("GET", "/projects").json["projects"]
    changed = cloud.do("PATCH", path, {"project": {"name": "q", "tags": ["c"], "enabled": False}}).json["project"]
    assert (changed["name"], changed["tags"], changed["enabled"]) == ("q", ["c"], False)
    assert cloud.do("DELETE", path).status == 204
    assert cloud.do("GET", path).status == 404


@pytest.mark.parametrize(("fields", "status"), [
    ({}, 400), ({"name": "x" * 65}, 400), ({"name": "admin"}, 409), ({"name": "x", "domain_id": "none"}, 400),
    ({"name": "x", "parent_id": "none"}, 400), ({"name": "x", "tags": ["a,b"]}, 400), ({"name": "x", "tags": ["a", "a"]}, 400),
    ({"name": "x", "tags": [str(n) for n in range(81)]}, 400), ({"name": "x", "enabled": 1}, 400),
    ({"name": "x", "is_domain": True, "domain_id": "default"}, 400), ({"name": "Default", "is_domain": True}, 409),
    ({"name": "x", "options": {"immutable": "yes"}}, 400), ({"name": "x", "description": 5}, 400)])  # fmt: skip
def test_bad_projects(cloud: IdentityCloud, fields: dict[str, Any], status: int) -> None:
    before = cloud.do("GET", "/projects").json
    assert cloud.do("POST", "/projects", {"project": fields}).status == status
    assert cloud.do("GET", "/projects").json == before


@pytest.mark.parametrize(("kind", "path"), [("project", "/projects"), ("role", "/roles"), ("domain", "/domains")])
def test_what_is_immutable_stays(cloud: IdentityCloud, kind: str, path: str) -> None:
    made = cloud.make(kind, path, name="fixed", options={"immutable": True})
    one = f"{path}/{made['id']}"
    assert cloud.do("PATCH", one, {kind: {"name": "x"}}).status == 403
    assert cloud.do("DELETE", one).status == 403
    assert cloud.do("PATCH", one, {kind: {"options": {"immutable": None}}}).json[kind]["options"] == {}
    assert cloud.do("PATCH", one, {kind: {"name": "x"}}).status == 200


def test_a_disabled_project_loses_its_tokens(cloud: IdentityCloud) -> None:
    _, project, token = cloud.member("ann", "p")
    assert cloud.do("GET", f"/projects/{project}", token=token).status == 200
    for enabled in (False, True):
        cloud.do("PATCH", f"/projects/{project}", {"project": {"enabled": enabled}})
        assert cloud.do("GET", f"/projects/{project}", token=token).status == 401


def test_a_domain_scoped_administrator(cloud: IdentityCloud) -> None:
    admin = cloud.do("GET", "/users?name=admin").json["users"][0]["id"]
    cloud.do("PUT", f"/domains/default/users/{admin}/roles/{cloud.role('admin')}")
    reply = cloud.login("admin", ADMIN_PASSWORD, {"domain": {"id": "default"}})
    assert reply.json["token"]["domain"] == {"id": "default", "name": "Default"}
    token = reply.headers["x-subject-token"]
    assert {p["name"] for p in cloud.do("GET", "/projects", token=token).json["projects"]} == {"admin", "service"}
