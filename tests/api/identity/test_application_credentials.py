"""Application credentials with access rules: what binds them, who makes them, what ends them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from api.identity.conftest import IdentityCloud
from api.identity.test_delegation import create, proof

RULE = {"service": "identity", "method": "GET", "path": "/v3/auth/projects"}
UNDERSTOOD = {"OpenStack_Identity_Access_Rules": "1.0"}


@pytest.fixture
def ann(cloud: IdentityCloud) -> tuple[str, str, str]:
    return cloud.member("ann", "p")


def path(user: str) -> str:
    return f"/users/{user}/application_credentials"


def ask(cloud: IdentityCloud, who: tuple[str, str, str], **fields: Any) -> int:
    body = {"application_credential": {"name": "robot", **fields}}
    return cloud.do("POST", path(who[0]), body, token=who[2]).status


def robot(cloud: IdentityCloud, made: dict[str, Any]) -> str:
    """A token of an application credential."""
    return cloud.auth(proof(id=made["id"], secret=made["secret"])).headers["x-subject-token"]


# --- what may be said -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fields", "status"), [
    ({"roles": [{"name": "nobody has it"}]}, 404), ({"roles": [{"id": "none"}]}, 400), ({"roles": [{"name": "admin"}]}, 400),
    ({"access_rules": [{"id": "none"}]}, 404), ({"unknown": 1}, 400), ({"description": None, "secret": None}, 201),
    ({"roles": []}, 201), ({"access_rules": []}, 201), ({"expires_at": None, "system": None, "id": "x"}, 201),
    ({"access_rules": [{**RULE, "method": "OPTIONS"}]}, 400), ({"access_rules": [{**RULE, "x": 1}]}, 400),
    ({"access_rules": [{**RULE, "path": "v3"}]}, 400), ({"access_rules": [{**RULE, "service": "a b"}]}, 400),
    ({"access_rules": [{"service": "identity"}]}, 400), ({"roles": [{"name": "reader", "x": 1}]}, 400),
    ({"unrestricted": None}, 201), ({"expires_at": "2027-01-15T08:00:00"}, 400), ({"name": None}, 400)])  # fmt: skip
def test_fields(cloud: IdentityCloud, ann: tuple[str, str, str], fields: dict[str, Any], status: int) -> None:
    assert ask(cloud, ann, **fields) == status
    listed = cloud.do("GET", path(ann[0]), token=ann[2]).json["application_credentials"]
    assert len(listed) == (status == 201)


def test_it_is_immutable(cloud: IdentityCloud, ann: tuple[str, str, str]) -> None:
    made = create(cloud, ann[0], ann[2])
    one = f"{path(ann[0])}/{made['id']}"
    for method in ("PATCH", "PUT"):
        assert cloud.do(method, one, {"application_credential": {"name": "x"}}, token=ann[2]).status == 405
    assert ask(cloud, ann) == 409
    assert ask(cloud, cloud.member("bob", "q")) == 201  # a name is a user's own affair
    assert cloud.do("HEAD", one, token=ann[2]).status == 200
    assert cloud.do("GET", f"{path(ann[0])}/none", token=ann[2]).status == 404
    assert cloud.do("DELETE", f"{path(ann[0])}/none", token=ann[2]).status == 404
    assert cloud.do("GET", path("none")).status == 404
    unscoped = cloud.token("ann", "pw")
    assert ask(cloud, (ann[0], ann[1], unscoped), name="x") == 400  # for which project?


def test_a_limit(cloud: IdentityCloud, ann: tuple[str, str, str]) -> None:
    credentials = msgspec.structs.replace(cloud.identity.settings.credentials, application_limit=1)
    cloud.identity.settings = msgspec.structs.replace(cloud.identity.settings, credentials=credentials)
    assert (ask(cloud, ann), ask(cloud, ann, name="second")) == (201, 403)


def test_an_operator_reads_and_removes(cloud: IdentityCloud, ann: tuple[str, str, str]) -> None:
    made = create(cloud, ann[0], ann[2])
    elsewhere = f"{path(cloud.member('bob', 'q')[0])}/{made['id']}"  # the path does not say whose it is
    assert cloud.do("GET", elsewhere).json["application_credential"]["user_id"] == ann[0]
    assert cloud.do("DELETE", elsewhere).status == 204


# --- access rules ---------------------------------------------------------------------------------------------------------


def test_rules_are_shared(cloud: IdentityCloud, ann: tuple[str, str, str]) -> None:
    first = create(cloud, ann[0], ann[2], access_rules=[RULE, RULE])
    (kept,) = first["access_rules"]
    assert kept == {**RULE, "id": kept["id"]}
    second = create(cloud, ann[0], ann[2], name="second", access_rules=[{"id": kept["id"]}])
    third = create(cloud, ann[0], ann[2], name="third", access_rules=[RULE])
    assert second["access_rules"] == third["access_rules"] == [kept]
    rules = f"/users/{ann[0]}/access_rules"
    for query in ("", "?service=identity", "?method=GET", "?path=/v3/auth/projects", "?service=compute"):
        listed = cloud.do("GET", f"{rules}{query}", token=ann[2]).json["access_rules"]
        assert len(listed) == (0 if "compute" in query else 1)
    bob = cloud.member("bob", "q")
    assert ask(cloud, bob, access_rules=[{"id": kept["id"]}]) == 404
    one = f"{rules}/{kept['id']}"
    assert cloud.do("GET", one.replace(ann[0], bob[0]), token=bob[2]).status == 404
    assert cloud.do("DELETE", one.replace(ann[0], bob[0]), token=bob[2]).status == 404
    assert cloud.do("GET", one, token=bob[2]).status == 403
    assert cloud.do("DELETE", one, token=bob[2]).status == 403
    for made in (first, second):
        cloud.do("DELETE", f"{path(ann[0])}/{made['id']}", token=ann[2])
        assert cloud.do("DELETE", one, token=ann[2]).status == 403  # still in use
    cloud.do("DELETE", f"{path(ann[0])}/{third['id']}", token=ann[2])
    assert cloud.do("DELETE", one, token=ann[2]).status == 204
    assert cloud.do("DELETE", one, token=ann[2]).status == 404


def test_who_validates_must_know_of_rules(cloud: IdentityCloud, ann: tuple[str, str, str]) -> None:
    bound = robot(cloud, create(cloud, ann[0], ann[2], access_rules=[RULE]))
    free = robot(cloud, create(cloud, ann[0], ann[2], name="free"))
    for method in ("GET", "HEAD"):
        for headers, status in ((UNDERSTOOD, 200), ({}, 404), ({"OpenStack_Identity_Access_Rules": "0.9"}, 404),
                                ({"OpenStack_Identity_Access_Rules": "x"}, 404)):  # fmt: skip
            assert cloud.do(method, "/auth/tokens", X_Subject_Token=bound, **headers).status == status
            assert cloud.do(method, "/auth/tokens", X_Subject_Token=free, **headers).status == 200
    assert cloud.do("GET", "/auth/tokens", token=bound, X_Subject_Token=bound, **UNDERSTOOD).status == 200  # its own
    assert cloud.do("DELETE", "/auth/tokens", X_Subject_Token=bound, **UNDERSTOOD).status == 204


def test_a_service_asks_on_behalf(cloud: IdentityCloud, ann: tuple[str, str, str]) -> None:
    """A user asked something else of a service that its rules allow; what the service asks for it in turn is no user's."""
    bound = robot(cloud, create(cloud, ann[0], ann[2], access_rules=[RULE]))
    service = cloud.member("nova", "services", "service")[2]
    one = f"/users/{ann[0]}"
    assert cloud.do("GET", "/auth/projects", token=bound).status == 200
    for token, status in ((None, 401), ("none", 401), (ann[2], 401), ("x" * 9000, 401), (service, 200)):
        headers = {} if token is None else {"X_Service_Token": token}
        assert cloud.do("GET", one, token=bound, **headers).status == status


