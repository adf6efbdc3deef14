"""An image that a host fetches before any server needs it; its cache is pruned as always."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core import lifecycle
from tiffin.core.lifecycle import Lifecycle, Outcome, done, go, inside, outside
from tiffin.core.tables import LifecycleRow
from tiffin.core.world import World
from tiffin.services.compute.drivers.base import Hosts
from tiffin.services.compute.lifecycles.wiring import base_image

CACHED = "compute.cached_image"


class CachedImageLife(Lifecycle):
    """Its frame says all: the host and the image. There is no other row."""

    kind = CACHED

    @outside
    def start(self) -> Outcome:
        image = base_image(self.frame["image"])
        assert image is not None
        self.part(Hosts).hypervisor(str(self.frame["host"])).prefetch_image(image)
        return go("kept")

    @inside
    def kept(self) -> Outcome:
        self._tell("cached")
        return done()

    @inside
    def failed(self) -> Outcome:
        self._tell("error", reason=self.reason)
        return done()

    @outside
    def teardown(self) -> Outcome:
        """The host lets go of the image by itself, once nothing names it any more."""
        return go("gone")

    @inside
    def gone(self) -> Outcome:
        return done()

    def _tell(self, kind: str, **more: Any) -> None:
        after = {"host": self.frame["host"], "image_id": self.frame["image"]["id"], **more}
        self.record(kind, CACHED, after=after)


def want(session: Session, world: World, host: str, image: dict[str, Any], request_id: str) -> None:
    """Have the host fetch the image (a `BootImage` as a server keeps it), unless it is about to."""
    if not is_wanted(session, host, image["id"]):
        frame = {"host": host, "image": image}
        lifecycle.begin(session, world, CACHED, _id(host, image["id"]), request_id=request_id, frame=frame)


def is_wanted(session: Session, host: str, image_id: str) -> bool:
    """Whether the host is about to fetch the image."""
    about_to = LifecycleRow.kind == CACHED, LifecycleRow.resource_id == _id(host, image_id)
    return session.scalar(select(LifecycleRow.id).where(*about_to)) is not None


def _id(host: str, image_id: str) -> str:
    return hashlib.sha256(f"{host}/{image_id}".encode()).hexdigest()
