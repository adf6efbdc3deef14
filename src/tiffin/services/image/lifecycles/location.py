"""An address that a client adds to an image: it is asked how many bytes there are, becomes a location, and is read for digests.

With digests that were told the image is active when they are the right ones; without, as soon as there is something to read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from tiffin.core import changes
from tiffin.core.driver import Impossible
from tiffin.core.errors import Fault
from tiffin.core.lifecycle import Outcome, go, inside, outside, slow
from tiffin.services.image import inspection, locations
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.inspection import Inspection
from tiffin.services.image.lifecycles.ending import DAY, Ending
from tiffin.services.image.tables import BlobRow, ImageRow, TaskRow

LOOK = 5.0
"""Seconds between two looks whether the image is still there."""
LOST = "The image was deleted before its location had been read."


class LocationLife(Ending):
    kind = "image.location"
    deadline = 7 * DAY  # a large image may come slowly

    @property
    def _hashes(self) -> bool:
        return self.settings.imports.locations.do_secure_hash

    def _mine(self, session: Session, *, lock: bool = False) -> tuple[ImageRow, BlobRow]:
        """The image and the address. Raises `Impossible` when they are gone."""
        blob = session.get(BlobRow, self.frame["blob"])
        image = session.get(ImageRow, blob.image_id, with_for_update=lock or None) if blob is not None else None
        if blob is None or blob.role == "gone" or image is None or image.status == "deleted":
            raise Impossible(LOST)
        return image, blob

    @inside
    def start(self) -> Outcome:
        task = self.db.get_one(TaskRow, self.id)
        task.status, task.updated_at = "processing", self.now
        return go("look")

    @slow
    def look(self) -> Outcome:
        """How many bytes are there?"""
        with self.read() as session:
            _, blob = self._mine(session)
        url = blob.address or ""
        self.frame["size"] = locations.size_at(self.part(ImageStores), url, self.settings.limits.bytes)
        return go("place")

    @inside
    def place(self) -> Outcome:
        """The address is one of the image's locations from here on."""
        image, blob = self._mine(self.db, lock=True)
        before, told, size = changes.picture(image), self.frame["told"], self.frame["size"]
        owner = image.owner or ""
        try:
            self.cloud.quotas("image").reserve(self.db, "image_size_total", (owner, owner), -(-size // locations.MIB))
        except Fault as no:
            raise Impossible(no.message) from no
        blob.role, blob.size, image.size, image.updated_at = "data", size, size, self.now
        locations.place(self.db, image, blob, 0, self.frame["metadata"])
        if not (told and self._hashes):
            image.status = "active"
            image.os_hash_algo = told.get("os_hash_algo", locations.OURS if self._hashes else None)
            image.os_hash_value, image.checksum = told.get("os_hash_value"), told.get("checksum")
        self.record("location", "image.image", before=before, after=changes.picture(image), project_id=image.owner)
        return go("digest" if self._hashes else "settle")

    @slow
    def digest(self) -> Outcome:
        """Read what is there, once."""
        with self.read() as session:
            image, blob = self._mine(session)
        told = self.frame["told"].get("os_hash_algo", locations.OURS)
        watched, other = Inspection(image.disk_format), None if told == locations.OURS else hashlib.new(told)
        chunks = self.part(ImageStores).get(blob.store).read(blob.address or "")
        size = 0
        for chunk in self._while_wanted(watched.watch(chunks)):
            if other is not None:
                other.update(chunk)
            size += len(chunk)
            if size > blob.size:
                break
        if size != blob.size:
            raise Impossible(f"There should be {blob.size} bytes at {blob.address}, and there are not.")
        found = watched.findings()
        try:
            inspection.check(found, image.disk_format or "", image.container_format or "", self.settings.limits.virtual_bytes)
        except Fault as no:
            raise Impossible(no.message) from no
        value = found.sha512 if other is None else other.hexdigest()
        self.frame["found"] = {"algo": told, "value": value, "checksum": found.checksum, "sha512": found.sha512,
                               "formats": found.formats, "virtual_size": found.virtual_size}  # fmt: skip
        return go("settle")

    def _while_wanted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Raises `Impossible` soon after the image has been deleted."""
        clock = self.cloud.world.clock
        due = clock() + LOOK
        for chunk in chunks:
            yield chunk
            if clock() >= due:
                due = clock() + LOOK
                with self.read() as session:
                    self._mine(session)

    @inside
    def settle(self) -> Outcome:
        """All is known that was asked."""
        image, blob = self._mine(self.db, lock=True)
        before, found = changes.picture(image), self.frame.pop("found", None)
        if found is not None:
            self._hold_against(found)
            blob.checksum, blob.sha512, blob.formats = found["checksum"], found["sha512"], found["formats"]
            blob.virtual_size = image.virtual_size = found["virtual_size"]
            image.os_hash_algo, image.os_hash_value, image.checksum = found["algo"], found["value"], found["checksum"]
        if image.status == "importing":
            image.status = "active"
        image.updated_at = self.now
        self.record("import.end", "image.image", before=before, after=changes.picture(image), project_id=image.owner)
        task = self.db.get_one(TaskRow, self.id)
        task.result = {"image_id": image.id}
        return self.end(task, "success", "")

    def _hold_against(self, found: dict[str, Any]) -> None:
        told = self.frame["told"]
        if told and told["os_hash_value"].lower() != found["value"]:
            raise Impossible(f"The {found['algo']} digest of the data is {found['value']}, not {told['os_hash_value']}.")
        if told.get("checksum", found["checksum"]).lower() != found["checksum"]:
            raise Impossible(f"The MD5 digest of the data is {found['checksum']}, not {told['checksum']}.")

    @inside
    def failed(self) -> Outcome:
        """An image that waits for its digests is queued again. Its location remains to be seen, as upstream leaves it, until
        other bytes come; nobody reads it."""
        task = self.db.get_one(TaskRow, self.id)
        if task.expires_at is not None:
            return go("keep", deadline=task.expires_at + DAY)
        try:
            image, blob = self._mine(self.db, lock=True)
        except Impossible:
            return self.end(task, "failure", LOST)
        before = changes.picture(image)
        if blob.role == "address":
            blob.role = "gone"
            self.ask("image.image", image.id, "watch")
        if image.status == "importing":
            image.status, image.size = "queued", None
        if image.os_hash_value is None:
            image.os_hash_algo = None
        image.updated_at = self.now
        after = {"status": image.status, "reason": self.reason}
        self.record("error", "image.image", before=before, after=after, project_id=image.owner)
        return self.end(task, "failure", self.reason)

    @outside
    def teardown(self) -> Outcome:
        """The image has been deleted. There is nothing of ours at the address."""
        return go("cancelled")

    @inside
    def cancelled(self) -> Outcome:
        return self.end(self.db.get_one(TaskRow, self.id), "failure", LOST)
