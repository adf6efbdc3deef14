"""What other services ask of images."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import PERSONAS
from tiffin.core.driver import Impossible, Refused
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.tables import Change
from tiffin.services.image import public
from tiffin.services.image.reconcilers import forget_orphans
from tiffin.services.image.tables import BlobRow

from .conftest import ImageCloud

ID = "b2173dd3-7ad6-4362-baa6-a68bce3565cb"


def begin(cloud: ImageCloud, disk_format: str = "raw") -> None:
    with cloud.cloud.database.write() as session:
        public.begin_image(
            session,
            cloud.cloud.world,
            image_id=ID,
            name="snap",
            owner="p1",
            disk_format=disk_format,
            container_format="bare",
            properties={"base_image_ref": "x"},
            min_disk=1,
        )


def finish(cloud: ImageCloud, data: bytes = b"snapshot", disk_format: str = "raw") -> None:
    public.finish_image(cloud.cloud, ID, iter([data]), disk_format=disk_format)
    cloud.settle()


def test_what_boots(cloud: ImageCloud) -> None:
    id = cloud.active(b"boot me", name="cirros", min_ram=64, hw_disk_bus="scsi", kernel_id=None)["id"]
    digest = cloud.show(id)["os_hash_value"]
    with cloud.cloud.database.read() as session:
        image = public.bootable(session, PERSONAS["member"], id)
        assert (image.name, image.disk_format, image.size, image.virtual_size, image.min_ram) == (
            "cirros",
            "raw",
            7,
            7,
            64,
        )
        assert image.properties == {"hw_disk_bus": "scsi"}
        assert image.sha512 == digest
        assert public.boot_image(session, id) == image
        assert public.boot_image(session, ID) is None
        assert public.bootable(session, PERSONAS["admin"], id) == image
        with pytest.raises(NotFound):
            public.bootable(session, PERSONAS["other"], id)
        with pytest.raises(NotFound):
            public.bootable(session, PERSONAS["member"], ID)
    assert b"".join(public.open_image(cloud.cloud, id)) == b"boot me"


@pytest.mark.parametrize("why", ["queued", "deactivated", "ova"])
def test_what_does_not_boot(cloud: ImageCloud, why: str) -> None:
    id = (
        cloud.make()["id"]
        if why == "queued"
        else cloud.active(container_format="ova" if why == "ova" else "bare")["id"]
    )
    if why == "deactivated":
        cloud.ask("POST", f"/image/v2/images/{id}/actions/deactivate")
    with cloud.cloud.database.read() as session, pytest.raises(BadRequest):
        public.bootable(session, PERSONAS["member"], id)


def test_a_snapshot(cloud: ImageCloud) -> None:
    begin(cloud)
    queued = cloud.show(ID)
    assert (queued["status"], queued["visibility"], queued["base_image_ref"], queued["min_disk"]) == (
        "queued",
        "private",
        "x",
        1,
    )
    finish(cloud)
    assert cloud.show(ID)["status"] == "active"
    finish(cloud, b"again: nothing is done")
    assert b"".join(public.open_image(cloud.cloud, ID)) == b"snapshot"
    assert len(list(cloud.store.keys())) == 1


def test_a_snapshot_that_was_not_finished_is_taken_over(cloud: ImageCloud) -> None:
    begin(cloud)

    def dies() -> Iterator[bytes]:
        yield b"some"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        public.finish_image(cloud.cloud, ID, dies(), disk_format="raw")
    assert cloud.show(ID)["status"] == "saving"
    finish(cloud)
    assert cloud.show(ID)["status"] == "active"
    assert len(list(cloud.store.keys())) == 1
    with cloud.cloud.database.read() as session:
        assert [blob.role for blob in session.query(BlobRow)] == ["data"]


def test_a_source_that_does_not_answer(cloud: ImageCloud) -> None:
    begin(cloud)

    def refuses() -> Iterator[bytes]:
        yield b"some"
        raise Refused("the host is away")

    with pytest.raises(Refused):
        public.finish_image(cloud.cloud, ID, refuses(), disk_format="raw")
    cloud.settle()
    assert cloud.show(ID)["status"] == "queued"
    assert list(cloud.store.keys()) == []


def test_bytes_that_are_something_else(cloud: ImageCloud) -> None:
    begin(cloud, "qcow2")
    with pytest.raises(Impossible, match="disk_format qcow2"):
        finish(cloud, b"raw", "qcow2")
    with cloud.cloud.database.write() as session:
        public.fail_image(session, ID, "no such disk")
    cloud.settle()
    assert cloud.show(ID)["status"] == "killed"
    with cloud.cloud.database.read() as session:
        assert session.query(Change).filter_by(kind="error").one().after == {
            "status": "killed",
            "reason": "no such disk",
        }
    with pytest.raises(Impossible):
        finish(cloud)
    assert cloud.ask("DELETE", f"/image/v2/images/{ID}").status == 204


def test_a_snapshot_whose_image_was_deleted(cloud: ImageCloud) -> None:
    begin(cloud)

    def deleted() -> Iterator[bytes]:
        yield b"some"
        assert cloud.ask("DELETE", f"/image/v2/images/{ID}").status == 204
        cloud.settle()
        yield b"more"

    with pytest.raises((Impossible, Refused)):
        public.finish_image(cloud.cloud, ID, deleted(), disk_format="raw")
    assert list(cloud.store.keys()) == []
    with pytest.raises(Impossible):
        public.open_image(cloud.cloud, ID)


def test_a_deletion_during_an_upload_that_is_settled_late(cloud: ImageCloud) -> None:
    """The image goes between two renewals: the upload finds its claim gone."""
    begin(cloud)

    def slow() -> Iterator[bytes]:
        yield b"some"
        cloud.clock.now += 40
        yield b"more"
        cloud.clock.now += 40
        assert cloud.ask("DELETE", f"/image/v2/images/{ID}").status == 204
        cloud.settle()
        yield b"end"

    with pytest.raises(Impossible, match="deleted during the upload"):
        public.finish_image(cloud.cloud, ID, slow(), disk_format="raw")
    cloud.settle()
    assert list(cloud.store.keys()) == []


def test_an_upload_that_is_renewed_stays_alive(cloud: ImageCloud) -> None:
    begin(cloud)

    def slow() -> Iterator[bytes]:
        for _ in range(10):
            cloud.clock.now += 100
            yield b"x"
            cloud.settle()

    public.finish_image(cloud.cloud, ID, slow(), disk_format="raw")
    assert cloud.show(ID)["status"] == "active"


def test_orphans_are_forgotten_and_only_they(cloud: ImageCloud) -> None:
    id = cloud.active()["id"]
    cloud.store.write("orphan", [b"x"])
    forget_orphans(cloud.cloud)
    assert len(list(cloud.store.keys())) == 1
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").body == b"some bytes"
