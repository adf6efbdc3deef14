"""Ten thousand wrong bodies, headers and tokens at every operation of identity: no 5xx, and nothing has changed."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from api.identity.conftest import IdentityCloud
from api.identity.personas import Row, Scene, all_rows
from fuzz import hostile
from fuzz.checks import brief, check
from shapes import shape
from stored import stored
from tiffin.core.http.local import LocalClient, Reply
from tiffin.services.identity.keys import Keys
from tiffin.services.identity.service import service

WRONG = [2_000, pytest.param(10_000, marks=pytest.mark.long)]


class Client(LocalClient):
    """Sends a path byte by byte as it is."""

    def _environ(self, method: str, path: str, *rest: Any) -> dict[str, Any]:
        environ = super()._environ(method, "/", *rest)
        return environ | {"PATH_INFO": path.encode(errors="surrogateescape").decode("latin-1")}


class Target:
    """A cloud with something of everything, and a good request for each operation."""

    def __init__(self, folder: Path) -> None:
        self.cloud = IdentityCloud(folder / "keys")
        self.scene = Scene(self.cloud)
        self.client = Client(self.cloud.client.app)
        self.random = Random(os.environ.get("FUZZ_SEED", "identity"))
        self.tokens = hostile.Tokens(self.cloud.identity, self.cloud.admin, Keys(folder / "other"))
        self.good = [self._good(row) for row in all_rows()]
        known = {row.shape for row in all_rows()}
        for operation in service.operations():
            if shape(operation.method, operation.path) not in known:
                self.good.append(self._good(Row(operation.method, re.sub(r"{\w+}", "{user}", operation.path), "", {})))
        self.stored = stored(self.cloud.cloud.database)
        self.stored.keep()
        self.refused = 0

    def _good(self, row: Row) -> Row:
        names = {"me": self.scene.user_ids["admin"], "D": self.scene.domain, "P": self.scene.project}
        path, body, headers = (self.scene.fill(part, names) for part in (row.path, row.body, row.headers))
        return Row(row.method, path, "", body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def send(self, row: Row, body: bytes | None, headers: dict[str, str]) -> Reply:
        """Checks the answer, and that what was refused has changed nothing; what was not refused is undone."""
        before, path = self.stored.fingerprint(), f"/identity{row.path}"
        sent = {"Content-Type": "application/json", "X-Auth-Token": self.cloud.admin, **row.headers, **headers}
        reply = self.client.request(row.method, path, headers=sent, body=body)
        what = f"{row.method} {path} {brief(headers)} {brief(body)} -> {brief(reply)}"
        try:
            check("identity", row.method, reply)
        except AssertionError as wrong:
            raise AssertionError(what) from wrong
        if reply.status >= 400:
            assert self.stored.fingerprint() == before, f"refused, and rows have changed: {what}"
            self.refused += 1
        elif self.stored.fingerprint() != before:
            self.stored.restore()
        return reply


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    made = Target(tmp_path)
    yield made
    made.stored.close()
    made.cloud.close()


def encoded(row: Row) -> bytes | None:
    return None if row.body is None else hostile._encode(row.body)


def a_wrong_body(target: Target, row: Row) -> None:
    target.send(row, *hostile.body(row.body, target.random))


def wrong_headers(target: Target, row: Row) -> None:
    body = encoded(row) if target.random.random() < 0.3 else target.random.choice(hostile.NOT_JSON[:8])
    target.send(row, body, hostile.headers(target.random))


def a_wrong_token(target: Target, row: Row) -> None:
    reply = target.send(row, encoded(row), {"X-Auth-Token": target.tokens.bad(target.random)})
    assert reply.status == 401 or not _needs_token(row), (row.method, row.path, reply)


def _needs_token(row: Row) -> bool:
    path = row.path.partition("?")[0]
    return not any(
        not o.auth and o.method == row.method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", o.path), path)
        for o in service.operations()
    )


def a_wrong_subject(target: Target, row: Row) -> None:
    """A token to look at, to check or to give back."""
    for method in ("GET", "HEAD", "DELETE"):
        subject = {"X-Subject-Token": target.tokens.bad(target.random)}
        reply = target.send(Row(method, "/v3/auth/tokens", ""), None, subject)
        assert reply.status in (401, 403, 404), reply


def a_wrong_login(target: Target, row: Row) -> None:
    """A token as the proof of a login; a good name with whatever password; wrong things around both."""
    random = target.random
    user = {"name": "admin", "domain": {"id": "default"}, "password": random.choice(hostile.NASTY_TEXT)}
    methods: dict[str, Any] = {"token": {"id": target.tokens.bad(random)}, "password": {"user": user}}
    identity: dict[str, Any] = {"methods": [random.choice(sorted(methods))], **methods}
    auth = {"identity": identity, "scope": random.choice(({}, "unscoped", {"system": {"all": True}}, {"project": {}}))}
    body = {"auth": auth} if random.random() < 0.5 else hostile.spoiled({"auth": auth}, random)
    reply = target.send(Row("POST", "/v3/auth/tokens", ""), hostile._encode(body), {"X-Auth-Token": ""})
    assert reply.status >= 400, reply


ATTACKS = (a_wrong_body, a_wrong_body, a_wrong_body, wrong_headers, a_wrong_token, a_wrong_subject, a_wrong_login)


@pytest.mark.parametrize("number", WRONG)
def test_wrong_requests_change_nothing(target: Target, number: int) -> None:
    before = target.stored.fingerprint()
    attacks = itertools.cycle(itertools.product(ATTACKS, target.good))
    while target.refused < number:
        attack, row = next(attacks)
        attack(target, row)
    assert target.stored.fingerprint() == before
