"""Roles, what they imply, grants and the list of assignments."""

from __future__ import annotations

import pytest

from api.identity.conftest import IdentityCloud


def test_a_role_lives_and_dies(cloud: IdentityCloud) -> None:
    made = cloud.make("role", "/roles", name="r", color="red")
    path = f"/roles/{made['id']}"
    assert made == {
        "id": made["id"], "name": "r", "domain_id": None, "description": None, "options": {}, "color": "red",
        "links": {"self": f"http://127.0.0.1:8000/identity/v3{path}"},
    }  # fmt: skip
    assert cloud.do("GET", path).json["role"] == made
    assert cloud.do("GET", "/roles?name=r").json["roles"] == [made]
    for name in ("r", "member"):
        assert cloud.do("POST", "/roles", {"role": {"name": name}}).status == 409
    assert cloud.do("PATCH", path, {"role": {"name": "s"}}).json["role"]["name"] == "s"
    assert cloud.do("PATCH", path, {"role": {"name": "admin"}}).status == 409
    assert cloud.do("PATCH", path, {"role": {"domain_id": "default"}}).status == 400
    assert cloud.do("DELETE", path).status == 204
    assert cloud.do("GET", path).status == 404
    assert cloud.do("DELETE", f"/roles/{cloud.role('reader')}").status == 403


def test_roles_of_a_domain(cloud: IdentityCloud) -> None:
    own = cloud.make("role", "/roles", name="member", domain_id="default")["id"]
    assert [r["id"] for r in cloud.do("GET", "/roles?domain_id=default").json["roles"]] == [own]
    assert own not in [r["id"] for r in cloud.do("GET", "/roles").json["roles"]]
    assert cloud.do("POST", "/roles", {"role": {"name": "x", "domain_id": "none"}}).status == 404
    _, project, token = cloud.member("ann", "p", "reader")
    user = cloud.do("GET", "/users?name=ann").json["users"][0]["id"]
    cloud.do("PUT", f"/roles/{own}/implies/{cloud.role('member')}")
    cloud.do("PUT", f"/projects/{project}/users/{user}/roles/{own}")
    shown = cloud.do("GET", "/auth/tokens", X_Subject_Token=token).json["token"]["roles"]
    assert [r["name"] for r in shown] == ["member", "reader"]
    assert own not in [r["id"] for r in shown]


def test_implications(cloud: IdentityCloud) -> None:
    one, other = (cloud.make("role", "/roles", name=n)["id"] for n in ("one", "other"))
    path = f"/roles/{one}/implies/{other}"
    assert cloud.do("GET", path).status == 404
    made = cloud.do("PUT", path)
    assert (made.status, made.json["role_inference"]["implies"]["name"]) == (201, "other")
    assert (cloud.do("GET", path).json["role_inference"]["prior_role"]["id"], cloud.do("HEAD", path).status) == (
        one,
        204,
    )
    listed = cloud.do("GET", f"/roles/{one}/implies").json["role_inference"]
    assert [r["id"] for r in listed["implies"]] == [other]
    rules = cloud.do("GET", "/role_inferences").json["role_inferences"]
    assert {r["prior_role"]["name"]: [i["name"] for i in r["implies"]] for r in rules} == {
        "admin": ["manager"], "manager": ["member"], "member": ["reader"], "one": ["other"],
    }  # fmt: skip
    assert cloud.do("PUT", f"/roles/{one}/implies/{cloud.role('admin')}").status == 403
    assert cloud.do("PUT", f"/roles/{one}/implies/none").status == 404
    assert cloud.do("DELETE", path).status == 204
    assert cloud.do("DELETE", path).status == 404


