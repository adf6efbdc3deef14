"""Namespaces of metadata definitions."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ImageCloud
from .metadefs import COLOR, NAMESPACES, SIZE, WHEN, make, path, refused, say

WHOLE = {
    "namespace": "Ns::One",
    "display_name": "One",
    "description": "The first.",
    "visibility": "private",
    "protected": True,
    "owner": "p1",
    "resource_type_associations": [{"name": "OS::Nova::Flavor", "prefix": "hw:"}, {"name": "OS::Glance::Image"}],
    "properties": {"size": SIZE},
    "objects": [{"name": "case", "description": "The outside.", "required": ["color"], "properties": {"color": COLOR}}],
    "tags": [{"name": "new"}, {"name": "big"}],
}


def names(cloud: ImageCloud, query: str = "", token: str = "admin") -> list[str]:
    return [n["namespace"] for n in say(cloud, "GET", NAMESPACES + query, 200, token=token)["namespaces"]]


def test_a_new_one(cloud: ImageCloud) -> None:
    reply = cloud.ask("POST", NAMESPACES, "admin", {"namespace": "Ns::One"})
    assert reply.status == 201
    assert reply.headers["location"].endswith("/image/v2/metadefs/namespaces/Ns%3A%3AOne")
    assert reply.json == {
        "namespace": "Ns::One",
        "visibility": "private",
        "protected": False,
        "owner": "admin-project",
        "self": "/v2/metadefs/namespaces/Ns::One",
        "schema": "/v2/schemas/metadefs/namespace",
        **WHEN,
    }
    assert say(cloud, "GET", path(), 200) == reply.json


def test_a_new_one_with_all_that_is_to_be_in_it(cloud: ImageCloud) -> None:
    made = say(cloud, "POST", NAMESPACES, 201, WHOLE)
    assert made == say(cloud, "GET", path(), 200)
    assert made["properties"] == {"size": SIZE}
    assert made["tags"] == [{"name": "big"}, {"name": "new"}]
    assert made["resource_type_associations"] == [
        {"name": "OS::Glance::Image", **WHEN},
        {"name": "OS::Nova::Flavor", "prefix": "hw:", **WHEN},
    ]
    (case,) = made["objects"]
    assert case == {
        **WHOLE["objects"][0],  # type: ignore[index]
        "self": "/v2/metadefs/namespaces/Ns::One/objects/case",
        "schema": "/v2/schemas/metadefs/object",
        **WHEN,
    }
    assert {k: made[k] for k in ("display_name", "description", "visibility", "protected", "owner")} == {
        k: WHOLE[k] for k in ("display_name", "description", "visibility", "protected", "owner")
    }
    assert say(cloud, "GET", path("objects", "case"), 200) == case
    assert say(cloud, "GET", path("properties"), 200) == {"properties": {"size": SIZE}}


def test_shown_as_things_of_a_type_call_its_properties(cloud: ImageCloud) -> None:
    say(cloud, "POST", NAMESPACES, 201, WHOLE)
    shown = say(cloud, "GET", path() + "?resource_type=OS::Nova::Flavor", 200)
    assert list(shown["properties"]) == ["hw:size"]
    assert list(shown["objects"][0]["properties"]) == ["hw:color"]
    assert shown["objects"][0]["required"] == ["hw:color"]
    for unprefixed in ("OS::Glance::Image", "OS::Cinder::Volume"):
        shown = say(cloud, "GET", path() + f"?resource_type={unprefixed}", 200)
        assert list(shown["properties"]) == ["size"]
        assert shown["objects"][0]["required"] == ["color"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"namespace": ""},
        {"namespace": "a/b"},
        {"namespace": "n" * 81},
        {"namespace": 5},
        {"namespace": "n", "display_name": "d" * 81},
        {"namespace": "n", "description": "d" * 501},
        {"namespace": "n", "visibility": "shared"},
        {"namespace": "n", "visibility": "public\n"},
        {"namespace": "n", "protected": "yes"},
        {"namespace": "n", "owner": "o" * 256},
        {"namespace": "n", "color": "red"},
        {"namespace": "n", "tags": [{"name": "t" * 81}]},
        {"namespace": "n", "tags": ["t"]},
        {"namespace": "n", "tags": [{}]},
        {"namespace": "n", "objects": [{"description": "no name"}]},
        {"namespace": "n", "objects": [{"name": "o", "properties": {"p": {"title": "no type"}}}]},
        {"namespace": "n", "properties": {"p": {"type": "string"}}},
        {"namespace": "n", "properties": {"": {"title": "t", "type": "string"}}},
        {"namespace": "n", "resource_type_associations": [{"prefix": "p"}]},
        {"namespace": "n", "resource_type_associations": [{"name": "r", "prefix": "p" * 81}]},
        {"namespace": "n", "tags": [{"name": f"t{n}"} for n in range(1001)]},
        ["n"],
    ],
)
def test_what_is_no_namespace(cloud: ImageCloud, body: Any) -> None:
    assert refused(cloud, "POST", NAMESPACES, 400, body)
    make(cloud)
    changed = {**body, "namespace": body.get("namespace", 1)} if isinstance(body, dict) else body
    assert refused(cloud, "PUT", path(), 400, changed)


@pytest.mark.parametrize("name", ["self", "schema", "created_at", "updated_at"])
def test_what_only_the_service_says(cloud: ImageCloud, name: str) -> None:
    assert name in refused(cloud, "POST", NAMESPACES, 403, {"namespace": "Ns::One", name: "x"})
    make(cloud)
    assert name in refused(cloud, "PUT", path(), 403, {"namespace": "Ns::One", name: "x"})


@pytest.mark.parametrize("kind", ["tags", "objects", "resource_type_associations"])
def test_nothing_is_in_it_twice(cloud: ImageCloud, kind: str) -> None:
    assert "twin" in refused(cloud, "POST", NAMESPACES, 409, {"namespace": "n", kind: [{"name": "twin"}] * 2})
    assert names(cloud) == []


def test_a_name_is_there_once_whoever_has_it(cloud: ImageCloud) -> None:
    make(cloud, visibility="private", owner="p2")
    assert "Ns::One" in refused(cloud, "POST", NAMESPACES, 409, {"namespace": "Ns::One"})
    make(cloud, "Ns::Two")
    assert "Ns::One" in refused(cloud, "PUT", path(namespace="Ns::Two"), 409, {"namespace": "Ns::One"})


def test_a_change_says_all_anew(cloud: ImageCloud) -> None:
    say(cloud, "POST", NAMESPACES, 201, WHOLE)
    cloud.clock.now += 60
    changed = say(cloud, "PUT", path(), 200, {"namespace": "Ns::New", "description": "Other."})
    assert changed == {
        "namespace": "Ns::New",
        "description": "Other.",
        "visibility": "private",
        "protected": False,
        "owner": "admin-project",
        "self": "/v2/metadefs/namespaces/Ns::New",
        "schema": "/v2/schemas/metadefs/namespace",
        "created_at": "2027-01-15T08:00:00Z",
        "updated_at": "2027-01-15T08:01:00Z",
    }
    refused(cloud, "GET", path(), 404)
    assert say(cloud, "GET", path("tags", namespace="Ns::New"), 200)["tags"] == [{"name": "big"}, {"name": "new"}]
    same = say(cloud, "PUT", path(namespace="Ns::New"), 200, {"namespace": "Ns::New", "visibility": "public"})
    assert same["visibility"] == "public"


def test_deletion_takes_all_with_it(cloud: ImageCloud) -> None:
    say(cloud, "POST", NAMESPACES, 201, {**WHOLE, "protected": False})
    say(cloud, "DELETE", path(), 204)
    for part in ("", "/objects", "/properties", "/tags", "/resource_types"):
        refused(cloud, "GET", path() + part, 404)
    again = make(cloud)
    assert not {"objects", "properties", "tags", "resource_type_associations"} & set(again)
    # types stay known
    assert len(say(cloud, "GET", "/image/v2/metadefs/resource_types", 200)["resource_types"]) == 2


def test_nothing_of_a_protected_one_is_deleted(cloud: ImageCloud) -> None:
    say(cloud, "POST", NAMESPACES, 201, WHOLE)
    parts = ("objects", "objects/case", "properties", "properties/size", "tags", "tags/new", "resource_types/OS::Nova::Flavor")
    for url in (path(), *(path(part) for part in parts)):
        assert "protected" in refused(cloud, "DELETE", url, 403)
    say(cloud, "PUT", path(), 200, {"namespace": "Ns::One"})
    for part in reversed(parts):
        say(cloud, "DELETE", path(part), 204)
    say(cloud, "DELETE", path(), 204)


# --- lists ----------------------------------------------------------------------------------------------------------------


def test_a_list_in_pages(cloud: ImageCloud) -> None:
    for n in range(5):
        make(cloud, f"n{n}", display_name=f"d{9 - n}")
        cloud.clock.now += 1
    assert names(cloud) == ["n4", "n3", "n2", "n1", "n0"]
    assert names(cloud, "?sort_dir=asc") == ["n0", "n1", "n2", "n3", "n4"]
    assert names(cloud, "?sort_key=display_name&sort_dir=asc") == ["n4", "n3", "n2", "n1", "n0"]
    first = say(cloud, "GET", NAMESPACES + "?limit=2&sort_key=namespace&sort_dir=asc", 200)
    assert first["first"] == "/v2/metadefs/namespaces?limit=2&sort_key=namespace&sort_dir=asc"
    assert first["next"] == "/v2/metadefs/namespaces?limit=2&sort_key=namespace&sort_dir=asc&marker=n1"
    assert first["schema"] == "/v2/schemas/metadefs/namespaces"
    second = say(cloud, "GET", "/image" + first["next"], 200)
    assert [n["namespace"] for n in second["namespaces"]] == ["n2", "n3"]
    third = say(cloud, "GET", "/image" + second["next"], 200)
    assert [n["namespace"] for n in third["namespaces"]] == ["n4"]
    assert "next" not in third
    assert say(cloud, "GET", NAMESPACES, 200)["first"] == "/v2/metadefs/namespaces"
    assert names(cloud, "?limit=0") == []


def test_a_list_says_what_they_are_about(cloud: ImageCloud) -> None:
    say(cloud, "POST", NAMESPACES, 201, WHOLE)
    (found,) = say(cloud, "GET", NAMESPACES, 200)["namespaces"]
    assert [(a["name"], a.get("prefix")) for a in found["resource_type_associations"]] == [
        ("OS::Glance::Image", None),
        ("OS::Nova::Flavor", "hw:"),
    ]
    assert not {"objects", "properties", "tags"} & set(found)


def test_filters(cloud: ImageCloud) -> None:
    make(cloud, "flavor", resource_type_associations=[{"name": "OS::Nova::Flavor"}])
    make(cloud, "both", resource_type_associations=[{"name": "OS::Nova::Flavor"}, {"name": "OS::Glance::Image"}])
    make(cloud, "none", visibility="private")
    assert set(names(cloud, "?resource_types=OS::Nova::Flavor")) == {"flavor", "both"}
    assert names(cloud, "?resource_types=OS::Glance::Image") == ["both"]
    assert set(names(cloud, "?resource_types=OS::Glance::Image,OS::Nova::Flavor")) == {"flavor", "both"}
    assert names(cloud, "?resource_types=OS::Nova") == []
    assert set(names(cloud, "?visibility=public")) == {"flavor", "both"}
    assert names(cloud, "?visibility=private") == ["none"]
    assert names(cloud, "?visibility=private&resource_types=OS::Nova::Flavor") == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("visibility=shared", 400),
        ("limit=-1", 400),
        ("limit=x", 400),
        ("sort_key=color", 400),
        ("sort_key=description", 400),
        ("sort_dir=up", 400),
        ("marker=nothing", 404),
        ("resource_types=" + "t," * 1000, 400),
    ],
)
def test_bad_queries(cloud: ImageCloud, query: str, status: int) -> None:
    assert refused(cloud, "GET", f"{NAMESPACES}?{query}", status)


def test_who_sees_which(cloud: ImageCloud) -> None:
    make(cloud, "public", owner="p2")
    make(cloud, "mine", visibility="private", owner="p1")
    make(cloud, "theirs", visibility="private", owner="p2")
    seen = {"admin": {"public", "mine", "theirs"}, "other": {"public", "theirs"}}
    for token in ("admin", "manager", "member", "member2", "reader", "other"):
        expected = seen.get(token, {"public", "mine"})
        assert set(names(cloud, token=token)) == expected
        for namespace in ("public", "mine", "theirs"):
            say(cloud, "GET", path(namespace=namespace), 200 if namespace in expected else 404, token=token)
    assert names(cloud, "?visibility=private", "member") == ["mine"]
    refused(cloud, "GET", NAMESPACES + "?marker=theirs", 404, token="member")
    for token in ("service", "nobody"):
        refused(cloud, "GET", NAMESPACES, 403, token=token)


def test_an_operator_may_open_a_part_only(cloud: ImageCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of parts in a new namespace has its own rule, and each of those that are shown."""
    policy = cloud.cloud.policy("image")
    rules: dict[str, Any] = policy._load()
    monkeypatch.setattr(policy, "_current", lambda: rules)
    rules["add_metadef_namespace"] = lambda target, creds: True
    made = say(cloud, "POST", NAMESPACES, 201, {"namespace": "Ns::One"}, token="member")
    assert made["owner"] == "p1"
    for kind, part in (
        ("tags", [{"name": "t"}]),
        ("objects", [{"name": "o"}]),
        ("properties", {"size": SIZE}),
        ("resource_type_associations", [{"name": "r"}]),
    ):
        refused(cloud, "POST", NAMESPACES, 403, {"namespace": "n", kind: part}, token="member")
    rules["get_metadef_tags"] = lambda target, creds: False
    refused(cloud, "GET", path(), 403, token="member")
    rules["list_metadef_resource_types"] = lambda target, creds: False
    refused(cloud, "GET", NAMESPACES, 403, token="member")
