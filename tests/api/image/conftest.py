"""The image service in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from support import TestCloud
from tiffin.core.cloud import ServiceRef
from tiffin.core.http.local import Reply
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.image.scratch import Scratch

OCTETS = {"Content_Type": "application/octet-stream"}


class ImageCloud(TestCloud):
    """A cloud with images only, and the words that its tests use."""

    def __init__(
        self, sections: Mapping[str, Any] | None = None, services: Iterable[ServiceRef] = (), **options: Any
    ) -> None:
        """`sections`: what an operator has set. `services`: further ones. `options`: those of `TestCloud`."""
        image = ServiceRef("image", "/image", "tiffin.services.image.service")
        super().__init__([image, *services], sections=sections, **options)
        self.store = MemoryStore()
        self.cloud.add(ImageStores, ImageStores([self.store]))
        self.scratch = Path(tempfile.gettempdir()) / f"tiffin-scratch-{self.cloud.world.new_id()}"  # made when it is needed
        self.cloud.add(Scratch, Scratch(self.scratch))

    def close(self) -> None:
        super().close()
        if self.scratch.exists():
            self.scratch.rmdir()  # nothing may be left in it

    def make(self, token: str = "member", **image: Any) -> dict[str, Any]:
        reply = self.ask("POST", "/image/v2/images", token, {"disk_format": "raw", "container_format": "bare", **image})
        assert reply.status == 201, reply.body
        self.settle()
        found: dict[str, Any] = reply.json
        return found

    def put(self, id: str, data: bytes, token: str = "member", what: str = "file", **headers: str) -> Reply:
        sent = {"X-Auth-Token": token, "Content-Type": "application/octet-stream"}
        sent |= {k.replace("_", "-"): v for k, v in headers.items()}
        reply = self.client.request("PUT", f"/image/v2/images/{id}/{what}", headers=sent, body=data)
        self.settle()
        return reply

    def active(self, data: bytes = b"some bytes", token: str = "member", **image: Any) -> dict[str, Any]:
        id = self.make(token, **image)["id"]
        reply = self.put(id, data, token)
        assert reply.status == 204, reply.body
        return self.show(id, token)

    def show(self, id: str, token: str = "member") -> dict[str, Any]:
        reply = self.ask("GET", f"/image/v2/images/{id}", token)
        assert reply.status == 200, reply.body
        found: dict[str, Any] = reply.json
        return found

    def patch(self, id: str, body: Any, token: str = "member", version: str = "2.1") -> Reply:
        media = f"application/openstack-images-v{version}-json-patch"
        return self.ask("PATCH", f"/image/v2/images/{id}", token, body, Content_Type=media)

    def listed(self, query: str = "", token: str = "member") -> list[str]:
        """The names that a list shows, in its order."""
        reply = self.ask("GET", f"/image/v2/images{query}", token)
        assert reply.status == 200, reply.body
        return [image["name"] for image in reply.json["images"]]


@pytest.fixture
def cloud() -> Iterator[ImageCloud]:
    made = ImageCloud()
    yield made
    made.close()
