"""Importing from an address that the client names."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tiffin.core.http.local import Reply
from web_servers import WebServer, falls_silent, pages, reply, says, serving

from .conftest import ImageCloud

DATA = bytes(range(251)) * 10_000


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving(pages(image=DATA, qcow2=b"QFI\xfb" + bytes(600))) as made:
        yield made


@pytest.fixture
def cloud(server: WebServer) -> Iterator[ImageCloud]:
    made = that_reads(server)
    yield made
    made.close()


def that_reads(server: WebServer, **rules: Any) -> ImageCloud:
    return ImageCloud({"image": {"web": msgspec.to_builtins(server.rules(**rules))}})


def start(cloud: ImageCloud, id: str, uri: Any, token: str = "member", **more: Any) -> Reply:
    method = {"name": "web-download", "uri": uri}
    return cloud.ask("POST", f"/image/v2/images/{id}/import", token, {"method": method, **more})


def task(cloud: ImageCloud, id: str) -> dict[str, Any]:
    """The newest task of an image."""
    found: dict[str, Any] = cloud.ask("GET", f"/image/v2/images/{id}/tasks").json["tasks"][0]
    return found


def settle(cloud: ImageCloud) -> None:
    """Until nothing is tried any more."""
    for _ in range(12):
        cloud.settle()
        cloud.clock.now += 60


def test_an_image_of_the_web(cloud: ImageCloud, server: WebServer) -> None:
    id = cloud.make()["id"]
    assert start(cloud, id, f"{server.url}/image").status == 202
    assert cloud.show(id)["status"] == "importing"
    cloud.settle()
    image = cloud.show(id)
    assert (image["status"], image["size"], image["stores"]) == ("active", len(DATA), "memory")
    assert image["os_hash_value"] == hashlib.sha512(DATA).hexdigest()
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").body == DATA
    assert len(list(cloud.store.keys())) == 1
    done = task(cloud, id)
    assert done["status"] == "success"
    assert done["input"]["import_req"]["method"] == {"name": "web-download", "uri": f"{server.url}/image"}


def test_web_download_is_told(cloud: ImageCloud) -> None:
    assert "web-download" in cloud.ask("GET", "/image/v2/info/import").json["import-methods"]["value"]


@pytest.mark.parametrize(
    "uri",
    [
        *("file:///etc/passwd", "ftp://127.0.0.1/image", "http://169.254.169.254/latest", "http://2130706433/", "image"),
        *("http://user:secret@127.0.0.1/image", "http://127.0.0.1:22/image", "http://other.example/", "http://127.0.0.1 /"),
    ],
)
def test_addresses_that_do_not_pass(cloud: ImageCloud, server: WebServer, uri: str) -> None:
    id = cloud.make()["id"]
    refused = start(cloud, id, uri)
    assert refused.status == 400
    assert "URI for web-download does not pass filtering" in refused.json["message"]
    assert "secret" not in refused.json["message"]
    assert (cloud.show(id)["status"], server.asked) == ("queued", [])


@pytest.mark.parametrize("uri", [None, "", 7, ["http://127.0.0.1/"], "http://127.0.0.1/" + "x" * 10_000])
def test_what_is_no_address(cloud: ImageCloud, uri: Any) -> None:
    id = cloud.make()["id"]
    assert start(cloud, id, uri).status == 400
    assert cloud.ask("POST", f"/image/v2/images/{id}/import", json={"method": {"name": "web-download"}}).status == 400
    assert cloud.show(id)["status"] == "queued"


def test_only_a_queued_image(cloud: ImageCloud, server: WebServer) -> None:
    uri = f"{server.url}/image"
    staged = cloud.make()["id"]
    assert cloud.put(staged, b"some", what="stage").status == 204
    for id in (staged, cloud.active()["id"]):
        assert start(cloud, id, uri).status == 409
    id = cloud.make()["id"]
    assert start(cloud, id, uri).status == 202
    assert start(cloud, id, uri).status == 409  # the first one is still running


def test_who_may(cloud: ImageCloud, server: WebServer) -> None:
    uri = f"{server.url}/image"
    for token, status in (("reader", 403), ("nobody", 404), ("other", 404), ("service", 404), ("manager", 202), ("admin", 202)):
        id = cloud.make(visibility="private")["id"]
        assert start(cloud, id, uri, token).status == status, token
        cloud.settle()
        assert cloud.show(id)["status"] == ("active" if status == 202 else "queued")


@pytest.mark.parametrize("path", ["gone", "qcow2"])
def test_what_cannot_become_the_image(cloud: ImageCloud, server: WebServer, path: str) -> None:
    """It is not there, or not what the image says to be; either way the image can be tried again."""
    id = cloud.make(disk_format="vmdk" if path == "qcow2" else "raw")["id"]
    assert start(cloud, id, f"{server.url}/{path}").status == 202
    settle(cloud)
    image = cloud.show(id)
    assert (image["status"], image["os_glance_failed_import"], image["size"]) == ("queued", "memory", None)
    assert "os_glance_import_task" not in image
    assert list(cloud.store.keys()) == []
    failed = task(cloud, id)
    assert failed["status"] == "failure"
    assert ("answers 404" if path == "gone" else "does not match disk_format vmdk") in failed["message"]
    assert start(cloud, id, f"{server.url}/image").status == 202


HOSTILE = {
    "broken": says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"),
    "busy": says(reply("503 Busy")),
    "drops": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nbroken"),
    "redirect": says(reply("302 Found", b"", "Location: http://169.254.169.254/latest/meta-data")),
    "file": says(reply("302 Found", b"", "Location: file:///etc/passwd")),
    "gzip": says(reply("200 OK", b"\x1f\x8b" + bytes(100), "Content-Encoding: gzip")),
    "large": says(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\nabc"),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_servers(cloud: ImageCloud, server: WebServer, how: str) -> None:
    server.handler = HOSTILE[how]
    id = cloud.make()["id"]
    assert start(cloud, id, f"{server.url}/image").status == 202
    settle(cloud)
    assert cloud.show(id)["status"] == "queued"
    assert list(cloud.store.keys()) == []
    assert task(cloud, id)["status"] == "failure"
    server.handler = pages(image=DATA)
    assert start(cloud, id, f"{server.url}/image").status == 202
    cloud.settle()
    assert cloud.show(id)["status"] == "active"


def test_a_server_that_says_nothing(server: WebServer) -> None:
    cloud = that_reads(server, idle_seconds=0.1)
    server.handler = falls_silent()
    id = cloud.make()["id"]
    assert start(cloud, id, f"{server.url}/image").status == 202
    settle(cloud)
    assert (cloud.show(id)["status"], task(cloud, id)["status"]) == ("queued", "failure")
    assert "TimeoutError" in task(cloud, id)["message"]
    cloud.close()


def test_a_server_that_comes_back(cloud: ImageCloud, server: WebServer) -> None:
    server.handler = says(reply("503 Busy"))
    id = cloud.make()["id"]
    assert start(cloud, id, f"{server.url}/image").status == 202
    cloud.settle()
    assert cloud.show(id)["status"] == "importing"
    server.handler = pages(image=DATA)
    settle(cloud)
    assert cloud.show(id)["status"] == "active"
    assert len(list(cloud.store.keys())) == 1


def test_an_image_that_is_deleted_while_it_comes(cloud: ImageCloud, server: WebServer) -> None:
    """The server is let go of: it does not send to nobody for ever."""
    begun, gone = threading.Event(), threading.Event()
    id = cloud.make()["id"]

    def endless(head: str, wire: socket.socket) -> None:
        wire.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(3 << 20))
        if not begun.is_set():
            begun.set()
            assert cloud.ask("DELETE", f"/image/v2/images/{id}").status == 204
            cloud.clock.now += 60
        try:
            while True:
                wire.sendall(bytes(1 << 16))
        finally:
            gone.set()

    server.handler = endless
    assert start(cloud, id, f"{server.url}/image").status == 202
    settle(cloud)
    assert begun.is_set()
    assert gone.wait(5)
    assert cloud.ask("GET", f"/image/v2/images/{id}").status == 404
    assert list(cloud.store.keys()) == []


def test_a_signed_image_is_not_taken_from_the_web_either(cloud: ImageCloud, server: WebServer) -> None:
    signed = {"hash_method": "SHA-256", "key_type": "RSA-PSS", "certificate_uuid": "c"}
    id = cloud.make(img_signature="YQ==", **{f"img_signature_{name}": value for name, value in signed.items()})["id"]
    assert start(cloud, id, f"{server.url}/image").status == 202
    settle(cloud)
    assert cloud.show(id)["status"] == "queued"
    assert list(cloud.store.keys()) == []
    assert "Unable to retrieve certificate with ID: c" in task(cloud, id)["message"]
