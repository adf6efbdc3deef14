"""OAuth 1.0a: consumers, what users lend them, and the tokens that come of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.identity.conftest import IdentityCloud
from api.identity.oauth_client import Consumer, form
from tiffin.services.identity.oauth_tables import AccessToken, RequestToken
from tiffin.services.identity.oauth_tables import Consumer as ConsumerRow

CONSUMERS = "/OS-OAUTH1/consumers"


def admin_of(cloud: IdentityCloud, name: str = "ann") -> tuple[str, str, str]:
    """A user who may authorize request tokens, which takes an administrator: (user id, project id, token)."""
    user, project, _ = cloud.member(name, f"p-{name}")
    assert cloud.do("PUT", f"/projects/{project}/users/{user}/roles/{cloud.role('admin')}").status == 204
    return user, project, cloud.token(name, "pw", f"p-{name}")


@pytest.fixture
def lent(cloud: IdentityCloud) -> tuple[Consumer, dict[str, str], str, str]:
    """A consumer, an access token for the role member, who lent it and its own token."""
    user, project, token = admin_of(cloud)
    consumer = Consumer(cloud, project)
    return consumer, consumer.access_token(token, "member"), user, token


# --- consumers ------------------------------------------------------------------------------------------------------------


def test_a_consumer_lives_and_dies(cloud: IdentityCloud) -> None:
    made = cloud.make("consumer", CONSUMERS, **{"description": "backup", "some:weird-field": 1})
    path = f"{CONSUMERS}/{made['id']}"
    assert len(made.pop("secret")) == 32
    assert (made["description"], made["some_weird_field"]) == ("backup", 1)
    assert made["links"]["self"].endswith(f"/v3{path}")
    assert cloud.do("GET", path).json["consumer"] == made
    listed = cloud.do("GET", CONSUMERS).json
    assert listed["consumers"] == [made]
    assert listed["links"]["self"].endswith(CONSUMERS)
    assert cloud.do("HEAD", CONSUMERS).status == 200
    changed = cloud.do("PATCH", path, {"consumer": {"description": None, "id": made["id"], "weird:some": 2}})
    assert changed.json["consumer"] == {**made, "description": None, "weird_some": 2}
    assert cloud.do("DELETE", path).status == 204
    for method in ("GET", "HEAD", "DELETE"):
        assert cloud.do(method, path).status == 404
    assert cloud.do("PATCH", path, {"consumer": {"description": "x"}}).status == 404
    assert cloud.do("POST", CONSUMERS, {"consumer": {}}).json["consumer"]["description"] is None


@pytest.mark.parametrize("body", [{"description": 1}, {}, {"secret": "s"}, {"id": "other"}])
def test_bad_changes_of_consumers(cloud: IdentityCloud, body: dict[str, Any]) -> None:
    made = cloud.make("consumer", CONSUMERS, description="d")
    assert cloud.do("PATCH", f"{CONSUMERS}/{made['id']}", {"consumer": body}).status == 400
    assert cloud.do("POST", CONSUMERS, {"consumer": {"description": 1}}).status == 400


# --- the way to an access token -------------------------------------------------------------------------------------------


def test_the_whole_way(cloud: IdentityCloud) -> None:
    user, project, token = admin_of(cloud)
    consumer = Consumer(cloud, project)
    request = consumer.request_token()
    assert request["oauth_expires_at"] == "2027-01-15T16:00:00.000000Z"  # eight hours
    verifier = consumer.authorize(request, token, "member")
    assert (len(verifier), verifier.isalnum()) == (8, True)
    access = form(consumer.ask_access_token(request, verifier))
    assert access["oauth_expires_at"] == "2027-01-16T08:00:00.000000Z"  # a day
    assert consumer.ask_access_token(request, verifier).status == 404  # it has been used up
    login = consumer.login(access)
    assert login.status == 201
    shown = login.json["token"]
    assert shown["OS-OAUTH1"] == {"access_token_id": access["oauth_token"], "consumer_id": consumer.id}
    assert (shown["user"]["id"], shown["project"]["id"], shown["methods"]) == (user, project, ["oauth1"])
    assert [role["name"] for role in shown["roles"]] == ["member", "reader"]
    drawn = login.headers["x-subject-token"]
    assert len(drawn) < 255
    seen = cloud.do("GET", "/auth/tokens", X_Subject_Token=drawn).json["token"]
    assert seen == shown
    assert cloud.do("GET", "/auth/projects", token=drawn).status == 200
    assert cloud.do("GET", "/users", token=drawn).status == 403  # the role admin was not lent


def test_the_scope_is_the_access_tokens(lent: tuple[Consumer, dict[str, str], str, str]) -> None:
    consumer, access, _, _ = lent
    shown = consumer.login(access, {"system": {"all": True}}).json["token"]
    assert shown["project"]["id"] == consumer.project


def test_what_is_lent_shrinks_with_its_owner(cloud: IdentityCloud) -> None:
    user, project, token = admin_of(cloud)
    consumer = Consumer(cloud, project)
    access = consumer.access_token(token, "admin", "reader")
    cloud.do("DELETE", f"/projects/{project}/users/{user}/roles/{cloud.role('admin')}")
    assert [role["name"] for role in consumer.login(access).json["token"]["roles"]] == ["member", "reader"]
    cloud.do("DELETE", f"/projects/{project}/users/{user}/roles/{cloud.role('member')}")
    assert consumer.login(access).status == 401
    consumer = Consumer(cloud, project)


def test_an_empty_grant_is_worth_nothing(cloud: IdentityCloud) -> None:
    _, project, token = admin_of(cloud)
    consumer = Consumer(cloud, project)
    assert consumer.login(consumer.access_token(token)).status == 401


# --- revocation -----------------------------------------------------------------------------------------------------------


def _gone(cloud: IdentityCloud, drawn: str) -> None:
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=drawn).status == 404
    assert cloud.do("GET", "/auth/projects", token=drawn).status == 401


@pytest.mark.parametrize("cause", ["access token", "consumer", "password", "user", "project", "role", "disabled"])
def test_tokens_end_at_once(cloud: IdentityCloud, lent: tuple[Consumer, dict[str, str], str, str], cause: str) -> None:
    consumer, access, user, _ = lent
    drawn = consumer.login(access).headers["x-subject-token"]
    assert cloud.do("GET", "/auth/projects", token=drawn).status == 200
    access_path = f"/users/{user}/OS-OAUTH1/access_tokens"
    done = {
        "access token": lambda: cloud.do("DELETE", f"{access_path}/{access['oauth_token']}"),
        "consumer": lambda: cloud.do("DELETE", f"{CONSUMERS}/{consumer.id}"),
        "password": lambda: cloud.do("PATCH", f"/users/{user}", {"user": {"password": "another"}}),
        "user": lambda: cloud.do("DELETE", f"/users/{user}"),
        "project": lambda: cloud.do("DELETE", f"/projects/{consumer.project}"),
        "role": lambda: _lose_all(cloud, user, consumer.project),
        "disabled": lambda: cloud.do("PATCH", f"/users/{user}", {"user": {"enabled": False}}),
    }[cause]()
    assert done.status < 300
    _gone(cloud, drawn)
    if cause in ("access token", "consumer"):
        assert cloud.do("GET", access_path).json["access_tokens"] == []
        assert consumer.login(access).status == 404


def _lose_all(cloud: IdentityCloud, user: str, project: str) -> Any:
    for role in ("admin", "member"):
        reply = cloud.do("DELETE", f"/projects/{project}/users/{user}/roles/{cloud.role(role)}")
    return reply


def test_what_has_expired(cloud: IdentityCloud) -> None:
    _, project, token = admin_of(cloud)
    consumer = Consumer(cloud, project)
    request, late = consumer.request_token(), consumer.request_token()
    access = form(consumer.ask_access_token(request, consumer.authorize(request, token, "reader")))
    cloud.clock.now += 8 * 3600 + 1
    token = cloud.token("ann", "pw", "p-ann")
    body = {"roles": [{"name": "reader"}]}
    assert cloud.do("PUT", f"/OS-OAUTH1/authorize/{late['oauth_token']}", body, token=token).status == 401
    assert consumer.ask_access_token(late, "AAAAAAAA").status == 401
    cloud.clock.now += 16 * 3600 - 600
    drawn = consumer.login(access).json["token"]
    assert drawn["expires_at"] == "2027-01-16T08:00:00.000000Z"  # a token never outlives what it comes from
    cloud.clock.now += 1200
    assert consumer.login(access).status == 401
    cloud.admin = cloud.token("admin", "a long secret", project="admin")
    fresh = consumer.request_token()
    with cloud.cloud.database.read() as session:
        assert [row.id for row in session.query(RequestToken)] == [fresh["oauth_token"]]  # old ones are swept away


def test_without_an_end(cloud: IdentityCloud) -> None:
    _, project, token = admin_of(cloud)
    credentials = msgspec.structs.replace(cloud.identity.settings.credentials, request_token_seconds=0, access_token_seconds=0)
    cloud.identity.settings = msgspec.structs.replace(cloud.identity.settings, credentials=credentials)
    consumer = Consumer(cloud, project)
    access = consumer.access_token(token, "reader")
    assert "oauth_expires_at" not in access
    cloud.clock.now += 1e7
    assert consumer.login(access).status == 201


# --- who lies -------------------------------------------------------------------------------------------------------------


def test_wrong_requests_for_request_tokens(cloud: IdentityCloud) -> None:
    _, project, _ = admin_of(cloud)
    consumer = Consumer(cloud, project)
    path = "/identity/v3/OS-OAUTH1/request_token"
    assert consumer.ask_request_token(secret="0" * 32).status == 401
    assert consumer.ask_request_token(key="0" * 32).status == 404
    assert consumer.ask_request_token("0" * 32).status == 404
    assert consumer.ask_request_token(callback_uri=None).status == 400
    assert consumer.ask_request_token(at="http://elsewhere/identity/v3").status == 401
    assert consumer.post("/OS-OAUTH1/request_token", callback_uri="oob").status == 400  # for which project?
    named = {"Requested-Project-Id": project}
    assert cloud.ask("POST", path, token=None, **named).status == 400
    for bad in ("Basic x", "OAuth", "OAuth ", "OAuth =", 'OAuth oauth_version="1.0"', "OAuth " + "x" * 9000):
        assert cloud.ask("POST", path, token=None, Authorization=bad, **named).status == 400
    begun = f'OAuth oauth_version="1.0", oauth_consumer_key="{consumer.id}"'
    assert cloud.ask("POST", path, token=None, Authorization=begun, **named).status == 400
    assert cloud.ask("POST", f"{path}?oauth_token=x", token=None, Authorization=begun, **named).status == 400
    for method in ("GET", "HEAD"):
        refused = cloud.ask(method, path, token=None)
        assert (refused.status, refused.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("wrong", [
    {"timestamp": "1"}, {"timestamp": "1799999399"}, {"timestamp": "1800000601"}, {"timestamp": "abcdefghij"},
    {"nonce": "not-hex"}, {"signature_method": "PLAINTEXT"}, {"key": "short"}])  # fmt: skip
def test_parameters_that_cannot_be(cloud: IdentityCloud, wrong: dict[str, str]) -> None:
    _, project, _ = admin_of(cloud)
    consumer = Consumer(cloud, project)
    assert consumer.ask_request_token(**wrong).status == (404 if "key" in wrong else 400)


@pytest.mark.parametrize("method", ["HMAC-SHA1", "HMAC-SHA256", "HMAC-SHA512"])
def test_signature_methods(cloud: IdentityCloud, method: str) -> None:
    consumer = Consumer(cloud, admin_of(cloud)[1])
    assert consumer.ask_request_token(signature_method=method, timestamp="1799999401").status == 201
    assert consumer.ask_request_token(signature_method=method, secret="0" * 32).status == 401


def test_wrong_requests_for_access_tokens(cloud: IdentityCloud) -> None:
    _, project, token = admin_of(cloud)
    consumer, other = Consumer(cloud, project), Consumer(cloud, project)
    request = consumer.request_token()
    assert consumer.ask_access_token(request, "AAAAAAAA").status == 401  # nobody has granted it
    verifier = consumer.authorize(request, token, "reader")
    wrong = "AAAAAAAA" if verifier != "AAAAAAAA" else "BBBBBBBB"
    assert consumer.ask_access_token(request, wrong).status == 401
    assert consumer.ask_access_token(request, "no verifier").status == 400
    assert consumer.ask_access_token(request, verifier, secret="0" * 32).status == 401
    assert consumer.ask_access_token(request, verifier, resource_owner_secret="0" * 32).status == 401
    assert consumer.ask_access_token(request, verifier, key="0" * 32).status == 401
    assert consumer.ask_access_token(request, verifier, key=other.id, secret=other.secret).status == 401
    assert consumer.ask_access_token(request, verifier, resource_owner_key="0" * 32).status == 404
    assert consumer.ask_access_token(request, verifier, resource_owner_key=None).status == 400
    assert consumer.ask_access_token(request, "").status == 400
    assert cloud.ask("POST", "/identity/v3/OS-OAUTH1/access_token", token=None).status == 400
    for method in ("GET", "HEAD"):
        assert cloud.ask(method, "/identity/v3/OS-OAUTH1/access_token", token=None).status == 405
    assert consumer.ask_access_token(request, verifier).status == 201


def test_wrong_logins(cloud: IdentityCloud, lent: tuple[Consumer, dict[str, str], str, str]) -> None:
    consumer, access, _, _ = lent
    other = Consumer(cloud, consumer.project)
    assert consumer.login(access, secret="0" * 32).status == 401
    assert consumer.login(access, key=other.id, secret=other.secret).status == 401
    assert consumer.login(access, resource_owner_secret="0" * 32).status == 401
    assert consumer.login(access, resource_owner_key=None).status == 400
    assert consumer.login(access, resource_owner_key="0" * 32).status == 404
    assert consumer.login(access, timestamp="1").status == 400
    assert cloud.auth({"methods": ["oauth1"], "oauth1": {}}).status == 400
    assert consumer.login(access).status == 201


# --- who grants -----------------------------------------------------------------------------------------------------------


def test_only_what_one_has_can_be_granted(cloud: IdentityCloud) -> None:
    _, project, token = admin_of(cloud)
    _, elsewhere, _ = admin_of(cloud, "bob")
    path = f"/OS-OAUTH1/authorize/{Consumer(cloud, project).request_token()['oauth_token']}"
    role = cloud.make("role", "/roles", name="rare")["id"]
    for roles, status in (
        ([{"id": role}], 401), ([{"name": "rare"}], 401), ([{"name": "none"}], 404), ([{"id": "none"}], 401),
        ([{"fake": "x"}], 400), ([{}], 400), ([{"id": "a", "name": "b"}], 400), ("x", 400),
    ):  # fmt: skip
        assert cloud.do("PUT", path, {"roles": roles}, token=token).status == status, roles
    assert cloud.do("PUT", "/OS-OAUTH1/authorize/none", {"roles": [{"name": "reader"}]}, token=token).status == 404
    other = f"/OS-OAUTH1/authorize/{Consumer(cloud, elsewhere).request_token()['oauth_token']}"
    assert cloud.do("PUT", other, {"roles": [{"name": "reader"}]}, token=token).status == 401  # not on that project


def test_what_was_lent_lends_nothing(cloud: IdentityCloud, lent: tuple[Consumer, dict[str, str], str, str]) -> None:
    consumer, access, user, token = lent
    everything = consumer.access_token(token, "admin")
    drawn = consumer.login(everything).headers["x-subject-token"]
    asked = f"/OS-OAUTH1/authorize/{consumer.request_token()['oauth_token']}"
    made = {"trustor_user_id": user, "trustee_user_id": user, "project_id": consumer.project, "impersonation": True}
    key = {"blob": "x", "type": "cert", "user_id": user}
    secret = {"application_credential": {"name": "x"}}
    for method, path, body in (
        ("PUT", asked, {"roles": [{"name": "reader"}]}),
        ("GET", f"/users/{user}/OS-OAUTH1/access_tokens", None),
        ("DELETE", f"/users/{user}/OS-OAUTH1/access_tokens/{access['oauth_token']}", None),
        ("POST", "/OS-TRUST/trusts", {"trust": {**made, "roles": [{"name": "reader"}]}}),
        ("POST", "/credentials", {"credential": key}),
        ("POST", f"/users/{user}/credentials/OS-EC2", {"tenant_id": consumer.project}),
        ("POST", f"/users/{user}/application_credentials", secret),
        ("GET", f"/users/{user}/application_credentials", None),
    ):
        assert cloud.do(method, path, body, token=drawn).status == 403, path
    assert cloud.auth({"methods": ["token"], "token": {"id": drawn}}).status == 403


def test_access_tokens_are_listed(cloud: IdentityCloud, lent: tuple[Consumer, dict[str, str], str, str]) -> None:
    consumer, access, user, _ = lent
    path = f"/users/{user}/OS-OAUTH1/access_tokens"
    one = f"{path}/{access['oauth_token']}"
    listed = cloud.do("GET", path).json
    (shown,) = listed["access_tokens"]
    assert listed["links"]["self"].endswith(path)
    assert shown == {
        "id": access["oauth_token"], "consumer_id": consumer.id, "project_id": consumer.project,
        "authorizing_user_id": user, "expires_at": access["oauth_expires_at"], "links": shown["links"],
    }  # fmt: skip
    assert shown["links"]["roles"] == f"{shown['links']['self']}/roles"
    assert cloud.do("GET", one).json["access_token"] == shown
    (role,) = cloud.do("GET", f"{one}/roles").json["roles"]
    assert (role["name"], role["links"]["self"][-32:]) == ("member", role["id"])
    assert cloud.do("GET", f"{one}/roles/{role['id']}").json["role"] == role
    assert cloud.do("GET", f"{one}/roles/{cloud.role('reader')}").status == 404
    for other, status in ((one.replace(user, "none"), (404, 404, 401, 401)), (f"{path}/none", (404,) * 4)):
        asked = (("GET", other), ("GET", f"{other}/roles"), ("GET", f"{other}/roles/{role['id']}"), ("DELETE", other))
        assert tuple(cloud.do(method, at).status for method, at in asked) == status
    assert cloud.do("HEAD", one).status == 200
    assert cloud.do("DELETE", one).status == 204


def test_rows_hold_no_secret(cloud: IdentityCloud) -> None:
    _, project, token = admin_of(cloud)
    consumer = Consumer(cloud, project)
    request = consumer.request_token()
    verifier = consumer.authorize(request, token, "reader")
    access = consumer.access_token(token, "reader")
    secrets = (consumer.secret, request["oauth_token_secret"], verifier, access["oauth_token_secret"])
    with cloud.cloud.database.read() as session:
        rows = [row for table in (ConsumerRow, RequestToken, AccessToken) for row in session.query(table)]
        raw = " ".join(repr(vars(row)) for row in rows)
    assert len(rows) == 3
    assert not [secret for secret in secrets if secret in raw]


# --- OAuth 2.0 is not there -----------------------------------------------------------------------------------------------

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(("form", "status", "error"), [
    (b"", 400, "invalid_request"), (b"grant_type=password", 400, "unsupported_grant_type"),
    (b"grant_type=client_credentials", 401, "invalid_client"), (b"\xff=\xff", 400, "invalid_request"),
    (b"grant_type=client_credentials&client_id=a&client_secret=b", 401, "invalid_client")])  # fmt: skip
def test_no_tokens_by_oauth2(cloud: IdentityCloud, form: bytes, status: int, error: str) -> None:
    path = "/identity/v3/OS-OAUTH2/token"
    reply = cloud.client.request("POST", path, headers=FORM, body=form)
    assert (reply.status, reply.json["error"]) == (status, error)
    assert reply.json["error_description"]
    assert cloud.ask("POST", path, token=None, json={"grant_type": "client_credentials"}).status == 400
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        refused = cloud.ask(method, path, token=None)
        assert (refused.status, refused.json["error"]) == (405, "other_error")
    assert cloud.ask("HEAD", path, token=None).status == 405
