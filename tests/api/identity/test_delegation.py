"""Application credentials and their access rules."""

from __future__ import annotations

from typing import Any

import pytest

from api.identity.conftest import IdentityCloud


def proof(**fields: Any) -> dict[str, Any]:
    return {"methods": ["application_credential"], "application_credential": fields}


def create(cloud: IdentityCloud, user: str, token: str, **fields: Any) -> dict[str, Any]:
    path = f"/users/{user}/application_credentials"
    reply = cloud.do("POST", path, {"application_credential": {"name": "robot", **fields}}, token=token)
    assert reply.status == 201, reply.body
    found: dict[str, Any] = reply.json["application_credential"]
    return found


def test_a_credential_lives_and_dies(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    made = create(cloud, user, token, description="d")
    path = f"/users/{user}/application_credentials"
    assert (made["project_id"], made["unrestricted"], made["expires_at"]) == (project, False, None)
    assert [r["name"] for r in made["roles"]] == ["member", "reader"]
    secret = made.pop("secret")
    assert cloud.do("GET", f"{path}/{made['id']}", token=token).json["application_credential"] == made
    assert cloud.do("GET", f"{path}?name=robot", token=token).json["application_credentials"] == [made]
    again = {"application_credential": {"name": "robot"}}
    assert cloud.do("POST", path, again, token=token).status == 409
    login = cloud.auth(proof(id=made["id"], secret=secret))
    assert login.status == 201
    shown = login.json["token"]
    assert shown["application_credential"] == {"id": made["id"], "name": "robot", "restricted": True}
    assert (shown["project"]["id"], shown["methods"]) == (project, ["application_credential"])
    assert cloud.auth(proof(name="robot", user={"id": user}, secret=secret)).status == 201
    assert (
        cloud.auth(proof(name="robot", user={"name": "ann", "domain": {"id": "default"}}, secret=secret)).status == 201
    )
    assert cloud.auth(proof(id=made["id"], secret="wrong")).status == 401
    assert cloud.auth(proof(id="none", secret=secret)).status == 404
    assert cloud.auth(proof(id=made["id"], secret=secret), {"project": {"id": project}}).status == 401
    robot = login.headers["x-subject-token"]
    assert cloud.do("GET", "/auth/projects", token=robot).status == 200
    assert cloud.auth({"methods": ["token"], "token": {"id": robot}}).status == 403
    assert cloud.do("DELETE", f"{path}/{made['id']}", token=robot).status == 403
    assert cloud.do("DELETE", f"{path}/{made['id']}", token=token).status == 204
    assert cloud.do("DELETE", f"{path}/{made['id']}", token=token).status == 404
    assert cloud.do("GET", "/auth/projects", token=robot).status == 401


def test_given_secrets_and_roles(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("ann", "p")
    made = create(cloud, user, token, secret="my own", roles=[{"name": "reader"}], expires_at="2027-01-15T08:30:00")
    assert (made["secret"], made["expires_at"]) == ("my own", "2027-01-15T08:30:00.000000")
    shown = cloud.auth(proof(id=made["id"], secret="my own")).json["token"]
    assert [r["name"] for r in shown["roles"]] == ["reader"]
    assert shown["expires_at"] == "2027-01-15T08:30:00.000000Z"
    cloud.clock.now += 1800
    assert cloud.auth(proof(id=made["id"], secret="my own")).status == 401


@pytest.mark.parametrize("fields", [
    {"name": ""}, {"roles": [{"name": "admin"}]}, {"roles": [{}]}, {"roles": [{"id": "x", "name": "reader"}]},
    {"expires_at": "soon"}, {"expires_at": "2020-01-01T00:00:00Z"}, {"unrestricted": "yes"},
    {"access_rules": [{"path": "/x"}]}, {"access_rules": [{"path": "x", "method": "GET", "service": "compute"}]}])  # fmt: skip
def test_bad_credentials(cloud: IdentityCloud, fields: dict[str, Any]) -> None:
    user, _, token = cloud.member("ann", "p")
    path = f"/users/{user}/application_credentials"
    body = {"application_credential": {"name": "robot", **fields}}
    assert cloud.do("POST", path, body, token=token).status == 400
    assert cloud.do("GET", path, token=token).json["application_credentials"] == []


def test_what_is_lent_shrinks_with_its_owner(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p", "manager")
    made = create(cloud, user, token)
    base = f"/projects/{project}/users/{user}/roles"
    cloud.do("PUT", f"{base}/{cloud.role('reader')}")
    cloud.do("DELETE", f"{base}/{cloud.role('manager')}")
    shown = cloud.auth(proof(id=made["id"], secret=made["secret"])).json["token"]
    assert [r["name"] for r in shown["roles"]] == ["reader"]
    cloud.do("DELETE", f"{base}/{cloud.role('reader')}")
    assert cloud.auth(proof(id=made["id"], secret=made["secret"])).status == 401


def test_unrestricted_ones_make_others(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("ann", "p")
    made = create(cloud, user, token, unrestricted=True, roles=[{"name": "reader"}])
    robot = cloud.auth(proof(id=made["id"], secret=made["secret"])).headers["x-subject-token"]
    assert [r["name"] for r in create(cloud, user, robot, name="second")["roles"]] == ["reader"]
    body = {"application_credential": {"name": "third", "roles": [{"name": "member"}]}}
    assert cloud.do("POST", f"/users/{user}/application_credentials", body, token=robot).status == 400


def test_others_do_not_see_them(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("ann", "p")
    other, _, stranger = cloud.member("bob", "q")
    made = create(cloud, user, token)
    path = f"/users/{user}/application_credentials"
    body = {"application_credential": {"name": "x"}}
    assert cloud.do("GET", f"{path}/{made['id']}", token=stranger).status == 403
    assert cloud.do("GET", path, token=stranger).status == 403
    assert cloud.do("DELETE", f"{path}/{made['id']}", token=stranger).status == 403
    assert cloud.do("POST", path, body, token=stranger).status == 403
    assert cloud.do("POST", path, body).status == 403
    assert cloud.do("GET", f"/users/{other}/application_credentials/{made['id']}", token=stranger).status == 403
    assert cloud.do("GET", f"{path}/{made['id']}").status == 200


def test_access_rules_bind(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("ann", "p")
    rule = {"service": "identity", "method": "GET", "path": "/v3/users/*/projects"}
    made = create(cloud, user, token, access_rules=[rule])
    kept = made["access_rules"][0]
    assert {k: kept[k] for k in rule} == rule
    path = f"/users/{user}/access_rules"
    assert [r["id"] for r in cloud.do("GET", path, token=token).json["access_rules"]] == [kept["id"]]
    assert cloud.do("GET", f"{path}/{kept['id']}", token=token).json["access_rule"]["path"] == rule["path"]
    login = cloud.auth(proof(id=made["id"], secret=made["secret"]))
    assert login.json["token"]["application_credential"]["access_rules"] == [kept]
    robot = login.headers["x-subject-token"]
    assert cloud.do("GET", f"/users/{user}/projects", token=robot).status == 200
    assert cloud.do("GET", f"/users/{user}", token=robot).status == 401
    assert cloud.do("GET", "/auth/projects", token=robot).status == 401
    assert cloud.do("DELETE", f"{path}/{kept['id']}", token=token).status == 403
    cloud.do("DELETE", f"/users/{user}/application_credentials/{made['id']}", token=token)
    assert cloud.do("DELETE", f"{path}/{kept['id']}", token=token).status == 204
    assert cloud.do("GET", f"{path}/{kept['id']}", token=token).status == 404


def test_ec2_keys(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    path = f"/users/{user}/credentials/OS-EC2"
    made = cloud.do("POST", path, {"tenant_id": project}, token=token)
    assert made.status == 201
    keys = made.json["credential"]
    assert (keys["user_id"], keys["tenant_id"], len(keys["access"]), len(keys["secret"])) == (user, project, 32, 32)
    assert cloud.do("GET", f"{path}/{keys['access']}", token=token).json["credential"] == keys
    assert cloud.do("GET", path, token=token).json["credentials"] == [keys]
    assert [c["type"] for c in cloud.do("GET", "/credentials", token=token).json["credentials"]] == ["ec2"]
    _, _, stranger = cloud.member("bob", "q")
    assert cloud.do("POST", path, {"tenant_id": project}, token=stranger).status == 403
    assert cloud.do("GET", f"{path}/{keys['access']}", token=stranger).status == 403
    assert cloud.do("GET", path, token=stranger).status == 403
    assert cloud.do("DELETE", f"{path}/{keys['access']}", token=stranger).status == 403
    assert cloud.do("POST", path, {"tenant_id": "none"}, token=token).status == 404
    assert cloud.do("POST", path, {}, token=token).status == 400
    assert cloud.do("DELETE", f"{path}/{keys['access']}", token=token).status == 204
    assert cloud.do("GET", f"{path}/{keys['access']}").status == 404
    assert cloud.do("GET", f"{path}/{keys['access']}", token=token).status == 404
    assert cloud.do("GET", f"{path}/{keys['access']}", token=stranger).status == 403
