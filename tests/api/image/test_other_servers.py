"""Images whose bytes are on somebody else's server, who may change or lose them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.http import HttpStore
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.image.tables import BlobRow, ImageRow, LocationRow
from tiffin.services.image.web import WebReader
from web_servers import WebServer, pages, reply, says, serving

from .conftest import ImageCloud

DATA = bytes(range(251)) * 10_000


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving(pages(image=DATA)) as made:
        yield made


class FarCloud(ImageCloud):
    """With a store of ours and one that is only read."""

    def __init__(self, server: WebServer) -> None:
        super().__init__()
        self.web = HttpStore(WebReader(server.rules(), most=1 << 30), name="web")
        self.cloud.add(ImageStores, ImageStores([self.store, self.web]))
        self.server = server

    def elsewhere(self) -> str:
        """An active image whose bytes are on the server."""
        id: str = self.make()["id"]
        with self.cloud.database.write() as session:
            image = session.get_one(ImageRow, id)
            image.status, image.size, image.stores = "active", len(DATA), ["web"]
            image.os_hash_algo, image.os_hash_value = "sha512", hashlib.sha512(DATA).hexdigest()
            session.add(
                BlobRow(
                    id=f"blob-{id[:8]}", image_id=id, store="web", address=f"{self.server.url}/image", role="data",
                    owner="", expires=0.0, size=len(DATA), sha512=image.os_hash_value, formats=["raw"],
                )
            )  # fmt: skip
            session.flush()
            session.add(LocationRow(image_id=id, blob_id=f"blob-{id[:8]}", data={}))
        return id

    def copy(self, id: str) -> str:
        """Copy it to our store; how that ended."""
        asked = {"method": {"name": "copy-image"}, "stores": [self.store.name]}
        assert self.ask("POST", f"/image/v2/images/{id}/import", "admin", asked).status == 202
        for _ in range(12):
            self.settle()
            self.clock.now += 60
        found: str = self.ask("GET", f"/image/v2/images/{id}/tasks").json["tasks"][0]["message"]
        return found


@pytest.fixture
def cloud(server: WebServer) -> Iterator[FarCloud]:
    made = FarCloud(server)
    yield made
    made.close()


def test_it_is_read_from_there(cloud: FarCloud) -> None:
    id = cloud.elsewhere()
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").body == DATA
    part = cloud.ask("GET", f"/image/v2/images/{id}/file", Range="bytes=5-9")
    assert (part.status, part.body) == (206, DATA[5:10])
    assert "Range: bytes=5-9\r\n" in cloud.server.asked[-1]


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        (reply("404 Not Found"), 409, "not there any more"),
        (reply("503 Busy"), 503, "cannot be read now"),
        (reply("403 Forbidden"), 409, "cannot be read"),
        (b"SSH-2.0\r\n", 503, "cannot be read now"),
        (reply("302 Found", b"", "Location: http://169.254.169.254/"), 409, "Nothing is read from the host 169.254.169.254"),
    ],
)
def test_a_server_that_does_not_have_it(cloud: FarCloud, answer: bytes, status: int, why: str) -> None:
    id = cloud.elsewhere()
    cloud.server.handler = says(answer)
    refused = cloud.ask("GET", f"/image/v2/images/{id}/file")
    assert refused.status == status
    assert why in refused.json["message"]


def test_a_copy_is_made_of_it(cloud: FarCloud) -> None:
    """And is read when the server is gone."""
    id = cloud.elsewhere()
    cloud.copy(id)
    assert cloud.show(id)["stores"].split(",") == ["memory", "web"]
    cloud.server.handler = says(reply("503 Busy"))
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").body == DATA


def test_another_place_is_read_when_the_first_does_not_answer(cloud: FarCloud) -> None:
    id = cloud.elsewhere()
    cloud.copy(id)
    cloud.cloud.add(ImageStores, ImageStores([cloud.store, cloud.web], default="web", staging=cloud.store))
    cloud.server.handler = says(reply("503 Busy"))
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").body == DATA


def test_nothing_else_is_copied(cloud: FarCloud) -> None:
    """The server has other bytes by now."""
    id = cloud.elsewhere()
    cloud.server.handler = pages(image=DATA[::-1])
    assert "is not what it was" in cloud.copy(id)
    assert (cloud.show(id)["status"], cloud.show(id)["stores"]) == ("active", "web")
    assert list(cloud.store.keys()) == []


def test_bytes_of_ours_that_have_changed_are_not_copied(cloud: FarCloud) -> None:
    """As they would when a disk is broken."""
    more = MemoryStore(name="more")
    cloud.cloud.add(ImageStores, ImageStores([cloud.store, more]))
    id = cloud.active(DATA)["id"]
    (key,) = cloud.store.keys()
    cloud.store._kept[key] = DATA[:-1] + b"!"
    asked = {"method": {"name": "copy-image"}, "stores": ["more"]}
    assert cloud.ask("POST", f"/image/v2/images/{id}/import", "admin", asked).status == 202
    for _ in range(12):
        cloud.settle()
        cloud.clock.now += 60
    assert (cloud.show(id)["stores"], list(more.keys())) == ("memory", [])


def test_it_is_nobody_elses_to_delete(cloud: FarCloud) -> None:
    id = cloud.elsewhere()
    assert cloud.ask("DELETE", f"/image/v2/images/{id}").status == 204
    cloud.settle()
    with cloud.cloud.database.read() as session:
        assert session.get(ImageRow, id) is None
        assert session.get(BlobRow, f"blob-{id[:8]}") is None
    assert cloud.server.asked == []
