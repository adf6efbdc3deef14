"""Image records: create, show, change, delete."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ImageCloud

ID = "b2173dd3-7ad6-4362-baa6-a68bce3565cb"


def test_create_as_upstream_shows_it(cloud: ImageCloud) -> None:
    body = {"container_format": "bare", "disk_format": "raw", "name": "Ubuntu", "id": ID}
    reply = cloud.ask("POST", "/image/v2/images", json=body)
    assert reply.status == 201
    assert reply.headers["location"] == f"http://127.0.0.1:8000/image/v2/images/{ID}"
    assert reply.headers["openstack-image-import-methods"] == "glance-direct,web-download,copy-image"
    assert reply.headers["openstack-image-store-ids"] == "memory"
    assert reply.json == {
        "status": "queued",
        "name": "Ubuntu",
        "tags": [],
        "container_format": "bare",
        "created_at": "2027-01-15T08:00:00Z",
        "size": None,
        "disk_format": "raw",
        "updated_at": "2027-01-15T08:00:00Z",
        "visibility": "shared",
        "self": f"/v2/images/{ID}",
        "min_disk": 0,
        "protected": False,
        "id": ID,
        "file": f"/v2/images/{ID}/file",
        "checksum": None,
        "os_hash_algo": None,
        "os_hash_value": None,
        "os_hidden": False,
        "owner": "p1",
        "virtual_size": None,
        "min_ram": 0,
        "schema": "/v2/schemas/image",
    }
    assert cloud.show(ID) == reply.json
    assert cloud.ask("POST", "/image/v2/images", json=body).status == 409


def test_properties_stand_at_the_root(cloud: ImageCloud) -> None:
    given = {"owner_specified.openstack.md5": "", "hw_disk_bus": "virtio", "ramdisk_id": ID, "kernel_id": None}
    image = cloud.make(**given, tags=["b", "a", "b"])
    assert {name: image[name] for name in given} == given
    assert image["tags"] == ["a", "b"]
    assert cloud.make()["name"] is None


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {"disk_format": "wrong"},
        {"container_format": "wrong"},
        {"visibility": "secret"},
        {"id": "x"},
        {"id": None},
        {"name": 5},
        {"name": "x" * 256},
        {"min_disk": -1},
        {"min_ram": 2**31},
        {"min_ram": "1"},
        {"protected": "yes"},
        {"tags": "a"},
        {"tags": [1]},
        {"tags": ["x" * 256]},
        {"prop": 5},
        {"prop": None},
        {"prop": {"a": 1}},
        {"": "x"},
        {"x" * 256: "y"},
        {"prop": "x" * 65536},
        {"kernel_id": "no uuid"},
        {"cinder_encryption_key_deletion_policy": "x"},
    ],
)
def test_bad_bodies(cloud: ImageCloud, body: Any) -> None:
    reply = cloud.ask("POST", "/image/v2/images", json=body)
    assert reply.status == 400
    assert reply.json["message"]
    assert cloud.listed() == []


def test_errors_name_the_field(cloud: ImageCloud) -> None:
    reply = cloud.ask("POST", "/image/v2/images", json={"min_disk": -1})
    assert reply.json["code"] == "400 Bad Request"
    assert "min_disk" in reply.json["message"]
    assert "prop" in cloud.ask("POST", "/image/v2/images", json={"prop": 5}).json["message"]


@pytest.mark.parametrize(
    "name",
    [
        "status",
        "size",
        "checksum",
        "created_at",
        "self",
        "schema",
        "os_hash_value",
        "location",
        "deleted",
        "os_glance_foo",
        "stores",
    ],
)
def test_what_only_the_service_says(cloud: ImageCloud, name: str) -> None:
    assert cloud.ask("POST", "/image/v2/images", json={name: "x"}).status == 403
    id = cloud.make()["id"]
    assert cloud.patch(id, [{"op": "add", "path": f"/{name}", "value": "x"}]).status == 403


def test_too_many_properties_and_tags(cloud: ImageCloud) -> None:
    assert cloud.ask("POST", "/image/v2/images", json={f"p{n}": "x" for n in range(129)}).status == 413
    assert cloud.ask("POST", "/image/v2/images", json={"tags": [f"t{n}" for n in range(129)]}).status == 413
    id = cloud.make(tags=[f"t{n}" for n in range(128)], **{f"p{n}": "x" for n in range(128)})["id"]
    assert cloud.patch(id, [{"op": "add", "path": "/more", "value": "x"}]).status == 413
    assert cloud.ask("PUT", f"/image/v2/images/{id}/tags/more").status == 413
    assert cloud.ask("PUT", f"/image/v2/images/{id}/tags/t1").status == 204


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [
        ("member", {}, 201),
        ("manager", {}, 201),
        ("reader", {}, 403),
        ("nobody", {}, 403),
        ("service", {}, 403),
        (None, {}, 401),
        ("member", {"visibility": "public"}, 403),
        ("admin", {"visibility": "public"}, 201),
        ("member", {"visibility": "community"}, 201),
        ("member", {"owner": "p2"}, 403),
        ("admin", {"owner": "p2"}, 201),
        ("member", {"owner": "p1"}, 201),
    ],
)
def test_who_may_create(cloud: ImageCloud, token: str | None, body: dict[str, Any], status: int) -> None:
    assert cloud.ask("POST", "/image/v2/images", token, json={"name": "x", **body}).status == status


@pytest.mark.parametrize(
    ("token", "private", "shared", "community", "public"),
    [
        ("admin", 200, 200, 200, 200),
        ("member2", 200, 200, 200, 200),
        ("reader", 200, 200, 200, 200),
        ("other", 404, 404, 200, 200),
        ("nobody", 404, 404, 404, 404),
    ],
)
def test_who_may_see(cloud: ImageCloud, token: str, private: int, shared: int, community: int, public: int) -> None:
    for visibility, status in (("private", private), ("shared", shared), ("community", community), ("public", public)):
        id = cloud.make("admin", visibility=visibility, owner="p1")["id"]
        assert cloud.ask("GET", f"/image/v2/images/{id}", token).status == status, visibility


@pytest.mark.parametrize(
    ("token", "own", "public"),
    [
        ("admin", 200, 200),
        ("manager", 200, 200),
        ("member2", 200, 200),
        ("reader", 403, 403),
        ("other", 404, 403),
        ("nobody", 404, 404),
    ],
)
def test_who_may_change_and_delete(cloud: ImageCloud, token: str, own: int, public: int) -> None:
    rename = [{"op": "replace", "path": "/name", "value": "new"}]
    mine = cloud.make()["id"]
    everybodys = cloud.make("admin", visibility="public", owner="p1")["id"]
    for id, status in ((mine, own), (everybodys, public)):
        assert cloud.patch(id, rename, token).status == status
        assert cloud.ask("PUT", f"/image/v2/images/{id}/tags/t", token).status == {200: 204}.get(status, status)
        assert cloud.ask("DELETE", f"/image/v2/images/{id}", token).status == {200: 204}.get(status, status)


def test_formats_are_fixed_by_bytes(cloud: ImageCloud) -> None:
    id = cloud.active()["id"]
    assert cloud.patch(id, [{"op": "replace", "path": "/disk_format", "value": "qcow2"}]).status == 403


def test_an_administrator_gives_an_image_away(cloud: ImageCloud) -> None:
    id = cloud.make()["id"]
    assert cloud.patch(id, [{"op": "replace", "path": "/owner", "value": "p2"}], "admin").status == 200
    assert cloud.ask("GET", f"/image/v2/images/{id}", "other").status == 200


def test_protected_images_stay(cloud: ImageCloud) -> None:
    id = cloud.make(protected=True)["id"]
    reply = cloud.ask("DELETE", f"/image/v2/images/{id}")
    assert reply.status == 403
    assert "protected" in reply.json["message"]
    cloud.patch(id, [{"op": "replace", "path": "/protected", "value": False}])
    assert cloud.ask("DELETE", f"/image/v2/images/{id}").status == 204
    assert cloud.ask("DELETE", f"/image/v2/images/{id}").status == 404


def test_tags(cloud: ImageCloud) -> None:
    id = cloud.make()["id"]
    assert cloud.ask("PUT", f"/image/v2/images/{id}/tags/blue").status == 204
    assert cloud.ask("PUT", f"/image/v2/images/{id}/tags/" + "x" * 256).status == 400
    assert cloud.show(id)["tags"] == ["blue"]
    assert cloud.ask("DELETE", f"/image/v2/images/{id}/tags/blue").status == 204
    assert cloud.ask("DELETE", f"/image/v2/images/{id}/tags/blue").status == 404
    assert cloud.ask("PUT", f"/image/v2/images/{ID}/tags/blue").status == 404


def test_an_empty_id_names_nothing(cloud: ImageCloud) -> None:
    for method in ("GET", "DELETE", "PATCH"):
        assert cloud.ask(method, "/image/v2/images/").status == 404


@pytest.mark.parametrize("token", ["member", "admin"])
def test_an_image_for_somebody_else(cloud: ImageCloud, token: str) -> None:
    reply = cloud.ask("POST", "/image/v2/images", token, {"owner": "p2"})
    if token == "admin":
        assert reply.status == 201
        assert cloud.ask("GET", f"/image/v2/images/{reply.json['id']}", "other").status == 200
    else:
        assert (reply.status, reply.json["message"]) == (403, "You are not permitted to create images owned by 'p2'")


def test_a_new_image_says_where_bytes_may_go(cloud: ImageCloud) -> None:
    reply = cloud.ask("POST", "/image/v2/images", json={})
    assert reply.headers["openstack-image-store-ids"] == "memory"


def test_switching_off_and_on(cloud: ImageCloud) -> None:
    id = cloud.active(name="x")["id"]
    for action, status in (("deactivate", "deactivated"), ("reactivate", "active")):
        path = f"/image/v2/images/{id}/actions/{action}"
        assert cloud.ask("POST", path).status == 204
        first = cloud.show(id)
        assert first["status"] == status
        cloud.clock.now += 5
        assert cloud.ask("POST", path).status == 204  # again: it is so already
        assert cloud.show(id) == first
    queued = cloud.make()["id"]
    for action in ("deactivate", "reactivate"):
        reply = cloud.ask("POST", f"/image/v2/images/{queued}/actions/{action}")
        assert (reply.status, reply.json["message"]) == (403, f"Not allowed to {action} image in status 'queued'")
        assert cloud.ask("POST", f"/image/v2/images/{ID}/actions/{action}").status == 404


def test_nothing_is_downloaded_while_it_is_off(cloud: ImageCloud) -> None:
    id = cloud.active()["id"]
    cloud.ask("POST", f"/image/v2/images/{id}/actions/deactivate")
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").status == 403
    assert cloud.ask("GET", f"/image/v2/images/{id}/file", "admin").status == 200
    assert cloud.patch(id, [{"op": "replace", "path": "/name", "value": "y"}]).status == 200
    assert cloud.ask("DELETE", f"/image/v2/images/{id}").status == 204
