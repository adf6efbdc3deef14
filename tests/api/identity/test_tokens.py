"""Login, scopes, validation and revocation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.identity.conftest import ADMIN_PASSWORD, IdentityCloud
from tiffin.services.identity.public import IdentitySettings
from tiffin.services.identity.settings import LoginSettings

ADMIN = {"name": "admin", "domain": {"id": "default"}, "password": ADMIN_PASSWORD}
PROJECT = {"project": {"name": "admin", "domain": {"name": "Default"}}}


def password(scope: Any = None, **user: Any) -> tuple[dict[str, Any], Any]:
    return {"methods": ["password"], "password": {"user": {**ADMIN, **user}}}, scope


def test_a_project_token_says_all(cloud: IdentityCloud) -> None:
    reply = cloud.auth(*password(PROJECT))
    token = reply.json["token"]
    assert len(reply.headers["x-subject-token"]) <= 255
    assert [r["name"] for r in token["roles"]] == ["admin", "manager", "member", "reader"]
    assert token["project"]["domain"] == {"id": "default", "name": "Default"}
    assert (token["methods"], token["is_domain"], len(token["audit_ids"])) == (["password"], False, 1)
    assert token["issued_at"] == "2027-01-15T08:00:00.000000Z"
    assert token["expires_at"] == "2027-01-15T09:00:00.000000Z"
    assert {s["type"] for s in token["catalog"]} == {"identity", "image", "placement", "network", "compute"}
    compute = next(s for s in token["catalog"] if s["type"] == "compute")
    assert {e["interface"] for e in compute["endpoints"]} == {"public", "internal", "admin"}
    assert compute["endpoints"][0]["url"] == "http://127.0.0.1:8000/compute/v2.1"


def test_validate_equals_issue(cloud: IdentityCloud) -> None:
    issued = cloud.auth(*password(PROJECT))
    token = issued.headers["x-subject-token"]
    shown = cloud.do("GET", "/auth/tokens", X_Subject_Token=token)
    assert (shown.status, shown.json) == (200, issued.json)
    assert shown.headers["x-subject-token"] == token
    head = cloud.do("HEAD", "/auth/tokens", X_Subject_Token=token)
    assert (head.status, head.body) == (200, b"")
    bare = cloud.do("GET", "/auth/tokens?nocatalog", X_Subject_Token=token).json["token"]
    assert "catalog" not in bare


def test_what_a_token_shows_follows_every_change(cloud: IdentityCloud) -> None:
    def show() -> Any:
        return cloud.do("GET", "/auth/tokens", X_Subject_Token=cloud.admin).json["token"]

    before = show()
    made = cloud.do("POST", "/services", {"service": {"type": "dns", "name": "designate"}}).json["service"]
    assert [s["type"] for s in show()["catalog"]] == sorted([*(s["type"] for s in before["catalog"]), "dns"])
    cloud.do("PATCH", f"/services/{made['id']}", {"service": {"enabled": False}})
    assert show() == before
    cloud.do("PATCH", f"/users/{before['user']['id']}", {"user": {"name": "root"}})
    assert show()["user"]["name"] == "root"
    cloud.do("PATCH", f"/projects/{before['project']['id']}", {"project": {"name": "top"}})
    assert show()["project"]["name"] == "top"


def test_what_a_token_shows_ends_with_it(cloud: IdentityCloud) -> None:
    token = cloud.token("admin", ADMIN_PASSWORD, project="admin")
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=token).status == 200
    assert cloud.do("DELETE", "/auth/tokens", X_Subject_Token=token).status == 204
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=token).status == 404


def test_scopes(cloud: IdentityCloud) -> None:
    unscoped = cloud.auth(*password()).json["token"]
    assert not {"roles", "catalog", "project", "domain", "system"} & set(unscoped)
    system = cloud.auth(*password({"system": {"all": True}})).json["token"]
    assert (system["system"], system["roles"][0]["name"]) == ({"all": True}, "admin")
    assert cloud.auth(*password("unscoped")).status == 201
    assert cloud.auth(*password({"unscoped": {}})).status == 201
    assert cloud.auth(*password({"domain": {"id": "default"}})).status == 401


@pytest.mark.parametrize("scope", [
    {"project": {"name": "none", "domain": {"id": "default"}}}, {"project": {"id": "none"}}, {"domain": {"name": "x"}},
    {"OS-TRUST:trust": {"id": "none"}}])  # fmt: skip
def test_a_scope_that_is_not_theirs(cloud: IdentityCloud, scope: Any) -> None:
    assert cloud.auth(*password(scope)).status == 401


@pytest.mark.parametrize("scope", [
    {}, {"project": {"name": "x"}}, {"project": {}}, "system", {"system": {"all": False}}, {"system": {}}, 5,
    {"project": {"id": "x"}, "domain": {"id": "y"}}, {"domain": {}}])  # fmt: skip
def test_a_scope_that_makes_no_sense(cloud: IdentityCloud, scope: Any) -> None:
    assert cloud.auth(*password(scope)).status == 400


@pytest.mark.parametrize("identity", [
    {}, {"methods": "password"}, {"methods": ["password"]}, {"methods": ["password"], "password": {}}, 7,
    {"methods": ["password"], "password": {"user": {"password": "x"}}}, {"methods": ["token"]},
    {"methods": ["password"], "password": {"user": {"name": "admin", "password": "x"}}},
    {"methods": ["password"], "password": {"user": {"id": "admin", "password": "x" * 5000}}},
    {"methods": ["application_credential"], "application_credential": {"secret": "x"}}])  # fmt: skip
def test_bodies_that_make_no_sense(cloud: IdentityCloud, identity: Any) -> None:
    assert cloud.auth(identity).status == 400


@pytest.mark.parametrize("user", [
    {"password": "wrong"}, {"password": ""}, {"name": "nobody"}, {"domain": {"id": "nowhere"}}, {"id": "nobody"},
    {"domain": {"name": "nowhere"}}])  # fmt: skip
def test_who_is_not_let_in(cloud: IdentityCloud, user: dict[str, Any]) -> None:
    reply = cloud.auth(*password(None, **user))
    assert reply.status == 401
    assert reply.json["error"] == {
        "code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication.",
    }  # fmt: skip


@pytest.mark.parametrize("method", ["openid", "mapped", "saml2", "oauth2_credential", "x509", "kerberos", "external",
                                    "ec2credential", "__class__"])  # fmt: skip
def test_methods_that_are_not_enabled(cloud: IdentityCloud, method: str) -> None:
    assert cloud.auth({"methods": [method], method: {}}).status == 401
    assert cloud.auth({"methods": ["password", method], "password": {"user": ADMIN}, method: {}}).status == 401
    assert cloud.auth({"methods": [method], "password": {"user": ADMIN}}).status == 400


def test_no_method_proves_nothing(cloud: IdentityCloud) -> None:
    assert cloud.auth({"methods": [], "password": {"user": ADMIN}}).status == 401


def test_a_token_gives_another(cloud: IdentityCloud) -> None:
    first = cloud.auth(*password())
    cloud.clock.now += 100
    proof = {"methods": ["token"], "token": {"id": first.headers["x-subject-token"]}}
    second = cloud.auth(proof, PROJECT).json["token"]
    assert second["methods"] == ["password", "token"]
    assert second["expires_at"] == first.json["token"]["expires_at"]
    assert second["audit_ids"][1] == first.json["token"]["audit_ids"][0]
    assert cloud.auth({"methods": ["token"], "token": {"id": "gAAAAA"}}).status == 404


def test_tokens_end(cloud: IdentityCloud) -> None:
    token = cloud.token("admin", ADMIN_PASSWORD, "admin")
    cloud.clock.now += 3600
    fresh = cloud.token("admin", ADMIN_PASSWORD, "admin")
    assert cloud.do("GET", "/auth/tokens", token=token, X_Subject_Token=fresh).status == 401
    assert cloud.do("GET", "/auth/tokens", token=fresh, X_Subject_Token=token).status == 404
    assert cloud.do("GET", "/auth/tokens?allow_expired=1", token=fresh, X_Subject_Token=token).status == 200


def test_a_revoked_token_is_dead_at_once(cloud: IdentityCloud) -> None:
    token = cloud.token("admin", ADMIN_PASSWORD, "admin")
    assert cloud.do("GET", "/auth/tokens", token=token, X_Subject_Token=token).status == 200
    assert cloud.do("DELETE", "/auth/tokens", token=token, X_Subject_Token=token).status == 204
    assert cloud.do("GET", "/auth/tokens", token=token, X_Subject_Token=token).status == 401
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=token).status == 404
    assert cloud.do("DELETE", "/auth/tokens", X_Subject_Token=token).status == 404
    assert cloud.do("HEAD", "/auth/tokens").status == 404


@pytest.mark.parametrize("token", ["", "x", "gAAAAABh", "\xff", "é" * 50, "A" * 9000])
def test_what_is_no_token(cloud: IdentityCloud, token: str) -> None:
    assert cloud.ask("GET", "/identity/v3/auth/tokens", token=token).status == 401
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=token).status == 404


# --- scopes that are decided otherwise ----------------------------------------------------------------------------------


def test_the_default_project(cloud: IdentityCloud) -> None:
    ann, project, _ = cloud.member("ann", "p")

    def scope(wanted: Any = None) -> Any:
        return cloud.login("ann", "pw", wanted).json["token"].get("project", {}).get("id")

    def default(id: str | None) -> None:
        assert cloud.do("PATCH", f"/users/{ann}", {"user": {"default_project_id": id}}).status == 200

    assert scope() is None
    default(project)
    assert (scope(), scope("unscoped"), scope({"unscoped": {}})) == (project, None, None)
    default(cloud.make("project", "/projects", name="other")["id"])
    assert scope() is None
    default("f" * 32)
    assert scope() is None
    default(project)
    assert cloud.do("PATCH", f"/projects/{project}", {"project": {"enabled": False}}).status == 200
    assert scope() is None


def test_a_domain_is_no_project_to_scope_to(cloud: IdentityCloud) -> None:
    cloud.make("user", "/users", name="ann", password="pw")
    ann = cloud.do("GET", "/users?name=ann").json["users"][0]["id"]
    cloud.do("PUT", f"/domains/default/users/{ann}/roles/{cloud.role('member')}")
    assert cloud.login("ann", "pw", {"domain": {"id": "default"}}).status == 201
    assert cloud.login("ann", "pw", {"domain": {"name": "Default"}}).json["token"]["domain"]["id"] == "default"
    assert cloud.login("ann", "pw", {"project": {"id": "default"}}).status == 401
    assert cloud.login("ann", "pw", {"project": {"name": "Default", "domain": {"id": "default"}}}).status == 401


def test_names_follow_their_things(cloud: IdentityCloud) -> None:
    """What a process remembers of names holds no longer than the names."""
    ann, project, _ = cloud.member("ann", "p")
    domain = cloud.make("domain", "/domains", name="D")["id"]
    eve = cloud.make("user", "/users", name="eve", password="pw", domain_id=domain)["id"]
    scope = {"project": {"name": "p", "domain": {"id": "default"}}}

    def ok(user: str = "ann", wanted: Any = None, where: Any = None) -> int:
        who = {"name": user, "domain": where or {"id": "default"}, "password": "pw"}
        return cloud.auth({"methods": ["password"], "password": {"user": who}}, wanted).status

    assert (ok(), ok(wanted=scope), ok("eve", where={"name": "D"})) == (201, 201, 201)
    cloud.do("PATCH", f"/users/{ann}", {"user": {"name": "anna"}})
    assert (ok(), ok("anna")) == (401, 201)
    cloud.do("PATCH", f"/projects/{project}", {"project": {"name": "q"}})
    assert (ok("anna", scope), ok("anna", {"project": {"name": "q", "domain": {"id": "default"}}})) == (401, 201)
    cloud.do("PATCH", f"/domains/{domain}", {"domain": {"name": "E"}})
    assert (ok("eve", where={"name": "D"}), ok("eve", where={"name": "E"})) == (401, 201)
    cloud.make("user", "/users", name="ann", password="pw")
    assert ok() == 201
    cloud.do("DELETE", f"/users/{eve}")
    assert ok("eve", where={"name": "E"}) == 401


# --- exchange -----------------------------------------------------------------------------------------------------------


def test_a_token_of_the_system_gives_none_of_a_project(cloud: IdentityCloud) -> None:
    token = cloud.token("admin", ADMIN_PASSWORD, scope={"system": {"all": True}})
    proof = {"methods": ["token"], "token": {"id": token}}
    assert cloud.auth(proof, PROJECT).status == 403
    assert cloud.auth(proof, {"domain": {"id": "default"}}).status == 403
    assert cloud.auth(proof, {"system": {"all": True}}).status == 201
    assert cloud.auth(proof, "unscoped").status == 201
    assert cloud.auth({"methods": ["token"], "token": {"id": cloud.admin}}, {"system": {"all": True}}).status == 201


def test_where_scoped_tokens_are_not_exchanged(tmp_path: Path) -> None:
    cloud = IdentityCloud(tmp_path / "keys", IdentitySettings(logins=LoginSettings(rescope_scoped_tokens=False)))
    try:
        unscoped = cloud.token("admin", ADMIN_PASSWORD, scope="unscoped")
        assert cloud.auth({"methods": ["token"], "token": {"id": cloud.admin}}, "unscoped").status == 403
        assert cloud.auth({"methods": ["token"], "token": {"id": unscoped}}, PROJECT).status == 201
    finally:
        cloud.close()


def test_a_token_beside_the_password_of_another(cloud: IdentityCloud) -> None:
    cloud.member("ann", "p")
    who = {"name": "ann", "domain": {"id": "default"}, "password": "pw"}
    both = {"methods": ["token", "password"], "token": {"id": cloud.admin}, "password": {"user": who}}
    assert cloud.auth(both).status == 401
    mine = cloud.auth({**both, "password": {"user": ADMIN}}, PROJECT)
    assert (mine.status, mine.json["token"]["methods"]) == (201, ["password", "token"])


# --- validation ---------------------------------------------------------------------------------------------------------


def test_how_long_an_expired_token_is_shown(cloud: IdentityCloud) -> None:
    token = cloud.admin

    def show(query: str = "?allow_expired=1", method: str = "GET") -> int:
        cloud.admin = cloud.token("admin", ADMIN_PASSWORD, "admin")
        return cloud.do(method, f"/auth/tokens{query}", X_Subject_Token=token).status

    cloud.clock.now += 3600
    assert (show(""), show("?allow_expired=false"), show("?allow_expired=True"), show("?allow_expired=yes")) == (
        404, 404, 200, 200)  # fmt: skip
    assert (show(method="HEAD"), show(method="DELETE")) == (200, 404)
    token = cloud.admin
    cloud.clock.now += 3600 + 48 * 3600 - 1
    assert show() == 200
    cloud.clock.now += 1
    assert show() == 404
    assert cloud.auth({"methods": ["token"], "token": {"id": token}}).status == 404


def test_who_may_look_at_a_token(cloud: IdentityCloud) -> None:
    _, _, ann = cloud.member("ann", "p")
    _, _, bob = cloud.member("bob", "q")
    cloud.member("nova", "services", "service")
    nova = cloud.token("nova", "pw", "services")
    for method, service in (("GET", 200), ("HEAD", 403), ("DELETE", 403)):
        assert cloud.do(method, "/auth/tokens", token=bob, X_Subject_Token=ann).status == 403
        assert cloud.do(method, "/auth/tokens", token=nova, X_Subject_Token=ann).status == service
        assert cloud.do(method, "/auth/tokens", token=bob, X_Subject_Token="x").status == 404
        assert cloud.do(method, "/auth/tokens", token=bob).status == 403
        assert cloud.do(method, "/auth/tokens").status == 404
        assert cloud.ask(method, "/identity/v3/auth/tokens", token=None, X_Subject_Token=ann).status == 401
    assert cloud.do("DELETE", "/auth/tokens", token=ann, X_Subject_Token=ann).status == 204


def test_access_rules_are_shown_to_who_observes_them(cloud: IdentityCloud) -> None:
    ann, _, token = cloud.member("ann", "p")
    rule = {"service": "compute", "method": "GET", "path": "/v2.1/servers"}
    body = {"application_credential": {"name": "x", "access_rules": [rule]}}
    made = cloud.do("POST", f"/users/{ann}/application_credentials", body, token=token).json["application_credential"]
    proof = {"id": made["id"], "secret": made["secret"]}
    robot = cloud.auth({"methods": ["application_credential"], "application_credential": proof}).headers["x-subject-token"]

    def show(**headers: str) -> int:
        return cloud.do("GET", "/auth/tokens", X_Subject_Token=robot, **headers).status

    assert show() == 404
    assert [show(OpenStack_Identity_Access_Rules=v) for v in ("1.0", "2", "0.9", "yes", "")] == [200, 200, 404, 404, 404]


def test_all_tokens_of_a_user(cloud: IdentityCloud) -> None:
    ann, _, token = cloud.member("ann", "p")
    bob, _, other = cloud.member("bob", "q")
    assert cloud.do("DELETE", f"/users/{ann}/tokens", token=other).status == 403
    assert cloud.do("DELETE", "/users/none/tokens", token=other).status == 403
    assert cloud.do("DELETE", "/users/none/tokens").status == 404
    assert cloud.do("DELETE", f"/users/{ann}/tokens", token=token).status == 204
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.login("ann", "pw").status == 201
    assert cloud.do("DELETE", f"/users/{bob}/tokens").status == 204
    assert cloud.do("GET", "/auth/projects", token=other).status == 401


# --- what its bearer sees -----------------------------------------------------------------------------------------------


def test_the_catalogue_of_a_token(cloud: IdentityCloud) -> None:
    in_token = cloud.do("GET", "/auth/tokens", X_Subject_Token=cloud.admin).json["token"]["catalog"]
    shown = cloud.do("GET", "/auth/catalog").json
    assert shown["catalog"] == in_token
    assert shown["links"]["self"].endswith("/v3/auth/catalog")
    assert cloud.do("HEAD", "/auth/catalog").status == 200
    for scope in ("unscoped", {"system": {"all": True}}):
        other = cloud.token("admin", ADMIN_PASSWORD, scope=scope)
        assert cloud.do("GET", "/auth/catalog", token=other).status == 403


def test_where_a_token_may_be_scoped_to(cloud: IdentityCloud) -> None:
    ann, project, token = cloud.member("ann", "p")
    unscoped = cloud.token("ann", "pw", scope="unscoped")
    off = cloud.make("project", "/projects", name="off", enabled=False)["id"]
    domain = cloud.make("domain", "/domains", name="D")["id"]
    reader = cloud.role("reader")
    cloud.do("PUT", f"/projects/{off}/users/{ann}/roles/{reader}")
    cloud.do("PUT", f"/domains/{domain}/users/{ann}/roles/{reader}")
    for bearer in (token, unscoped):
        projects = cloud.do("GET", "/auth/projects", token=bearer).json
        assert [p["id"] for p in projects["projects"]] == [project]
        assert projects["links"]["self"].endswith("/v3/auth/projects")
        assert [d["id"] for d in cloud.do("GET", "/auth/domains", token=bearer).json["domains"]] == [domain]
        assert cloud.do("GET", "/auth/system", token=bearer).json["system"] == []
        for path in ("projects", "domains", "system"):
            assert cloud.do("HEAD", f"/auth/{path}", token=bearer).status == 200
            assert cloud.ask("GET", f"/identity/v3/auth/{path}", token=None).status == 401
    cloud.do("PUT", f"/system/users/{ann}/roles/{reader}")
    assert cloud.do("GET", "/auth/system", token=token).json["system"] == [{"all": True}]


def test_version_documents(cloud: IdentityCloud) -> None:
    for path in ("/identity", "/identity/"):
        reply = cloud.ask("GET", path, token=None)
        assert reply.status == 300
        found = reply.json["versions"]["values"][0]
        assert (found["id"], found["status"]) == ("v3.14", "stable")
        assert found["links"] == [{"rel": "self", "href": "http://127.0.0.1:8000/identity/v3/"}]
    for path in ("/identity/v3", "/identity/v3/"):
        assert cloud.ask("GET", path, token=None).json["version"]["id"] == "v3.14"
