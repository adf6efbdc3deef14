"""An image's life, killed, refused and deleted at every point: no byte without a row, no row that waits for ever."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from api.image.conftest import ImageCloud
from lifecycles.harness import Crash, Fate, crash_tests
from tiffin.core.driver import Refused
from tiffin.core.tables import Change, LifecycleRow
from tiffin.services.image import uploads
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.files import FileStore
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.image.reconcilers import end_dead_uploads, forget_orphans
from tiffin.services.image.tables import BlobRow, ImageRow
from tiffin.services.image.uploads import LEASE

DATA = b"what the image is"


class FatefulCloud(ImageCloud):
    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self.store = MemoryStore(fate=fate)
        self.cloud.add(ImageStores, ImageStores([self.store]))

    def row(self) -> ImageRow | None:
        with self.cloud.database.read() as session:
            return session.scalar(select(ImageRow))

    def blobs(self) -> list[BlobRow]:
        with self.cloud.database.read() as session:
            return list(session.scalars(select(BlobRow)))

    def changes(self, kind: str) -> int:
        with self.cloud.database.read() as session:
            return session.scalar(select(func.count()).select_from(Change).where(Change.kind == kind)) or 0

    def lives(self) -> int:
        with self.cloud.database.read() as session:
            return session.scalar(select(func.count()).select_from(LifecycleRow)) or 0

    def check_consistent(self) -> None:
        """Every byte has its row, and every row its bytes."""
        assert sorted(self.store.keys()) == sorted(blob.id for blob in self.blobs())


class BrokenUploadTrial:
    """A process dies while it receives an upload: the image can be tried again and its bytes are forgotten."""

    def __init__(self, fate: Fate) -> None:
        self.cloud = FatefulCloud(fate)
        self.id = self.cloud.make()["id"]

    def begin(self) -> None:
        from tiffin.core.changes import Origin

        with self.cloud.cloud.database.write() as session:
            image = session.get_one(ImageRow, self.id)
            claim = uploads.claim(session, self.cloud.cloud, image, Origin(self.cloud.clock.now, "req-1", None, "p1"))
        self.cloud.store.write(claim.key, [DATA[:4]])

    def check_promise(self) -> None:
        assert self.cloud.show(self.id)["status"] == "queued"
        assert (self.cloud.blobs(), list(self.cloud.store.keys())) == ([], [])
        assert self.cloud.changes("error") == 1

    def check_failed(self) -> None:
        assert self.cloud.show(self.id)["status"] == "queued"
        assert set(self.cloud.store.keys()) <= {blob.id for blob in self.cloud.blobs()}

    def delete(self) -> None:
        assert self.cloud.ask("DELETE", f"/image/v2/images/{self.id}").status == 204

    def check_gone(self) -> None:
        assert self.cloud.row() is None
        assert (self.cloud.blobs(), list(self.cloud.store.keys()), self.cloud.lives()) == ([], [], 0)


TestBrokenUpload = crash_tests(BrokenUploadTrial)


class FileCloud(FatefulCloud):
    """Files in a folder, so that a death leaves what a death leaves."""

    def __init__(self, folder: Path) -> None:
        self.fate = Fate()
        super().__init__(self.fate)
        self.store = FileStore(folder, fate=self.fate)
        self.cloud.add(ImageStores, ImageStores([self.store]))
        self.id = self.make()["id"]
        self.cloud.database.on_commit(lambda: self.fate("committed"))

    def upload(self) -> None:
        try:
            self.put(self.id, DATA)
        except Crash:
            self.fate.spare()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[FileCloud]:
    made = FileCloud(tmp_path / "images")
    yield made
    made.close()


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("at", range(1, 8))
def test_a_death_in_the_middle_of_an_upload(files: FileCloud, at: int, deleted: bool) -> None:
    def die(number: int, point: str) -> None:
        if number == at:
            raise Crash(point)

    files.fate.plan(die)
    files.upload()
    if deleted:
        assert files.ask("DELETE", f"/image/v2/images/{files.id}").status == 204
    files.clock.now += LEASE + 1
    for _ in range(20):
        files.settle()
        files.clock.now += 20
    forget_orphans(files.cloud)
    files.check_consistent()
    if deleted:
        assert (files.row(), list(files.store.keys())) == (None, [])
    elif files.show(files.id)["status"] == "queued":
        assert list(files.store.keys()) == []
        assert files.put(files.id, DATA).status == 204
    else:
        assert files.ask("GET", f"/image/v2/images/{files.id}/file").body == DATA


def test_an_upload_whose_process_is_gone_is_not_waited_for(files: FileCloud) -> None:
    process = subprocess.Popen(["sleep", "60"])
    owner = f"{os.uname().nodename}/{process.pid}/{uploads._started(process.pid)}"

    def die(number: int, point: str) -> None:
        if point == "written!":
            raise Crash(point)

    files.fate.plan(die)
    files.upload()
    with files.cloud.database.write() as session:
        session.execute(update(BlobRow).values(owner=owner))
    end_dead_uploads(files.cloud)
    files.settle()
    assert files.show(files.id)["status"] == "saving"
    process.kill()
    process.wait()
    end_dead_uploads(files.cloud)
    assert files.put(files.id, DATA).status == 204  # at once, before its lifecycle has looked
    assert len(list(files.store.keys())) == 1


def test_a_store_that_was_renamed_loses_nothing(files: FileCloud) -> None:
    files.upload()
    renamed = FileStore(files.store.folder, name="another")
    files.cloud.add(ImageStores, ImageStores([renamed]))
    renamed.write("orphan", [b"of nobody"])
    forget_orphans(files.cloud)
    assert list(renamed.keys()) == [blob.id for blob in files.blobs()]


def test_a_store_that_does_not_answer_keeps_no_other_from_being_cleaned(files: FileCloud, tmp_path: Path) -> None:
    class Silent(MemoryStore):
        def keys(self) -> Iterator[str]:
            raise Refused("The cluster does not answer.")

    files.cloud.add(ImageStores, ImageStores([Silent(name="silent"), files.store]))
    files.store.write("orphan", [b"of nobody"])
    forget_orphans(files.cloud)
    assert list(files.store.keys()) == []


def test_an_upload_of_another_host_is_waited_for(files: FileCloud) -> None:
    assert not uploads.is_dead("elsewhere/1/1")
    assert not uploads.is_dead(uploads.process())
    assert uploads.is_dead(f"{os.uname().nodename}/{os.getpid()}/1")
