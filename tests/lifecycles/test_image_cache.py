"""A place in the queue of the caches, killed, refused and taken away at every point."""

from __future__ import annotations

from api.image.test_cache import SIZE, CacheCloud
from lifecycles.harness import Fate, crash_tests


class CacheTrial:
    def __init__(self, fate: Fate) -> None:
        self.cloud = CacheCloud(fate)
        self.id = self.cloud.image(b"a" * SIZE)
        self.cloud.settle()

    def begin(self) -> None:
        assert self.cloud.cache("PUT", f"/{self.id}").status == 202

    def delete(self) -> None:
        assert self.cloud.cache("DELETE", f"/{self.id}").status == 204

    def check_promise(self) -> None:
        cached, queued = self.cloud.state()
        assert (list(cached), queued) == ([self.id], [])
        assert all(set(world.images) == {self.id} for world in self.cloud.worlds.values())
        assert self.cloud.kinds() == ["cache", "cache.end"]
        assert self.cloud.places() == 0

    def check_failed(self) -> None:
        assert self.cloud.state()[1] == []
        assert self.cloud.kinds()[-1] in ("error", "cache.end")
        assert self.cloud.places() == 0

    def check_gone(self) -> None:
        assert self.cloud.state() == ({}, [])
        assert all(world.images == {} for world in self.cloud.worlds.values())
        assert self.cloud.places() == 0


TestCache = crash_tests(CacheTrial)
