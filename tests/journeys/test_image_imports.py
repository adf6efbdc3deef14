"""The unmodified client imports images from the web and from a region, with the engine at work behind real sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from openstack.connection import Connection

from networks import eventually
from openstack_session import OpenStack
from running_cloud import running_cloud
from web_servers import WebServer, pages, serving

DATA = bytes(range(251)) * 10_000
SETTINGS = """
[image.imports]
enabled_import_methods = ["glance-direct", "web-download", "glance-download"]

[image.web]
allowed_hosts = ["127.0.0.1"]
allowed_ports = [{port}]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    with serving(pages(image=DATA)) as made:
        yield made


@dataclass
class Client:
    command: OpenStack
    sdk: Connection

    def make(self, name: str) -> str:
        """Not by the command, which would wait for data on its standard input."""
        record = {"name": name, "disk_format": "raw", "container_format": "bare"}
        return str(self.sdk.image.post("/images", json=record).json()["id"])

    def show(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command(f"image show {name} -f json"))
        return found

    def becomes(self, name: str, status: str) -> bool:
        return eventually(lambda: self.show(name)["status"] == status, 20)


@pytest.fixture(scope="module")
def client(server: WebServer) -> Iterator[Client]:
    settings = SETTINGS.format(port=server.port)
    with running_cloud(simulated=True, settings=settings) as cloud, cloud.openstack() as command:
        yield Client(command, cloud.connect())


def test_from_the_web(client: Client, server: WebServer) -> None:
    client.make("web")
    client.command("image import --method web-download --uri http://169.254.169.254/ web")  # it does not look at the answer
    assert client.show("web")["status"] == "queued"
    client.command(f"image import --method web-download --uri {server.url}/image web")
    assert client.becomes("web", "active")
    assert client.show("web")["size"] == len(DATA)


def test_from_the_web_and_not_there(client: Client, server: WebServer) -> None:
    client.make("gone")
    client.command(f"image import --method web-download --uri {server.url}/gone gone")
    assert client.becomes("gone", "queued")
    assert client.show("gone")["properties"]["os_glance_failed_import"] == "file"


def test_from_a_region(client: Client, server: WebServer) -> None:
    """The region is this one: the cloud reads from itself, with the user's token, at the address in its catalogue."""
    there = client.make("there")
    client.command(f"image import --method web-download --uri {server.url}/image there")
    assert client.becomes("there", "active")
    client.make("here")
    where = f"--remote-region RegionOne --remote-image {there}"
    public = "--remote-service-interface public"  # without it the client says nothing of the region either
    client.command(f"image import --method glance-download {where} {public} here")
    assert client.becomes("here", "active")
    assert client.show("here")["checksum"] == client.show("there")["checksum"]
