"""Trusts: who may lend what to whom, for how long and how often, and what the borrower can do with it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.identity.conftest import IdentityCloud, People
from api.identity.lending import borrow, borrowed, lend, lent, remove_role

SOON = "2027-01-15T09:00:00.000000Z"
LATER = "2027-01-15T10:00:00.000000Z"


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


def _disable(path: str, kind: str) -> Any:
    def change(cloud: IdentityCloud, people: People) -> None:
        where = path.format(**msgspec.structs.asdict(people))
        assert cloud.do("PATCH", where, {kind: {"enabled": False}}).status == 200

    return change


def _change_password(cloud: IdentityCloud, people: People) -> None:
    assert cloud.do("PATCH", f"/users/{people.ann}", {"user": {"password": "new"}}).status == 200


ENDS = {
    "role": (remove_role, 403),
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
