"""An import from the web, killed, refused and deleted at every point; the server is a real one."""

from __future__ import annotations

import atexit
from typing import Any, ClassVar

import msgspec
from sqlalchemy import func, select

from api.image.conftest import ImageCloud
from lifecycles.harness import Fate, crash_tests
from tiffin.core.tables import Change, LifecycleRow
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.image.reconcilers import forget_orphans
from tiffin.services.image.tables import BlobRow, ImageRow, LocationRow, TaskRow
from web_servers import WebServer, pages

DATA = bytes(range(251)) * 100
SERVER = WebServer(pages(image=DATA))
atexit.register(SERVER.close)  # the points are counted when this module is imported


class WebImportTrial:
    """Bytes come over HTTP to where they wait, and go to the store from there."""

    asked: ClassVar[dict[str, Any]] = {"method": {"name": "web-download", "uri": f"{SERVER.url}/image"}}

    def __init__(self, fate: Fate) -> None:
        self.cloud = ImageCloud({"image": {"web": msgspec.to_builtins(SERVER.rules())}})
        self.store, self.staging = MemoryStore(fate=fate), MemoryStore(fate=fate, name="staging")
        self.cloud.cloud.add(ImageStores, ImageStores([self.store], staging=self.staging))
        self.id = self.cloud.make()["id"]

    def begin(self) -> None:
        assert self.cloud.ask("POST", f"/image/v2/images/{self.id}/import", json=self.asked).status == 202

    def delete(self) -> None:
        assert self.cloud.ask("DELETE", f"/image/v2/images/{self.id}").status == 204

    def rows(self, table: Any) -> list[Any]:
        with self.cloud.cloud.database.read() as session:
            return list(session.scalars(select(table)))

    def check_promise(self) -> None:
        image = self.cloud.show(self.id)
        assert (image["status"], image["stores"], image["size"]) == ("active", "memory", len(DATA))
        assert self.cloud.ask("GET", f"/image/v2/images/{self.id}/file").body == DATA
        with self.cloud.cloud.database.read() as session:
            ends = select(func.count()).select_from(Change).where(Change.kind == "import.end")
            assert session.scalar(ends) == 1
        assert [task.status for task in self.rows(TaskRow)] == ["success"]
        assert [blob.role for blob in self.rows(BlobRow)] == ["data"]
        self.check_consistent()

    def check_consistent(self) -> None:
        """Every byte has its row, and every row its bytes."""
        forget_orphans(self.cloud.cloud)
        kept = [*self.store.keys(), *self.staging.keys()]
        assert sorted(kept) == sorted(blob.id for blob in self.rows(BlobRow))

    def check_failed(self) -> None:
        (task,) = self.rows(TaskRow)
        if task.status == "success":  # what was refused was the sweeping, which goes on
            assert self.cloud.show(self.id)["status"] == "active"
            return
        assert (task.status, task.secret) == ("failure", None)
        assert "refused at" in task.message
        assert self.cloud.show(self.id)["status"] == "queued"
        assert {blob.role for blob in self.rows(BlobRow)} <= {"gone"}

    def check_gone(self) -> None:
        assert self.rows(ImageRow) + self.rows(BlobRow) + self.rows(LocationRow) == []
        assert [*self.store.keys(), *self.staging.keys()] == []
        self.cloud.clock.now += 49 * 3600
        self.cloud.settle()
        assert self.rows(LifecycleRow) + self.rows(TaskRow) == []


TestWebImport = crash_tests(WebImportTrial)
