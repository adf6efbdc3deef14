"""A copy of an image is given up, killed, refused and deleted at every point: its bytes go, and no others."""

from __future__ import annotations

from lifecycles.harness import Fate, crash_tests
from lifecycles.test_image import DATA, FatefulCloud
from tiffin.core.changes import Origin
from tiffin.services.image import uploads
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.image.tables import ImageRow


class GiveUpTrial:
    """One of two images that are equal gives up its copy in each of two stores that the other does not have."""

    def __init__(self, fate: Fate) -> None:
        self.cloud = FatefulCloud(fate)
        self.second = MemoryStore(name="second", fate=fate)
        self.cloud.cloud.add(ImageStores, ImageStores([self.cloud.store, self.second]))
        self.id, self.other = self.cloud.active(DATA)["id"], self.cloud.active(DATA)["id"]
        with self.cloud.cloud.database.write() as session:
            image = session.get_one(ImageRow, self.id)
            origin = Origin(self.cloud.clock.now, "req-1", None, "p1")
            claim = uploads.claim(session, self.cloud.cloud, image, origin, purpose="copy", store="second")
        uploads.bring(self.cloud.cloud, claim, [DATA])
        self.cloud.settle()

    def begin(self) -> None:
        assert self.cloud.ask("DELETE", f"/image/v2/stores/second/{self.id}", "admin").status == 204

    def delete(self) -> None:
        assert self.cloud.ask("DELETE", f"/image/v2/images/{self.id}").status == 204

    def check_promise(self) -> None:
        assert self.cloud.show(self.id)["stores"] == "memory"
        assert list(self.second.keys()) == []
        for id in (self.id, self.other):
            assert self.cloud.ask("GET", f"/image/v2/images/{id}/file").body == DATA
        assert [blob.role for blob in self.cloud.blobs()] == ["data"]
        self.cloud.check_consistent()

    def check_failed(self) -> None:
        """It is refused for ever: the bytes still have their row, and the image is as it was promised."""
        assert self.cloud.show(self.id)["stores"] == "memory"
        known = {blob.id for blob in self.cloud.blobs()}
        assert {*self.cloud.store.keys(), *self.second.keys()} <= known

    def check_gone(self) -> None:
        assert self.cloud.ask("GET", f"/image/v2/images/{self.id}").status == 404
        assert self.cloud.ask("GET", f"/image/v2/images/{self.other}/file").body == DATA
        assert (list(self.second.keys()), len(self.cloud.blobs()), self.cloud.lives()) == ([], 1, 1)
        self.cloud.check_consistent()


TestGiveUp = crash_tests(GiveUpTrial)
