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
    assert reply.headers["openstack-image-import-methods"] == "glance-direct,copy-image"
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
        "locations",
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
        ("nobody", 403, 403, 403, 403),
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
        ("nobody", 403, 403),
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


def test_patch(cloud: ImageCloud) -> None:
    id = cloud.make(name="old", a="1", b="2")["id"]
    cloud.clock.now += 60
    reply = cloud.patch(
        id,
        [
            {"op": "replace", "path": "/name", "value": "new"},
            {"op": "add", "path": "/min_ram", "value": 512},
            {"op": "add", "path": "/a~1b~0c", "value": "3"},
            {"op": "replace", "path": "/a", "value": "9"},
            {"op": "remove", "path": "/b"},
            {"op": "replace", "path": "/tags", "value": ["y", "x"]},
            {"op": "replace", "path": "/visibility", "value": "private"},
            {"op": "replace", "path": "/disk_format", "value": "qcow2"},
        ],
    )
    assert reply.status == 200
    image = cloud.show(id)
    assert image == reply.json
    assert (image["name"], image["min_ram"], image["a/b~c"], image["a"]) == ("new", 512, "3", "9")
    assert "b" not in image
    assert (image["tags"], image["visibility"], image["disk_format"]) == (["x", "y"], "private", "qcow2")
    assert (image["created_at"], image["updated_at"]) == ("2027-01-15T08:00:00Z", "2027-01-15T08:01:00Z")


def test_patch_of_the_first_kind(cloud: ImageCloud) -> None:
    id = cloud.make(name="old", a="1")["id"]
    body = [{"replace": "/name", "value": "new"}, {"add": "/b", "value": "2"}, {"remove": "/a"}]
    assert cloud.patch(id, body, version="2.0").status == 200
    image = cloud.show(id)
    assert (image["name"], image["b"], "a" in image) == ("new", "2", False)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ([5], 400),
        ([{"op": "add", "path": "/a"}], 400),
        ([{"op": "move", "path": "/a", "from": "/b"}], 400),
        ([{"op": "add", "path": "a", "value": "x"}], 400),
        ([{"op": "add", "path": "/", "value": "x"}], 400),
        ([{"op": "add", "path": "/a/b", "value": "x"}], 400),
        ([{"op": "add", "path": "/a~2", "value": "x"}], 400),
        ([{"op": "add", "path": 5, "value": "x"}], 400),
        ([{"op": "add", "path": "/a", "value": 5}], 400),
        ([{"op": "replace", "path": "/visibility", "value": "x"}], 400),
        ([{"op": "replace", "path": "/name", "value": 1}], 400),
        ([{"op": "replace", "path": "/none", "value": "x"}], 409),
        ([{"op": "remove", "path": "/none"}], 409),
        ([{"op": "remove", "path": "/name"}], 403),
        ([{"op": "replace", "path": "/id", "value": ID}], 403),
        ([{"op": "replace", "path": "/owner", "value": "p2"}], 403),
        ([{"op": "add", "path": "/locations/-", "value": {}}], 403),
        ([{"op": "replace", "path": "/visibility", "value": "public"}], 403),
        ([{"add": "/a", "value": "x"}], 400),
        ([{"op": "add", "path": "/a", "value": "x"}] * 1001, 400),
    ],
)
def test_patches_that_change_nothing(cloud: ImageCloud, body: Any, status: int) -> None:
    before = cloud.make(name="old", a="1")
    good = {"op": "replace", "path": "/name", "value": "new"}
    assert cloud.patch(before["id"], [good, *body] if isinstance(body, list) else body).status == status
    assert cloud.show(before["id"]) == before


def test_patch_wants_its_media_type(cloud: ImageCloud) -> None:
    id = cloud.make()["id"]
    reply = cloud.ask("PATCH", f"/image/v2/images/{id}", json=[{"op": "add", "path": "/a", "value": "x"}])
    assert reply.status == 415
    assert "v2.1-json-patch" in reply.headers["accept-patch"]


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


def test_versions_and_what_it_can_do(cloud: ImageCloud) -> None:
    for path, status in (("/image", 300), ("/image/", 300), ("/image/versions", 200), ("/image/v2/", 300)):
        reply = cloud.ask("GET", path, None)
        assert reply.status == status
        assert reply.json["versions"][0] == {
            "id": "v2.16",
            "status": "CURRENT",
            "links": [{"rel": "self", "href": "http://127.0.0.1:8000/image/v2/"}],
        }
    assert cloud.ask("GET", "/image/v2/info/import").json["import-methods"]["value"] == ["glance-direct"]
    assert [s["id"] for s in cloud.ask("GET", "/image/v2/info/stores").json["stores"]] == ["memory"]
    assert cloud.ask("GET", "/image/v2/info/stores/detail").status == 403
    assert cloud.ask("GET", "/image/v2/info/stores/detail", "admin").json["stores"][0]["type"] == "memory"
    assert cloud.ask("GET", "/image/v2/info/stores/detail", "service").status == 200


@pytest.mark.parametrize("name", ["image", "images", "member", "members"])
def test_schemas(cloud: ImageCloud, name: str) -> None:
    found = cloud.ask("GET", f"/image/v2/schemas/{name}").json
    assert found["name"] == name
    assert "schema" in found["properties"]


def test_the_schema_names_every_attribute(cloud: ImageCloud) -> None:
    known = cloud.ask("GET", "/image/v2/schemas/image").json["properties"]
    assert set(cloud.active()) <= set(known)


def test_what_is_not_here(cloud: ImageCloud) -> None:
    for path in ("/tasks", "/metadefs/namespaces"):
        assert cloud.ask("GET", f"/image/v2{path}").status == 404


def test_an_empty_id_names_nothing(cloud: ImageCloud) -> None:
    for method in ("GET", "DELETE", "PATCH"):
        assert cloud.ask(method, "/image/v2/images/").status == 404
