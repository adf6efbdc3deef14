"""Bytes up and down."""

from __future__ import annotations

import hashlib

import pytest

from .conftest import ImageCloud


def test_what_goes_up_comes_down(cloud: ImageCloud) -> None:
    data = bytes(range(256)) * 9000
    id = cloud.make(name="i1")["id"]
    empty = cloud.ask("GET", f"/image/v2/images/{id}/file")
    assert (empty.status, empty.body) == (204, b"")
    assert cloud.put(id, data).status == 204
    image = cloud.show(id)
    assert image["status"] == "active"
    assert (image["size"], image["virtual_size"]) == (len(data), len(data))
    assert image["checksum"] == hashlib.md5(data).hexdigest()
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", hashlib.sha512(data).hexdigest())
    assert image["stores"] == "memory"
    reply = cloud.ask("GET", f"/image/v2/images/{id}/file")
    assert reply.status == 200
    assert reply.body == data
    assert reply.headers["content-length"] == str(len(data))
    assert reply.headers["content-md5"] == image["checksum"]
    assert reply.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-3", 0, 3), ("bytes=2-", 2, 9), ("bytes=-4", 6, 9), ("bytes=8-99", 8, 9), ("bytes=-99", 0, 9)],
)
def test_ranges(cloud: ImageCloud, asked: str, first: int, last: int) -> None:
    id = cloud.active(b"0123456789")["id"]
    reply = cloud.ask("GET", f"/image/v2/images/{id}/file", Range=asked)
    assert reply.status == 206
    assert reply.body == b"0123456789"[first : last + 1]
    assert reply.headers["content-range"] == f"bytes {first}-{last}/10"


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=5-2", "bytes=-", "bytes=0-1,4-5", "lines=1-2", "bytes=-0"])
def test_ranges_that_cannot_be_given(cloud: ImageCloud, asked: str) -> None:
    id = cloud.active(b"0123456789")["id"]
    reply = cloud.ask("GET", f"/image/v2/images/{id}/file", Range=asked)
    assert reply.status == 416
    assert reply.headers["content-range"] == "bytes */10"


def test_only_a_queued_image_takes_bytes(cloud: ImageCloud) -> None:
    id = cloud.active()["id"]
    assert cloud.put(id, b"other").status == 409
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").body == b"some bytes"


def test_the_kind_of_the_body(cloud: ImageCloud) -> None:
    id = cloud.make()["id"]
    assert cloud.put(id, b"x", Content_Type="application/json").status == 415
    assert cloud.put(id, b"x", Content_Type="").status == 415
    assert cloud.show(id)["status"] == "queued"


def test_formats_must_be_set_first(cloud: ImageCloud) -> None:
    id = cloud.make(disk_format=None, container_format=None)["id"]
    reply = cloud.put(id, b"x")
    assert reply.status == 400
    assert "disk_format" in reply.json["message"]


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"X_OpenStack_Image_Size": "4"}, "announced"),
        ({"X_OpenStack_Image_Size": "-1"}, "whole number"),
        ({"Content_Length": "900"}, "broke off"),
        ({"X_Image_Meta_Store": "attic"}, "attic"),
    ],
)
def test_an_upload_that_is_not_as_announced_leaves_nothing(
    cloud: ImageCloud, headers: dict[str, str], why: str
) -> None:
    id = cloud.make()["id"]
    reply = cloud.put(id, b"12345", **headers)
    assert reply.status == 400
    assert why in reply.json["message"]
    assert cloud.show(id)["status"] == "queued"
    assert list(cloud.store.keys()) == []
    assert cloud.put(id, b"12345", X_OpenStack_Image_Size="5").status == 204


def test_a_full_store(cloud: ImageCloud) -> None:
    id = cloud.make()["id"]
    cloud.store.capacity = 3
    reply = cloud.put(id, b"12345")
    assert reply.status == 413
    assert "room" in reply.json["message"]
    assert cloud.show(id)["status"] == "queued"
    assert list(cloud.store.keys()) == []


def test_deactivated_images_are_the_administrators(cloud: ImageCloud) -> None:
    id = cloud.active()["id"]
    assert cloud.ask("POST", f"/image/v2/images/{id}/actions/deactivate").status == 204
    assert cloud.ask("POST", f"/image/v2/images/{id}/actions/deactivate").status == 204
    assert cloud.show(id)["status"] == "deactivated"
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").status == 403
    assert cloud.ask("GET", f"/image/v2/images/{id}/file", "admin").status == 200
    assert cloud.ask("POST", f"/image/v2/images/{id}/actions/reactivate").status == 204
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").status == 200


