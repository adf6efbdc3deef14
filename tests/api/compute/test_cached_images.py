"""Images that hosts fetch ahead: asked of an aggregate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from api.compute.conftest import ComputeCloud
from lifecycles.harness import Fate, crash_tests
from tiffin.core.driver import Refused
from tiffin.core.tables import Change, LifecycleRow
from tiffin.services.compute.lifecycles.cached_image import CACHED

ADMIN: dict[str, Any] = {"token": "admin"}


class Cloud(ComputeCloud):
    """A cloud with an aggregate of its first host, and an image."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.image_id = self.image()
        self.settle()
        made = self.ok("POST", "/os-aggregates", {"aggregate": {"name": "a"}}, **ADMIN)["aggregate"]
        self.url = f"/os-aggregates/{made['id']}"
        self.ok("POST", f"{self.url}/action", {"add_host": {"host": "host-1"}}, **ADMIN)

    def want(self, *ids: str, token: str = "admin", at: str = "compute 2.81", **more: Any) -> int:
        body = {"cache": [{"id": id} for id in ids or (self.image_id,)], **more}
        return self.do("POST", f"{self.url}/images", body, token=token, at=at).status

    def rows(self, column: Any) -> list[Any]:
        with self.cloud.database.read() as session:
            return list(session.scalars(select(column).where(LifecycleRow.kind == CACHED)))

    def told(self) -> list[str]:
        with self.cloud.database.read() as session:
            return list(session.scalars(select(Change.kind).where(Change.resource_type == CACHED)))


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    made = Cloud()
    made.add_host("host-2")
    yield made
    made.close()


def test_hosts_of_the_aggregate_have_it(cloud: Cloud) -> None:
    for _ in range(2):  # asked again, it is there
        assert cloud.want(cloud.image_id, cloud.image_id) == 202
        cloud.settle()
        assert set(cloud.worlds["host-1"].images) == {cloud.image_id}
    assert cloud.worlds["host-2"].images == {}
    assert cloud.worlds["host-1"].guests == {}
    assert cloud.rows(LifecycleRow.id) == []
    assert cloud.told() == ["cached", "cached"]


def test_what_is_asked_twice_at_once_is_done_once(cloud: Cloud) -> None:
    for _ in range(2):
        assert cloud.want() == 202
    cloud.settle()
    assert cloud.told() == ["cached"]


def test_who_may(cloud: Cloud) -> None:
    for token in ("manager", "member", "reader", "other", "service", "nobody"):
        assert cloud.want(token=token) == 403
    assert cloud.rows(LifecycleRow.id) == []


def test_what_cannot_be(cloud: Cloud) -> None:
    assert cloud.want(at="compute 2.80") == 404
    assert cloud.want("6b1de4ba-6c1a-4b0e-9d5f-1f2f3a4b5c6d") == 400
    assert cloud.want("no id") == 400
    assert cloud.want(color="red") == 400
    assert cloud.do("POST", f"{cloud.url}/images", {"cache": []}, **ADMIN).status == 400
    queued = cloud.ask("POST", "/image/v2/images", "admin", {"name": "x", "disk_format": "raw", "container_format": "bare"})
    assert cloud.want(queued.json["id"]) == 400
    cloud.url = "/os-aggregates/99"
    assert cloud.want() == 404
    assert cloud.rows(LifecycleRow.id) == []


def test_a_host_that_is_down_is_left_out(cloud: Cloud) -> None:
    cloud.clock.now += 61
    assert cloud.want() == 202
    assert cloud.rows(LifecycleRow.id) == []


class CachedImageTrial:
    """An image that a host fetches ahead."""

    def __init__(self, fate: Fate) -> None:
        self.begun = False
        self.cloud: Any = Cloud(fate=lambda point: fate(point) if self.begun else None)

    def begin(self) -> None:
        self.begun = True
        assert self.cloud.want() == 202

    def delete(self) -> None:
        """As an operator might."""
        from tiffin.core import lifecycle

        with self.cloud.cloud.database.write() as session:
            for id in session.scalars(select(LifecycleRow.resource_id).where(LifecycleRow.kind == CACHED)).all():
                lifecycle.ask(session, self.cloud.clock.now, (CACHED, id), lifecycle.DELETE, request_id="req-x")

    def check_promise(self) -> None:
        assert set(self.cloud.world.images) == {self.cloud.image_id}
        assert self.cloud.rows(LifecycleRow.step) == []
        assert self.cloud.told() == ["cached"]

    def check_failed(self) -> None:
        assert self.cloud.rows(LifecycleRow.id) == []
        assert self.cloud.told() in (["cached"], ["error"])

    def check_gone(self) -> None:
        assert self.cloud.rows(LifecycleRow.id) == []  # what the host has fetched meanwhile is pruned as all is


TestCachedImage = crash_tests(CachedImageTrial)


def test_a_refusal_is_tried_again(cloud: Cloud) -> None:
    troubles = iter([Refused("busy"), None])

    def fate(point: str) -> None:
        if point.startswith("prefetch_image") and point.endswith("?") and (no := next(troubles)):
            raise no

    cloud.hosts.there["host-1"][0]._fate = fate  # type: ignore[attr-defined]
    assert cloud.want() == 202
    for _ in range(2):
        cloud.settle()
        cloud.clock.now += 20
    assert set(cloud.world.images) == {cloud.image_id}
