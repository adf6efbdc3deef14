"""Importing an image of another region: two clouds, of which the second one is reached by real HTTP."""

from __future__ import annotations

import socketserver
import threading
import wsgiref.simple_server
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tiffin.core.cloud import ServiceRef
from tiffin.core.http.local import Reply
from tiffin.core.world import World
from tiffin.services.identity.bootstrap import CatalogEntry
from tiffin.services.identity.public import BootstrapOptions, Identity, IdentitySettings, Keys, bootstrap
from tiffin.services.image.tables import TaskRow
from web_servers import WebServer, reply, says, serving

from .conftest import ImageCloud

DATA = bytes(range(251)) * 10_000
IMAGE = (CatalogEntry("image", "glance", "/image"),)


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Tests say what they see."""


class _Threads(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    pass


@pytest.fixture
def far() -> Iterator[ImageCloud]:
    made = ImageCloud()
    yield made
    made.close()


@pytest.fixture
def far_url(far: ImageCloud) -> Iterator[str]:
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, far.client.app, _Threads, _Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class NearCloud(ImageCloud):
    """A cloud that knows other regions by its catalogue."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        imports = {"enabled_import_methods": ["glance-direct", "glance-download"], **settings}
        more = [ServiceRef("identity", "/identity", "tiffin.services.identity.service")]
        super().__init__({"image": {"imports": imports}}, more)
        self.cloud.add(Identity, Identity(Keys(folder), World(clock=self.clock), IdentitySettings(password_rounds=4)))
        self.region("RegionOne", "http://127.0.0.1:9")

    def region(self, name: str, url: str) -> None:
        with self.cloud.database.write() as session:
            bootstrap(session, self.cloud.world, "a long secret", name, url, BootstrapOptions(services=IMAGE, rounds=4))

    def start(self, id: str, far_id: Any, token: str = "member", region: Any = "RegionTwo", **more: Any) -> Reply:
        method = {"name": "glance-download", "glance_region": region, "glance_image_id": far_id, **more}
        return self.ask("POST", f"/image/v2/images/{id}/import", token, {"method": method})

    def until_it_ends(self) -> None:
        for _ in range(12):
            self.settle()
            self.clock.now += 60

    def task(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/image/v2/images/{id}/tasks").json["tasks"][0]
        return found

    def secrets(self) -> list[bytes | None]:
        with self.cloud.database.read() as session:
            return list(session.scalars(select(TaskRow.secret)))


@pytest.fixture
def near(tmp_path: Path, far_url: str) -> Iterator[NearCloud]:
    made = NearCloud(tmp_path / "keys")
    made.region("RegionTwo", far_url)
    yield made
    made.close()


def test_an_image_of_another_region(near: NearCloud, far: ImageCloud) -> None:
    there = far.active(DATA, name="there", hw_disk_bus="scsi", os_type="linux", os_version="7", mine="x", min_ram=7)
    id = near.make(name="here", os_type="windows", mine="y")["id"]
    assert near.start(id, there["id"]).status == 202
    assert near.show(id)["status"] == "importing"
    near.settle()
    image = near.show(id)
    assert (image["status"], image["size"], image["os_hash_value"]) == ("active", len(DATA), there["os_hash_value"])
    assert near.ask("GET", f"/image/v2/images/{id}/file").body == DATA
    # what the operator wants from there, and nothing else
    assert (image["name"], image["hw_disk_bus"], image["os_type"], image["mine"]) == ("here", "scsi", "linux", "y")
    assert (image["min_ram"], "os_version" in image) == (0, False)


def test_the_token_is_a_secret(near: NearCloud, far: ImageCloud) -> None:
    id, there = near.make()["id"], far.active(DATA)["id"]
    assert near.start(id, there).status == 202
    assert near.secrets() == [near.cloud.secrets.encrypt(b"member")]
    asked = near.task(id)["input"]["import_req"]["method"]
    assert asked["glance_region"] == "RegionTwo"
    assert "member" not in str(asked)
    near.settle()
    assert near.show(id)["status"] == "active"
    assert near.secrets() == [None]


def test_the_formats_are_those_of_there(near: NearCloud, far: ImageCloud) -> None:
    there = far.active(b"QFI\xfb\0\0\0\3" + bytes(16) + (1 << 20).to_bytes(8, "big") + bytes(600), disk_format="qcow2")
    id = near.make(disk_format="raw")["id"]
    assert near.start(id, there["id"], glance_service_interface="internal").status == 202
    near.settle()
    assert (near.show(id)["disk_format"], near.show(id)["virtual_size"]) == ("qcow2", 1 << 20)


def test_the_operator_says_which_properties(tmp_path: Path, far: ImageCloud, far_url: str) -> None:
    near = NearCloud(tmp_path / "keys", extra_properties=["mine", "os_", "name", "stat"])
    near.region("RegionTwo", far_url)
    there = far.active(DATA, name="there", mine="x", os_version="7", hw_disk_bus="scsi")
    id = near.make(name="here")["id"]
    assert near.start(id, there["id"]).status == 202
    near.settle()
    image = near.show(id)
    assert (image["name"], image["mine"], image["os_version"], image["os_hidden"]) == ("here", "x", "7", False)
    assert "hw_disk_bus" not in image
    near.close()


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"region": None}, "glance_region"),
        ({"region": ""}, "glance_region"),
        ({"region": "x" * 300}, "glance_region"),
        ({"glance_service_interface": 7}, "glance_service_interface"),
        ({"far_id": "not an id"}, "does not look like a UUID: not an id"),
        ({"far_id": "../../v2/images"}, "does not look like a UUID"),
        ({"far_id": None}, "glance_image_id"),
    ],
)
def test_what_cannot_be_asked(near: NearCloud, method: dict[str, Any], message: str) -> None:
    id = near.make()["id"]
    refused = near.start(id, **{"far_id": "0d6ae8e4-4d1c-4d6b-a0d4-7d2f5f1f8a3b", **method})
    assert refused.status == 400
    assert message in refused.json["message"]
    assert near.show(id)["status"] == "queued"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"region": "Nowhere"}, "no image service in the region 'Nowhere'"),
        ({"glance_service_interface": "secret"}, "the interface 'secret'"),
    ],
)
def test_a_region_that_the_catalogue_does_not_have(near: NearCloud, method: dict[str, Any], message: str) -> None:
    id = near.make(mine="as it was")["id"]
    assert near.start(id, **{"far_id": "0d6ae8e4-4d1c-4d6b-a0d4-7d2f5f1f8a3b", **method}).status == 202
    near.settle()
    (task,) = near.ask("GET", f"/image/v2/images/{id}/tasks").json["tasks"]
    assert (task["status"], message in task["message"]) == ("failure", True)
    image = near.show(id)
    assert (image["status"], image["mine"]) == ("queued", "as it was")


