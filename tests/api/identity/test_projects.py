"""Domains, projects, tags and trees."""

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
    ({}, 400), ({"name": "x" * 65}, 400), ({"name": "admin"}, 409), ({"name": "x", "domain_id": "none"}, 404),
    ({"name": "x", "parent_id": "none"}, 404), ({"name": "x", "tags": ["a,b"]}, 400), ({"name": "x", "tags": ["a", "a"]}, 400),
    ({"name": "x", "tags": [str(n) for n in range(81)]}, 400), ({"name": "x", "enabled": 1}, 400),
    ({"name": "x", "is_domain": True, "domain_id": "default"}, 400), ({"name": "Default", "is_domain": True}, 409),
    ({"name": "x", "options": {"immutable": "yes"}}, 400), ({"name": "x", "description": 5}, 400)])  # fmt: skip
def test_bad_projects(cloud: IdentityCloud, fields: dict[str, Any], status: int) -> None:
    before = cloud.do("GET", "/projects").json
    assert cloud.do("POST", "/projects", {"project": fields}).status == status
    assert cloud.do("GET", "/projects").json == before


def test_trees(cloud: IdentityCloud) -> None:
    top = cloud.make("project", "/projects", name="top")["id"]
    low = cloud.make("project", "/projects", name="low", parent_id=top)["id"]
    shown = cloud.do("GET", f"/projects/{low}?parents_as_ids").json["project"]
    assert shown["parents"] == {top: {"default": None}}
    assert cloud.do("GET", f"/projects/{top}?subtree_as_ids").json["project"]["subtree"] == {low: None}
    assert cloud.do("GET", f"/projects/{top}?subtree_as_list").json["project"]["subtree"] == []
    admin = cloud.do("GET", "/users?name=admin").json["users"][0]["id"]
    cloud.do("PUT", f"/projects/{low}/users/{admin}/roles/{cloud.role('reader')}")
    listed = cloud.do("GET", f"/projects/{top}?subtree_as_list").json["project"]["subtree"]
    assert [p["project"]["id"] for p in listed] == [low]
    assert cloud.do("GET", f"/projects/{low}?parents_as_list").json["project"]["parents"] == []
    assert cloud.do("GET", f"/projects/{top}?subtree_as_list&subtree_as_ids").status == 400
    assert [p["id"] for p in cloud.do("GET", f"/projects?parent_id={top}").json["projects"]] == [low]
    assert cloud.do("DELETE", f"/projects/{top}").status == 403
    assert cloud.do("PATCH", f"/projects/{top}", {"project": {"enabled": False}}).status == 403
    assert cloud.do("PATCH", f"/projects/{low}", {"project": {"parent_id": "default"}}).status == 403
    assert cloud.do("PATCH", f"/projects/{low}", {"project": {"enabled": False}}).status == 200
    assert cloud.do("PATCH", f"/projects/{top}", {"project": {"enabled": False}}).status == 200
    assert cloud.do("PATCH", f"/projects/{low}", {"project": {"enabled": True}}).status == 403
    assert cloud.do("POST", "/projects", {"project": {"name": "x", "parent_id": low}}).status == 403


def test_trees_end(cloud: IdentityCloud) -> None:
    parent = "default"
    for level in range(5):
        parent = cloud.make("project", "/projects", name=f"p{level}", parent_id=parent)["id"]
    assert cloud.do("POST", "/projects", {"project": {"name": "x", "parent_id": parent}}).status == 403


def test_inherited_roles(cloud: IdentityCloud) -> None:
    top = cloud.make("project", "/projects", name="top")["id"]
    low = cloud.make("project", "/projects", name="low", parent_id=top)["id"]
    user = cloud.make("user", "/users", name="ann", password="pw")["id"]
    path = f"/OS-INHERIT/projects/{top}/users/{user}/roles/{cloud.role('member')}/inherited_to_projects"
    assert cloud.do("PUT", path).status == 204
    assert cloud.do("HEAD", path).status == 204
    assert cloud.login("ann", "pw", {"project": {"id": top}}).status == 401
    assert cloud.login("ann", "pw", {"project": {"id": low}}).status == 201
    assert [p["id"] for p in cloud.do("GET", f"/users/{user}/projects").json["projects"]] == [low]
    assert cloud.do("DELETE", path).status == 204
    domain = f"/OS-INHERIT/domains/default/users/{user}/roles/{cloud.role('reader')}/inherited_to_projects"
    assert cloud.do("PUT", domain).status == 204
    token = cloud.login("ann", "pw", {"project": {"id": low}}).json["token"]
    assert [r["name"] for r in token["roles"]] == ["reader"]
    assert cloud.login("ann", "pw", {"domain": {"id": "default"}}).status == 401
    listed = cloud.do("GET", f"/OS-INHERIT/domains/default/users/{user}/roles/inherited_to_projects").json["roles"]
    assert [r["name"] for r in listed] == ["reader"]
    assert len(cloud.do("GET", f"/users/{user}/projects").json["projects"]) == 4


def test_tags(cloud: IdentityCloud) -> None:
    one = cloud.make("project", "/projects", name="one", tags=["a", "b"])["id"]
    cloud.make("project", "/projects", name="two", tags=["b"])

    def names(query: str) -> list[str]:
        return [p["name"] for p in cloud.do("GET", f"/projects?{query}").json["projects"]]

    assert names("tags=a,b") == ["one"]
    assert names("tags-any=a,b") == ["one", "two"]
    assert names("not-tags=a,b&tags=b") == ["two"]
    assert names("not-tags-any=a,b") == ["admin", "service"]
    path = f"/projects/{one}/tags"
    assert cloud.do("GET", path).json["tags"] == ["a", "b"]
    assert (cloud.do("PUT", f"{path}/c").status, cloud.do("PUT", f"{path}/c").status) == (201, 201)
    assert (cloud.do("HEAD", f"{path}/c").status, cloud.do("GET", f"{path}/x").status) == (204, 404)
    assert cloud.do("DELETE", f"{path}/c").status == 204
    assert cloud.do("DELETE", f"{path}/c").status == 404
    assert cloud.do("PUT", f"{path}/a,b").status == 400
    assert cloud.do("PUT", path, {"tags": ["z"]}).json["tags"] == ["z"]
    assert cloud.do("PUT", path, {"tags": ["z/z"]}).status == 400
    assert cloud.do("DELETE", path).status == 204
    assert cloud.do("GET", path).json["tags"] == []
    assert cloud.do("GET", "/projects/none/tags").status == 404


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
