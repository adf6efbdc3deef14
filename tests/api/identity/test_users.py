"""Users, groups and passwords."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from api.identity.conftest import IdentityCloud
from tiffin.core.tables import IdempotentAnswer


def test_a_user_lives_and_dies(cloud: IdentityCloud) -> None:
    made = cloud.make("user", "/users", name="ann", password="pw", email="a@b.c", description=None, id="x", links={})
    id = made["id"]
    assert made == {
        "id": id, "name": "ann", "domain_id": "default", "enabled": True, "options": {}, "password_expires_at": None,
        "email": "a@b.c", "description": None, "links": {"self": f"http://127.0.0.1:8000/identity/v3/users/{id}"},
    }  # fmt: skip
    assert cloud.do("GET", f"/users/{id}").json["user"] == made
    assert made in cloud.do("GET", "/users").json["users"]
    changed = cloud.do("PATCH", f"/users/{id}", {"user": {"name": "anna", "email": "x@y.z", "default_project_id": "p"}})
    assert changed.status == 200
    assert changed.json["user"] == {
        **made, "name": "anna", "email": "x@y.z", "default_project_id": "p",
    }  # fmt: skip
    assert cloud.do("DELETE", f"/users/{id}").status == 204
    assert cloud.do("GET", f"/users/{id}").status == 404
    assert cloud.do("DELETE", f"/users/{id}").status == 404


def test_filters_and_pages(cloud: IdentityCloud) -> None:
    for name in ("a%1", "a_2", "b3"):
        cloud.make("user", "/users", name=name, enabled=name != "b3")

    def names(query: str) -> list[str]:
        return [u["name"] for u in cloud.do("GET", f"/users?{query}").json["users"]]

    assert names("name=b3") == ["b3"]
    assert names("name__startswith=a") == ["a%1", "a_2", "admin"]
    assert names("name__contains=%25") == ["a%1"]
    assert names("name__icontains=_") == ["a_2"]
    assert names("name__iexact=B3") == ["b3"]
    assert names("name__endswith=2&unknown=1&name__unknown=1") == ["a_2"]
    assert names("enabled=false") == ["b3"]
    assert names("enabled=True&domain_id=default") == ["a%1", "a_2", "admin"]
    assert names("domain_id=none") == []
    first = cloud.do("GET", "/users?limit=3").json
    assert first["links"]["self"] == "http://127.0.0.1:8000/identity/v3/users?limit=3"
    following = first["links"]["next"].removeprefix("http://127.0.0.1:8000/identity/v3")
    last = cloud.do("GET", following).json
    assert [u["name"] for u in first["users"] + last["users"]] == ["a%1", "a_2", "admin", "b3"]
    assert (last["links"]["next"], last["links"]["previous"]) == (None, None)
    assert cloud.do("GET", "/users?limit=x").status == 400


@pytest.mark.parametrize("fields", [
    {}, {"name": ""}, {"name": " "}, {"name": "x" * 256}, {"name": 1}, {"name": "x", "enabled": "maybe"},
    {"name": "x", "domain_id": ""}, {"name": "x", "options": {"lock_password": 1}}, {"name": "x", "options": {"z": True}},
    {"name": "x", "options": {"multi_factor_auth_rules": ["password"]}}, {"name": "x", "password": 5},
    {"name": "x", "big": "y" * 70_000}, {"name": "x", "y" * 256: 1}, {"name": "x", "default_project_id": "default"},
    {"name": "x", "domain_id": "a/b"}])  # fmt: skip
def test_bad_users(cloud: IdentityCloud, fields: dict[str, Any]) -> None:
    assert cloud.do("POST", "/users", {"user": fields}).status == 400
    assert len(cloud.do("GET", "/users").json["users"]) == 1


def test_names_are_unique_in_a_domain(cloud: IdentityCloud) -> None:
    id = cloud.make("user", "/users", name="ann")["id"]
    assert cloud.do("POST", "/users", {"user": {"name": "ann"}}).status == 409
    assert cloud.do("PATCH", f"/users/{id}", {"user": {"name": "admin"}}).status == 409
    assert cloud.do("POST", "/users", {"user": {"name": "ann", "domain_id": "none"}}).status == 404
    domain = cloud.make("domain", "/domains", name="d")["id"]
    cloud.make("user", "/users", name="ann", domain_id=domain)
    assert cloud.do("PATCH", f"/users/{id}", {"user": {"domain_id": domain}}).status == 400
    assert cloud.do("PATCH", f"/users/{id}", {"user": {"id": "other"}}).status == 400


def test_a_new_password_kills_every_token(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("ann", "p")
    path = f"/users/{user}/password"
    assert cloud.do("POST", path, {"user": {"original_password": "no", "password": "new"}}).status == 401
    assert (
        cloud.do("POST", "/users/none/password", {"user": {"original_password": "no", "password": "n"}}).status == 401
    )
    assert cloud.do("POST", path, {"user": {"password": "new"}}).status == 400
    assert cloud.do("GET", "/auth/projects", token=token).status == 200
    assert cloud.do("POST", path, {"user": {"original_password": "pw", "password": "new"}}).status == 204
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.login("ann", "pw").status == 401
    token = cloud.token("ann", "new", "p")
    assert cloud.do("PATCH", f"/users/{user}", {"user": {"password": "newest"}}).status == 200
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.login("ann", "newest").status == 201
    locked = {"user": {"options": {"lock_password": True}}}
    assert cloud.do("PATCH", f"/users/{user}", locked).json["user"]["options"] == {"lock_password": True}
    assert cloud.do("POST", path, {"user": {"original_password": "newest", "password": "x"}}).status == 403


def test_a_disabled_user_is_out_for_good(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("ann", "p")
    cloud.do("PATCH", f"/users/{user}", {"user": {"enabled": False}})
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.login("ann", "pw").status == 401
    cloud.do("PATCH", f"/users/{user}", {"user": {"enabled": True}})
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.login("ann", "pw").status == 201


def test_more_factors_are_asked_for(cloud: IdentityCloud) -> None:
    user, _, _ = cloud.member("ann", "p")
    rules = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    assert cloud.do("PATCH", f"/users/{user}", {"user": {"options": rules}}).status == 200
    assert cloud.login("ann", "pw").status == 401
    cloud.do("PATCH", f"/users/{user}", {"user": {"options": {"multi_factor_auth_enabled": False}}})
    assert cloud.login("ann", "pw").status == 201


def test_the_default_project_is_the_scope(cloud: IdentityCloud) -> None:
    user, project, _ = cloud.member("ann", "p")
    cloud.do("PATCH", f"/users/{user}", {"user": {"default_project_id": project}})
    assert cloud.login("ann", "pw").json["token"]["project"]["id"] == project
    assert "project" not in cloud.login("ann", "pw", "unscoped").json["token"]
    cloud.do("PATCH", f"/projects/{project}", {"project": {"enabled": False}})
    assert "project" not in cloud.login("ann", "pw").json["token"]
    assert cloud.do("DELETE", f"/projects/{project}").status == 204
    assert "default_project_id" not in cloud.do("GET", f"/users/{user}").json["user"]


def test_who_may(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("ann", "p", "manager")
    other = cloud.make("user", "/users", name="bob")["id"]
    assert cloud.do("GET", f"/users/{user}", token=token).status == 200
    for path in (f"/users/{other}", "/users/none", "/users"):
        assert cloud.do("GET", path, token=token).status == 403
    assert cloud.do("POST", "/users", {"user": {"name": "eve"}}, token=token).status == 403
    assert cloud.do("PATCH", f"/users/{user}", {"user": {"enabled": True}}, token=token).status == 403
    assert cloud.do("DELETE", f"/users/{other}", token=token).status == 403
    assert cloud.ask("GET", "/identity/v3/users", token=None).status == 401


def test_a_manager_of_a_domain(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", "/domains", name="d")["id"]
    boss = cloud.make("user", "/users", name="boss", password="pw", domain_id=domain)["id"]
    cloud.do("PUT", f"/domains/{domain}/users/{boss}/roles/{cloud.role('manager')}")
    token = cloud.login("boss", "pw", {"domain": {"id": domain}}, domain).headers["x-subject-token"]
    made = cloud.do("POST", "/users", {"user": {"name": "eve"}}, token=token)
    assert (made.status, made.json["user"]["domain_id"]) == (201, domain)
    assert [u["name"] for u in cloud.do("GET", "/users", token=token).json["users"]] == ["boss", "eve"]
    assert cloud.do("POST", "/users", {"user": {"name": "x", "domain_id": "default"}}, token=token).status == 403
    project = cloud.do("POST", "/projects", {"project": {"name": "p"}}, token=token)
    assert project.json["project"]["domain_id"] == domain
    assert [d["id"] for d in cloud.do("GET", "/domains", token=token).json["domains"]] == [domain]
    grant = f"/projects/{project.json['project']['id']}/users/{made.json['user']['id']}/roles"
    assert cloud.do("PUT", f"{grant}/{cloud.role('member')}", token=token).status == 204
    assert cloud.do("PUT", f"{grant}/{cloud.role('admin')}", token=token).status == 403


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


def test_an_idempotency_key_does_it_once(cloud: IdentityCloud) -> None:
    def twice(method: str, path: str, body: object) -> Any:
        first, second = (cloud.do(method, path, body, Idempotency_Key=f"{method} {path}") for _ in range(2))
        assert (first.status, first.body) == (second.status, second.body)
        other = cloud.do(method, path, {"user": {"name": "another"}}, Idempotency_Key=f"{method} {path}")
        assert other.status == 409 if first.status == 201 else first.status == 200
        return first.json

    made = twice("POST", "/users", {"user": {"name": "kim", "password": "first secret"}})
    path = f"/users/{made['user']['id']}"
    twice("PATCH", path, {"user": {"password": "second secret"}})
    assert cloud.login("kim", "second secret").status == 201
    body = {"user": {"original_password": "second secret", "password": "third secret"}}
    for _ in range(2):
        assert cloud.do("POST", f"{path}/password", body, Idempotency_Key="p").status == 204
    assert cloud.login("kim", "third secret").status == 201


def test_an_application_credential_with_an_idempotency_key_shows_its_secret_again(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("kim", "plant")
    body = {"application_credential": {"name": "robot"}}
    path = f"/users/{user}/application_credentials"
    first, second = (cloud.do("POST", path, body, token, Idempotency_Key="k") for _ in range(2))
    assert (first.status, first.body) == (201, second.body)
    secret = first.json["application_credential"]["secret"]
    with cloud.cloud.database.read() as session:
        kept = [bytes(row.answer) for row in session.scalars(select(IdempotentAnswer))]
    assert kept
    assert not any(secret.encode() in answer for answer in kept)


def test_who_may_not_costs_no_hash(cloud: IdentityCloud) -> None:
    _, _, token = cloud.member("kim", "plant")
    cloud.identity.passwords.rounds = 99  # more than bcrypt can
    assert cloud.do("POST", "/users", {"user": {"name": "x", "password": "y"}}, token).status == 403
