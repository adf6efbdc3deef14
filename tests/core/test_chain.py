"""The life of a request through the chain, with a toy service."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.toy import Workshop
from databases import side_by_side
from support import TestCloud, authenticate_persona
from tiffin.core.actor import Actor
from tiffin.core.cloud import ServiceRef
from tiffin.core.tables import Change, Fact, LifecycleRow


@pytest.fixture
def cloud() -> Iterator[TestCloud]:
    made = TestCloud([ServiceRef("toy", "/toy", "core.toy")])
    made.cloud.add(Workshop, Workshop())
    yield made
    made.close()


def make(cloud: TestCloud, name: str = "bear", **more: str) -> str:
    reply = cloud.ask("POST", "/toy/v1/toys", json={"toy": {"name": name, "color": "red"}}, **more)
    assert reply.status == 202, reply.body
    return str(reply.json["toy"]["id"])


def test_a_resource_lives_and_dies(cloud: TestCloud) -> None:
    id = make(cloud)
    assert cloud.ask("GET", f"/toy/v1/toys/{id}").json["toy"]["status"] == "BUILD"
    cloud.settle()
    assert cloud.ask("GET", f"/toy/v1/toys/{id}").json == {
        "toy": {"id": id, "name": "bear", "status": "ACTIVE", "color": "red"}
    }
    assert cloud.ask("DELETE", f"/toy/v1/toys/{id}").status == 204
    cloud.settle()
    assert cloud.ask("GET", f"/toy/v1/toys/{id}").status == 404
    with cloud.cloud.database.read() as session:
        assert session.scalars(select(Change.kind).order_by(Change.sequence)).all() == ["create", "create.end", "delete"]
        assert session.scalars(select(LifecycleRow)).all() == []


def test_versions_shape_bodies_and_codes(cloud: TestCloud) -> None:
    old = cloud.ask("POST", "/toy/v1/toys", json={"toy": {"name": "a"}}, Toy_Version="1.1")
    assert (old.status, set(old.json["toy"])) == (200, {"id", "name", "status"})
    assert cloud.ask("POST", "/toy/v1/toys", json={"toy": {"name": "b", "color": "x"}}, Toy_Version="1.1").status == 400
    missing = cloud.ask("POST", "/toy/v1/toys", json={"toy": {"name": "c"}})
    assert missing.status == 400
    assert "color" in missing.json["error"]["message"]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"toy": {"name": 1, "color": "x"}}, "name"),
        ({"toy": {"name": "x" * 21, "color": "x"}}, "name"),
        ({"toy": {"name": "x", "color": "x", "size": 1}}, "size"),
        ({}, "toy"),
        ([], "object"),
        ("x", "object"),
    ],
)
def test_bad_bodies_name_the_field(cloud: TestCloud, body: object, named: str) -> None:
    reply = cloud.ask("POST", "/toy/v1/toys", json=body)
    assert reply.status == 400
    assert named in reply.json["error"]["message"]


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"\xff",
        b'{"toy": {"name": "\\u0000", "color": "x"}}',
        b"[" * 5000,
        b'{"toy": {"name": "\\ud800", "color": "x"}}',
    ],
)
def test_bodies_that_are_no_text(cloud: TestCloud, raw: bytes) -> None:
    headers = {"X-Auth-Token": "member", "Content-Type": "application/json"}
    assert cloud.client.request("POST", "/toy/v1/toys", headers=headers, body=raw).status == 400


def test_who_may(cloud: TestCloud) -> None:
    id = make(cloud)
    assert cloud.ask("GET", "/toy/v1/toys", token=None).status == 401
    assert "WWW-Authenticate".lower() in cloud.ask("GET", "/toy/v1/toys", token="bad").headers
    assert cloud.ask("POST", "/toy/v1/toys", token="reader", json={"toy": {"name": "b", "color": "x"}}).status == 403
    assert cloud.ask("GET", f"/toy/v1/toys/{id}", token="other").status == 404
    assert cloud.ask("GET", "/toy/v1/none").status == 404
    assert cloud.ask("PUT", "/toy/v1/toys").status == 405
    assert cloud.ask("GET", "/nothing").status == 404


def test_quota_and_conflict(cloud: TestCloud) -> None:
    make(cloud, "a")
    assert cloud.ask("POST", "/toy/v1/toys", json={"toy": {"name": "a", "color": "x"}}).status == 409
    make(cloud, "b")
    make(cloud, "c")
    assert cloud.ask("POST", "/toy/v1/toys", json={"toy": {"name": "d", "color": "x"}}).status == 403


def test_an_idempotency_key_does_it_once(cloud: TestCloud) -> None:
    assert make(cloud, Idempotency_Key="k1") == make(cloud, Idempotency_Key="k1")
    other = cloud.ask("POST", "/toy/v1/toys", json={"toy": {"name": "z", "color": "x"}}, Idempotency_Key="k1")
    assert other.status == 409
    assert len(cloud.ask("GET", "/toy/v1/toys").json["toys"]) == 1


def test_pages(cloud: TestCloud) -> None:
    for name in "cab":
        make(cloud, name)
    first = cloud.ask("GET", "/toy/v1/toys?limit=2").json
    assert [t["name"] for t in first["toys"]] == ["a", "b"]
    rest = cloud.ask("GET", first["toys_links"][0]["href"].removeprefix("http://127.0.0.1:8000")).json
    assert [t["name"] for t in rest["toys"]] == ["c"]
    assert "toys_links" not in rest
    assert cloud.ask("GET", "/toy/v1/toys?marker=none").status == 400
    assert cloud.ask("GET", "/toy/v1/toys?limit=-1").status == 400


def test_actions(cloud: TestCloud) -> None:
    id = make(cloud)
    assert cloud.ask("POST", f"/toy/v1/toys/{id}/action", json={"paint": {"color": "blue"}}).status == 202
    assert cloud.ask("GET", f"/toy/v1/toys/{id}").json["toy"]["color"] == "blue"
    assert cloud.ask("POST", f"/toy/v1/toys/{id}/action", json={"burn": None}).status == 400


def test_refusals_are_retried_and_end(cloud: TestCloud) -> None:
    id = make(cloud)
    cloud.cloud.part(Workshop).refusing = 2
    for _ in range(5):
        cloud.settle()
        cloud.clock.now += 10
    assert cloud.ask("GET", f"/toy/v1/toys/{id}").json["toy"]["status"] == "ACTIVE"
    second = make(cloud, "b")
    cloud.cloud.part(Workshop).refusing = 99
    for _ in range(9):
        cloud.settle()
        cloud.clock.now += 10
    assert cloud.ask("GET", f"/toy/v1/toys/{second}").json["toy"]["status"] == "ERROR: out of paint"


def test_who_waits_for_another_writer_keeps_no_reader_waiting(tmp_path: Path) -> None:
    asked = threading.Event()

    def authenticate(session: Session, token: str) -> Actor:
        if token == "member":
            asked.set()
        return authenticate_persona(session, token)

    database = side_by_side(tmp_path)
    cloud = TestCloud([ServiceRef("toy", "/toy", "core.toy")], database=database, authenticator=authenticate)
    with ThreadPoolExecutor(1) as another:
        with database.write() as session:
            session.add(Fact(name="n", value=""))
            session.flush()
            made = another.submit(make, cloud)
            assert asked.wait(20)
            for _ in range(50):  # it has come to where it waits by one of them
                began = time.monotonic()
                assert cloud.client.request("GET", "/toy/v1/toys", headers={"X-Auth-Token": "reader"}).status == 200
                assert time.monotonic() - began < 20
                time.sleep(0.005)
            assert not made.done()
        made.result(20)
    cloud.close()


def test_a_query_string_has_an_end(cloud: TestCloud) -> None:
    assert cloud.ask("GET", f"/toy/v1/toys?name={'x' * 60_000}").status == 400
