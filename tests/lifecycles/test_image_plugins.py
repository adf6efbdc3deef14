"""An import whose bytes are unpacked and converted, killed, refused and deleted at every point."""

from __future__ import annotations

import gzip

from sqlalchemy import select

from api.image.conftest import ImageCloud
from api.image.test_hostile import qcow2
from lifecycles.harness import Fate, crash_tests
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.image.tables import BlobRow, ImageRow

PLUGINS = {"imports": {"image_import_plugins": ["image_decompression", "image_conversion"]}}
MIB = 1 << 20


class PluginsTrial:
    def __init__(self, fate: Fate) -> None:
        self.cloud = ImageCloud({"image": PLUGINS})
        self.cloud.store = MemoryStore(fate=fate)
        self.cloud.cloud.add(ImageStores, ImageStores([self.cloud.store]))
        self.id = self.cloud.make(disk_format="qcow2")["id"]
        assert self.cloud.put(self.id, gzip.compress(qcow2()), what="stage").status == 204

    def begin(self) -> None:
        asked = {"method": {"name": "glance-direct"}}
        assert self.cloud.ask("POST", f"/image/v2/images/{self.id}/import", json=asked).status == 202

    def delete(self) -> None:
        assert self.cloud.ask("DELETE", f"/image/v2/images/{self.id}").status == 204

    def check_promise(self) -> None:
        image = self.cloud.show(self.id)
        assert (image["status"], image["disk_format"], image["size"]) == ("active", "raw", MIB)
        assert self.cloud.ask("GET", f"/image/v2/images/{self.id}/file").body == bytes(MIB)
        self._check_no_orphans()
        assert len(self._keys()) == 1

    def check_failed(self) -> None:
        image = self.cloud.show(self.id)
        assert image["status"] in ("queued", "active")
        if image["status"] == "queued":
            assert (image["size"], image["checksum"]) == (None, None)
        self._check_no_orphans()

    def check_gone(self) -> None:
        with self.cloud.cloud.database.read() as session:
            assert session.scalar(select(ImageRow)) is None
        assert (self._keys(), list(self.cloud.store.keys())) == ([], [])
        self._check_no_orphans()

    def _keys(self) -> list[str]:
        with self.cloud.cloud.database.read() as session:
            return sorted(session.scalars(select(BlobRow.id)))

    def _check_no_orphans(self) -> None:
        """Every byte has its row, and no file is left where plug-ins work."""
        assert set(self.cloud.store.keys()) <= set(self._keys())
        assert not self.cloud.scratch.exists() or list(self.cloud.scratch.iterdir()) == []


TestPlugins = crash_tests(PluginsTrial, every=2)
