"""A location is added, killed, refused and deleted at every point: an image that can be read, or one that can be tried again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from lifecycles.harness import Fate, crash_tests
from lifecycles.test_image import DATA, FatefulCloud
from tiffin.core.driver import Impossible
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.http import HttpStore

URL = "http://example.org/image"


class Elsewhere:
    """Another server's bytes, which fate may keep from us."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    def size(self, url: str) -> int:
        self._fate("size?")
        return len(DATA)

    def read(self, url: str, start: int, length: int | None) -> Iterator[bytes]:
        if url != URL:
            raise Impossible(f"Nothing is at {url}.")
        self._fate("read?")
        yield DATA[:5]
        self._fate("read!")
        yield DATA[5:]


class LocationTrial:
    told: dict[str, str] = {}  # noqa: RUF012  # only read

    def __init__(self, fate: Fate) -> None:
        self.cloud = FatefulCloud(fate)
        self.cloud.cloud.add(ImageStores, ImageStores([self.cloud.store, HttpStore(Elsewhere(fate), name="web")]))
        self.id = self.cloud.make()["id"]

    def begin(self) -> None:
        said = {"url": URL, "validation_data": self.told}
        assert self.cloud.ask("POST", f"/image/v2/images/{self.id}/locations", json=said).status == 202

    def delete(self) -> None:
        assert self.cloud.ask("DELETE", f"/image/v2/images/{self.id}").status == 204

    def check_promise(self) -> None:
        image = self.cloud.show(self.id)
        assert (image["status"], image["stores"], image["size"]) == ("active", "web", len(DATA))
        assert image["os_hash_value"] == hashlib.sha512(DATA).hexdigest()
        assert self.cloud.ask("GET", f"/image/v2/images/{self.id}/file").body == DATA
        assert [(blob.role, blob.address) for blob in self.cloud.blobs()] == [("data", URL)]
        assert (self.cloud.changes("location"), self.cloud.changes("import.end")) == (2, 1)
        assert self._task() == "success"

    def _task(self) -> str:
        tasks = self.cloud.ask("GET", f"/image/v2/images/{self.id}/tasks").json["tasks"]
        assert len(tasks) == 1
        return str(tasks[0]["status"])

    def check_failed(self) -> None:
        image, task = self.cloud.show(self.id), self._task()
        assert (image["status"], task) in (("active", "success"), ("active", "failure"), ("queued", "failure"))
        assert (task == "success") == (image["os_hash_value"] is not None)
        assert {blob.role for blob in self.cloud.blobs()} <= {"data"}

    def check_gone(self) -> None:
        assert (self.cloud.row(), self.cloud.blobs()) == (None, [])
        assert self.cloud.lives() <= 1  # of the task, which is shown until it expires
        self.cloud.clock.now += 3 * 86_400
        self.cloud.settle()
        assert self.cloud.lives() == 0


class ValidatedTrial(LocationTrial):
    """With digests that are told, the image is not active before they have been found right."""

    told = {"os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(DATA).hexdigest()}  # noqa: RUF012  # only read

    def check_failed(self) -> None:
        image, task = self.cloud.show(self.id), self._task()
        assert (image["status"], task) in (("active", "success"), ("queued", "failure"))


TestLocation = crash_tests(LocationTrial)
TestValidatedLocation = crash_tests(ValidatedTrial)
