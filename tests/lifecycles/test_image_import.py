"""Imports, killed, refused, deleted and outrun at every point: no byte without a row, and no image that is stuck."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import pytest
from sqlalchemy import func, select, update

from api.image import plugins
from api.image.conftest import ImageCloud
from lifecycles.harness import Crash, Fate, crash_tests, run
from tiffin.core import lifecycle
from tiffin.core.driver import Refused
from tiffin.core.engine import Engine
from tiffin.core.tables import Change, LifecycleRow
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.image.reconcilers import forget_orphans
from tiffin.services.image.tables import BlobRow, ImageRow, LocationRow, TaskRow

DATA = b"what the image is"
IMPORTS = {"enabled_import_methods": ["glance-direct", "copy-image", "feed"], "image_import_plugins": ["turn", "sign"]}


class StoresCloud(ImageCloud):
    """Three stores, and one where bytes wait."""

    def __init__(self, fate: Fate, *, staged_apart: bool = True, image: dict[str, Any] | None = None) -> None:
        """`image`: what an operator has set of images."""
        super().__init__({"image": image or {}})
        self.stores = [MemoryStore(fate=fate, name=name) for name in ("a", "b", "c")]
        if staged_apart:
            self.stores.append(MemoryStore(fate=fate, name="staging"))
        stores = ImageStores(self.stores[:3], staging=self.stores[3] if staged_apart else None)
        self.cloud.add(ImageStores, stores)
        self.fate = fate

    def rows(self, table: Any) -> list[Any]:
        with self.cloud.database.read() as session:
            return list(session.scalars(select(table)))

    def kept(self) -> dict[str, list[str]]:
        return {store.name: list(store.keys()) for store in self.stores if list(store.keys())}

    def rows_of_bytes(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for blob in sorted(self.rows(BlobRow), key=lambda blob: str(blob.id)):
            found.setdefault(blob.store, []).append(blob.id)
        return found

    def lose_leases(self) -> None:
        """As when heartbeats do not come through, while the claims on bytes are renewed."""
        with self.cloud.database.write() as session:
            session.execute(update(LifecycleRow).values(lease=0.0))

    def changes(self, kind: str) -> int:
        with self.cloud.database.read() as session:
            return session.scalar(select(func.count()).select_from(Change).where(Change.kind == kind)) or 0


class ImportTrial:
    """Staged bytes go into three stores, in one of which they are already."""

    asked: ClassVar[dict[str, Any]] = {"method": {"name": "glance-direct"}, "all_stores": True}
    stores = "a,b,c"
    data = DATA
    persona = "member"

    def __init__(self, fate: Fate) -> None:
        self.cloud = StoresCloud(fate, staged_apart=False)
        self.id = self.cloud.make()["id"]
        assert self.cloud.put(self.id, DATA, what="stage").status == 204

    def begin(self) -> None:
        reply = self.cloud.ask("POST", f"/image/v2/images/{self.id}/import", self.persona, self.asked)
        assert reply.status == 202, reply.body

    def delete(self) -> None:
        assert self.cloud.ask("DELETE", f"/image/v2/images/{self.id}").status == 204

    def task(self) -> TaskRow:
        (found,) = self.cloud.rows(TaskRow)
        assert isinstance(found, TaskRow)
        return found

    def check_promise(self) -> None:
        image = self.cloud.show(self.id)
        assert (image["status"], image["stores"], image["size"]) == ("active", self.stores, len(self.data))
        assert self.cloud.ask("GET", f"/image/v2/images/{self.id}/file").body == self.data
        assert (image["os_glance_importing_to_stores"], image["os_glance_failed_import"]) == ("", "")
        assert "os_glance_import_task" not in image
        assert {blob.role for blob in self.cloud.rows(BlobRow)} == {"data"}
        assert self.cloud.changes("import.end") == 1
        task = self.task()
        assert (task.status, task.result, task.secret) == ("success", {"image_id": self.id}, None)
        self.check_consistent()

    def check_consistent(self) -> None:
        """Every byte has its row, every row its bytes, and no file is left."""
        forget_orphans(self.cloud.cloud)
        assert self.cloud.kept() == self.cloud.rows_of_bytes()
        assert not self.cloud.scratch.exists() or os.listdir(self.cloud.scratch) == []

    def check_failed(self) -> None:
        task = self.task()
        if task.status == "success":  # what was refused was the sweeping, which goes on
            assert self.cloud.show(self.id)["status"] == "active"
            return
        assert task.status == "failure"
        assert "refused at" in task.message
        image = self.cloud.show(self.id)
        assert "os_glance_import_task" not in image
        assert self.came_back(image)

    def came_back(self, image: dict[str, Any]) -> bool:
        roles = {blob.role for blob in self.cloud.rows(BlobRow)}
        return image["status"] == "queued" and image["size"] is None and "stores" not in image and roles <= {"gone"}

    def check_gone(self) -> None:
        assert [row.kind for row in self.cloud.rows(LifecycleRow)] == ["image.task"]  # it is shown for a while
        assert self.cloud.rows(ImageRow) + self.cloud.rows(BlobRow) + self.cloud.rows(LocationRow) == []
        assert self.cloud.kept() == {}
        assert self.task().status in ("success", "failure")
        self.check_consistent()
        self.cloud.clock.now += 49 * 3600
        self.cloud.settle()
        assert self.cloud.rows(LifecycleRow) + self.cloud.rows(TaskRow) == []


class SomeStoresTrial(ImportTrial):
    """Not every store has to take the bytes, and they wait elsewhere."""

    asked: ClassVar[dict[str, Any]] = {
        "method": {"name": "glance-direct"}, "stores": ["b", "c"], "all_stores_must_succeed": False
    }  # fmt: skip
    stores = "b,c"

    def __init__(self, fate: Fate) -> None:
        self.cloud = StoresCloud(fate)
        self.id = self.cloud.make()["id"]
        assert self.cloud.put(self.id, DATA, what="stage").status == 204

    def check_failed(self) -> None:
        """The store that refuses is told of, and the other has the image."""
        task, image = self.task(), self.cloud.show(self.id)
        if task.status == "failure":
            assert image["status"] == "queued"
            assert image["os_glance_failed_import"] == "b,c"
            return
        assert image["status"] == "active"
        assert sorted([*image["stores"].split(","), *image["os_glance_failed_import"].split(",")]) in (
            ["", "b", "c"],
            ["b", "c"],
        )


class CopyTrial(ImportTrial):
    """An active image goes to the stores that do not have it."""

    asked: ClassVar[dict[str, Any]] = {"method": {"name": "copy-image"}, "all_stores": True}
    persona = "admin"

    def __init__(self, fate: Fate) -> None:
        self.cloud = StoresCloud(fate)
        self.id = self.cloud.active(DATA)["id"]

    def came_back(self, image: dict[str, Any]) -> bool:
        return (image["status"], image["stores"]) == ("active", "a")

    @staticmethod
    def refuse(point: str) -> None:
        if point == "write?":
            raise Refused(f"refused at {point}")


class FetchTrial(ImportTrial):
    """Bytes come from elsewhere, are changed on their way, and go to two stores."""

    asked: ClassVar[dict[str, Any]] = {"method": {"name": "feed"}, "stores": ["a", "c"]}
    stores = "a,c"
    data = b"fed bytes"[::-1]

    def __init__(self, fate: Fate) -> None:
        plugins.reset()
        plugins.feed.fate = plugins.turn.fate = fate
        self.cloud = StoresCloud(fate, image={"imports": IMPORTS})
        self.id = self.cloud.make()["id"]

    def check_promise(self) -> None:
        super().check_promise()
        assert self.cloud.show(self.id)["signed"] == "for p1 in member,reader"


TestImport = crash_tests(ImportTrial, every=2)
TestSomeStores = crash_tests(SomeStoresTrial, every=2)
TestCopy = crash_tests(CopyTrial, every=2)
TestFetch = crash_tests(FetchTrial, every=2)


def test_a_runner_that_was_overtaken_while_it_fetched_leaves_nothing() -> None:
    """It was suspended in the middle of the bytes; meanwhile another engine has done it all."""
    fate = Fate()
    trial = FetchTrial(fate)
    trial.cloud.engine = Engine(trial.cloud.cloud, "test", fate)
    trial.begin()
    other = Engine(trial.cloud.cloud, "other")

    def dawdle(number: int, point: str) -> None:
        if point == "written!":
            fate.spare()
            trial.cloud.lose_leases()
            other.run_until_idle()
            assert trial.task().status == "success"

    fate.plan(dawdle)
    run(trial)
    trial.check_promise()
    trial.cloud.close()


def test_a_runner_that_was_overtaken_by_a_failure_links_nothing() -> None:
    fate = Fate()
    trial = CopyTrial(fate)
    trial.cloud.engine = Engine(trial.cloud.cloud, "test", fate)
    trial.begin()
    other = Engine(trial.cloud.cloud, "other")

    def dawdle(number: int, point: str) -> None:
        if point == "written!":
            fate.plan(lambda number, point: trial.refuse(point))
            trial.cloud.lose_leases()
            for _ in range(10):
                other.run_until_idle()
                trial.cloud.clock.now += 5
            fate.spare()
            assert trial.task().status == "failure"

    fate.plan(dawdle)
    run(trial)
    image = trial.cloud.show(trial.id)
    assert (image["status"], image["stores"], image["os_glance_failed_import"]) == ("active", "a", "b")
    trial.check_consistent()
    trial.cloud.close()


@pytest.mark.parametrize("ending", ["deleted", "late", "tried again"])
def test_files_that_a_dead_process_left_are_removed(ending: str) -> None:
    fate = Fate()
    trial = FetchTrial(fate)
    trial.cloud.engine = Engine(trial.cloud.cloud, "test", fate)
    trial.begin()

    def die(number: int, point: str) -> None:
        if point == "turn?":
            raise Crash(point)

    fate.plan(die)
    with pytest.raises(Crash):
        trial.cloud.settle()
    trial.cloud.engine.adopt()
    fate.spare()
    left = trial.cloud.scratch / trial.task().id
    left.mkdir(parents=True)
    (left / "source").write_bytes(DATA)
    if ending == "deleted":
        trial.delete()
    elif ending == "late":
        trial.cloud.clock.now += 8 * 86_400
    run(trial)
    assert trial.task().status == ("success" if ending == "tried again" else "failure")
    trial.check_consistent()
    trial.cloud.close()


def test_an_import_of_an_older_release_goes_on_as_a_task() -> None:
    trial = ImportTrial(Fate())
    with trial.cloud.cloud.database.write() as session:
        session.scalars(select(ImageRow)).one().status = "importing"
        lifecycle.ask(session, trial.cloud.clock.now, ("image.image", trial.id), "import", request_id="req-old")
    run(trial)
    trial.stores = "a"
    trial.check_promise()
    assert trial.task().request_id == "req-old"
    trial.cloud.close()
