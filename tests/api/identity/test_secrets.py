"""No secret that a client sends or gets stands in the database, in the change log, in an audit event or in a log."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from api.identity.conftest import IdentityCloud
from api.identity.personas import Row, Scene, all_rows
from stored import contents
from tiffin.cli.audit import line, read
from tiffin.core import audit
from tiffin.core.http.local import Reply
from tiffin.services.identity.audit import TAXONOMY

SECRET = re.compile(r"password|secret|passcode|passphrase|blob|signature|private", re.IGNORECASE)
HEADERS = ("x-subject-token", "openstack-auth-receipt")


class Secrets:
    """Every secret that has gone over the wire so far, and where."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def marked(self, body: Any, where: str) -> Any:
        """The body with a secret of its own in each field that holds one."""
        if isinstance(body, dict):
            return {key: self._mark(key, value, where) for key, value in body.items()}
        return [self.marked(part, where) for part in body] if isinstance(body, list) else body

    def _mark(self, key: str, value: Any, where: str) -> Any:
        if not isinstance(value, str) or not SECRET.search(key) or value.startswith("{"):
            return self.marked(value, where)
        secret = f"Marker{len(self.known)}x8-Zq"
        self.known[secret] = f"{where}: {key}"
        return secret

    def learn(self, reply: Reply, where: str) -> None:
        """The secrets that an answer tells."""
        for name in HEADERS:
            if name in reply.headers:
                self.known[reply.headers[name]] = f"{where}: {name}"
        with contextlib.suppress(msgspec.DecodeError):
            self._learn(reply.json, where)
        if b"oauth_token_secret=" in reply.body:
            self.known[parse_qs(reply.body.decode())["oauth_token_secret"][0]] = f"{where}: oauth_token_secret"

    def _learn(self, body: Any, where: str) -> None:
        if isinstance(body, dict):
            for key, value in body.items():
                if isinstance(value, str) and len(value) > 7 and SECRET.search(key) and not key.endswith("_at"):
                    self.known[value] = f"{where}: {key}"
                self._learn(value, where)
        elif isinstance(body, list):
            for part in body:
                self._learn(part, where)

    def found_in(self, text: bytes) -> dict[str, str]:
        """Those that stand there, as they are or as a JSON string has them."""
        return {s: w for s, w in self.known.items() if s.encode() in text or json.dumps(s)[1:-1].encode() in text}


def say(cloud: IdentityCloud, secrets: Secrets, row: Row, token: str | None) -> Reply:
    where = f"{row.method} {row.path}"
    headers = {name.replace("_", "-"): value for name, value in row.headers.items()}
    headers |= {"X-Auth-Token": token} if token else {}
    body = secrets.marked(row.body, where)
    reply = cloud.client.request(row.method, f"/identity{row.path}", headers=headers, json=body)
    secrets.learn(reply, where)
    return reply


def login(user: str, password: str, **scope: Any) -> dict[str, Any]:
    who = {"id": user, "password": password}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}, **scope}}


def a_life(cloud: IdentityCloud, secrets: Secrets) -> None:
    """What a user does with its secrets. Passwords are said twice, so each is told to `secrets` by itself."""

    def known(text: str) -> str:
        secrets.known[text] = "a life"
        return text

    first, second, wrong = known("First-Passw0rd!x"), known("Second-Passw0rd!x"), known("Wrong-Passw0rd!x")
    user_id, project_id, _ = cloud.member("ann", "p")
    cloud.do("PATCH", f"/users/{user_id}", {"user": {"password": first}})
    assert cloud.ask("POST", "/identity/v3/auth/tokens", None, login(user_id, wrong)).status == 401
    change = {"user": {"password": second, "original_password": first}}
    assert cloud.ask("POST", f"/identity/v3/users/{user_id}/password", None, change).status == 204
    scope = {"scope": {"project": {"id": project_id}}}
    reply = cloud.ask("POST", "/identity/v3/auth/tokens", None, login(user_id, second, **scope))
    token = known(reply.headers["x-subject-token"])
    secret = known("Own-Application-Credential-Secret")
    fields = {"application_credential": {"name": "robot", "secret": secret}}
    made = cloud.do("POST", f"/users/{user_id}/application_credentials", fields, token=token, Idempotency_Key="key-1")
    robot: dict[str, Any] = {"methods": ["application_credential"]}
    for proof in (secret, known("Wrong-Application-Credential-Secret")):
        robot["application_credential"] = {"id": made.json["application_credential"]["id"], "secret": proof}
        secrets.learn(cloud.auth(robot), "a login of a robot")
    blob = {"access": "a", "secret": known("Secret-Of-An-Ec2-Blob")}
    credential = {"type": "ec2", "blob": json.dumps(blob), "project_id": project_id, "user_id": user_id}
    cloud.do("POST", "/credentials", {"credential": credential}, token=token)
    passcode = {"id": user_id, "passcode": known("Passcode-Nobody-Has")}
    cloud.auth({"methods": ["totp"], "totp": {"user": passcode}})
    cloud.auth({"methods": ["token"], "token": {"id": known(token[:-9] + "Forged123")}})
    cloud.ask("POST", "/identity/v3/auth/tokens", None, login(known("Password-Typed-As-A-Name"), wrong))
    cloud.do("GET", "/auth/tokens", token=token, X_Subject_Token=token)
    cloud.do("DELETE", "/auth/tokens", token=token, X_Subject_Token=token)


@pytest.fixture
def secrets() -> Secrets:
    return Secrets()


def outputs(cloud: IdentityCloud) -> Iterator[str]:
    """All that the change log is told as."""
    for change in read(cloud.cloud.database, [], False):
        yield line(change, TAXONOMY)
        for form in ("basic", "cadf"):
            yield json.dumps(audit.notification(change, TAXONOMY, form, "h"))  # type: ignore[arg-type]


def test_no_secret_stands_anywhere(cloud: IdentityCloud, secrets: Secrets, capsys: pytest.CaptureFixture[str]) -> None:
    scene = Scene(cloud)
    a_life(cloud, secrets)
    for row in all_rows():
        names = {"me": scene.user_ids["admin"], "D": scene.domain, "P": scene.project}
        path, body, headers = (scene.fill(part, names) for part in (row.path, row.body, row.headers))
        for token in (cloud.admin, None):
            say(cloud, secrets, Row(row.method, path, "", body, headers=headers), token)
    assert len(secrets.known) > 10
    logs = capsys.readouterr()
    text = "\n".join((logs.out, logs.err, *outputs(cloud))).encode()
    kept = contents(cloud.cloud.database)
    assert "request" in logs.out
    assert scene.user_ids["admin"].encode() in kept
    assert secrets.found_in(text) == {}
    assert secrets.found_in(kept) == {}
