"""The life of an image: its record outlives no byte, and no byte outlives its record.

At rest most of the time. `watch` looks after uploads: a claim that is not renewed is taken back, and bytes that nobody
needs are swept. `delete` removes it all. Imports are tasks (task.py), which own the image while they run.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import delete, select

from tiffin.core import changes
from tiffin.core.lifecycle import Lifecycle, Outcome, done, go, inside, outside, rest, sleep
from tiffin.services.image import importing, uploads
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.tables import BlobRow, ImageRow, LocationRow, MemberRow


class ImageLife(Lifecycle):
    kind = "image.image"
    requests: ClassVar[dict[str, str]] = {"watch": "watch", "import": "judge"}
    patience = 1_000_000  # only bytes to be forgotten can be refused, and they are tried until they are
    deadline = 86_400.0  # an upload may take as long as its client keeps sending

    @inside
    def start(self) -> Outcome:
        return rest()

    @inside
    def watch(self) -> Outcome:
        """Wait for uploads and copies; take their claims back when they have died."""
        running = self._being_written()
        for blob in running:
            if blob.expires <= self.now:
                self._abandon(blob, f"The {blob.role} broke off.")
        waits = [blob.expires - self.now for blob in running if blob.expires > self.now]
        return sleep(min(waits) + 0.1) if waits else go("sweep")

    def _being_written(self) -> list[BlobRow]:
        mine = BlobRow.image_id == self.id
        return list(self.db.scalars(select(BlobRow).where(mine, BlobRow.role.in_(uploads.BEING_WRITTEN))))

    def _abandon(self, blob: BlobRow, why: str) -> None:
        image = self.db.get_one(ImageRow, self.id)
        before = changes.picture(image)
        uploads.abandon(image, blob)
        image.updated_at = self.now
        self.record(
            "error", "image.image", before=before, after={"status": image.status, "reason": why}, project_id=image.owner
        )

    @inside
    def judge(self) -> Outcome:
        """An import that an older release has begun goes on as a task."""
        image = self.db.get_one(ImageRow, self.id)
        if image.status == "importing" and not importing.is_taken(image):
            asked = {"method": {"name": "glance-direct"}}
            stores = [self.part(ImageStores).default]
            given = {"image_id": image.id, "import_req": asked, "backend": stores}
            task = importing.new(
                self.cloud.world, self.request_id, owner=image.owner, image_id=image.id, input=given
            )
            importing.take(image, task.id, stores)
            importing.begin(self.db, self.cloud.world, task, importing.Plan(asked["method"], stores))
        return go("sweep")

    @outside
    def sweep(self) -> Outcome:
        """Forget bytes that nobody needs."""
        with self.read() as session:
            gone = list(session.scalars(select(BlobRow).where(BlobRow.image_id == self.id, BlobRow.role == "gone")))
        if not gone:
            return rest()
        self._forget(gone)
        return go("swept")

    def _forget(self, gone: list[BlobRow]) -> None:
        for blob in gone:
            if blob.address is None:  # what is at an address is somebody else's
                self.part(ImageStores).get(blob.store).delete(blob.id)
        self.frame["forgotten"] = [blob.id for blob in gone]

    @inside
    def swept(self) -> Outcome:
        self.db.execute(delete(BlobRow).where(BlobRow.id.in_(self.frame.pop("forgotten", []))))
        return rest()

    @inside
    def failed(self) -> Outcome:
        """Past its deadline: the image can be tried again, and so is the sweep."""
        for blob in self._being_written():
            self._abandon(blob, self.reason)
        return go("sweep")

    @outside
    def teardown(self) -> Outcome:
        """What is `data` by now is other images', to whom the deletion has left it."""
        with self.read() as session:
            mine = select(BlobRow).where(BlobRow.image_id == self.id, BlobRow.role != "data")
            self._forget(list(session.scalars(mine)))
        return go("gone")

    @inside
    def gone(self) -> Outcome:
        for table in (LocationRow, BlobRow, MemberRow):
            self.db.execute(delete(table).where(table.image_id == self.id))
        image = self.db.get(ImageRow, self.id)
        if image is not None:
            self.db.delete(image)
            self.record("delete.end", "image.image", project_id=image.owner)
        return done()
