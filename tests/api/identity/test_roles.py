"""Roles, and what they imply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.identity.conftest import IdentityCloud
from tiffin.core.policy import Policy
from tiffin.services.identity.service import service
from tiffin.services.identity.settings import HierarchySettings


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
    assert cloud.do("PUT", path).status == 409
    assert [cloud.do("DELETE", path).status for _ in range(2)] == [204, 404]
    assert cloud.do("HEAD", path).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_implications_of_nothing(cloud: IdentityCloud, method: str) -> None:
    role = cloud.role("reader")
    for path in (f"/roles/none/implies/{role}", f"/roles/{role}/implies/none"):
        assert cloud.do(method, path).status == 404
    assert cloud.do("GET", "/roles/none/implies").status == 404


def test_how_an_implication_is_shown(cloud: IdentityCloud) -> None:
    one = cloud.make("role", "/roles", name="one", description="not shown")["id"]
    other = cloud.role("reader")
    base = "http://127.0.0.1:8000/identity/v3"
    named = ((one, "one"), (other, "reader"))
    shown = {id: {"id": id, "name": name, "links": {"self": f"{base}/roles/{id}"}} for id, name in named}
    made = cloud.do("PUT", f"/roles/{one}/implies/{other}").json
    assert made == {
        "role_inference": {"prior_role": shown[one], "implies": shown[other]},
        "links": {"self": f"{base}/roles/{one}/implies/{other}"},
    }
    assert cloud.do("GET", f"/roles/{one}/implies/{other}").json == made
    assert cloud.do("GET", f"/roles/{one}/implies").json == {
        "role_inference": {"prior_role": shown[one], "implies": [shown[other]]},
        "links": {"self": f"{base}/roles/{one}/implies"},
    }
    rules = cloud.do("GET", "/role_inferences").json
    assert {"prior_role": shown[one], "implies": [shown[other]]} in rules["role_inferences"]


def test_what_may_not_be_implied(cloud: IdentityCloud) -> None:
    one = cloud.make("role", "/roles", name="one")["id"]
    own, same = (cloud.make("role", "/roles", name=n, domain_id="default")["id"] for n in ("own", "admin"))
    for implied in (cloud.role("admin"), own, same):
        assert cloud.do("PUT", f"/roles/{one}/implies/{implied}").status == 403
    assert cloud.do("PUT", f"/roles/{own}/implies/{cloud.role('admin')}").status == 403
    assert cloud.do("PUT", f"/roles/{own}/implies/{one}").status == 201
    settings = HierarchySettings(prohibited_implied_roles=("one",))
    cloud.identity.settings = msgspec.structs.replace(cloud.identity.settings, hierarchy=settings)
    other = cloud.make("role", "/roles", name="other")["id"]
    assert cloud.do("PUT", f"/roles/{other}/implies/{one}").status == 403
    assert cloud.do("PUT", f"/roles/{other}/implies/{cloud.role('admin')}").status == 201


def test_implications_may_go_in_circles(cloud: IdentityCloud) -> None:
    ids = [cloud.make("role", "/roles", name=name)["id"] for name in ("a", "b", "c")]
    for one, other in ((0, 1), (1, 2), (2, 0), (0, 0)):
        assert cloud.do("PUT", f"/roles/{ids[one]}/implies/{ids[other]}").status == 201
    _, _, token = cloud.member("ann", "p", "b")
    shown = cloud.do("GET", "/auth/tokens", X_Subject_Token=token).json["token"]["roles"]
    assert [r["name"] for r in shown] == ["a", "b", "c"]


def test_what_a_role_takes_along(cloud: IdentityCloud) -> None:
    role = cloud.make("role", "/roles", name="r")["id"]
    cloud.do("PUT", f"/roles/{role}/implies/{cloud.role('reader')}")
    user, project, token = cloud.member("ann", "p", "r")
    assert cloud.do("GET", "/auth/projects", token=token).status == 200
    assert cloud.do("DELETE", f"/roles/{role}").status == 204
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.do("GET", f"/role_assignments?user.id={user}").json["role_assignments"] == []
    assert cloud.do("GET", f"/projects/{project}/users/{user}/roles").json["roles"] == []
    assert "r" not in [r["prior_role"]["name"] for r in cloud.do("GET", "/role_inferences").json["role_inferences"]]
    assert cloud.do("DELETE", f"/roles/{role}").status == 404


@pytest.mark.parametrize(("fields", "status"), [
    ({}, 400), ({"name": ""}, 400), ({"name": " "}, 400), ({"name": "x" * 256}, 400), ({"name": 1}, 400),
    ({"name": "member"}, 409), ({"name": "x", "description": 1}, 400),
    ({"name": "x", "domain_id": "none"}, 404), ({"name": "x", "domain_id": "a b"}, 400),
    ({"name": "x", "options": {"immutable": "yes"}}, 400), ({"name": "x", "options": {"other": True}}, 400),
])  # fmt: skip
def test_bad_roles(cloud: IdentityCloud, fields: dict[str, Any], status: int) -> None:
    before = cloud.do("GET", "/roles").json
    assert cloud.do("POST", "/roles", {"role": fields}).status == status
    assert cloud.do("GET", "/roles").json == before


@pytest.mark.parametrize(("fields", "status"), [
    ({}, 400), ({"name": ""}, 400), ({"name": "admin"}, 409), ({"domain_id": "default"}, 400), ({"id": "x"}, 400),
    ({"options": {"other": True}}, 400), ({"options": {}}, 200), ({"domain_id": None, "color": "red"}, 200),
])  # fmt: skip
def test_updates_of_roles(cloud: IdentityCloud, fields: dict[str, Any], status: int) -> None:
    made = cloud.make("role", "/roles", name="r")
    assert cloud.do("PATCH", f"/roles/{made['id']}", {"role": fields}).status == status
    kept = {k: v for k, v in fields.items() if status == 200}
    assert cloud.do("GET", f"/roles/{made['id']}").json["role"] == made | kept
    assert cloud.do("PATCH", "/roles/none", {"role": {"name": "x"}}).status == 404


@pytest.mark.parametrize(("query", "found"), [
    ("name=own", []), ("domain_id=default", ["own"]), ("domain_id=default&name=x", []), ("domain_id=none", []),
    ("name__contains=mem", ["member"]), ("name__istartswith=AD", ["admin"]), ("limit=2", ["admin", "manager"]),
])  # fmt: skip
def test_lists_of_roles(cloud: IdentityCloud, query: str, found: list[str]) -> None:
    cloud.make("role", "/roles", name="own", domain_id="default")
    reply = cloud.do("GET", f"/roles?{query}").json
    assert [r["name"] for r in reply["roles"]] == found
    if "limit" in query:
        rest = cloud.do("GET", reply["links"]["next"].partition("/identity/v3")[2]).json["roles"]
        assert [r["name"] for r in rest] == ["member", "reader"]


def test_a_role_of_a_domain_has_rules_of_its_own(cloud: IdentityCloud, tmp_path: Path) -> None:
    """An operator's change of one of them changes nothing for the other roles."""
    own = cloud.make("role", "/roles", name="own", domain_id="default")["id"]
    file = tmp_path / "policy.yaml"
    verbs = ("create", "get", "update", "delete")
    file.write_text("".join(f"identity:{verb}_domain_role: role:reader\n" for verb in verbs) + "identity:list_domain_roles: ''\n")
    cloud.cloud._policies["identity"] = Policy("identity", service.all_rules(), file)
    _, _, token = cloud.member("ann", "p", "reader")

    def do(method: str, path: str, **fields: Any) -> int:
        return cloud.do(method, f"/roles{path}", {"role": fields} if fields else None, token=token).status

    assert (do("GET", f"/{own}"), do("GET", f"/{cloud.role('member')}")) == (200, 403)
    assert (do("GET", "?domain_id=default"), do("GET", "")) == (200, 403)
    assert (do("POST", "", name="x", domain_id="default"), do("POST", "", name="x")) == (201, 403)
    assert (do("PATCH", f"/{own}", name="y"), do("PATCH", f"/{cloud.role('member')}", name="y")) == (200, 403)
    assert (do("DELETE", f"/{own}"), do("DELETE", f"/{cloud.role('member')}")) == (204, 403)
