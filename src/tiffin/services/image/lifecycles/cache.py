"""The life of a place in the queue of the caches: an image is brought to every host, then the place is free again."""

from __future__ import annotations

from sqlalchemy import delete, select

from tiffin.core.driver import Refused
from tiffin.core.lifecycle import Lifecycle, Outcome, done, go, inside, outside, sleep, slow
from tiffin.core.tables import LifecycleRow
from tiffin.services.image.drivers.base import ImageCaches
from tiffin.services.image.tables import CacheQueueRow


class CacheLife(Lifecycle):
    kind = "image.cache"
    patience = 30  # a quarter of an hour for a host that restarts
    deadline = 86_400.0  # as long as a large image takes to each of many hosts

    @inside
    def start(self) -> Outcome:
        """An earlier place of the image, taken from the queue, ends first: it may yet remove what it has brought."""
        same = LifecycleRow.kind == self.kind, LifecycleRow.frame["image_id"].as_string() == self._image_id
        earlier = select(LifecycleRow.id).where(*same, LifecycleRow.resource_id != self.id)
        return go("fetch") if self.db.scalar(earlier.limit(1)) is None else sleep(1.0)

    @slow
    def fetch(self) -> Outcome:
        """A host that does not answer does not keep the others from having the image."""
        silent: Refused | None = None
        for node in self.part(ImageCaches).nodes():
            try:
                self.part(ImageCaches).ensure(node, self._image_id)
            except Refused as no:
                silent = no
        if silent is not None:
            raise silent
        return go("fetched")

    @inside
    def fetched(self) -> Outcome:
        self._leave("cache.end")
        return done()

    @inside
    def failed(self) -> Outcome:
        self._leave("error")
        return done()

    @outside
    def teardown(self) -> Outcome:
        """Taken from the queue: what has come by then is not wanted, unless it was queued again."""
        with self.read() as session:
            again = select(CacheQueueRow.id).where(
                CacheQueueRow.image_id == self._image_id, CacheQueueRow.id != self.id
            )
            wanted = session.scalar(again) is not None
        if not wanted:
            for node in self.part(ImageCaches).nodes():
                self.part(ImageCaches).forget(node, self._image_id)
        return go("gone")

    @inside
    def gone(self) -> Outcome:
        self._leave("uncache.end")
        return done()

    @property
    def _image_id(self) -> str:
        return str(self.frame["image_id"])

    def _leave(self, kind: str) -> None:
        self.db.execute(delete(CacheQueueRow).where(CacheQueueRow.id == self.id))
        after = {"image_id": self._image_id} | ({"reason": self.reason} if kind == "error" else {})
        self.record(kind, "image.cache", after=after)
