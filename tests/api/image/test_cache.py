"""The caches of the hosts: what is in them, what is brought there ahead of time, and what goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from api.compute.conftest import ComputeCloud, no_fate
from tiffin.core.http.local import Reply
from tiffin.core.tables import Change, LifecycleRow
from tiffin.services.image.drivers.base import ImageCaches
from tiffin.services.image.reconcilers import keep_caches
from tiffin.services.image.settings import CacheSettings
from tiffin.services.image.tables import CacheQueueRow

SIZE = 1000  # bytes of each image


class CacheCloud(ComputeCloud):
    """Two hosts, and the words for their caches."""

    def __init__(self, fate: Callable[[str], None] = no_fate, **sections: Any) -> None:
        super().__init__(fate, sections=sections)
        self.add_host("host-2", fate=fate)
        self.furnish()

    def cache(self, method: str, path: str = "", token: str = "admin", **headers: str) -> Reply:
        return self.ask(method, f"/image/v2/cache{path}", token, **headers)

    def state(self) -> tuple[dict[str, Any], list[str]]:
        """What is cached, by id, and what is queued."""
        reply = self.cache("GET")
        assert reply.status == 200, reply.body
        return {one["image_id"]: one for one in reply.json["cached_images"]}, reply.json["queued_images"]

    def cached(self, byte: bytes = b"a") -> str:
        """A new image that is in the caches."""
        id = self.image(byte * SIZE)
        assert self.cache("PUT", f"/{id}").status == 202
        self.settle()
        self.clock.now += 10
        return id

    def kinds(self) -> list[str]:
        with self.cloud.database.read() as session:
            mine = select(Change.kind).where(Change.resource_type == "image.cache")
            return list(session.scalars(mine.order_by(Change.sequence)))

    def places(self) -> int:
        with self.cloud.database.read() as session:
            lives = session.scalars(select(LifecycleRow.id).where(LifecycleRow.kind == "image.cache")).all()
            return len(lives) + len(session.scalars(select(CacheQueueRow.id)).all())


@pytest.fixture
def cloud() -> Iterator[CacheCloud]:
    made = CacheCloud()
    yield made
    made.close()


def small(**values: Any) -> Iterator[CacheCloud]:
    made = CacheCloud(image={"cache": values})
    yield made
    made.close()


@pytest.fixture
def tight() -> Iterator[CacheCloud]:
    """Hosts that keep two images."""
    yield from small(image_cache_max_size=2 * SIZE)


@pytest.fixture
def closed() -> Iterator[CacheCloud]:
    yield from small(enabled=False)


def test_a_queued_image_is_brought_to_every_host(cloud: CacheCloud) -> None:
    id = cloud.image(b"a" * SIZE)
    assert cloud.state() == ({}, [])
    reply = cloud.cache("PUT", f"/{id}")
    assert (reply.status, reply.body) == (202, b"")
    assert cloud.state() == ({}, [id])
    now = cloud.clock.now
    cloud.settle()
    shown = {"image_id": id, "size": SIZE, "hits": 0, "last_accessed": now, "last_modified": now}
    assert cloud.state() == ({id: shown}, [])
    assert all(set(world.images) == {id} for world in cloud.worlds.values())
    assert cloud.cache("GET", f"/nodes/{id}").json == ["host-1", "host-2"]
    assert (cloud.kinds(), cloud.places()) == (["cache", "cache.end"], 0)


def test_a_server_finds_it_there(cloud: CacheCloud) -> None:
    id = cloud.cached()
    before = cloud.clock.now
    for key in list(cloud.store.keys()):
        cloud.store.delete(key)
    server = cloud.server(imageRef=id)
    assert cloud.ok("GET", f"/servers/{server}")["server"]["status"] == "ACTIVE"
    shown = cloud.state()[0][id]
    assert (shown["hits"], shown["last_accessed"]) == (1, before)


def test_a_boot_fills_the_cache_of_its_host(cloud: CacheCloud) -> None:
    cloud.server()
    assert list(cloud.state()[0]) == [cloud.image_id]
    assert len(cloud.cache("GET", f"/nodes/{cloud.image_id}").json) == 1


@pytest.mark.parametrize("times", [1, 2])
def test_an_image_can_be_queued_again(cloud: CacheCloud, times: int) -> None:
    id = cloud.cached()
    for _ in range(times):
        assert cloud.cache("PUT", f"/{id}").status == 202
    assert cloud.state() == ({}, [id])
    cloud.settle()
    assert list(cloud.state()[0]) == [id]
    assert cloud.places() == 0


def test_only_an_active_image_is_queued(cloud: CacheCloud) -> None:
    made = cloud.ask("POST", "/image/v2/images", "admin", {"name": "empty"}).json["id"]
    reply = cloud.cache("PUT", f"/{made}")
    assert reply.status == 400
    assert "status active" in reply.json["message"]
    assert cloud.cache("PUT", "/no-such-image").status == 404
    assert cloud.cache("GET", "/nodes/no-such-image").status == 404
    assert cloud.places() == 0


def test_what_no_host_boots_from_leaves_the_queue(cloud: CacheCloud) -> None:
    id = cloud.image(b"x", disk_format="ploop")
    assert cloud.cache("PUT", f"/{id}").status == 202
    cloud.settle()
    assert cloud.state() == ({}, [])
    assert (cloud.kinds(), cloud.places()) == (["cache", "error"], 0)


def test_a_silent_host_keeps_nobody_else_waiting(cloud: CacheCloud) -> None:
    id = cloud.image(b"a" * SIZE)
    silent = cloud.hosts.there.pop("host-1")
    cloud.hosts.names = lambda: ["host-1", "host-2"]  # type: ignore[method-assign]  # it takes part, and does not answer
    cloud.cache("PUT", f"/{id}")
    cloud.settle()
    assert set(cloud.worlds["host-2"].images) == {id}
    assert cloud.state() == ({}, [id])
    assert [cloud.cache("POST", what).status for what in ("/clean", "/prune")] == [200, 200]
    cloud.hosts.there["host-1"] = silent
    cloud.clock.now += 60
    cloud.settle()
    assert cloud.cache("GET", f"/nodes/{id}").json == ["host-1", "host-2"]


def test_an_image_is_taken_from_the_cache(cloud: CacheCloud) -> None:
    one, other = cloud.cached(b"a"), cloud.cached(b"b")
    reply = cloud.cache("DELETE", f"/{one}")
    assert (reply.status, reply.body) == (204, b"")
    assert list(cloud.state()[0]) == [other]
    assert cloud.cache("DELETE", f"/{one}").status == 204  # it exists, and is not there: upstream is content
    assert cloud.cache("DELETE", "/no-such-image").status == 404


def test_an_image_is_taken_from_the_queue(cloud: CacheCloud) -> None:
    id = cloud.image(b"a" * SIZE)
    cloud.cache("PUT", f"/{id}")
    assert cloud.cache("DELETE", f"/{id}").status == 204
    assert cloud.state() == ({}, [])
    cloud.cache("PUT", f"/{id}")  # at once again: the first place's life is still ending
    cloud.settle()
    cloud.clock.now += 2
    cloud.settle()
    assert list(cloud.state()[0]) == [id]
    assert cloud.places() == 0


def test_a_deleted_image_is_taken_from_the_cache(cloud: CacheCloud) -> None:
    id = cloud.cached()
    assert cloud.ask("DELETE", f"/image/v2/images/{id}", "admin").status == 204
    cloud.settle()
    assert list(cloud.state()[0]) == [id]
    assert cloud.cache("DELETE", f"/{id}", "member").status == 404
    assert cloud.cache("DELETE", f"/{id}").status == 204
    assert cloud.state() == ({}, [])


@pytest.mark.parametrize(
    ("target", "left"),
    [(None, (0, 0)), ("", (0, 0)), ("cache", (0, 1)), ("CACHE", (0, 1)), ("queue", (1, 0))],
)
def test_the_cache_is_cleared(cloud: CacheCloud, target: str | None, left: tuple[int, int]) -> None:
    cloud.cached(b"a")
    queued = cloud.image(b"b" * SIZE)
    cloud.cache("PUT", f"/{queued}")
    headers = {} if target is None else {"X_Image_Cache_Clear_Target": target}
    assert cloud.cache("DELETE", **headers).status == 204
    cached, waiting = cloud.state()
    assert (len(cached), len(waiting)) == left
    cloud.settle()
    assert cloud.places() == 0


def test_a_target_that_is_none(cloud: CacheCloud) -> None:
    cloud.cached()
    reply = cloud.cache("DELETE", X_Image_Cache_Clear_Target="invalid")
    assert reply.status == 400
    assert "x-image-cache-clear-target" in reply.json["message"]
    assert len(cloud.state()[0]) == 1


def test_nothing_is_taken_from_under_a_guest(tight: CacheCloud) -> None:
    server = tight.server()
    for call in (("DELETE", ""), ("DELETE", f"/{tight.image_id}"), ("POST", "/prune"), ("POST", "/clean")):
        assert tight.cache(*call).status in (200, 204)
    keep_caches(tight.cloud)
    assert tight.image_id in tight.state()[0]
    tight.do("DELETE", f"/servers/{server}")
    tight.settle()
    assert tight.cache("DELETE").status == 204
    assert tight.state() == ({}, [])


def test_a_server_that_may_be_rebuilt_keeps_its_image(cloud: CacheCloud) -> None:
    id = cloud.server()
    assert cloud.ask("DELETE", f"/image/v2/images/{cloud.image_id}", "admin").status == 204
    cloud.settle()
    for world in cloud.worlds.values():
        world.guests.clear()  # the moment between two lives of the guest
    keep_caches(cloud.cloud)
    assert cloud.cache("DELETE").status == 204
    assert list(cloud.state()[0]) == [cloud.image_id]
    cloud.do("DELETE", f"/servers/{id}")
    cloud.settle()
    keep_caches(cloud.cloud)
    assert cloud.state() == ({}, [])


def test_pruning_takes_what_nobody_asked_for_the_longest(tight: CacheCloud) -> None:
    assert tight.cache("POST", "/prune").json == {"total_files_pruned": 0, "total_bytes_pruned": 0}
    first, second, third = (tight.cached(byte) for byte in (b"a", b"b", b"c"))
    tight.server(imageRef=first)  # so that the second is the oldest, on one host at least
    reply = tight.cache("POST", "/prune")
    assert (reply.status, reply.json) == (200, {"total_files_pruned": 2, "total_bytes_pruned": 2 * SIZE})
    for world in tight.worlds.values():
        assert len(world.images) == 2
        assert third in world.images
    assert sorted(tight.state()[0]) == sorted({*tight.worlds["host-1"].images, *tight.worlds["host-2"].images})
    assert any(second not in world.images and first in world.images for world in tight.worlds.values())
    assert tight.cache("POST", "/prune").json == {"total_files_pruned": 0, "total_bytes_pruned": 0}


def test_the_cloud_prunes_by_itself(tight: CacheCloud) -> None:
    ids = [tight.cached(byte) for byte in (b"a", b"b", b"c")]
    keep_caches(tight.cloud)
    assert sorted(tight.state()[0]) == sorted(ids[1:])


def test_cleaning_removes_images_that_are_no_more(cloud: CacheCloud) -> None:
    kept, gone = cloud.cached(b"a"), cloud.cached(b"b")
    cloud.ask("DELETE", f"/image/v2/images/{gone}", "admin")
    reply = cloud.cache("POST", "/clean")
    assert (reply.status, reply.body) == (200, b"")
    assert list(cloud.state()[0]) == [kept]


CALLS = [
    *(("GET", ""), ("DELETE", ""), ("PUT", "/ID"), ("DELETE", "/ID")),
    *(("POST", "/clean"), ("POST", "/prune"), ("GET", "/nodes/ID")),
]


@pytest.mark.parametrize("call", CALLS, ids="".join)
@pytest.mark.parametrize("persona", ["manager", "member", "reader", "other", "service", "nobody"])
def test_only_administrators(cloud: CacheCloud, call: tuple[str, str], persona: str) -> None:
    id = cloud.cached()
    reply = cloud.cache(call[0], call[1].replace("ID", id), persona)
    sees = persona not in ("service", "nobody") or "ID" not in call[1]  # who may not even look at images
    assert reply.status == (403 if sees else 404)
    assert list(cloud.state()[0]) == [id]


@pytest.mark.parametrize("call", CALLS, ids="".join)
def test_nobody_without_a_token(cloud: CacheCloud, call: tuple[str, str]) -> None:
    assert cloud.ask(call[0], f"/image/v2/cache{call[1]}", None).status == 401


@pytest.mark.parametrize("call", [c for c in CALLS if "ID" in c[1]], ids="".join)
def test_a_hidden_image_is_not_told_of(cloud: CacheCloud, call: tuple[str, str]) -> None:
    id = cloud.image(b"mine", visibility="private")
    assert cloud.cache(call[0], call[1].replace("ID", id), "other").status == 404


@pytest.mark.parametrize("call", CALLS, ids="".join)
def test_where_the_operator_closed_it(closed: CacheCloud, call: tuple[str, str]) -> None:
    id = closed.image(b"a" * SIZE)
    path = call[1].replace("ID", id)
    reply = closed.cache(call[0], path)
    assert reply.status == 404
    assert "not supported at this site" in reply.json["message"]
    assert closed.cache(call[0], path, "member").status == 403
    assert closed.places() == 0


@pytest.mark.parametrize("values", [{"image_cache_max_size": -1}, {"image_cache_stall_time": "soon"}, {"size": 1}])
def test_settings_that_cannot_be_meant(values: dict[str, Any]) -> None:
    from tiffin.core.settings import SettingsError, section
    from tiffin.services.image.settings import Settings

    with pytest.raises(SettingsError):
        section({"image": {"cache": values}}, "image", Settings)
    assert msgspec.convert({}, CacheSettings) == CacheSettings()


def test_the_protocol_is_kept_by_the_hosts(cloud: CacheCloud) -> None:
    """What `ImageCaches` promises, of the hosts' caches."""
    caches = cloud.cloud.part(ImageCaches)
    id = cloud.image(b"a" * SIZE)
    for _ in range(2):
        caches.ensure("host-1", id)
    assert [copy.image_id for copy in caches.cached("host-1")] == [id]
    assert caches.cached("host-2") == []
    assert [caches.forget("host-1", id) for _ in range(2)] == [True, True]
    assert (caches.cached("host-1"), caches.clean("host-1", 0)) == ([], 0)
