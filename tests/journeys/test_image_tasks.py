"""Imports with the engine at work: killed in the middle, and beside each other; by the unmodified client and SDK."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection

from networks import eventually
from running_cloud import ADMIN, DEMO, RunningCloud, running_cloud
from storm import kill
from web_servers import WebServer, serving

DATA = bytes(range(251)) * 10_000
HALF = len(DATA) // 2
SETTINGS = """
[image.imports]
enabled_import_methods = ["glance-direct", "copy-image", "web-download"]
[image.web]
allowed_hosts = ["127.0.0.1"]
allowed_ports = [{port}]
[image.stores.fast]
kind = "file"
folder = "{folder}/fast"
default = true
[image.stores.slow]
kind = "file"
folder = "{folder}/slow"
"""


class Halting:
    """Sends half of the bytes, and the rest when it is let."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)

    def __call__(self, head: str, wire: socket.socket) -> None:
        wire.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:HALF])
        self.begun.release()
        self.go.wait(50)
        wire.sendall(DATA[HALF:])


@pytest.fixture
def halting() -> Halting:
    return Halting()


@pytest.fixture
def server(halting: Halting) -> Iterator[WebServer]:
    with serving(halting) as made:
        yield made
        halting.go.set()


@pytest.fixture
def cloud(server: WebServer, tmp_path: Path) -> Iterator[RunningCloud]:
    for name in ("fast", "slow"):
        (tmp_path / name).mkdir()
    with running_cloud(simulated=True, settings=SETTINGS.format(port=server.port, folder=tmp_path)) as made:
        yield made


def _make(sdk: Connection, name: str) -> str:
    record = {"name": name, "disk_format": "raw", "container_format": "bare"}
    return str(sdk.image.post("/images", json=record).json()["id"])


def _image(sdk: Connection, id: str) -> dict[str, Any]:
    found: dict[str, Any] = sdk.image.get(f"/images/{id}").json()
    return found


def _becomes(sdk: Connection, id: str, status: str) -> bool:
    return eventually(lambda: _image(sdk, id)["status"] == status, 30)


def _import(sdk: Connection, id: str, method: str, **more: Any) -> None:
    word = {"uri": more.pop("uri")} if "uri" in more else {}
    reply = sdk.image.post(f"/images/{id}/import", json={"method": {"name": method, **word}, **more})
    assert reply.status_code == 202, reply.text


def _files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())


def test_an_import_is_killed_in_the_middle(
    cloud: RunningCloud, halting: Halting, server: WebServer, tmp_path: Path
) -> None:
    sdk = cloud.connect()
    before = _files(tmp_path)
    id = _make(sdk, "killed")
    _import(sdk, id, "web-download", uri=f"{server.url}/image", all_stores=True)
    assert halting.begun.acquire(timeout=20)
    kill(cloud, "cloud")
    assert halting.begun.acquire(timeout=40), "it was not begun anew"
    halting.go.set()
    assert _becomes(sdk, id, "active")
    assert _image(sdk, id)["stores"] == "fast,slow"
    assert sdk.image.get(f"/images/{id}/file").content == DATA
    (task,) = sdk.image.get(f"/images/{id}/tasks").json()["tasks"]
    assert (task["status"], task["result"]) == ("success", {"image_id": id})
    assert eventually(lambda: _files(tmp_path) == before + 2, 30), "half a file was left"


def test_more_imports_than_threads_leave_the_engine_to_others(
    cloud: RunningCloud, halting: Halting, server: WebServer
) -> None:
    sdk = cloud.connect()
    waiting = [_make(sdk, f"waiting-{n}") for n in range(10)]
    for id in waiting:
        _import(sdk, id, "web-download", uri=f"{server.url}/image")
    assert halting.begun.acquire(timeout=20)
    network = sdk.network.create_network(name="beside")  # another lifecycle, with its steps to run
    assert eventually(lambda: sdk.network.get_network(network.id).status == "ACTIVE", 20)
    halting.go.set()
    assert all(_becomes(sdk, id, "active") for id in waiting)


def test_the_command_line_client(cloud: RunningCloud, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_bytes(DATA)
    with cloud.openstack(DEMO) as openstack, cloud.openstack(ADMIN) as admin:
        sdk = cloud.connect()
        id = _make(sdk, "staged")
        openstack(f"image stage --file {data} staged")
        openstack("image import staged --method glance-direct --store fast")
        assert _becomes(sdk, id, "active")
        assert openstack.json("image show staged")["properties"]["stores"] == "fast"
        admin(f"image import {id} --method copy-image --store slow --disallow-failure")
        assert eventually(lambda: _image(sdk, id)["stores"] == "fast,slow", 30)
        methods = openstack.json("image import info")["import-methods"]
        assert methods == ["glance-direct", "copy-image", "web-download"]
        tasks = admin.json("image task list")
        assert [(task["Type"], task["Status"]) for task in tasks] == [("api_image_import", "success")] * 2
        shown = admin.json(f"image task show {tasks[0]['ID']}")
        assert (shown["status"], shown["result"]) == ("success", {"image_id": id})
        assert "403" in openstack.refused("image task list")
