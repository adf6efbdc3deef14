"""An image that a host fetches before any server needs it, and keeps for a while."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core import lifecycle
from tiffin.core.lifecycle import Lifecycle, Outcome, done, go, inside, outside, rest
from tiffin.core.tables import LifecycleRow
from tiffin.core.world import World
from tiffin.services.compute.drivers.base import Hosts
from tiffin.services.compute.lifecycles.wiring import base_image

CACHED = "compute.cached_image"


class CachedImageLife(Lifecycle):
    """Its frame says all: the host, the image, and until when it is kept. There is no other row."""

    kind = CACHED
    requests = {"again": "start"}  # noqa: RUF012  (a ClassVar by its base)

    @outside
    def start(self) -> Outcome:
        image = base_image(self.frame["image"])
        assert image is not None
        self.part(Hosts).hypervisor(str(self.frame["host"])).ensure_cached(image)
        return go("kept")

    @inside
    def kept(self) -> Outcome:
        self.frame["until"] = self.now + self.cloud.service("compute").settings.keep_cached_seconds
        self._tell("cached")
        return rest()

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
    """Have the host fetch the image (a `BootImage` as a server keeps it), or keep it for another while."""
    id = hashlib.sha256(f"{host}/{image['id']}".encode()).hexdigest()
    if not lifecycle.ask(session, world.clock(), (CACHED, id), "again", request_id=request_id):
        lifecycle.begin(session, world, CACHED, id, request_id=request_id, frame={"host": host, "image": image})


def wanted(session: Session, now: float) -> tuple[dict[str, set[str]], list[str]]:
    """({host: ids of images that it keeps}, the lifecycles that have kept theirs long enough)."""
    keeps: dict[str, set[str]] = {}
    over = []
    rows = session.execute(select(LifecycleRow.resource_id, LifecycleRow.frame).where(LifecycleRow.kind == CACHED))
    for id, frame in rows:
        if frame.get("until", now) < now:
            over.append(id)
        else:
            keeps.setdefault(frame["host"], set()).add(frame["image"]["id"])
    return keeps, over
