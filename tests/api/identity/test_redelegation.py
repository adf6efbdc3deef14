"""Trusts of what was lent itself, and of what application credentials hold."""

from __future__ import annotations

from typing import Any

import pytest

from api.identity.conftest import IdentityCloud, People
from api.identity.lending import borrow, borrowed, lend, lent, remove_role

SOON = "2027-01-15T09:00:00.000000Z"
LATER = "2027-01-15T10:00:00.000000Z"


# --- redelegation -------------------------------------------------------------------------------------------------------


def on(people: People, trustee: str, **fields: Any) -> dict[str, Any]:
    return {"trustee_user_id": trustee, "roles": [{"name": "reader"}], **fields}


def test_a_chain(cloud: IdentityCloud, people: People) -> None:
    first = lent(cloud, people, allow_redelegation=True, roles=[{"name": "member"}, {"name": "reader"}], expires_at=SOON)
    assert first["redelegation_count"] == 3
    second = lent(cloud, people, borrowed(cloud, first), **on(people, people.cleo, allow_redelegation=True))
    assert (second["redelegation_count"], second["redelegated_trust_id"], second["expires_at"]) == (2, first["id"], SOON)
    third = lent(cloud, people, borrowed(cloud, second, "cleo"), **on(people, people.dan, allow_redelegation=True))
    assert third["redelegation_count"] == 1
    sooner = on(people, people.bob, allow_redelegation=True, expires_at="2027-01-15T08:50:00Z")
    fourth = lent(cloud, people, borrowed(cloud, third, "dan"), **sooner)
    assert fourth["redelegation_count"] == 0
    last = borrowed(cloud, fourth)
    assert lend(cloud, people, last, **on(people, people.cleo)).status == 403
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=last).json["token"]["user"]["id"] == people.ann
    assert cloud.do("DELETE", f"/OS-TRUST/trusts/{second['id']}", token=people.token).status == 204
    assert cloud.do("GET", "/auth/projects", token=last).status == 401
    left = cloud.do("GET", f"/OS-TRUST/trusts?trustor_user_id={people.ann}", token=people.token).json["trusts"]
    assert [t["id"] for t in left] == [first["id"]]


def test_a_chain_without_impersonation(cloud: IdentityCloud, people: People) -> None:
    first = lent(cloud, people, allow_redelegation=True, impersonation=False)
    mine = {"trustor_user_id": people.bob, **on(people, people.cleo)}
    token = borrowed(cloud, first)
    assert lend(cloud, people, token, **mine, impersonation=True).status == 403
    assert lend(cloud, people, token, **{**mine, "trustor_user_id": people.ann}, impersonation=False).status == 403
    second = lent(cloud, people, token, **mine, impersonation=False)
    shown = borrow(cloud, second, "cleo").json["token"]
    assert (shown["user"]["name"], [r["name"] for r in shown["roles"]]) == ("cleo", ["reader"])
    remove_role(cloud, people)
    assert borrow(cloud, second, "cleo").status == 403


@pytest.mark.parametrize(("first", "second", "status"), [
    ({}, {}, 403),
    ({"allow_redelegation": False, "redelegation_count": 2}, {}, 403),
    ({"allow_redelegation": True, "redelegation_count": 0}, {}, 403),
    ({"allow_redelegation": True, "redelegation_count": 1}, {}, 201),
    ({"allow_redelegation": True}, {"remaining_uses": 1}, 403),
    ({"allow_redelegation": True, "expires_at": SOON}, {"expires_at": LATER}, 403),
    ({"allow_redelegation": True, "expires_at": LATER}, {"expires_at": SOON}, 201),
    ({"allow_redelegation": True}, {"roles": [{"name": "member"}]}, 403),
    ({"allow_redelegation": True}, {"roles": [{"name": "admin"}]}, 404),
    ({"allow_redelegation": True}, {"allow_redelegation": True, "redelegation_count": 1}, 403),
    ({"allow_redelegation": True}, {"allow_redelegation": True, "redelegation_count": 2}, 201),
    ({"allow_redelegation": True}, {"allow_redelegation": True, "redelegation_count": None}, 201),
    ({"allow_redelegation": True}, {"redelegated_trust_id": "whatever"}, 201),
])  # fmt: skip
def test_what_can_be_redelegated(
    cloud: IdentityCloud, people: People, first: dict[str, Any], second: dict[str, Any], status: int
) -> None:
    token = borrowed(cloud, lent(cloud, people, **first))
    reply = lend(cloud, people, token, **on(people, people.cleo, **second))
    assert reply.status == status, reply.body


def test_redelegation_stays_on_its_project(cloud: IdentityCloud, people: People) -> None:
    other = cloud.make("project", "/projects", name="other")["id"]
    cloud.do("PUT", f"/projects/{other}/users/{people.ann}/roles/{cloud.role('reader')}")
    token = borrowed(cloud, lent(cloud, people, allow_redelegation=True))
    assert lend(cloud, people, token, **on(people, people.cleo, project_id=other)).status == 403


def test_everybody_in_a_chain_must_be_there(cloud: IdentityCloud, people: People) -> None:
    first = lent(cloud, people, allow_redelegation=True)
    second = lent(cloud, people, borrowed(cloud, first), **on(people, people.cleo))
    token = borrowed(cloud, second, "cleo")
    cloud.do("PATCH", f"/users/{people.bob}", {"user": {"enabled": False}})
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert borrow(cloud, second, "cleo").status == 403
    cloud.do("PATCH", f"/users/{people.bob}", {"user": {"enabled": True}})
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    borrowed(cloud, second, "cleo")


# --- by what was lent otherwise -----------------------------------------------------------------------------------------


def by_credential(cloud: IdentityCloud, people: People, **fields: Any) -> str:
    path, body = f"/users/{people.ann}/application_credentials", {"name": "robot", **fields}
    made = cloud.do("POST", path, {"application_credential": body}, token=people.token).json["application_credential"]
    proof = {"id": made["id"], "secret": made["secret"]}
    login = cloud.auth({"methods": ["application_credential"], "application_credential": proof})
    assert login.status == 201, login.body
    return login.headers["x-subject-token"]


def test_application_credentials_manage_no_trusts(cloud: IdentityCloud, people: People) -> None:
    path = f"/OS-TRUST/trusts/{lent(cloud, people)['id']}"
    robot = by_credential(cloud, people)
    assert lend(cloud, people, robot).status == 403
    for method, what in (
        ("GET", path), ("GET", f"{path}/roles"), ("GET", f"{path}/roles/{cloud.role('reader')}"), ("DELETE", path),
        ("GET", f"/OS-TRUST/trusts?trustor_user_id={people.ann}"),
    ):  # fmt: skip
        assert cloud.do(method, what, token=robot).status == 403
    assert cloud.do("GET", path, token=people.token).status == 200


def test_unrestricted_ones_lend_what_they_have(cloud: IdentityCloud, people: People) -> None:
    robot = by_credential(cloud, people, unrestricted=True, roles=[{"name": "reader"}])
    assert lend(cloud, people, robot, roles=[{"name": "member"}]).status == 403
    made = lent(cloud, people, robot)
    assert cloud.do("GET", f"/OS-TRUST/trusts/{made['id']}", token=robot).status == 200
    borrowed(cloud, made)
    assert cloud.do("DELETE", f"/OS-TRUST/trusts/{made['id']}", token=robot).status == 204
