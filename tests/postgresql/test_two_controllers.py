"""Two controllers on one database under a load that needs no hosts: networks and users."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from postgresql.pair import Two, ask, two_controllers
from running_cloud import ADMIN
from storm import kill
from tiffin.cli.postgresql import Server
from tiffin.core.database import Database
from world import assert_becomes

PATIENCE = 60.0


@pytest.fixture
def two(server: Server) -> Iterator[Two]:
    with two_controllers(server) as made:
        yield made


@dataclass
class Client(threading.Thread):
    """Makes networks and deletes some of them, at whichever controller answers; a request without an answer is asked again
    with its key."""

    addresses: list[str]
    token: str
    seed: int
    alive: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    answered: int = 0
    unanswered: int = 0
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.stopping, self.chance = threading.Event(), random.Random(self.seed)

    def __hash__(self) -> int:
        return self.seed

    def once(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        key, deadline = uuid.uuid4().hex, time.monotonic() + PATIENCE
        while True:
            address = self.chance.choice(self.addresses)
            try:
                answer = ask(address, method, path, body, X_Auth_Token=self.token, Idempotency_Key=key)
                self.answered += 1
                return answer
            except (OSError, http.client.HTTPException):
                self.unanswered += 1
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.act()
        except BaseException as failure:
            self.failure = failure

    def act(self) -> None:
        if (len(self.alive) < 4 and self.chance.random() < 0.7) or not self.alive:
            status, made = self.once("POST", "/network/v2.0/networks", {"network": {"name": f"c{self.seed}"}})
            assert status == 201, made
            self.alive.add(made["network"]["id"])
            status, made = self.once(
                "POST", "/network/v2.0/subnets",
                {"subnet": {"network_id": made["network"]["id"], "ip_version": 4, "cidr": "10.1.0.0/24"}},
            )  # fmt: skip
            assert status == 201, made
        else:
            victim = self.chance.choice(sorted(self.alive))
            status, _ = self.once("DELETE", f"/network/v2.0/networks/{victim}")
            assert status == 204
            self.alive.remove(victim)
            self.deleted.add(victim)

    def stop(self) -> None:
        self.stopping.set()
        self.join(PATIENCE)
        assert not self.is_alive()
        if self.failure is not None:
            raise self.failure


@contextlib.contextmanager
def load(two: Two, count: int) -> Iterator[list[Client]]:
    with two.first.connect() as connection:
        token = str(connection.auth_token)
    clients = [Client(two.addresses, token, seed) for seed in range(count)]
    for client in clients:
        client.start()
    yield clients
    for client in clients:
        client.stop()


def networks_at(address: str, token: str) -> list[str]:
    """The ids of those that clients made, as this controller tells them once it is back."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            status, found = ask(address, "GET", "/network/v2.0/networks", X_Auth_Token=token)
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < deadline
            time.sleep(0.05)
            continue
        assert status == 200
        return sorted(one["id"] for one in found["networks"] if one["name"].startswith("c"))


