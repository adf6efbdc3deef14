"""Login, scopes, validation and revocation."""

from __future__ import annotations

from typing import Any

import pytest

from api.identity.conftest import ADMIN_PASSWORD, IdentityCloud

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


def test_keys_rotate_without_a_break(cloud: IdentityCloud) -> None:
    cloud.identity.keys.rotate()
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=cloud.admin).status == 200
    for _ in range(3):
        cloud.identity.keys.rotate()
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=cloud.admin).status == 401


def test_version_documents(cloud: IdentityCloud) -> None:
    for path in ("/identity", "/identity/"):
        reply = cloud.ask("GET", path, token=None)
        assert reply.status == 300
        found = reply.json["versions"]["values"][0]
        assert (found["id"], found["status"]) == ("v3.14", "stable")
        assert found["links"] == [{"rel": "self", "href": "http://127.0.0.1:8000/identity/v3/"}]
    for path in ("/identity/v3", "/identity/v3/"):
        assert cloud.ask("GET", path, token=None).json["version"]["id"] == "v3.14"
