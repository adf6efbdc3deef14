"""What processes on one server know of each other, and what they do while the server is away."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select, update

from postgresql.worlds import controller, fresh
from support import TestCloud
from tiffin.cli.postgresql import Server, private_server
from tiffin.core import lifecycle
from tiffin.core.database import Database
from tiffin.core.lifecycle import DUE
from tiffin.core.peers import Peers
from tiffin.core.tables import Fact, LifecycleRow

NOBODY: Callable[[str], None] = lambda node: None  # noqa: E731  # as short as what it does


def eventually(true: Callable[[], bool], seconds: float = 15.0) -> float:
    """Wait until it is so; the seconds that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds
        time.sleep(0.002)
    return time.monotonic() - began


@pytest.fixture
def pair(server: Server) -> Iterator[tuple[Database, Database]]:
    url = fresh(server)
    with contextlib.closing(Database(url)) as a, contextlib.closing(Database(url)) as b:
        yield a, b


def test_a_commit_wakes_the_other_process(pair: tuple[Database, Database]) -> None:
    a, b = pair
    heard = threading.Event()
    a.on_commit(lambda: None, DUE)
    b.on_commit(heard.set, DUE)
    peers = Peers(b, "b", NOBODY)
    peers.start()
    for number in range(10):
        eventually(lambda: not heard.clear() and not heard.wait(0.05))  # nothing more of what was before
        with a.write() as session:
            session.add(Fact(name=f"f{number}", value=""))
            session.info[DUE] = True
        assert heard.wait(30)
    with a.write() as session:
        session.add(Fact(name="another", value=""))
    heard.clear()
    assert not heard.wait(0.2)
    peers.stop()


def test_who_dies_is_buried_and_who_lives_is_not(pair: tuple[Database, Database]) -> None:
    a, b = pair
    with a.write() as session:
        for number, owner in enumerate(("a", "gone")):
            row = LifecycleRow(
                id=f"l{number}", kind="k", resource_id=f"r{number}", step="start", frame={}, wake=0.0, lease=1e12,
                owner=owner, request_id="req",
            )  # fmt: skip
            session.add(row)
    buried: list[str] = []

    def bury(node: str) -> None:
        buried.append(node)
        with b.write() as session:
            session.execute(update(LifecycleRow).where(LifecycleRow.owner == node).values(lease=0.0, owner=None))

    living, watching = Peers(a, "a", NOBODY), Peers(b, "b", bury)
    living.start()
    watching.start()
    eventually(lambda: buried == ["gone"])
    living.stop()
    assert eventually(lambda: buried == ["gone", "a"]) < 5
    watching.stop()


def test_a_controller_goes_on_after_its_server_was_away() -> None:
    with private_server() as server:
        cloud = controller(fresh(server))
        headers = {"X-Auth-Token": "member"}
        assert cloud.client.request("GET", "/image/v2/images", headers=headers).status == 200
        cloud.engine.start(2)
        server.stop()
        reply = cloud.client.request("GET", "/image/v2/images", headers=headers)
        assert reply.status == 503
        assert b"database does not answer" in reply.body
        assert reply.headers["retry-after"] == "1"
        assert cloud.client.request("POST", "/image/v2/images", headers=headers, json={"name": "i"}).status == 503
        server.start()
        assert cloud.client.request("GET", "/image/v2/images", headers=headers).status == 200
        made = cloud.client.request("POST", "/image/v2/images", headers=headers, json={"name": "i"})
        assert made.status == 201
        eventually(lambda: _rests(cloud, made.json["id"]))
        cloud.engine.stop()
        cloud.close()


def test_what_was_being_done_when_the_server_went_away_is_done_when_it_is_back() -> None:
    """At once, and not when the lease runs out: it is this controller's own."""
    with private_server() as server:
        cloud = controller(fresh(server))
        at_commit, away = threading.Event(), threading.Event()

        def fate(point: str) -> None:
            if point.endswith("before commit") and not away.is_set():
                at_commit.set()
                away.wait(20)

        cloud.engine.fate = fate
        cloud.engine.start(1)
        headers = {"X-Auth-Token": "member"}
        made = cloud.client.request("POST", "/network/v2.0/networks", headers=headers, json={"network": {"name": "n"}})
        assert at_commit.wait(10)
        server.stop()
        away.set()
        time.sleep(1)
        server.start()
        assert eventually(lambda: _rests(cloud, made.json["network"]["id"])) < 10
        cloud.engine.stop()
        cloud.close()


def _rests(cloud: TestCloud, image_id: str) -> bool:
    with cloud.cloud.database.read() as session:
        wake = session.execute(select(LifecycleRow.wake).where(LifecycleRow.resource_id == image_id)).all()
    return [tuple(row) for row in wake] == [(None,)]


def test_two_engines_share_the_work(server: Server) -> None:
    url = fresh(server)
    a, b = controller(url, "a"), controller(url, "b")
    a.engine.start(2)
    b.engine.start(2)
    for _ in range(20):
        made = a.client.request(
            "POST", "/network/v2.0/networks", headers={"X-Auth-Token": "member"}, json={"network": {"name": "n"}}
        )
        assert made.status == 201

    def settled() -> bool:
        with a.cloud.database.read() as session:
            return session.scalar(select(LifecycleRow.id).where(LifecycleRow.wake.is_not(None)).limit(1)) is None

    eventually(settled)
    with a.cloud.database.read() as session:
        assert set(session.scalars(select(LifecycleRow.step))) == {lifecycle.REST}
    for cloud in (a, b):
        cloud.engine.stop()
        cloud.close()