def test_only_images_with_bytes_are_deactivated(cloud: ImageCloud) -> None:
    id = cloud.make()["id"]
    assert cloud.ask("POST", f"/image/v2/images/{id}/actions/deactivate").status == 403
    assert cloud.ask("POST", f"/image/v2/images/{id}/actions/reactivate").status == 403


def test_deletion_forgets_the_bytes(cloud: ImageCloud) -> None:
    id = cloud.active()["id"]
    assert list(cloud.store.keys()) != []
    assert cloud.ask("DELETE", f"/image/v2/images/{id}").status == 204
    assert cloud.ask("GET", f"/image/v2/images/{id}").status == 404
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").status == 404
    cloud.settle()
    assert list(cloud.store.keys()) == []
    assert cloud.make(id=id)["id"] == id


@pytest.mark.parametrize(
    ("token", "up", "down"),
    [
        ("admin", 204, 200),
        ("manager", 204, 200),
        ("member2", 204, 200),
        ("reader", 403, 403),
        ("other", 404, 404),
        ("nobody", 404, 404),
        ("service", 404, 404),
    ],
)
def test_who_may(cloud: ImageCloud, token: str, up: int, down: int) -> None:
    id = cloud.make()["id"]
    assert cloud.put(id, b"x", token).status == up
    full = cloud.active()["id"]
    assert cloud.ask("GET", f"/image/v2/images/{full}/file", token).status == down


def test_others_may_not_fill_what_they_see(cloud: ImageCloud) -> None:
    id = cloud.make("admin", visibility="public")["id"]
    assert cloud.put(id, b"x", "other").status == 403


def test_stage_and_import(cloud: ImageCloud) -> None:
    id = cloud.make()["id"]
    assert cloud.ask("POST", f"/image/v2/images/{id}/import", json={"method": {"name": "glance-direct"}}).status == 409
    assert cloud.put(id, b"staged bytes", what="stage").status == 204
    assert cloud.show(id)["status"] == "uploading"
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").status == 204
    assert cloud.put(id, b"more", what="stage").status == 409
    reply = cloud.ask(
        "POST", f"/image/v2/images/{id}/import", json={"method": {"name": "glance-direct"}, "all_stores": True}
    )
    assert reply.status == 202
    assert cloud.show(id)["status"] == "importing"
    cloud.settle()
    assert cloud.show(id)["status"] == "active"
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").body == b"staged bytes"


def test_an_import_of_bytes_that_are_something_else_is_refused(cloud: ImageCloud) -> None:
    id = cloud.make(disk_format="qcow2")["id"]
    assert cloud.put(id, b"not a qcow2", what="stage").status == 204
    assert cloud.ask("POST", f"/image/v2/images/{id}/import", json={"method": {"name": "glance-direct"}}).status == 202
    cloud.settle()
    assert cloud.show(id)["status"] == "queued"
    assert list(cloud.store.keys()) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"method": {"name": "web-download", "uri": "http://x"}}, 409),
        ({"method": {"name": "by-mail"}}, 400),
        ({"method": {}}, 400),
        ({}, 400),
        ({"method": {"name": "glance-direct"}, "stores": ["attic"]}, 409),
        ({"method": {"name": "glance-direct"}, "stores": ["memory"], "all_stores": True}, 400),
    ],
)
def test_imports_that_cannot_be(cloud: ImageCloud, body: object, status: int) -> None:
    id = cloud.make()["id"]
    cloud.put(id, b"staged bytes", what="stage")
    assert cloud.ask("POST", f"/image/v2/images/{id}/import", json=body).status == status
    assert cloud.show(id)["status"] == "uploading"


def test_quotas(cloud: ImageCloud) -> None:
    from tiffin.core.tables import QuotaLimit

    with cloud.cloud.database.write() as session:
        session.add(QuotaLimit(project_id="p1", service="image", resource="image_size_total", hard_limit=2))
        session.add(QuotaLimit(project_id="p1", service="image", resource="image_count_total", hard_limit=3))
    first, second = cloud.make()["id"], cloud.make()["id"]
    assert cloud.put(first, bytes(3 << 20)).status == 413
    assert cloud.put(first, bytes(1 << 20)).status == 204
    assert cloud.put(second, bytes(3 << 19)).status == 413
    assert cloud.show(second)["status"] == "queued"
    usage = cloud.ask("GET", "/image/v2/info/usage").json["usage"]
    assert usage["image_size_total"] == {"limit": 2, "usage": 1}
    assert usage["image_count_total"] == {"limit": 3, "usage": 2}
    cloud.make()
    over = cloud.ask("POST", "/image/v2/images", json={"name": "four"})
    assert over.status == 413
    assert over.json["code"].startswith("413")
