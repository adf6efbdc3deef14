"""Credentials: what may be kept, who sees it, and that nobody reads it in the database."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from api.identity.conftest import IdentityCloud

PATH = "/credentials"
NOTHING: list[Any] = []


def keep(cloud: IdentityCloud, token: str, **fields: Any) -> dict[str, Any]:
    reply = cloud.do("POST", PATH, {"credential": fields}, token=token)
    assert reply.status == 201, reply.body
    found: dict[str, Any] = reply.json["credential"]
    return found


@pytest.mark.parametrize(("kind", "blob"), [("cert", "-----BEGIN"), ("totp", "GEZDGNBVGY3TQOJQ"), ("anything", "")])
def test_any_kind_may_be_kept(cloud: IdentityCloud, kind: str, blob: str) -> None:
    user, project, token = cloud.member("ann", "p")
    made = keep(cloud, token, blob=blob, type=kind, user_id=user, extra_field=1)
    own = f"{PATH}/{made['id']}"
    assert made == {
        "id": made["id"], "blob": blob, "type": kind, "user_id": user, "project_id": None, "extra_field": 1,
        "links": {"self": made["links"]["self"]},
    }  # fmt: skip
    assert made["links"]["self"].endswith(own)
    assert cloud.do("GET", own, token=token).json["credential"] == made
    assert cloud.do("HEAD", own, token=token).status == 200
    changed = {"blob": "other", "type": kind, "user_id": user, "project_id": None}  # what is said again may be so
    assert cloud.do("PATCH", own, {"credential": changed}, token=token).json["credential"] == {**made, "blob": "other"}
    for other in ({"type": "x"}, {"user_id": "x"}, {"project_id": project}, {"id": "x"}, {}, {"blob": 1}):
        assert cloud.do("PATCH", own, {"credential": other}, token=token).status == 400, other
    assert cloud.do("GET", own, token=token).json["credential"]["blob"] == "other"
    assert cloud.do("DELETE", own, token=token).status == 204
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"credential": {"blob": "x"}})):
        assert cloud.do(method, own, body).status == 404
        assert cloud.do(method, own, body, token=token).status == 403  # what does not exist is nobody's


@pytest.mark.parametrize("fields", [
    {}, {"type": "cert"}, {"blob": "x"}, {"type": "", "blob": "x"}, {"type": "cert", "blob": {"a": 1}},
    {"type": "cert", "blob": "x", "project_id": "none"}, {"type": "ec2", "blob": "{}"},
    {"type": "ec2", "blob": '{"access": "a"}'}, {"type": "cert", "blob": "x" * 70_000}])  # fmt: skip
def test_what_is_none(cloud: IdentityCloud, fields: dict[str, Any]) -> None:
    assert cloud.do("POST", PATH, {"credential": fields}).status == 400


@pytest.mark.parametrize("blob", ["x", "[]", "null", '{"abc":"def"d}', '{"secret": "s"}', '{"access": 1}', "[" * 60_000])
def test_an_ec2_key_says_its_access(cloud: IdentityCloud, blob: str) -> None:
    user, project, token = cloud.member("ann", "p")
    fields = {"blob": blob, "type": "ec2", "project_id": project, "user_id": user}
    assert cloud.do("POST", PATH, {"credential": fields}, token=token).status == 400
    made = keep(cloud, token, **{**fields, "blob": '{"access": "a", "secret": "s"}'})
    assert cloud.do("PATCH", f"{PATH}/{made['id']}", {"credential": {"blob": blob}}, token=token).status == 400


def test_who_lent_a_key_stays(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    for n, name in enumerate(("trust_id", "app_cred_id", "access_token_id", "access_id")):
        blob = {"access": str(n), "secret": "s", name: "lender"}
        made = keep(cloud, token, blob=json.dumps(blob), type="ec2", project_id=project, user_id=user)
        own = f"{PATH}/{made['id']}"
        for other in ({**blob, name: "other"}, {"access": str(n), "secret": "s"}):
            assert cloud.do("PATCH", own, {"credential": {"blob": json.dumps(other)}}, token=token).status == 400
        renewed = {"credential": {"blob": json.dumps({**blob, "secret": "t"})}}
        assert cloud.do("PATCH", own, renewed, token=token).status == 200
    plain = keep(cloud, token, blob='{"access": "p", "secret": "s"}', type="ec2", project_id=project, user_id=user)
    lent = {"credential": {"blob": '{"access": "p", "secret": "s", "trust_id": "x"}'}}
    assert cloud.do("PATCH", f"{PATH}/{plain['id']}", lent, token=token).status == 400


def test_lists(cloud: IdentityCloud) -> None:
    ann, _, anns = cloud.member("ann", "p")
    bob, _, bobs = cloud.member("bob", "q")
    mine = keep(cloud, anns, blob="a", type="cert", user_id=ann)
    seed = keep(cloud, anns, blob="b", type="totp", user_id=ann)
    his = keep(cloud, cloud.admin, blob="c", type="cert", user_id=bob)
    both = sorted((mine["id"], seed["id"]))

    def listed(query: str, token: str) -> list[str]:
        reply = cloud.do("GET", f"{PATH}{query}", token=token)
        assert reply.status == 200
        return [found["id"] for found in reply.json["credentials"]]

    assert listed("", anns) == both
    assert listed(f"?user_id={ann}", bobs) == NOTHING
    assert listed(f"?user_id={ann}&type=totp", anns) == [seed["id"]]
    assert listed("?type=totp", bobs) == NOTHING
    assert listed(f"?user_id={bob}", cloud.admin) == [his["id"]]
    assert listed("?type=cert", cloud.admin) == sorted((mine["id"], his["id"]))
    assert listed(f"?user_id={ann}&limit=1", cloud.admin) == both[:1]
    assert listed(f"?user_id={ann}&limit=1&marker={both[0]}", cloud.admin) == both[1:]


def test_others_have_nothing_to_do_with_it(cloud: IdentityCloud) -> None:
    ann, _, anns = cloud.member("ann", "p")
    _, _, bobs = cloud.member("bob", "q")
    made = keep(cloud, anns, blob="a", type="cert", user_id=ann)
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"credential": {"blob": "x"}})):
        assert cloud.do(method, f"{PATH}/{made['id']}", body, token=bobs).status == 403
    fields = {"blob": "a", "type": "cert", "user_id": ann}
    assert cloud.do("POST", PATH, {"credential": fields}, token=bobs).status == 403
    assert cloud.do("POST", PATH, {"credential": {**fields, "user_id": "none"}}).status == 400
    system = cloud.token("admin", "a long secret", scope={"system": {"all": True}})
    unowned = {"blob": "a", "type": "cert"}
    assert cloud.do("POST", PATH, {"credential": unowned}, token=system).status == 400  # whose?


@pytest.mark.parametrize("lender", ["trust", "restricted", "unrestricted"])
def test_what_was_lent_does_not_reach_them(cloud: IdentityCloud, lender: str) -> None:
    ann, project, token = cloud.member("ann", "p")
    seed = keep(cloud, token, blob="seed", type="totp", user_id=ann)
    own, keys = f"{PATH}/{seed['id']}", f"/users/{ann}/credentials/OS-EC2"
    key = cloud.do("POST", keys, {"tenant_id": project}, token=token).json["credential"]["access"]
    lent = _lent(cloud, lender, ann, project, token)
    assert cloud.do("GET", PATH, token=lent).json["credentials"] == []
    fields = {"blob": "x", "type": "cert", "user_id": ann, "project_id": project}
    for method, path, body in (
        ("GET", own, None), ("PATCH", own, {"credential": {"blob": "x"}}), ("DELETE", own, None),
        ("POST", PATH, {"credential": fields}), ("POST", keys, {"tenant_id": project}), ("GET", keys, None),
        ("GET", f"{keys}/{key}", None), ("DELETE", f"{keys}/{key}", None),
    ):  # fmt: skip
        assert cloud.do(method, path, body, token=lent).status == 403, (method, path)
    assert cloud.do("GET", own, token=token).status == 200


def _lent(cloud: IdentityCloud, lender: str, user: str, project: str, token: str) -> str:
    if lender == "trust":
        bob = cloud.member("bob", "q")[0]
        terms = {"trustor_user_id": user, "trustee_user_id": bob, "project_id": project, "impersonation": True,
                 "roles": [{"name": "member"}]}  # fmt: skip
        trust = cloud.do("POST", "/OS-TRUST/trusts", {"trust": terms}, token=token).json["trust"]["id"]
        return cloud.login("bob", "pw", {"OS-TRUST:trust": {"id": trust}}).headers["x-subject-token"]
    fields = {"name": "a", "secret": "s", "unrestricted": lender == "unrestricted"}
    path = f"/users/{user}/application_credentials"
    made = cloud.do("POST", path, {"application_credential": fields}, token=token).json["application_credential"]
    proof = {"methods": ["application_credential"], "application_credential": {"id": made["id"], "secret": "s"}}
    return cloud.auth(proof).headers["x-subject-token"]


def test_a_limit(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    credentials = msgspec.structs.replace(cloud.identity.settings.credentials, user_limit=2)
    cloud.identity.settings = msgspec.structs.replace(cloud.identity.settings, credentials=credentials)
    fields = {"blob": "a", "type": "cert", "user_id": user}
    keys = f"/users/{user}/credentials/OS-EC2"
    made = keep(cloud, token, **fields)
    assert cloud.do("POST", keys, {"tenant_id": project}, token=token).status == 201
    assert cloud.do("POST", PATH, {"credential": fields}, token=token).status == 403
    assert cloud.do("POST", keys, {"tenant_id": project}, token=token).status == 403
    assert cloud.do("DELETE", f"{PATH}/{made['id']}", token=token).status == 204
    assert cloud.do("POST", keys, {"tenant_id": project}, token=token).status == 201


@pytest.mark.parametrize("owner", ["users", "projects"])
def test_they_go_with_their_owner(cloud: IdentityCloud, owner: str) -> None:
    user, project, token = cloud.member("ann", "p")
    made = keep(cloud, token, blob="a", type="cert", user_id=user, project_id=project)
    assert cloud.do("DELETE", f"/{owner}/{user if owner == 'users' else project}").status == 204
    assert cloud.do("GET", f"{PATH}/{made['id']}").status == 404


def test_the_database_does_not_tell(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    secret = keep(cloud, token, blob="the seed of all", type="totp", user_id=user)
    cloud.do("PATCH", f"{PATH}/{secret['id']}", {"credential": {"blob": "another seed"}}, token=token)
    cloud.do("POST", f"/users/{user}/credentials/OS-EC2", {"tenant_id": project}, token=token)
    with cloud.cloud.database.read() as session:
        rows = session.execute(text("SELECT * FROM identity_credential")).all()
        told = repr(rows) + repr(session.execute(text("SELECT * FROM change")).all())
    assert len(rows) == 2
    assert not [word for word in ("seed of all", "another seed", '"secret"', "access") if word in told]
