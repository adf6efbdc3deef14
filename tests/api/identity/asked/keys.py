"""Credentials, EC2 keys, application credentials and access rules: mostly everybody's own affair."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

from keystoneclient.contrib.ec2.utils import Ec2Signer

from api.identity.personas import ADMINS, ANY, READERS, Row, Scene, thing

KEYS = "/v3/users/{owner}/credentials/OS-EC2"
APPS = "/v3/users/{owner}/application_credentials"
RULES = "/v3/users/{owner}/access_rules"
REQUEST = {"host": "h", "verb": "GET", "path": "/", "params": {"SignatureVersion": "2"}}
SIGNED = {**REQUEST, "access": "{ec2_access}", "signature": "{ec2_signature}"}
SIGNED_TO_S3 = {"access": "{ec2_access}", "token": "", "signature": "{s3_signature}"}
SCOPED = "admin manager member reader service other"


@thing("owner")
def _owner(scene: Scene) -> str:
    """A member of the project."""
    name = scene.name()
    fields = {"name": name, "password": "pw", "domain_id": scene.domain}
    made = str(scene.cloud.make("user", "/users", **fields)["id"])
    path = f"/projects/{scene.project}/users/{made}/roles/{scene.cloud.role('member')}"
    assert scene.cloud.do("PUT", path).status == 204
    scene.owner, scene.owner_name = made, name  # type: ignore[attr-defined]
    return made


def _token(scene: Scene) -> str:
    scope = {"project": {"id": scene.project}}
    return str(scene.cloud.login(scene.owner_name, "pw", scope, domain=scene.domain).headers["x-subject-token"])  # type: ignore[attr-defined]


@thing("credential")
def _credential(scene: Scene) -> str:
    return str(scene.cloud.make("credential", "/credentials", blob="b", type="cert", user_id=_owner(scene))["id"])


def _key(scene: Scene) -> dict[str, Any]:
    path = f"/users/{scene.owner}/credentials/OS-EC2"  # type: ignore[attr-defined]
    reply = scene.cloud.do("POST", path, {"tenant_id": scene.project})
    found: dict[str, Any] = reply.json["credential"]
    return found


@thing("ec2")
def _ec2(scene: Scene) -> str:
    return str(_key(scene)["access"])


@thing("ec2_access")
def _ec2_access(scene: Scene) -> str:
    _owner(scene)
    scene.key = _key(scene)  # type: ignore[attr-defined]
    return str(scene.key["access"])  # type: ignore[attr-defined]


@thing("ec2_signature")
def _ec2_signature(scene: Scene) -> str:
    request = json.loads(json.dumps(REQUEST))
    return str(Ec2Signer(scene.key["secret"]).generate(request))  # type: ignore[attr-defined]


@thing("s3_signature")
def _s3_signature(scene: Scene) -> str:
    return base64.b64encode(hmac.digest(scene.key["secret"].encode(), b"", "sha1")).decode()  # type: ignore[attr-defined]


@thing("app")
def _app(scene: Scene) -> str:
    rule = {"service": "compute", "method": "GET", "path": "/v2.1/servers"}
    body = {"application_credential": {"name": "a", "access_rules": [rule]}}
    path = f"/users/{scene.owner}/application_credentials"  # type: ignore[attr-defined]
    reply = scene.cloud.do("POST", path, body, token=_token(scene))
    assert reply.status == 201, reply.body
    scene.rule = reply.json["application_credential"]["access_rules"][0]["id"]  # type: ignore[attr-defined]
    return str(reply.json["application_credential"]["id"])


@thing("used_rule")
def _used_rule(scene: Scene) -> str:
    _app(scene)
    return str(scene.rule)  # type: ignore[attr-defined]


@thing("rule")
def _rule(scene: Scene) -> str:
    """One that nothing uses any more."""
    path = f"/users/{scene.owner}/application_credentials/{_app(scene)}"  # type: ignore[attr-defined]
    assert scene.cloud.do("DELETE", path, token=_token(scene)).status == 204
    return str(scene.rule)  # type: ignore[attr-defined]


def _of(who: str, path: str) -> str:
    return path.replace("{owner}", who)


ROWS = [
    Row("POST", "/v3/credentials", ADMINS, {"credential": {"blob": "b", "type": "cert", "user_id": "{owner}"}}),
    Row("POST", "/v3/credentials", ANY, {"credential": {"blob": "b", "type": "cert", "user_id": "{me}"}}),
    Row("GET", "/v3/credentials", ANY),
    Row("GET", "/v3/credentials/{credential}", READERS),
    Row("PATCH", "/v3/credentials/{credential}", ADMINS, {"credential": {"blob": "c"}}),
    Row("DELETE", "/v3/credentials/{credential}", ADMINS),
    Row("POST", KEYS, ADMINS, {"tenant_id": "{P}"}),
    Row("POST", _of("{me}", KEYS), "admin manager member other domain_admin domain_manager domain_member system_admin "
        "system_member", {"tenant_id": "{P}"}, route=KEYS),
    Row("GET", KEYS, READERS),
    Row("GET", _of("{me}", KEYS), ANY, route=KEYS),
    Row("GET", f"{KEYS}/{{ec2}}", READERS),
    Row("DELETE", f"{KEYS}/{{ec2}}", ADMINS),
    Row("POST", "/v3/ec2tokens", f"{ADMINS} service", {"credentials": SIGNED}),
    Row("GET", "/v3/ec2tokens", "", refused=(405,)),
    Row("GET", "/v3/s3tokens", "", refused=(405,)),
    Row("POST", "/v3/s3tokens", f"{ADMINS} service", {"credentials": SIGNED_TO_S3}),
    Row("POST", APPS, "", {"application_credential": {"name": "{name}"}}),
    Row("POST", _of("{me}", APPS), SCOPED, {"application_credential": {"name": "{name}"}}, refused=(400,), route=APPS),
    Row("GET", APPS, READERS),
    Row("GET", _of("{me}", APPS), ANY, route=APPS),
    Row("GET", f"{APPS}/{{app}}", READERS),
    Row("DELETE", f"{APPS}/{{app}}", ADMINS),
    Row("GET", RULES, "system_admin system_member system_reader"),
    Row("GET", _of("{me}", RULES), ANY, route=RULES),
    Row("GET", f"{RULES}/{{used_rule}}", "system_admin system_member system_reader"),
    Row("DELETE", f"{RULES}/{{rule}}", "system_admin"),
]  # fmt: skip
