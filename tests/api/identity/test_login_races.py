"""What must happen once happens once, however many ask for it at the same time: the last use of a trust, a passcode."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from api.identity.conftest import ADMIN_PASSWORD, URL
from databases import another, side_by_side
from support import Clock
from tiffin.core.cloud import Cloud, ServiceRef
from tiffin.core.database import Database
from tiffin.core.http.app import make
from tiffin.core.http.local import LocalClient, Reply
from tiffin.core.world import World
from tiffin.services.identity.passcodes import passcode
from tiffin.services.identity.public import BootstrapOptions, Identity, IdentitySettings, Keys, bootstrap

AT_ONCE = 12
SEED = base64.b32encode(b"a secret of some length").decode()


class Processes:
    """Several processes of one cloud: each with a memory and connections of its own on the same files."""

    def __init__(self, folder: Path, count: int) -> None:
        self.clock = Clock()
        self.databases: list[Database] = []
        self.clients = [self._start(folder) for _ in range(count)]
        with self.databases[0].write() as session:
            bootstrap(session, World(clock=self.clock), ADMIN_PASSWORD, "RegionOne", URL, BootstrapOptions(rounds=4))
        self.admin = self.login("admin", ADMIN_PASSWORD, {"project": {"name": "admin", "domain": {"id": "default"}}})

    def _start(self, folder: Path) -> LocalClient:
        world = World(clock=self.clock)
        identity = Identity(Keys(folder / "keys"), world, IdentitySettings(password_rounds=4))
        database = another(self.databases[0]) if self.databases else side_by_side(folder)
        self.databases.append(database)
        refs = [ServiceRef("identity", "/identity", "tiffin.services.identity.service")]
        cloud = Cloud(database, world, refs, authenticator=identity.authenticate, secrets=identity.secrets)
        cloud.service("identity")
        cloud.add(Identity, identity)
        return LocalClient(make(cloud, lambda detail: (200, {})))

    def auth(self, methods: dict[str, Any], scope: Any = None, at: int = 0) -> Reply:
        body: dict[str, Any] = {"identity": {"methods": list(methods), **methods}}
        if scope is not None:
            body["scope"] = scope
        return self.clients[at].request("POST", "/identity/v3/auth/tokens", json={"auth": body})

    def login(self, name: str, password: str, scope: Any = None) -> str:
        who = {"name": name, "domain": {"id": "default"}, "password": password}
        reply = self.auth({"password": {"user": who}}, scope)
        assert reply.status == 201, reply.body
        return reply.headers["x-subject-token"]

    def do(self, method: str, path: str, json: Any = None, token: str | None = None, at: int = 0) -> Reply:
        headers = {"X-Auth-Token": token or self.admin}
        return self.clients[at].request(method, f"/identity/v3{path}", headers=headers, json=json)

    def user(self, name: str) -> str:
        return str(self.do("POST", "/users", {"user": {"name": name, "password": "pw"}}).json["user"]["id"])

    def close(self) -> None:
        for database in reversed(self.databases):
            database.close()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path, 2)
    yield made
    made.close()


def all_at_once(ask: Callable[[int], Reply]) -> list[int]:
    """The statuses of AT_ONCE requests that begin together."""
    begin, found = threading.Barrier(AT_ONCE), list[int]()

    def run(n: int) -> None:
        begin.wait()
        found.append(ask(n).status)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found)


def trust(cloud: Processes, **fields: Any) -> str:
    shown = cloud.do("GET", "/auth/projects").json["projects"][0]
    admin = cloud.do("GET", "/users?name=admin").json["users"][0]["id"]
    body = {"trustor_user_id": admin, "trustee_user_id": cloud.user("bob"), "project_id": shown["id"],
            "impersonation": True, "roles": [{"name": "reader"}], **fields}  # fmt: skip
    reply = cloud.do("POST", "/OS-TRUST/trusts", {"trust": body})
    assert reply.status == 201, reply.body
    return str(reply.json["trust"]["id"])


BOB = {"password": {"user": {"name": "bob", "domain": {"id": "default"}, "password": "pw"}}}


def test_the_uses_of_a_trust(cloud: Processes) -> None:
    id = trust(cloud, remaining_uses=5)
    answers = all_at_once(lambda n: cloud.auth(BOB, {"OS-TRUST:trust": {"id": id}}, at=n % 2))
    assert answers.count(201) == 5
    assert set(answers) <= {201, 401, 403}
    assert cloud.do("GET", "/OS-TRUST/trusts").json["trusts"][0]["remaining_uses"] == 0


def test_a_login_that_fails_takes_no_use(cloud: Processes) -> None:
    id = trust(cloud, remaining_uses=1, expires_at="2027-01-15T08:00:00.500000Z")
    assert cloud.auth(BOB, {"OS-TRUST:trust": {"id": id}}).status == 401
    assert cloud.do("GET", f"/OS-TRUST/trusts/{id}").json["trust"]["remaining_uses"] == 1


def test_a_passcode(cloud: Processes) -> None:
    ann = cloud.user("ann")
    body = {"credential": {"type": "totp", "user_id": ann, "blob": SEED}}
    assert cloud.do("POST", "/credentials", body).status == 201
    for _ in range(3):
        given = passcode(SEED, int(cloud.clock.now // 30))
        proof = {"totp": {"user": {"id": ann, "passcode": given}}}
        assert all_at_once(lambda n, proof=proof: cloud.auth(proof, at=n % 2)) == [201] + [401] * (AT_ONCE - 1)  # type: ignore[misc]
        cloud.clock.now += 30


def test_a_token_that_is_given_back_while_it_is_exchanged(cloud: Processes) -> None:
    """Whoever is first: no token of the chain is good afterwards."""
    for _ in range(5):
        first = cloud.login("admin", ADMIN_PASSWORD, "unscoped")
        made: list[str] = []

        def ask(n: int, first: str = first, made: list[str] = made) -> Reply:
            if n == AT_ONCE // 2:
                headers = {"X-Auth-Token": cloud.admin, "X-Subject-Token": first}
                return cloud.clients[0].request("DELETE", "/identity/v3/auth/tokens", headers=headers)
            reply = cloud.auth({"token": {"id": first}}, "unscoped", at=n % 2)
            if reply.status == 201:
                made.append(reply.headers["x-subject-token"])
            return reply

        assert set(all_at_once(ask)) <= {201, 204, 404}
        assert all(cloud.do("GET", "/auth/projects", token=token, at=n).status == 401 for token in [first, *made] for n in (0, 1))


def test_a_revocation_in_one_process_holds_in_the_other(cloud: Processes) -> None:
    cloud.user("ann")
    token = cloud.login("ann", "pw")
    assert [cloud.do("GET", "/auth/projects", token=token, at=n).status for n in (0, 1)] == [200, 200]
    ann = cloud.do("GET", "/users?name=ann").json["users"][0]["id"]
    assert cloud.do("PATCH", f"/users/{ann}", {"user": {"enabled": False}}, at=0).status == 200
    assert [cloud.do("GET", "/auth/projects", token=token, at=n).status for n in (0, 1)] == [401, 401]