def test_it_is_not_there_unless_it_is_enabled(near: NearCloud, tmp_path: Path) -> None:
    assert near.ask("GET", "/image/v2/info/import").json["import-methods"]["value"] == ["glance-direct", "glance-download"]
    plain = NearCloud(tmp_path / "more keys", enabled_import_methods=["glance-direct"])
    id = plain.make()["id"]
    assert plain.start(id, id, region="RegionOne").status == 400
    plain.close()


def test_only_a_queued_image(near: NearCloud, far: ImageCloud) -> None:
    there = far.active(DATA)["id"]
    for id in (near.active()["id"], near.make()["id"]):
        if near.show(id)["status"] == "queued":
            assert near.put(id, b"some", what="stage").status == 204
        assert near.start(id, there).status == 409


def test_who_may(near: NearCloud, far: ImageCloud) -> None:
    there = far.active(DATA)["id"]
    for token, status in (("reader", 403), ("nobody", 404), ("other", 404), ("service", 404), ("manager", 202), ("admin", 202)):
        id = near.make(visibility="private")["id"]
        assert near.start(id, there, token).status == status, token
        near.settle()
        assert near.show(id)["status"] == ("active" if status == 202 else "queued")


def test_it_is_read_there_as_who_asks_here(near: NearCloud, far: ImageCloud) -> None:
    """An image that they may not see there is not there for them."""
    hidden = far.active(DATA, "other", visibility="private")["id"]
    id = near.make()["id"]
    assert near.start(id, hidden).status == 202
    near.until_it_ends()
    assert near.show(id)["status"] == "queued"
    assert near.task(id)["status"] == "failure"
    assert "answers 404" in near.task(id)["message"]
    assert near.secrets() == [None]
    assert list(near.store.keys()) == []


def test_only_an_active_image_of_there(near: NearCloud, far: ImageCloud) -> None:
    id = near.make()["id"]
    assert near.start(id, far.make()["id"]).status == 202
    near.until_it_ends()
    assert "'queued' in the other region" in near.task(id)["message"]
    assert near.show(id)["status"] == "queued"


BAD = {
    "no JSON": b"<html>",
    "a list": b"[]",
    "no status": b"{}",
    "a format": b'{"status": "active", "size": 3, "disk_format": "floppy", "container_format": "bare"}',
    "no size": b'{"status": "active", "disk_format": "raw", "container_format": "bare"}',
    "a size": b'{"status": "active", "size": "3", "disk_format": "raw", "container_format": "bare"}',
    "less than nothing": b'{"status": "active", "size": -3, "disk_format": "raw", "container_format": "bare"}',
    "a tebibyte": b'{"status": "active", "size": 9999999999999, "disk_format": "raw", "container_format": "bare"}',
    "NUL": b'{"status": "active", "size": 3, "disk_format": "raw", "container_format": "bare", "hw_a": "\\u0000"}',
    "a property": b'{"status": "active", "size": 3, "disk_format": "raw", "container_format": "bare", "hw_a": "'
    + b"x" * 70_000
    + b'"}',
    "properties": b'{"status": "active", "size": 3, "disk_format": "raw", "container_format": "bare"'
    + b"".join(b', "hw_%d": "x"' % n for n in range(200))
    + b"}",
    "a megabyte": b'"' + b"x" * (1 << 20) + b'"',
    "another length": b'{"status": "active", "size": 4000, "disk_format": "raw", "container_format": "bare"}',
}


@pytest.mark.parametrize("what", BAD)
def test_a_region_that_lies(near: NearCloud, what: str) -> None:
    with serving(says(reply("200 OK", BAD[what]))) as server:
        _fails(near, server)


def test_the_token_goes_nowhere_else(near: NearCloud) -> None:
    with serving(says(reply("200 OK", b"{}"))) as elsewhere:
        with serving(says(reply("302 Found", b"", f"Location: {elsewhere.url}/"))) as server:
            _fails(near, server)
            assert "X-Auth-Token: member" in server.asked[0]
        assert elsewhere.asked == []


def _fails(near: NearCloud, server: WebServer) -> None:
    near.region("RegionTwo", server.url)
    id = near.make()["id"]
    assert near.start(id, "0d6ae8e4-4d1c-4d6b-a0d4-7d2f5f1f8a3b").status == 202
    near.until_it_ends()
    assert near.show(id)["status"] == "queued"
    assert near.task(id)["status"] == "failure"
    assert near.secrets() == [None]
    assert list(near.store.keys()) == []