def test_rules_bind_what_they_make(cloud: IdentityCloud, ann: tuple[str, str, str]) -> None:
    rules = [RULE, {"service": "identity", "method": "POST", "path": "/v3/users/*/application_credentials"}]
    made = create(cloud, ann[0], ann[2], unrestricted=True, access_rules=rules)
    by_robot = (ann[0], ann[1], robot(cloud, made))
    assert ask(cloud, by_robot, name="free") == 403
    assert ask(cloud, by_robot, name="other", access_rules=[{**RULE, "method": "POST"}]) == 403
    assert ask(cloud, by_robot, name="bound", access_rules=[RULE]) == 201


# --- what is lent otherwise -----------------------------------------------------------------------------------------------


def test_a_trust_makes_none(cloud: IdentityCloud, ann: tuple[str, str, str]) -> None:
    bob = cloud.member("bob", "q")[0]
    terms = {"trustor_user_id": ann[0], "trustee_user_id": bob, "project_id": ann[1], "impersonation": True,
             "roles": [{"name": "member"}]}  # fmt: skip
    trust = cloud.do("POST", "/OS-TRUST/trusts", {"trust": terms}, token=ann[2]).json["trust"]["id"]
    lent = cloud.login("bob", "pw", {"OS-TRUST:trust": {"id": trust}}).headers["x-subject-token"]
    made = create(cloud, ann[0], ann[2])
    assert ask(cloud, (ann[0], ann[1], lent), name="x") == 403
    one = f"{path(ann[0])}/{made['id']}"
    for method, at in (("GET", path(ann[0])), ("GET", one), ("DELETE", one)):
        assert cloud.do(method, at, token=lent).status == 403


