"""Passcodes, rules of several factors and the receipts between them, and REMOTE_USER."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.identity.conftest import IdentityCloud
from tiffin.core.http.local import Reply
from tiffin.services.identity.passcodes import passcode
from tiffin.services.identity.public import IdentitySettings
from tiffin.services.identity.settings import LoginSettings

SEED = base64.b32encode(b"12345678901234567890").decode()
RECEIPT = "Openstack-Auth-Receipt"


def seed(cloud: IdentityCloud, user: str, secret: str = SEED) -> str:
    return str(cloud.make("credential", "/credentials", type="totp", user_id=user, blob=secret)["id"])


def code(cloud: IdentityCloud, back: int = 0, secret: str = SEED) -> str:
    return passcode(secret, int(cloud.clock.now // 30) - back)


def proof(methods: str, given: str = "", password: str = "pw", name: str = "ann") -> dict[str, Any]:
    who = {"name": name, "domain": {"id": "default"}}
    sections: dict[str, Any] = {"password": {"user": {**who, "password": password}},
                                "totp": {"user": {**who, "passcode": given}}}  # fmt: skip
    return {"methods": methods.split(), **{m: sections[m] for m in methods.split()}}


def login(cloud: IdentityCloud, identity: dict[str, Any], receipt: str | None = None, scope: Any = None) -> Reply:
    body: dict[str, Any] = {"identity": identity}
    if scope is not None:
        body["scope"] = scope
    headers = {"Openstack_Auth_Receipt": receipt} if receipt is not None else {}
    return cloud.ask("POST", "/identity/v3/auth/tokens", token=None, json={"auth": body}, **headers)


def rules(cloud: IdentityCloud, user: str, *wanted: Any, **more: Any) -> None:
    options = {"multi_factor_auth_rules": list(wanted), **more}
    assert cloud.do("PATCH", f"/users/{user}", {"user": {"options": options}}).status == 200


@pytest.fixture
def ann(cloud: IdentityCloud) -> str:
    return cloud.member("ann", "p")[0]


# --- passcodes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "digits"), [
    (59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037"),
    (20000000000, "353130")])  # fmt: skip
def test_the_vectors_of_rfc_6238(at: int, digits: str) -> None:
    assert passcode(SEED, at // 30) == digits


def test_a_passcode_logs_in(cloud: IdentityCloud, ann: str) -> None:
    seed(cloud, ann)
    reply = login(cloud, proof("totp", code(cloud)), scope={"project": {"name": "p", "domain": {"id": "default"}}})
    assert reply.status == 201
    token = reply.json["token"]
    assert (token["methods"], token["user"]["id"], token["project"]["name"]) == (["totp"], ann, "p")
    by_id = {"methods": ["totp"], "totp": {"user": {"id": ann, "passcode": code(cloud)}}}
    assert cloud.auth(by_id).status == 401


def test_each_passcode_is_good_once(cloud: IdentityCloud, ann: str) -> None:
    seed(cloud, ann)
    assert login(cloud, proof("totp", code(cloud))).status == 201
    assert login(cloud, proof("totp", code(cloud))).status == 401
    assert login(cloud, proof("totp", code(cloud, back=1))).status == 401
    cloud.clock.now += 30
    assert login(cloud, proof("totp", code(cloud, back=1))).status == 401
    assert login(cloud, proof("totp", code(cloud))).status == 201


def test_the_one_before_is_accepted_too(cloud: IdentityCloud, ann: str) -> None:
    seed(cloud, ann)
    assert login(cloud, proof("totp", code(cloud, back=2))).status == 401
    assert login(cloud, proof("totp", code(cloud, back=-1))).status == 401
    assert login(cloud, proof("totp", code(cloud, back=1))).status == 201
    assert login(cloud, proof("totp", code(cloud))).status == 201


@pytest.mark.parametrize("given", ["", "12345", "0000000", "abcdef", "١٢٣٤٥٦", "x" * 200])
def test_what_is_no_passcode(cloud: IdentityCloud, ann: str, given: str) -> None:
    seed(cloud, ann)
    assert login(cloud, proof("totp", given)).status == 401


def test_whose_passcode(cloud: IdentityCloud, ann: str) -> None:
    assert login(cloud, proof("totp", code(cloud))).status == 401
    seed(cloud, ann, "not base32!")
    seed(cloud, cloud.member("bob", "q")[0])
    assert login(cloud, proof("totp", code(cloud))).status == 401
    second = base64.b32encode(b"another secret").decode().rstrip("=")
    seed(cloud, ann, second)
    assert login(cloud, proof("totp", code(cloud, secret=second))).status == 201
    assert login(cloud, proof("totp", code(cloud), name="nobody")).status == 401
    assert cloud.auth({"methods": ["totp"], "totp": {"user": {"passcode": "123456"}}}).status == 400
    assert cloud.auth({"methods": ["totp"], "totp": {}}).status == 400
    cloud.clock.now += 30
    cloud.do("PATCH", f"/users/{ann}", {"user": {"enabled": False}})
    assert login(cloud, proof("totp", code(cloud, secret=second))).status == 401


def test_a_passcode_that_was_seen_is_used_up_even_if_the_login_fails(cloud: IdentityCloud, ann: str) -> None:
    seed(cloud, ann)
    assert login(cloud, proof("totp", code(cloud)), scope={"domain": {"id": "default"}}).status == 401
    assert login(cloud, proof("totp", code(cloud))).status == 401


def test_a_wrong_password_beside_it_does_not_use_it_up(cloud: IdentityCloud, ann: str) -> None:
    seed(cloud, ann)
    assert login(cloud, proof("password totp", code(cloud), password="wrong")).status == 401
    assert login(cloud, proof("password totp", code(cloud))).status == 201


# --- rules and receipts -------------------------------------------------------------------------------------------------


def test_both_at_once(cloud: IdentityCloud, ann: str) -> None:
    seed(cloud, ann)
    rules(cloud, ann, ["password", "totp"])
    reply = login(cloud, proof("password totp", code(cloud)))
    assert reply.status == 201
    assert reply.json["token"]["methods"] == ["password", "totp"]


def test_a_receipt_is_continued(cloud: IdentityCloud, ann: str) -> None:
    seed(cloud, ann)
    rules(cloud, ann, ["password", "totp"], ["totp", "token"], ["application_credential"])
    first = login(cloud, proof("password"))
    assert (first.status, first.json["required_auth_methods"]) == (401, [["password", "totp"]])
    assert first.json["receipt"] == {
        "methods": ["password"],
        "user": {"id": ann, "name": "ann", "domain": {"id": "default", "name": "Default"}},
        "issued_at": "2027-01-15T08:00:00.000000Z",
        "expires_at": "2027-01-15T08:05:00.000000Z",
    }
    receipt = first.headers[RECEIPT.lower()]
    assert login(cloud, proof("totp", "000000"), receipt).status == 401
    second = login(cloud, proof("totp", code(cloud)), receipt, {"project": {"name": "p", "domain": {"id": "default"}}})
    assert (second.status, second.json["token"]["methods"]) == (201, ["password", "totp"])


def test_a_passcode_first(cloud: IdentityCloud, ann: str) -> None:
    seed(cloud, ann)
    rules(cloud, ann, ["password", "totp"])
    given = code(cloud)
    first = login(cloud, proof("totp", given))
    assert (first.status, first.json["receipt"]["methods"]) == (401, ["totp"])
    assert RECEIPT.lower() not in login(cloud, proof("totp", given)).headers
    assert login(cloud, proof("password"), first.headers[RECEIPT.lower()]).status == 201


def test_receipts_end(cloud: IdentityCloud, ann: str) -> None:
    seed(cloud, ann)
    rules(cloud, ann, ["password", "totp"])
    receipt = login(cloud, proof("password")).headers[RECEIPT.lower()]
    cloud.clock.now += 299
    assert login(cloud, proof("totp", code(cloud)), receipt).status == 201
    cloud.clock.now += 1
    late = login(cloud, proof("totp", code(cloud)), receipt)
    assert (late.status, RECEIPT.lower() in late.headers) == (401, False)


def test_whose_receipt(cloud: IdentityCloud, ann: str) -> None:
    bob = cloud.member("bob", "q")[0]
    for user in (ann, bob):
        seed(cloud, user, base64.b32encode(user.encode()).decode())
        rules(cloud, user, ["password", "totp"])
    receipt = login(cloud, proof("password")).headers[RECEIPT.lower()]
    secret = base64.b32encode(bob.encode()).decode()
    assert login(cloud, proof("totp", code(cloud, secret=secret), name="bob"), receipt).status == 401
    for bad in ("", "x", receipt[:-3], receipt + "A", cloud.admin, "é", "gAAAAA" * 2000):
        refused = login(cloud, proof("totp", code(cloud, secret=base64.b32encode(ann.encode()).decode())), bad)
        assert refused.status == 401
        cloud.clock.now += 30
    assert cloud.do("GET", "/auth/projects", token=receipt).status == 401
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=receipt).status == 404


def test_a_receipt_ends_with_the_password_it_is_for(cloud: IdentityCloud, ann: str) -> None:
    seed(cloud, ann)
    rules(cloud, ann, ["password", "totp"])
    receipt = login(cloud, proof("password")).headers[RECEIPT.lower()]
    cloud.do("PATCH", f"/users/{ann}", {"user": {"password": "new"}})
    assert login(cloud, proof("totp", code(cloud)), receipt).status == 401


def test_receipts_outlive_a_rotation(cloud: IdentityCloud, ann: str) -> None:
    seed(cloud, ann)
    rules(cloud, ann, ["password", "totp"])
    receipt = login(cloud, proof("password")).headers[RECEIPT.lower()]
    cloud.identity.keys.rotate()
    assert login(cloud, proof("totp", code(cloud)), receipt).status == 201


def test_rules_that_are_none(cloud: IdentityCloud, ann: str) -> None:
    """A method that is not enabled does not count, lest it locks everybody out."""
    rules(cloud, ann, ["password", "kerberos"])
    assert login(cloud, proof("password")).status == 201
    rules(cloud, ann, ["kerberos"])
    assert login(cloud, proof("password")).status == 201
    rules(cloud, ann, ["password", "totp"], multi_factor_auth_enabled=False)
    assert login(cloud, proof("password")).status == 201
    rules(cloud, ann, ["password", "totp"], multi_factor_auth_enabled=None)
    assert login(cloud, proof("password")).status == 401
    rules(cloud, ann, ["password", "totp"], ["password"])
    assert login(cloud, proof("password")).status == 201
    rules(cloud, ann)
    assert login(cloud, proof("password")).status == 201


def test_a_token_keeps_the_factors_it_was_got_by(cloud: IdentityCloud, ann: str) -> None:
    token = cloud.token("ann", "pw", "p")
    seed(cloud, ann)
    rules(cloud, ann, ["password", "totp"])
    strong = login(cloud, proof("password totp", code(cloud))).headers["x-subject-token"]
    scope = {"project": {"name": "p", "domain": {"id": "default"}}}
    again = cloud.auth({"methods": ["token"], "token": {"id": strong}}, scope)
    assert (again.status, again.json["token"]["methods"]) == (201, ["password", "token", "totp"])
    weak = cloud.auth({"methods": ["token"], "token": {"id": token}}, scope)
    assert (weak.status, weak.json["receipt"]["methods"]) == (401, ["password", "token"])


# --- REMOTE_USER --------------------------------------------------------------------------------------------------------


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[IdentityCloud]:
    """A cloud behind a WSGI server that authenticates."""
    made = IdentityCloud(tmp_path / "keys", IdentitySettings(logins=LoginSettings(trust_remote_user=True)))
    yield made
    made.close()


def external(cloud: IdentityCloud, identity: Any, headers: dict[str, str] | None = None, **environ: str) -> Reply:
    app = cloud.client.app

    def with_more(environment: dict[str, Any], start: Any) -> Any:
        return app(environment | environ, start)

    cloud.client.app = with_more
    try:
        return cloud.client.request("POST", "/identity/v3/auth/tokens", json={"auth": {"identity": identity}}, headers=headers)
    finally:
        cloud.client.app = app


NOTHING: dict[str, Any] = {"methods": []}
NAMED: dict[str, Any] = {"methods": ["external"], "external": {}}


@pytest.mark.parametrize("identity", [NOTHING, NAMED])
def test_the_server_says_who(behind: IdentityCloud, identity: dict[str, Any]) -> None:
    reply = external(behind, identity, REMOTE_USER="admin")
    assert (reply.status, reply.json["token"]["methods"]) == (201, ["external"])
    assert reply.json["token"]["user"]["name"] == "admin"
    assert external(behind, identity, REMOTE_USER="admin", REMOTE_DOMAIN="Default").status == 201
    for wrong in ({"REMOTE_USER": "nobody"}, {"REMOTE_USER": ""}, {}, {"REMOTE_USER": "admin", "REMOTE_DOMAIN": "None"}):
        assert external(behind, identity, **wrong).status == 401


def test_it_counts_as_a_factor(behind: IdentityCloud) -> None:
    ann = behind.member("ann", "p")[0]
    rules(behind, ann, ["password", "external"])
    first = behind.login("ann", "pw")
    assert (first.status, first.json["required_auth_methods"]) == (401, [["external", "password"]])
    assert external(behind, proof("password"), REMOTE_USER="ann").status == 201


@pytest.mark.parametrize("identity", [NOTHING, NAMED])
def test_a_client_cannot_say_it(behind: IdentityCloud, identity: dict[str, Any]) -> None:
    for name in ("REMOTE_USER", "Remote-User", "X-Remote-User"):
        assert external(behind, identity, {name: "admin"}).status == 401


@pytest.mark.parametrize("identity", [NOTHING, NAMED])
def test_without_the_setting_nobody_can(cloud: IdentityCloud, identity: dict[str, Any]) -> None:
    assert external(cloud, identity, REMOTE_USER="admin").status == 401


def test_beside_another_method(behind: IdentityCloud) -> None:
    ann = behind.member("ann", "p")[0]
    both = external(behind, proof("password"), REMOTE_USER="ann")
    assert (both.status, both.json["token"]["methods"]) == (201, ["password", "external"])
    assert external(behind, proof("password"), REMOTE_USER="admin").status == 401
    assert external(behind, proof("password"), REMOTE_USER="nobody").status == 201
    assert external(behind, proof("password", password="wrong"), REMOTE_USER="ann").status == 401
    behind.do("PATCH", f"/users/{ann}", {"user": {"enabled": False}})
    assert external(behind, NOTHING, REMOTE_USER="ann").status == 401