@pytest.mark.parametrize("actor", ["user", "group"])
@pytest.mark.parametrize("where", ["projects", "domains", "system"])
def test_grants(cloud: IdentityCloud, actor: str, where: str) -> None:
    who = cloud.make(actor, f"/{actor}s", name="x")["id"]
    project = cloud.make("project", "/projects", name="p")["id"]
    place = {"projects": f"/projects/{project}", "domains": "/domains/default", "system": "/system"}[where]
    base, role = f"{place}/{actor}s/{who}/roles", cloud.role("member")
    assert cloud.do("GET", base).json["roles"] == []
    assert cloud.do("GET", f"{base}/{role}").status == 404
    assert [cloud.do("PUT", f"{base}/{role}").status for _ in range(2)] == [204, 204]
    assert (cloud.do("HEAD", f"{base}/{role}").status, cloud.do("GET", f"{base}/{role}").status) == (204, 204)
    assert [r["name"] for r in cloud.do("GET", base).json["roles"]] == ["member"]
    assert cloud.do("PUT", f"{base}/none").status == 404
    assert cloud.do("PUT", f"{place}/{actor}s/none/roles/{role}").status == 404
    if where != "system":
        assert cloud.do("PUT", f"/{where}/none/{actor}s/{who}/roles/{role}").status == 404
    _, _, token = cloud.member("ann", "q", "manager")
    assert cloud.do("PUT", f"{base}/{role}", token=token).status == 403
    assert cloud.do("GET", f"{base}/{role}", token=token).status == 403
    assert cloud.do("DELETE", f"{base}/{role}", token=token).status == 403
    assert cloud.do("DELETE", f"{base}/{role}").status == 204
    assert cloud.do("DELETE", f"{base}/{role}").status == 404


def test_a_revoked_role_is_gone_at_once(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    base = f"/projects/{project}/users/{user}/roles"
    cloud.do("PUT", f"{base}/{cloud.role('manager')}")
    roles = cloud.do("GET", "/auth/tokens", X_Subject_Token=token).json["token"]["roles"]
    assert [r["name"] for r in roles] == ["manager", "member", "reader"]
    cloud.do("DELETE", f"{base}/{cloud.role('manager')}")
    cloud.do("DELETE", f"{base}/{cloud.role('member')}")
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=token).status == 404
    assert cloud.do("GET", "/auth/projects", token=token).status == 401


def test_assignments(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    group = cloud.make("group", "/groups", name="g")["id"]
    cloud.do("PUT", f"/groups/{group}/users/{user}")
    cloud.do("PUT", f"/OS-INHERIT/domains/default/groups/{group}/roles/{cloud.role('reader')}/inherited_to_projects")

    def listed(query: str) -> list[dict[str, object]]:
        reply = cloud.do("GET", f"/role_assignments?{query}")
        assert reply.status == 200, reply.body
        found: list[dict[str, object]] = reply.json["role_assignments"]
        return found

    base = "http://127.0.0.1:8000/identity/v3"
    assert listed(f"user.id={user}") == [{
        "user": {"id": user}, "role": {"id": cloud.role("member")}, "scope": {"project": {"id": project}},
        "links": {"assignment": f"{base}/projects/{project}/users/{user}/roles/{cloud.role('member')}"},
    }]  # fmt: skip
    assert len(listed("")) == 4
    assert len(listed("scope.system=all")) == 1
    assert len(listed(f"group.id={group}&scope.OS-INHERIT:inherited_to=projects")) == 1
    named = listed(f"user.id={user}&include_names")[0]
    assert named["user"] == {"id": user, "name": "ann", "domain": {"id": "default", "name": "Default"}}
    assert named["role"] == {"id": cloud.role("member"), "name": "member"}
    effective = listed(f"user.id={user}&effective&scope.project.id={project}&include_names=True")
    assert sorted(str(a["role"]["name"]) for a in effective) == ["member", "reader", "reader"]  # type: ignore[index]
    assert {k for a in effective for k in a["links"]} == {"assignment", "membership", "prior_role"}  # type: ignore[attr-defined]
    assert len(listed(f"role.id={cloud.role('reader')}&effective&user.id={user}")) == 4
    top = cloud.make("project", "/projects", name="child", parent_id=project)["id"]
    cloud.do("PUT", f"/projects/{top}/users/{user}/roles/{cloud.role('member')}")
    assert len(listed(f"scope.project.id={project}&include_subtree")) == 2
    for bad in (
        "user.id=x&group.id=y",
        "effective&group.id=y",
        "include_subtree",
        "scope.project.id=a&scope.domain.id=b",
    ):
        assert cloud.do("GET", f"/role_assignments?{bad}").status == 400
    assert cloud.do("GET", "/role_assignments", token=token).status == 403
