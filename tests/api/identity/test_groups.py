"""Groups, who is in them, and what they lend."""

from __future__ import annotations

from typing import Any

import pytest

from api.identity.conftest import IdentityCloud


def test_groups_and_their_members(cloud: IdentityCloud) -> None:
    group = cloud.make("group", "/groups", name="g", project_id="kept")
    path = f"/groups/{group['id']}"
    assert (group["description"], group["project_id"]) == ("", "kept")
    assert cloud.do("GET", path).json["group"] == group
    assert cloud.do("GET", "/groups?name=g").json["groups"] == [group]
    assert cloud.do("POST", "/groups", {"group": {"name": "g"}}).status == 409
    assert cloud.do("POST", "/groups", {"group": {"name": "h", "domain_id": "none"}}).status == 404
    assert cloud.do("PATCH", path, {"group": {"description": "d"}}).json["group"]["description"] == "d"
    assert cloud.do("PATCH", path, {"group": {"domain_id": "d"}}).status == 400
    user = cloud.make("user", "/users", name="ann", email="e")
    member = f"{path}/users/{user['id']}"
    assert cloud.do("GET", member).status == 404
    assert [cloud.do("PUT", member).status for _ in range(2)] == [204, 204]
    assert (cloud.do("HEAD", member).status, cloud.do("GET", member).status) == (204, 204)
    assert cloud.do("GET", f"{path}/users").json["users"] == [user]
    assert [g["id"] for g in cloud.do("GET", f"/users/{user['id']}/groups").json["groups"]] == [group["id"]]
    assert cloud.do("PUT", f"{path}/users/none").status == 404
    assert cloud.do("DELETE", member).status == 204
    assert cloud.do("DELETE", member).status == 404
    assert cloud.do("DELETE", path).status == 204
    assert cloud.do("GET", path).status == 404


def test_a_group_lends_its_roles(cloud: IdentityCloud) -> None:
    group = cloud.make("group", "/groups", name="g")["id"]
    user = cloud.make("user", "/users", name="ann", password="pw")["id"]
    project = cloud.make("project", "/projects", name="p")["id"]
    cloud.do("PUT", f"/groups/{group}/users/{user}")
    assert cloud.do("PUT", f"/projects/{project}/groups/{group}/roles/{cloud.role('reader')}").status == 204
    token = cloud.token("ann", "pw", "p")
    assert [p["id"] for p in cloud.do("GET", f"/users/{user}/projects", token=token).json["projects"]] == [project]
    assert [p["id"] for p in cloud.do("GET", "/auth/projects", token=token).json["projects"]] == [project]
    cloud.do("DELETE", f"/groups/{group}/users/{user}")
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.login("ann", "pw", {"project": {"id": project}}).status == 401


@pytest.mark.parametrize("fields", [
    {}, {"name": ""}, {"name": "  "}, {"name": "x" * 256}, {"name": 1}, {"name": "x", "domain_id": ""},
    {"name": "x", "domain_id": "a/b"}, {"name": "x", "description": 1}, {"name": "x", "description": "d" * 65_536},
    {"name": "x", "big": "y" * 70_000}])  # fmt: skip
def test_bad_groups(cloud: IdentityCloud, fields: dict[str, Any]) -> None:
    assert cloud.do("POST", "/groups", {"group": fields}).status == 400
    group = cloud.make("group", "/groups", name="g")
    assert cloud.do("PATCH", f"/groups/{group['id']}", {"group": fields}).status == 400
    assert cloud.do("POST", "/groups", {"group": {"name": "x"}, "more": 1}).status == 400
    assert cloud.do("GET", "/groups").json["groups"] == [group]


def test_names_of_groups(cloud: IdentityCloud) -> None:
    group = cloud.make("group", "/groups", name=" g ")
    assert group["name"] == "g"
    other = cloud.make("group", "/groups", name="h")["id"]
    assert cloud.do("PATCH", f"/groups/{other}", {"group": {"name": "g "}}).status == 409
    domain = cloud.make("domain", "/domains", name="d")["id"]
    assert cloud.make("group", "/groups", name="g", domain_id=domain)["domain_id"] == domain
    assert cloud.do("PATCH", f"/groups/{other}", {"group": {"id": "x"}}).status == 400


def test_what_is_not_there(cloud: IdentityCloud) -> None:
    group = cloud.make("group", "/groups", name="g")["id"]
    user = cloud.make("user", "/users", name="ann")["id"]
    for path in ("/groups/none", "/groups/none/users", f"/groups/none/users/{user}", f"/groups/{group}/users/none",
                 f"/groups/{group}/users/{user}", "/users/none/groups", "/users/none/projects"):  # fmt: skip
        assert (cloud.do("GET", path).status, cloud.do("HEAD", path).status) == (404, 404), path
    assert cloud.do("PATCH", "/groups/none", {"group": {"name": "x"}}).status == 404
    assert cloud.do("DELETE", "/groups/none").status == 404
    for path in (f"/groups/none/users/{user}", f"/groups/{group}/users/none"):
        assert (cloud.do("PUT", path).status, cloud.do("DELETE", path).status) == (404, 404)


