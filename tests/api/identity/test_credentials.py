"""Credentials."""

from __future__ import annotations

from sqlalchemy import select

from api.identity.conftest import IdentityCloud
from tiffin.services.identity.tables import Credential


def test_credentials(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    blob = '{"access": "a", "secret": "very secret"}'
    fields = {"blob": blob, "type": "ec2", "project_id": project}
    made = cloud.do("POST", "/credentials", {"credential": fields}, token=token).json["credential"]
    path = f"/credentials/{made['id']}"
    assert (made["user_id"], made["blob"]) == (user, blob)
    with cloud.cloud.database.read() as session:
        assert b"very secret" not in session.scalars(select(Credential.blob)).one()
    assert cloud.do("POST", "/credentials", {"credential": fields}, token=token).status == 409
    for bad in ({**fields, "blob": "x"}, {**fields, "project_id": None}, {**fields, "blob": ""}, {"type": "cert"}):
        assert cloud.do("POST", "/credentials", {"credential": bad}, token=token).status == 400
    _, _, stranger = cloud.member("bob", "q")
    for method, body in (("GET", None), ("PATCH", {"credential": {"type": "x"}}), ("DELETE", None)):
        assert cloud.do(method, path, body, token=stranger).status == 403
    assert cloud.do("POST", "/credentials", {"credential": {**fields, "user_id": user}}, token=stranger).status == 403
    assert cloud.do("GET", "/credentials", token=stranger).json["credentials"] == []
    assert cloud.do("GET", f"/credentials?user_id={user}", token=stranger).status == 403
    assert cloud.do("GET", "/credentials?type=ec2", token=token).json["credentials"] == [made]
    assert len(cloud.do("GET", "/credentials").json["credentials"]) == 1
    changed = cloud.do("PATCH", path, {"credential": {"type": "cert", "blob": "plain"}}, token=token)
    assert changed.json["credential"]["blob"] == "plain"
    assert cloud.do("PATCH", path, {"credential": {"user_id": "none"}}, token=token).status == 403
    assert cloud.do("DELETE", path, token=token).status == 204
    assert cloud.do("GET", path).status == 404


def test_an_ec2_credential_stays_one(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    deep = {"blob": "[" * 60_000, "type": "ec2", "project_id": project}
    assert cloud.do("POST", "/credentials", {"credential": deep}, token=token).status == 400
    fields = {"blob": "plain", "type": "cert", "project_id": project}
    made = cloud.do("POST", "/credentials", {"credential": fields}, token=token).json["credential"]
    assert cloud.do("PATCH", f"/credentials/{made['id']}", {"credential": {"type": "ec2"}}, token=token).status == 400
    assert cloud.do("GET", f"/users/{user}/credentials/OS-EC2", token=token).json["credentials"] == []
