"""Changing images by JSON patch, in both notations."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ImageCloud

ID = "b2173dd3-7ad6-4362-baa6-a68bce3565cb"


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


def test_the_first_notation_adds_what_is_new_only(cloud: ImageCloud) -> None:
    id = cloud.make(name="old", a="1")["id"]
    for name in ("a", "name", "min_ram", "tags"):
        value: Any = {"min_ram": 1, "tags": ["x"]}.get(name, "x")
        reply = cloud.patch(id, [{"add": f"/{name}", "value": value}], version="2.0")
        assert (reply.status, reply.json["message"]) == (409, f"Property {name} already present.")
        assert cloud.patch(id, [{"op": "add", "path": f"/{name}", "value": value}]).status == 200
    assert cloud.patch(id, [{"add": "/b", "remove": "/a", "value": "x"}], version="2.0").status == 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([{"path": "/a"}], "Unable to find `op`"),
        ([{"op": "test", "path": "/a"}], "Invalid operation: `test`"),
        ([{"op": "add", "value": "x"}], "Unable to find 'path'"),
        ([{"op": "add", "path": "/a"}], 'Operation "add" requires a member named "value".'),
        ([{"op": "add", "path": "a", "value": "x"}], "does not start with"),
        ([{"op": "add", "path": "/a//b", "value": "x"}], "adjacent"),
        ([{"op": "add", "path": "/a/", "value": "x"}], "ends with"),
        ([{"op": "add", "path": "/a~", "value": "x"}], "escape sequence"),
        ([{"op": "add", "path": "/tags/-", "value": "x"}], "Invalid JSON pointer for this resource: '/tags/-'"),
        ([{"op": "add", "path": "/locations", "value": []}], "Invalid JSON pointer"),
        ([{"op": "replace", "path": "/locations/0", "value": []}], "Invalid JSON pointer"),
        ([{"op": "add", "path": "/" + "x" * 256, "value": "x"}], "255"),
    ],
)
def test_what_a_patch_must_be(cloud: ImageCloud, body: Any, words: str) -> None:
    id = cloud.make()["id"]
    reply = cloud.patch(id, body)
    assert reply.status == 400
    assert words in reply.json["message"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ({"op": "replace", "path": "/locations", "value": []}, "Cannot set locations to empty list."),
        ({"op": "replace", "path": "/locations", "value": [{}]}, "It's not allowed to update locations"),
        ({"op": "add", "path": "/locations/-", "value": {}}, "It's not allowed to add locations"),
        ({"op": "remove", "path": "/locations/0"}, "delete_image_location"),
        ({"op": "replace", "path": "/owner", "value": "p1"}, "Owner can't be updated by non admin."),
        ({"op": "add", "path": "/owner", "value": "p2"}, "Owner can't be updated by non admin."),
        ({"op": "replace", "path": "/visibility", "value": "public"}, "publicize_image"),
        ({"op": "replace", "path": "/checksum", "value": "x"}, "Attribute 'checksum' is read-only."),
        ({"op": "replace", "path": "/deleted", "value": "x"}, "Attribute 'deleted' is reserved."),
        ({"op": "add", "path": "/os_glance_x", "value": "x"}, "Attribute 'os_glance_x' is reserved."),
        ({"op": "remove", "path": "/owner"}, "Property owner may not be removed."),
    ],
)
def test_what_nobody_else_may_change(cloud: ImageCloud, edit: dict[str, Any], words: str) -> None:
    before = cloud.make(name="x")
    reply = cloud.patch(before["id"], [edit])
    assert reply.status == 403
    assert words in reply.json["message"]
    assert cloud.show(before["id"]) == before


def test_an_empty_patch_changes_nothing(cloud: ImageCloud) -> None:
    before = cloud.make(name="x")
    cloud.clock.now += 5
    assert cloud.patch(before["id"], []).json == before
    assert cloud.show(before["id"]) == before


def test_a_public_image_is_the_administrators_to_publish(cloud: ImageCloud) -> None:
    id = cloud.make("admin", visibility="public", owner="p1")["id"]
    edit = [{"op": "replace", "path": "/visibility", "value": "public"}]
    assert cloud.patch(id, edit).status == 403
    assert cloud.patch(id, edit, "admin").status == 200
    for visibility, status in (("community", 200), ("private", 200), ("shared", 200), ("public", 403)):
        assert cloud.patch(id, [{"op": "replace", "path": "/visibility", "value": visibility}]).status == status


def test_an_image_of_nobody(cloud: ImageCloud) -> None:
    id = cloud.make()["id"]
    assert cloud.patch(id, [{"op": "replace", "path": "/owner", "value": ""}], "admin").json["owner"] is None
    assert cloud.ask("GET", f"/image/v2/images/{id}").status == 404


def test_a_smaller_limit_binds_only_what_is_new(cloud: ImageCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    import msgspec

    from tiffin.services.image.settings import Limits

    service = cloud.cloud.service("image")
    id = cloud.make(a="1", b="2", tags=["a", "b"])["id"]
    monkeypatch.setitem(service.__dict__, "settings", msgspec.structs.replace(service.settings, limits=Limits(properties=1, tags=1)))
    assert cloud.patch(id, [{"op": "replace", "path": "/a", "value": "3"}]).status == 200
    reply = cloud.patch(id, [{"op": "add", "path": "/c", "value": "3"}])
    assert (reply.status, "Attempted: 3, Maximum: 1" in reply.json["message"]) == (413, True)
    assert cloud.patch(id, [{"op": "replace", "path": "/tags", "value": ["a", "b"]}]).status == 413
    monkeypatch.setitem(service.__dict__, "settings", msgspec.structs.replace(service.settings, limits=Limits(properties=-1, tags=-1)))
    assert cloud.patch(id, [{"op": "add", "path": "/c", "value": "3"}]).status == 200
    assert cloud.ask("PUT", f"/image/v2/images/{id}/tags/c").status == 204


def test_properties_have_a_size_together(cloud: ImageCloud) -> None:
    big = "x" * 65_535
    assert cloud.ask("POST", "/image/v2/images", json={"a": big, "b": big, "c": "x"}).status == 413
    id = cloud.make(a=big)["id"]
    reply = cloud.patch(id, [{"op": "add", "path": "/b", "value": big}, {"op": "add", "path": "/c", "value": "x"}])
    assert (reply.status, "131072 bytes" in reply.json["message"]) == (413, True)
    assert cloud.patch(id, [{"op": "add", "path": "/b", "value": big[:60_000]}]).status == 200
    assert len(cloud.show(id)["b"]) == 60_000
