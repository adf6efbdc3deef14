"""Trusts: who may lend what to whom, for how long and how often, and what the borrower can do with it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.identity.conftest import IdentityCloud
from tiffin.core.http.local import Reply

SOON = "2027-01-15T09:00:00.000000Z"
LATER = "2027-01-15T10:00:00.000000Z"


class People(msgspec.Struct):
    """Ann lends what she has on her project to Bob; Cleo is a third, Dan a fourth."""

    ann: str
    bob: str
    cleo: str
    dan: str
    project: str
    token: str  # of ann


@pytest.fixture
def people(cloud: IdentityCloud) -> People:
    ann, project, token = cloud.member("ann", "p", "manager")
    bob, _, _ = cloud.member("bob", "q")
    cleo, _, _ = cloud.member("cleo", "r")
    dan, _, _ = cloud.member("dan", "s")
    return People(ann, bob, cleo, dan, project, token)


def lend(cloud: IdentityCloud, people: People, token: str | None = None, **fields: Any) -> Reply:
    body = {"trustor_user_id": people.ann, "trustee_user_id": people.bob, "project_id": people.project,
            "impersonation": True, "roles": [{"name": "reader"}], **fields}  # fmt: skip
    return cloud.do("POST", "/OS-TRUST/trusts", {"trust": body}, token=token or people.token)


def lent(cloud: IdentityCloud, people: People, token: str | None = None, **fields: Any) -> Any:
    reply = lend(cloud, people, token, **fields)
    assert reply.status == 201, reply.body
    return reply.json["trust"]


def borrow(cloud: IdentityCloud, trust: dict[str, Any], user: str = "bob") -> Reply:
    return cloud.login(user, "pw", {"OS-TRUST:trust": {"id": trust["id"]}})


def borrowed(cloud: IdentityCloud, trust: dict[str, Any], user: str = "bob") -> str:
    reply = borrow(cloud, trust, user)
    assert reply.status == 201, reply.body
    return reply.headers["x-subject-token"]


# --- a trust itself -----------------------------------------------------------------------------------------------------


def test_what_a_trust_says(cloud: IdentityCloud, people: People) -> None:
    made = lent(cloud, people, roles=[{"name": "reader"}, {"id": cloud.role("member")}], expires_at=SOON, note="x")
    path = f"/OS-TRUST/trusts/{made['id']}"
    assert made["links"]["self"].endswith(f"/v3{path}")
    assert made["roles_links"] == {"self": f"{made['links']['self']}/roles", "next": None, "previous": None}
    assert [(r["name"], r["id"]) for r in made["roles"]] == [(n, cloud.role(n)) for n in ("member", "reader")]
    assert made["roles"][0]["links"]["self"].endswith(f"/v3/roles/{cloud.role('member')}")
    assert {k: v for k, v in made.items() if k not in ("id", "links", "roles", "roles_links")} == {
        "trustor_user_id": people.ann, "trustee_user_id": people.bob, "project_id": people.project, "impersonation": True,
        "expires_at": SOON, "deleted_at": None, "remaining_uses": None, "redelegated_trust_id": None,
        "redelegation_count": 0, "note": "x",
    }  # fmt: skip
    assert cloud.do("GET", path, token=people.token).json["trust"] == made
    assert cloud.do("HEAD", path, token=people.token).status == 200
    listed = {k: v for k, v in made.items() if k not in ("roles", "roles_links")}
    assert cloud.do("GET", "/OS-TRUST/trusts").json["trusts"] == [listed]


def test_who_sees_a_trust(cloud: IdentityCloud, people: People) -> None:
    made = lent(cloud, people)
    path = f"/OS-TRUST/trusts/{made['id']}"
    bob, cleo = cloud.token("bob", "pw", "q"), cloud.token("cleo", "pw", "r")
    for own in (people.token, bob, cloud.admin):
        assert cloud.do("GET", path, token=own).status == 200
        assert [r["name"] for r in cloud.do("GET", f"{path}/roles", token=own).json["roles"]] == ["reader"]
        assert cloud.do("GET", f"{path}/roles/{cloud.role('reader')}", token=own).json["role"]["name"] == "reader"
        assert cloud.do("HEAD", f"{path}/roles/{cloud.role('reader')}", token=own).status == 200
        assert cloud.do("GET", f"{path}/roles/{cloud.role('admin')}", token=own).status == 404
    for part in ("", "/roles", f"/roles/{cloud.role('reader')}"):
        assert cloud.do("GET", path + part, token=cleo).status == 403
    assert cloud.do("DELETE", path, token=bob).status == 403
    assert cloud.do("GET", f"/OS-TRUST/trusts?trustee_user_id={people.bob}", token=bob).json["trusts"][0]["id"] == made["id"]
    assert cloud.do("GET", f"/OS-TRUST/trusts?trustor_user_id={people.bob}", token=bob).json["trusts"] == []
    assert cloud.do("GET", f"/OS-TRUST/trusts?trustor_user_id={people.ann}", token=bob).status == 403
    assert cloud.do("GET", "/OS-TRUST/trusts", token=bob).status == 403
    assert len(cloud.do("GET", "/OS-TRUST/trusts").json["trusts"]) == 1
    both = f"/OS-TRUST/trusts?trustor_user_id={people.ann}&trustee_user_id="
    assert len(cloud.do("GET", both + people.bob, token=people.token).json["trusts"]) == 1
    assert cloud.do("GET", both + people.cleo, token=people.token).json["trusts"] == []


@pytest.mark.parametrize("fields", [
    {"roles": "reader"}, {"roles": [{}]}, {"roles": [{"id": "x", "name": "y"}]}, {"roles": [{"name": "reader", "x": 1}]},
    {"impersonation": "yes"}, {"impersonation": None}, {"trustee_user_id": None}, {"expires_at": ""}, {"expires_at": "soon"},
    {"expires_at": "2020-01-01T00:00:00Z"}, {"expires_at": "2027-01-15T08:00:00Z"}, {"remaining_uses": 0},
    {"remaining_uses": -1}, {"remaining_uses": 7.2}, {"remaining_uses": "many"}, {"redelegation_count": -1},
    {"allow_redelegation": True, "remaining_uses": 3}, {"project_id": 5}])  # fmt: skip
def test_trusts_that_make_no_sense(cloud: IdentityCloud, people: People, fields: dict[str, Any]) -> None:
    assert lend(cloud, people, **fields).status == 400
    assert cloud.do("GET", "/OS-TRUST/trusts").json["trusts"] == []


@pytest.mark.parametrize(("fields", "status"), [
    ({"trustee_user_id": "none"}, 404), ({"project_id": "none"}, 404), ({"roles": [{"name": "none"}]}, 404),
    ({"roles": [{"id": "none"}]}, 404), ({"roles": [{"name": "admin"}]}, 404), ({"roles": []}, 403), ({"roles": None}, 403),
    ({"allow_redelegation": True, "redelegation_count": 4}, 403), ({"trustor_user_id": "none"}, 403),
    ({"project_id": None}, 404)])  # fmt: skip
def test_what_nobody_can_lend(cloud: IdentityCloud, people: People, fields: dict[str, Any], status: int) -> None:
    assert lend(cloud, people, **fields).status == status
    assert cloud.do("GET", "/OS-TRUST/trusts").json["trusts"] == []


def test_only_the_trustor_lends(cloud: IdentityCloud, people: People) -> None:
    assert lend(cloud, people, token=cloud.token("bob", "pw", "q")).status == 403
    assert lend(cloud, people, token=cloud.admin).status == 403


def test_trusts_do_not_change(cloud: IdentityCloud, people: People) -> None:
    path = f"/OS-TRUST/trusts/{lent(cloud, people)['id']}"
    for method in ("PATCH", "PUT", "POST"):
        assert cloud.do(method, path, {"trust": {}}, token=people.token).status == 405


def test_equal_trusts_that_end_at_the_same_time(cloud: IdentityCloud, people: People) -> None:
    lent(cloud, people, expires_at=SOON)
    assert lend(cloud, people, expires_at=SOON).status == 409
    lent(cloud, people, expires_at=LATER)
    lent(cloud, people, expires_at=SOON, impersonation=False)
    lent(cloud, people)
    lent(cloud, people)


def test_a_role_name_must_mean_one(cloud: IdentityCloud, people: People) -> None:
    own = cloud.make("role", "/roles", name="reader", domain_id="default")
    assert lend(cloud, people).status == 400
    assert lend(cloud, people, roles=[{"id": own["id"]}]).status == 404
    cloud.do("PUT", f"/roles/{own['id']}/implies/{cloud.role('service')}")
    assert cloud.do("PUT", f"/projects/{people.project}/users/{people.ann}/roles/{own['id']}").status == 204
    made = lent(cloud, people, roles=[{"id": own["id"]}])
    shown = borrow(cloud, made).json["token"]
    assert [r["name"] for r in shown["roles"]] == ["service"]


def test_a_trust_of_nothing(cloud: IdentityCloud, people: People) -> None:
    made = lent(cloud, people, project_id=None, roles=[])
    assert (made["project_id"], made["roles"]) == (None, [])
    assert borrow(cloud, made).status == 401


# --- its tokens ---------------------------------------------------------------------------------------------------------


def test_with_impersonation(cloud: IdentityCloud, people: People) -> None:
    made = lent(cloud, people)
    login = borrow(cloud, made)
    shown, token = login.json["token"], login.headers["x-subject-token"]
    assert (shown["user"]["name"], shown["project"]["id"]) == ("ann", people.project)
    assert [r["name"] for r in shown["roles"]] == ["reader"]
    assert shown["OS-TRUST:trust"] == {
        "id": made["id"], "impersonation": True, "trustor_user": {"id": people.ann}, "trustee_user": {"id": people.bob},
    }  # fmt: skip
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=token).json["token"] == shown
    assert cloud.do("GET", f"/users/{people.ann}", token=token).status == 200


def test_without_impersonation(cloud: IdentityCloud, people: People) -> None:
    login = borrow(cloud, lent(cloud, people, impersonation=False))
    shown = login.json["token"]
    assert (shown["user"]["name"], shown["project"]["id"]) == ("bob", people.project)
    assert cloud.do("GET", f"/users/{people.bob}", token=login.headers["x-subject-token"]).status == 200


def test_who_may_borrow(cloud: IdentityCloud, people: People) -> None:
    made = lent(cloud, people)
    assert borrow(cloud, made, "cleo").status == 403
    assert borrow(cloud, made, "ann").status == 403
    assert borrow(cloud, {"id": "none"}).status == 401
    assert cloud.login("bob", "wrong", {"OS-TRUST:trust": {"id": made["id"]}}).status == 401
    assert cloud.login("bob", "pw", {"OS-TRUST:trust": {}}).status == 400
    assert cloud.login("bob", "pw", {"OS-TRUST:trust": {"id": made["id"]}, "project": {"id": people.project}}).status == 400


def test_a_borrowed_token_gives_no_other(cloud: IdentityCloud, people: People) -> None:
    token = borrowed(cloud, lent(cloud, people))
    for scope in (None, {"project": {"id": people.project}}):
        assert cloud.auth({"methods": ["token"], "token": {"id": token}}, scope).status == 403


def test_uses_are_counted(cloud: IdentityCloud, people: People) -> None:
    made = lent(cloud, people, remaining_uses=2)
    path = f"/OS-TRUST/trusts/{made['id']}"
    assert borrow(cloud, made, "cleo").status == 403
    first = borrowed(cloud, made)
    assert cloud.do("GET", path, token=people.token).json["trust"]["remaining_uses"] == 1
    borrowed(cloud, made)
    assert borrow(cloud, made).status == 401
    assert cloud.do("GET", path, token=people.token).status == 404
    assert cloud.do("DELETE", path, token=people.token).status == 404
    assert cloud.do("GET", "/OS-TRUST/trusts").json["trusts"][0]["remaining_uses"] == 0
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=first).status == 200


def test_the_end_of_a_trust(cloud: IdentityCloud, people: People) -> None:
    made = lent(cloud, people, expires_at="2027-01-15T08:10:00Z")
    login = borrow(cloud, made)
    assert login.json["token"]["expires_at"] == "2027-01-15T08:10:00.000000Z"
    cloud.clock.now += 600
    path = f"/OS-TRUST/trusts/{made['id']}"
    assert cloud.do("GET", path, token=people.token).status == 404
    assert cloud.do("GET", f"{path}/roles", token=people.token).status == 404
    assert borrow(cloud, made).status == 401
    assert cloud.do("GET", "/auth/projects", token=login.headers["x-subject-token"]).status == 401


# --- what ends it -------------------------------------------------------------------------------------------------------


def _remove_role(cloud: IdentityCloud, people: People) -> None:
    assert cloud.do("DELETE", f"/projects/{people.project}/users/{people.ann}/roles/{cloud.role('manager')}").status == 204


def _disable(path: str, kind: str) -> Any:
    def change(cloud: IdentityCloud, people: People) -> None:
        where = path.format(**msgspec.structs.asdict(people))
        assert cloud.do("PATCH", where, {kind: {"enabled": False}}).status == 200

    return change


def _change_password(cloud: IdentityCloud, people: People) -> None:
    assert cloud.do("PATCH", f"/users/{people.ann}", {"user": {"password": "new"}}).status == 200


ENDS = {
    "role": (_remove_role, 403),
    "trustor": (_disable("/users/{ann}", "user"), 403),
    "trustee": (_disable("/users/{bob}", "user"), 401),
    "project": (_disable("/projects/{project}", "project"), 401),
}


@pytest.mark.parametrize("cause", ENDS)
@pytest.mark.parametrize("impersonation", [True, False])
def test_what_ends_a_trust_ends_its_tokens(cloud: IdentityCloud, people: People, cause: str, impersonation: bool) -> None:
    end, status = ENDS[cause]
    made = lent(cloud, people, impersonation=impersonation)
    token = borrowed(cloud, made)
    end(cloud, people)
    assert borrow(cloud, made).status == status
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=token).status == 404


def test_a_new_password_of_the_trustor_ends_tokens_and_not_the_trust(cloud: IdentityCloud, people: People) -> None:
    made = lent(cloud, people)
    token = borrowed(cloud, made)
    _change_password(cloud, people)
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    borrowed(cloud, made)


@pytest.mark.parametrize("path", ["/users/{ann}", "/users/{bob}", "/projects/{project}"])
def test_a_trust_goes_with_what_it_speaks_of(cloud: IdentityCloud, people: People, path: str) -> None:
    made = lent(cloud, people)
    token = borrowed(cloud, made)
    assert cloud.do("DELETE", path.format(**msgspec.structs.asdict(people))).status == 204
    assert cloud.do("GET", f"/OS-TRUST/trusts/{made['id']}").status == 404
    assert cloud.do("GET", "/OS-TRUST/trusts").json["trusts"] == []
    assert cloud.do("GET", "/auth/projects", token=token).status == 401


def test_deleted_by_its_trustor_or_by_who_acts_for_it(cloud: IdentityCloud, people: People) -> None:
    made = lent(cloud, people)
    token = borrowed(cloud, made)
    assert cloud.do("DELETE", f"/OS-TRUST/trusts/{made['id']}", token=token).status == 204
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert borrow(cloud, made).status == 401
    other = lent(cloud, people)
    assert cloud.do("DELETE", f"/OS-TRUST/trusts/{other['id']}", token=people.token).status == 204
    assert cloud.do("DELETE", f"/OS-TRUST/trusts/{other['id']}", token=people.token).status == 404
    third = lent(cloud, people)
    assert cloud.do("DELETE", f"/OS-TRUST/trusts/{third['id']}").status == 204


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
    _remove_role(cloud, people)
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
