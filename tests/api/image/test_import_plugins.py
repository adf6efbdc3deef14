"""Imports whose bytes are unpacked, converted and labelled on their way."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from tiffin.services.image.tables import BlobRow, TaskRow

from .conftest import ImageCloud
from .test_cves import MORE
from .test_hostile import BAD, qcow2

HOSTILE = {**BAD, **MORE}
MIB = 1 << 20
PLUGINS = ["image_decompression", "image_conversion", "inject_image_metadata"]


@pytest.fixture
def cloud() -> Iterator[ImageCloud]:
    inject = {"inject": {"checked": "yes"}, "ignore_user_roles": ["admin"]}
    imports = {"image_import_plugins": PLUGINS, "inject_metadata_properties": inject, "max_unpacked_bytes": 64 * MIB}
    made = ImageCloud({"image": {"imports": imports}})
    yield made
    made.close()


def imported(cloud: ImageCloud, data: bytes, token: str = "member", **image: Any) -> tuple[dict[str, Any], str]:
    """The image after its import, and the last word of its task."""
    id = cloud.make(token, **image)["id"]
    assert cloud.put(id, data, token, what="stage").status == 204
    asked = cloud.ask("POST", f"/image/v2/images/{id}/import", token, json={"method": {"name": "glance-direct"}})
    assert asked.status == 202, asked.body
    cloud.settle()
    with cloud.cloud.database.read() as session:
        message = session.scalar(select(TaskRow.message).where(TaskRow.image_id == id))
        keys = sorted(session.scalars(select(BlobRow.id)))
    assert sorted(cloud.store.keys()) == keys  # no byte without its row
    return cloud.show(id, token), message or ""


@pytest.mark.parametrize("packed", [False, True])
def test_a_disk_is_unpacked_converted_and_labelled(cloud: ImageCloud, packed: bool) -> None:
    data = gzip.compress(qcow2()) if packed else qcow2()
    image, _ = imported(cloud, data, disk_format="qcow2")
    assert image["status"] == "active"
    assert (image["disk_format"], image["container_format"]) == ("raw", "bare")
    assert (image["size"], image["virtual_size"], image["checked"]) == (MIB, MIB, "yes")
    assert image["os_hash_value"] == hashlib.sha512(bytes(MIB)).hexdigest()
    assert cloud.ask("GET", f"/image/v2/images/{image['id']}/file").body == bytes(MIB)


def test_an_administrator_is_spared_the_label(cloud: ImageCloud) -> None:
    image, _ = imported(cloud, b"a disk", "admin", disk_format="raw")
    assert image["status"] == "active"
    assert "checked" not in image


def test_what_is_meant_to_be_compressed_cannot_be_converted(cloud: ImageCloud) -> None:
    image, message = imported(cloud, gzip.compress(b"x"), disk_format="raw", container_format="compressed")
    assert (image["status"], image["disk_format"]) == ("active", "raw")
    image, message = imported(cloud, gzip.compress(b"x"), disk_format="qcow2", container_format="compressed")
    assert image["status"] == "queued"
    assert "cannot be converted" in message


def test_a_bomb_is_refused(cloud: ImageCloud) -> None:
    image, message = imported(cloud, gzip.compress(bytes(65 * MIB)), disk_format="raw")
    assert image["status"] == "queued"
    assert "unpacks to more" in message
    assert list(cloud.store.keys()) == []


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_disks(cloud: ImageCloud, name: str, packed: bool) -> None:
    disk_format, data, why = HOSTILE[name]
    image, message = imported(cloud, gzip.compress(data) if packed else data, disk_format=disk_format)
    assert image["status"] == "queued"
    assert message
    assert "qemu-img" not in message
    if disk_format not in ("aki", "ari", "ami", "ploop"):  # which cannot be converted at all
        assert why in message
    assert list(cloud.store.keys()) == []