def assert_kept(two: Two, clients: list[Client]) -> None:
    """Every network that was accepted is there, once, at both controllers; every deleted one is gone; nothing waits."""
    wanted = sorted(id for client in clients for id in client.alive)
    for address in two.addresses:
        assert networks_at(address, clients[0].token) == wanted
    database = Database(two.url)
    deadline = time.monotonic() + PATIENCE
    known = "SELECT resource_id FROM lifecycle WHERE kind = 'network.network'"
    busy = "SELECT kind, resource_id, step, owner FROM lifecycle WHERE step != 'rest'"
    with contextlib.closing(database):
        while (waiting := _rows(database, busy)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert waiting == []
        lives = {id for (id,) in _rows(database, known)}
        assert lives >= set(wanted)
        assert not lives & {id for client in clients for id in client.deleted}


def _rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def log_in(address: str, name: str, password: str) -> str:
    """A token, or nothing where the password is refused."""
    user = {"name": name, "domain": {"id": "default"}, "password": password}
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
        connection.request("POST", "/identity/v3/auth/tokens", json.dumps(body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        return reply.getheader("X-Subject-Token") or ""
    finally:
        connection.close()


def test_what_one_forgets_the_other_does_not_remember(two: Two) -> None:
    """Passwords and tokens that were right a moment ago, roles, and the keys of tokens."""
    one, other = two.addresses
    with two.first.connect(ADMIN) as connection:
        admin = {"X_Auth_Token": str(connection.auth_token)}
    user = {"name": "u", "password": "first-password", "domain_id": "default"}
    status, made = ask(one, "POST", "/identity/v3/users", {"user": user}, **admin)
    assert status == 201
    token = log_in(other, "u", "first-password")
    kept = log_in(one, "u", "first-password")
    show = f"/identity/v3/users/{made['user']['id']}"
    for address in two.addresses:
        assert ask(address, "GET", show, X_Auth_Token=token)[0] == 200
    assert ask(one, "DELETE", "/identity/v3/auth/tokens", X_Auth_Token=token, X_Subject_Token=token)[0] == 204
    assert ask(other, "GET", show, X_Auth_Token=token)[0] == 401
    assert ask(other, "GET", show, X_Auth_Token=kept)[0] == 200
    assert ask(one, "PATCH", show, {"user": {"password": "second-password"}}, **admin)[0] == 200
    assert log_in(other, "u", "first-password") == ""
    assert ask(other, "GET", show, X_Auth_Token=kept)[0] == 401
    two.first.tiffin("token-keys", "rotate")
    fresh = log_in(one, "u", "second-password")
    assert ask(other, "GET", show, X_Auth_Token=fresh)[0] == 200


def test_kill_9_of_either_loses_and_doubles_nothing(two: Two) -> None:
    with load(two, 4) as clients:
        for number, pause in enumerate((0.6, 0.4, 0.8, 0.5, 0.7, 0.3)):
            time.sleep(pause)
            kill((two.first, two.second)[number % 2], "cloud")
        time.sleep(1.0)
    assert sum(len(client.alive) + len(client.deleted) for client in clients) > 10
    assert_kept(two, clients)


def test_what_a_dead_controller_had_leased_the_other_takes_over(two: Two) -> None:
    """Both processes of one are killed and stay dead: the other does all of the work, within seconds."""
    with load(two, 4) as clients:
        time.sleep(0.5)
        kill(two.second, "supervisor")  # the worker dies with it
        for client in clients:
            client.addresses = [two.first.address]
        time.sleep(2.0)
    two.addresses.pop()
    wanted = sorted(id for client in clients for id in client.alive)
    assert networks_at(two.first.address, clients[0].token) == wanted
    database = Database(two.url)
    with contextlib.closing(database):
        began = time.monotonic()
        while _rows(database, "SELECT id FROM lifecycle WHERE step != 'rest'") and time.monotonic() < began + 10:
            time.sleep(0.05)
        assert _rows(database, "SELECT id FROM lifecycle WHERE step != 'rest'") == []


def test_a_rolling_restart_fails_no_request(two: Two) -> None:
    """Each controller ends by SIGTERM and begins anew, while the clients use the other; whoever has a request gets its answer."""
    with load(two, 4) as clients:
        for leaving, staying in ((two.first, two.second), (two.second, two.first)):
            for client in clients:  # what a balancer does that was told
                client.addresses = [staying.address]
            sent = {client: client.answered for client in clients}
            assert_becomes(lambda sent=sent: all(client.answered > n for client, n in sent.items()), True)
            os.kill(int((leaving.home / "run" / "server.pid").read_text()), signal.SIGTERM)
            time.sleep(0.5)
            leaving.tiffin("up")
    assert sum(client.unanswered for client in clients) == 0
    assert_kept(two, clients)