def test_lists_of_groups(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", "/domains", name="d")["id"]
    ids = [cloud.make("group", "/groups", name=name)["id"] for name in ("alpha", "Beta", "gamma")]
    cloud.make("group", "/groups", name="other", domain_id=domain)

    def names(query: str, path: str = "/groups") -> list[str]:
        return [g["name"] for g in cloud.do("GET", f"{path}?{query}").json["groups"]]

    assert names("domain_id=default") == ["Beta", "alpha", "gamma"]
    assert names("name=other") == ["other"]
    assert names("name__istartswith=b") == ["Beta"]
    assert names("name__startswith=b") == []
    assert names("sort_key=name&sort_dir=desc&limit=2") == ["other", "gamma"]
    assert names(f"limit=1&marker={ids[1]}") == ["alpha"]
    assert cloud.do("GET", "/groups?marker=none").status == 400
    user = cloud.make("user", "/users", name="ann")["id"]
    for id in ids[:2]:
        cloud.do("PUT", f"/groups/{id}/users/{user}")
    listed = cloud.do("GET", f"/users/{user}/groups").json
    assert [g["membership_expires_at"] for g in listed["groups"]] == [None, None]
    assert listed["links"]["self"].endswith(f"/v3/users/{user}/groups")
    assert names("name=alpha", f"/users/{user}/groups") == ["alpha"]


def test_lists_of_members(cloud: IdentityCloud) -> None:
    group = cloud.make("group", "/groups", name="g")["id"]
    users = [cloud.make("user", "/users", name=name, enabled=name != "bob") for name in ("ann", "bob", "cid")]
    cloud.make("user", "/users", name="dan")
    for user in users:
        cloud.do("PUT", f"/groups/{group}/users/{user['id']}")

    def names(query: str) -> list[str]:
        reply = cloud.do("GET", f"/groups/{group}/users?{query}")
        assert reply.status == 200, reply.body
        return [u["name"] for u in reply.json["users"]]

    by_id = [u["name"] for u in sorted(users, key=lambda u: str(u["id"]))]
    assert names("") == by_id
    assert names("limit=2") + names(f"limit=2&marker={sorted(u['id'] for u in users)[1]}") == by_id
    assert names("name=ann") == ["ann"]
    assert names("enabled=false") == ["bob"]
    assert names("enabled=true&sort_key=name") == ["ann", "cid"]
    assert names(f"sort_key=name&marker={users[0]['id']}") == ["bob", "cid"]
    assert names("password_expires_at=gt:2020-01-01T00:00:00Z") == []
    assert cloud.do("GET", f"/groups/{group}/users?password_expires_at=x").status == 400


def test_a_domains_own_groups(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", "/domains", name="d")["id"]
    boss = cloud.make("user", "/users", name="boss", password="pw", domain_id=domain)["id"]
    cloud.do("PUT", f"/domains/{domain}/users/{boss}/roles/{cloud.role('manager')}")
    token = cloud.login("boss", "pw", {"domain": {"id": domain}}, domain).headers["x-subject-token"]
    foreign = cloud.make("group", "/groups", name="foreign")["id"]
    own = cloud.do("POST", "/groups", {"group": {"name": "own"}}, token=token).json["group"]
    assert own["domain_id"] == domain
    assert [g["name"] for g in cloud.do("GET", "/groups", token=token).json["groups"]] == ["own"]
    for group in (foreign, own["id"]):
        cloud.do("PUT", f"/groups/{group}/users/{boss}")
    assert [g["name"] for g in cloud.do("GET", f"/users/{boss}/groups", token=token).json["groups"]] == ["own"]
    assert cloud.do("GET", f"/groups/{foreign}", token=token).status == 403
    assert cloud.do("POST", "/groups", {"group": {"name": "x", "domain_id": "default"}}, token=token).status == 403
    assert cloud.do("PUT", f"/groups/{foreign}/users/{boss}", token=token).status == 403


def test_a_deleted_group_takes_what_it_lent(cloud: IdentityCloud) -> None:
    group = cloud.make("group", "/groups", name="g")["id"]
    user = cloud.make("user", "/users", name="ann", password="pw")["id"]
    project = cloud.make("project", "/projects", name="p")["id"]
    cloud.do("PUT", f"/groups/{group}/users/{user}")
    cloud.do("PUT", f"/projects/{project}/groups/{group}/roles/{cloud.role('reader')}")
    token = cloud.token("ann", "pw", "p")
    assert cloud.do("DELETE", f"/groups/{group}").status == 204
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.do("GET", f"/role_assignments?group.id={group}").json["role_assignments"] == []
    assert cloud.do("GET", f"/users/{user}/groups").json["groups"] == []