def test_a_restricted_one_reads_only(cloud: IdentityCloud, ann: tuple[str, str, str]) -> None:
    made = create(cloud, ann[0], ann[2])
    token = robot(cloud, made)
    one = f"{path(ann[0])}/{made['id']}"
    assert ask(cloud, (ann[0], ann[1], token), name="x") == 403
    assert cloud.do("DELETE", one, token=token).status == 403
    assert cloud.do("GET", one, token=token).status == 200
    free = robot(cloud, create(cloud, ann[0], ann[2], name="free", unrestricted=True))
    assert cloud.do("DELETE", one, token=free).status == 204


# --- how it ends ----------------------------------------------------------------------------------------------------------


def _disable_and_enable(cloud: IdentityCloud, user: str) -> None:
    for enabled in (False, True):
        assert cloud.do("PATCH", f"/users/{user}", {"user": {"enabled": enabled}}).status == 200


ENDS: dict[str, Callable[[IdentityCloud, tuple[str, str, str]], object]] = {
    "user": lambda cloud, ann: cloud.do("DELETE", f"/users/{ann[0]}"),
    "project": lambda cloud, ann: cloud.do("DELETE", f"/projects/{ann[1]}"),
    "disabled": lambda cloud, ann: _disable_and_enable(cloud, ann[0]),
    "role": lambda cloud, ann: cloud.do("DELETE", f"/roles/{cloud.role('special')}"),
}


@pytest.mark.parametrize("cause", ENDS)
def test_ends(cloud: IdentityCloud, ann: tuple[str, str, str], cause: str) -> None:
    special = cloud.make("role", "/roles", name="special")["id"]
    assert cloud.do("PUT", f"/projects/{ann[1]}/users/{ann[0]}/roles/{special}").status == 204
    token = cloud.token("ann", "pw", "p")
    made = create(cloud, ann[0], token, access_rules=[RULE], roles=[{"name": "member"}])
    drawn = robot(cloud, made)
    assert cloud.do("GET", "/auth/projects", token=drawn).status == 200
    ENDS[cause](cloud, ann)
    assert cloud.do("GET", "/auth/projects", token=drawn).status == 401
    assert cloud.auth(proof(id=made["id"], secret=made["secret"])).status == 404
    assert cloud.do("GET", f"{path(ann[0])}/{made['id']}").status == 404
    rules = cloud.do("GET", f"/users/{ann[0]}/access_rules")
    assert rules.status in (403, 404)


def test_it_sleeps_while_its_role_is_away(cloud: IdentityCloud, ann: tuple[str, str, str]) -> None:
    made = create(cloud, ann[0], ann[2])
    grant = f"/projects/{ann[1]}/users/{ann[0]}/roles/{cloud.role('member')}"
    drawn = robot(cloud, made)
    assert cloud.do("DELETE", grant).status == 204
    assert cloud.do("GET", "/auth/projects", token=drawn).status == 401
    assert cloud.auth(proof(id=made["id"], secret=made["secret"])).status == 401
    assert cloud.do("PUT", grant).status == 204
    assert cloud.auth(proof(id=made["id"], secret=made["secret"])).status == 201
