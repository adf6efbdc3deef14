"""The life of a task: an import fetches bytes, lets the plug-ins change them, and places them in one store after the other.

`judge` comes after whatever brought bytes: they are what the image says, or the import fails. What was staged lies in a store
already; where that is one that the import is for, its bytes are the image's without a copy. A task that has ended is shown until
it expires.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import structs
from sqlalchemy.orm import Session

from tiffin.core import changes, lifecycle
from tiffin.core.driver import Impossible, Refused
from tiffin.core.errors import Fault, Gone
from tiffin.core.lifecycle import Outcome, go, inside, outside, slow
from tiffin.services.image import content, import_parts, importing, inspection, scratch, signatures, uploads
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.import_parts import Facts, Given
from tiffin.services.image.lifecycles.ending import DAY, Ending
from tiffin.services.image.scratch import Scratch
from tiffin.services.image.tables import BlobRow, ImageRow, TaskRow
from tiffin.services.image.uploads import MIB, Purpose

TELL = 5.0
"""Seconds between two words on the progress."""


class TaskLife(Ending):
    kind = "image.task"
    deadline = 7 * DAY  # a large image may come slowly

    def _mine(self, session: Session, store: str = "", *, lock: bool = True) -> ImageRow:
        """The image, which waits for this task; for changing it, unless `lock` is False. Raises `Impossible`."""
        task = session.get_one(TaskRow, self.id)
        image = session.get(ImageRow, task.image_id, with_for_update=lock or None) if task.image_id else None
        if image is None or not importing.expects(image, self.id, store):
            raise Impossible(f"The image {task.image_id} does not wait for this import any more.")
        return image

    @inside
    def start(self) -> Outcome:
        task = self.db.get_one(TaskRow, self.id)
        task.status, task.updated_at = "processing", self.now
        if "method" not in self.frame:
            raise Impossible(f"Tasks of type {task.type} are made by the image API alone: POST /v2/images/ID/import.")
        self._mine(self.db)
        return go("fetch")

    # --- bytes come -----------------------------------------------------------------------------------------------------

    @slow
    def fetch(self) -> Outcome:
        """Bring the bytes to where they wait, from where the method says."""
        with self.read() as session:
            facts, kept = self._facts(session), session.get_one(TaskRow, self.id).secret
        method = self.frame["method"]
        given = Given({k: v for k, v in method.items() if k != "name"}, self._open(kept))
        source = import_parts.method(method["name"]).open(self.cloud, facts, given)
        if source is not None:
            formats = (source.disk_format or facts.disk_format, source.container_format or facts.container_format)
            self.frame["bytes"] = self._bring(source.chunks, "fetch", exactly=source.size, disk_format=formats[0])
            self.frame["formats"], self.frame["properties"] = formats, dict(source.properties)
        return go("judge")

    def _open(self, kept: bytes | None) -> str:
        return "" if kept is None else self.cloud.secrets.decrypt(kept).decode()

    def _facts(self, session: Session) -> Facts:
        task, image = session.get_one(TaskRow, self.id), self._mine(session, lock=False)
        staged = self._staged(session, image)
        return Facts(
            image_id=image.id,
            task_id=task.id,
            owner=image.owner,
            disk_format=image.disk_format or "",
            container_format=image.container_format or "",
            properties=importing.own(image.properties),
            stores=tuple(importing.coming(image)),
            user_id=task.user_id,
            project_id=task.owner,
            roles=tuple(task.roles),
            found=uploads.findings(staged) if staged else None,
        )

    def _staged(self, session: Session, image: ImageRow) -> BlobRow | None:
        """The staged bytes that count: those that this task brought last, or that were there before it."""
        staged = importing.staged(session, image.id)
        return next((blob for blob in staged if blob.id == self.frame.get("bytes", blob.id)), None)

    def _bring(
        self,
        chunks: Iterable[bytes],
        purpose: Purpose,
        store: str = "",
        *,
        exactly: int | None = None,
        disk_format: str = "",
    ) -> str:
        """Bring bytes into a store, and give their key. `disk_format`: what they are, where the image does not say so yet.
        Raises `Impossible` when they may not come, `Refused` when they may when it is tried again."""
        try:
            with self.cloud.database.write() as session:
                image = self._mine(session, store)
                origin = changes.Origin(self.now, self.request_id, None, image.owner)
                room = self._room(session, image) if purpose == "fetch" else None
                claim = uploads.claim(
                    session, self.cloud, image, origin, purpose=purpose, store=store, most=room, task=self.id
                )
            claim = structs.replace(claim, exactly=exactly, disk_format=disk_format or claim.disk_format)
            uploads.bring(self.cloud, claim, self._told(chunks, image.id))
        except Gone as lost:  # the claim, or the image: the next attempt will see
            raise Refused(lost.message) from lost
        except Fault as no:
            raise Impossible(no.message) from no
        finally:
            _close(chunks)
        return claim.key

    def _room(self, session: Session, image: ImageRow) -> int | None:
        quotas = self.cloud.quotas("image")
        rooms = [quotas.room(session, name, image.owner or "") for name in ("image_stage_total", "image_size_total")]
        return min((max(0, room) * MIB for room in rooms if room is not None), default=None)

    def _told(self, chunks: Iterable[bytes], image_id: str) -> Iterator[bytes]:
        """Say now and then how far it is, and see whether anybody still waits. Raises `Gone`."""
        size, due = 0, self.now + TELL
        for chunk in chunks:
            yield chunk
            size, now = size + len(chunk), self.cloud.world.clock()
            if now < due:
                continue
            due = now + TELL
            with self.cloud.database.write() as session:
                image, task = session.get(ImageRow, image_id), session.get_one(TaskRow, self.id)
                if image is None or not importing.expects(image, self.id):
                    raise Gone(f"The image {image_id} does not wait for this import any more.")
                task.message, task.updated_at = f"Copied {size // MIB} MiB", now

    # --- bytes are judged, changed, and judged again --------------------------------------------------------------------

    @inside
    def judge(self) -> Outcome:
        """Whether what has come is what the image says; by then no plug-in has to change it any more. One that makes a
        program read it looks at it first itself."""
        image = self._mine(self.db)
        if self._copies(image):
            return self._next(image)
        blob = self._newest(image)
        image.disk_format, image.container_format = self.frame.pop("formats", (image.disk_format, image.container_format))
        self.db.flush()
        facts = self._facts(self.db)
        for plugin in import_parts.transforms(self.settings):
            if plugin.name not in self.frame.get("done", []) and plugin.wanted(facts, self.settings):
                self.frame["plugin"] = plugin.name
                return go("transform")
        try:
            found, most = uploads.findings(blob), self.settings.limits.virtual_bytes
            inspection.check(found, image.disk_format or "", image.container_format or "", most)
            signatures.check(image.id, image.properties)
        except Fault as no:
            raise Impossible(no.message) from no
        return self._next(image)

    @staticmethod
    def _copies(image: ImageRow) -> bool:
        """Whether the image is there already, and goes to further stores."""
        return image.status != "importing"

    def _newest(self, image: ImageRow) -> BlobRow:
        """The staged bytes that count; others are `gone`."""
        found = self._staged(self.db, image)
        if found is None:
            raise Impossible("The staged bytes are not there any more.")
        for blob in importing.staged(self.db, image.id):
            blob.role = "stage" if blob is found else "gone"
        self.frame["bytes"] = found.id
        return found

    @slow
    def transform(self) -> Outcome:
        """Let a plug-in make other bytes of the staged ones."""
        self.part(Scratch).forget(self.id)
        with self.read() as session:
            facts, staged = self._facts(session), session.get_one(BlobRow, self.frame["bytes"])
        plugin = next(p for p in import_parts.transforms(self.settings) if p.name == self.frame["plugin"])
        with self.part(Scratch).folder(self.id) as folder:
            scratch.keep(folder / "source", self.part(ImageStores).get(staged.store).read(staged.id))
            changed = plugin.run(folder / "source", folder / "target", facts, self.settings)
            self.frame["bytes"] = self._bring(scratch.read(folder / "target"), "fetch", disk_format=changed.disk_format)
        self.frame["formats"] = (changed.disk_format, changed.container_format)
        self.frame["done"] = [*self.frame.get("done", []), plugin.name]
        return go("judge")

    # --- bytes are placed -----------------------------------------------------------------------------------------------

    @slow
    def place(self) -> Outcome:
        """Copy the bytes into the next store."""
        stores = self.part(ImageStores)
        with self.read() as session:
            image = self._mine(session, lock=False)
            store = importing.coming(image)[0]
            there = importing.has(session, image.id, store)
            blob = self._staged(session, image)
            places = [content.Place(blob.store, blob.id)] if blob else content.places(session, image.id, stores)
        if not there:
            self._bring(content.read(stores, places), "copy", store)
        return go("placed")

    @inside
    def placed(self) -> Outcome:
        return self._next(self._mine(self.db))

    def _next(self, image: ImageRow) -> Outcome:
        """Go on to the next store that needs a copy, past those that have the bytes."""
        for store in importing.coming(image):
            if not importing.has(self.db, image.id, store):
                staged = self._staged(self.db, image)
                if staged is None or staged.store != store:
                    return go("place")
                content.link(self.db, image, staged)
                self.db.flush()
            self._arrived(image, store)
        return go("settle")

    def _arrived(self, image: ImageRow, store: str) -> None:
        importing.arrive(image, store)
        if image.status != "importing":
            return
        uploads.describe(image, next(b for b in content.blobs(self.db, image.id) if b.store == store))
        if not self.frame["must"] or not importing.coming(image):
            image.status = "active"
            facts = self._facts(self.db)
            more = dict(self.frame.get("properties", {}))
            for plugin in import_parts.injections(self.settings):
                more |= plugin.properties(facts, self.settings)
            image.properties = {**image.properties, **more}

    @inside
    def settle(self) -> Outcome:
        """All is where it should be."""
        task, image = self.db.get_one(TaskRow, self.id), self._mine(self.db)
        before = changes.picture(image)
        self._let_go(image)
        image.stores = sorted(image.stores)
        self.record("import.end", "image.image", before=before, after=changes.picture(image), project_id=image.owner)
        task.result = {"image_id": image.id}
        return self.end(task, "success", f"Copied {(image.size or 0) // MIB} MiB")

    def _let_go(self, image: ImageRow) -> None:
        """The image is nobody's again, and its lifecycle sweeps what is left."""
        for blob in importing.staged(self.db, image.id):
            blob.role = "gone"
        importing.release(image)
        image.updated_at = self.now
        self.ask("image.image", image.id, "watch")

    # --- it goes wrong, it ends -----------------------------------------------------------------------------------------

    @inside
    def failed(self) -> Outcome:
        """Go on without a store that does not take the bytes, where that may be; else it has all been for nothing."""
        task = self.db.get_one(TaskRow, self.id)
        if task.expires_at is not None:
            return go("keep", deadline=task.expires_at + DAY)
        try:
            image = self._mine(self.db)
        except Impossible:
            return self.end(task, "failure", self.reason, "clean")
        coming = importing.coming(image)
        at_place = self.frame.pop("failed_step", "") == "place"
        importing.refuse(image, coming[:1] if at_place else coming)
        if not self.frame["must"] and set(self.frame["stores"]) - set(importing.refused(image)):
            return self._next(image)
        self._undo(task, image)
        return self.end(task, "failure", self.reason, "clean")

    def _undo(self, task: TaskRow, image: ImageRow) -> None:
        before = changes.picture(image)
        for blob in content.blobs(self.db, image.id):
            if blob.store in self.frame["stores"]:
                content.unlink(self.db, image, blob)
        for store in importing.coming(image):
            importing.arrive(image, store)
        if not self._copies(image):
            uploads.describe(image, None)
            image.status = "queued"
        self._let_go(image)
        if task.type == "import":  # the task made it
            image.status = "deleted"
            self.ask("image.image", image.id, lifecycle.DELETE)
        after = {"status": image.status, "reason": self.reason}
        self.record("error", "image.image", before=before, after=after, project_id=image.owner)

    @outside
    def teardown(self) -> Outcome:
        """The image has been deleted, which takes its bytes with it."""
        return go("cancelled")

    @inside
    def cancelled(self) -> Outcome:
        return self.end(
            self.db.get_one(TaskRow, self.id), "failure", "The image was deleted before its import had ended.", "clean"
        )

    @outside
    def clean(self) -> Outcome:
        self.part(Scratch).forget(self.id)
        return go("keep")


def _close(chunks: Iterable[bytes]) -> None:
    """Let go of a source, whether or not it was read to its end."""
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
