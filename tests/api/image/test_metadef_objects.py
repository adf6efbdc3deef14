"""Objects of metadata definitions."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ImageCloud
from .metadefs import COLOR, SIZE, WHEN, make, path, refused, say

CASE = {"name": "case", "description": "The outside.", "required": ["color"], "properties": {"color": COLOR}}


@pytest.fixture(autouse=True)
def namespace(cloud: ImageCloud) -> None:
    make(cloud)


def names(cloud: ImageCloud, query: str = "") -> list[str]:
    return [o["name"] for o in say(cloud, "GET", path("objects") + query, 200, token="reader")["objects"]]


def test_its_life(cloud: ImageCloud) -> None:
    made = say(cloud, "POST", path("objects"), 201, CASE)
    here = {"self": "/v2/metadefs/namespaces/Ns::One/objects/case", "schema": "/v2/schemas/metadefs/object"}
    assert made == {**CASE, **here, **WHEN}
    assert say(cloud, "GET", path("objects", "case"), 200, token="other") == made
    assert say(cloud, "GET", path("objects"), 200) == {"objects": [made], "schema": "v2/schemas/metadefs/objects"}
    cloud.clock.now += 60
    changed = say(cloud, "PUT", path("objects", "case"), 200, {"name": "bag", "properties": {"size": SIZE}})
    assert changed == {
        "name": "bag",
        "required": [],
        "properties": {"size": SIZE},
        "self": "/v2/metadefs/namespaces/Ns::One/objects/bag",
        "schema": "/v2/schemas/metadefs/object",
        "created_at": "2027-01-15T08:00:00Z",
        "updated_at": "2027-01-15T08:01:00Z",
    }
    refused(cloud, "GET", path("objects", "case"), 404)
    say(cloud, "DELETE", path("objects", "bag"), 204)
    assert names(cloud) == []


def test_an_object_may_be_a_name_alone(cloud: ImageCloud) -> None:
    made = say(cloud, "POST", path("objects"), 201, {"name": "CPU Limits"})
    assert (made["required"], made["properties"], "description" in made) == ([], {}, False)
    assert say(cloud, "GET", path("objects", "CPU Limits"), 200) == made


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a/b"},
        {"name": "n" * 81},
        {"name": "n", "color": "red"},
        {"name": "n", "required": "color"},
        {"name": "n", "required": [5]},
        {"name": "n", "properties": []},
        {"name": "n", "properties": {"p": {"title": "no type"}}},
        {"name": "n", "properties": {"p": {"title": "t", "type": "text"}}},
        {"name": "n", "properties": {"p" * 81: SIZE}},
        {"name": "n", "properties": {f"p{n}": {**SIZE, "description": "d" * 60_000} for n in range(2)}},
        "name",
    ],
)
def test_what_is_no_object(cloud: ImageCloud, body: Any) -> None:
    say(cloud, "POST", path("objects"), 201, CASE)
    assert refused(cloud, "POST", path("objects"), 400, body)
    assert refused(cloud, "PUT", path("objects", "case"), 400, body)


@pytest.mark.parametrize("name", ["self", "schema", "created_at", "updated_at"])
def test_what_only_the_service_says(cloud: ImageCloud, name: str) -> None:
    say(cloud, "POST", path("objects"), 201, CASE)
    for method, url in (("POST", path("objects")), ("PUT", path("objects", "case"))):
        assert name in refused(cloud, method, url, 403, {"name": "n", name: "x"})


def test_names_are_there_once(cloud: ImageCloud) -> None:
    say(cloud, "POST", path("objects"), 201, CASE)
    say(cloud, "POST", path("objects"), 201, {"name": "bag"})
    assert "case" in refused(cloud, "POST", path("objects"), 409, CASE)
    assert "case" in refused(cloud, "PUT", path("objects", "bag"), 409, CASE)
    make(cloud, "Ns::Two")
    say(cloud, "POST", path("objects", namespace="Ns::Two"), 201, CASE)


def test_what_is_not_there(cloud: ImageCloud) -> None:
    for method, body in (("GET", None), ("PUT", CASE), ("DELETE", None)):
        assert "gone" in refused(cloud, method, path("objects", "gone"), 404, body)
        assert "None" in refused(cloud, method, path("objects", "gone", namespace="None"), 404, body)
    for method, body in (("GET", None), ("POST", CASE), ("DELETE", None)):
        assert "None" in refused(cloud, method, path("objects", namespace="None"), 404, body)


def test_a_list(cloud: ImageCloud) -> None:
    for name in "bac":
        say(cloud, "POST", path("objects"), 201, {"name": name})
        cloud.clock.now += 1
    assert names(cloud) == ["c", "a", "b"]
    assert names(cloud, "?sort_key=name&sort_dir=asc") == ["a", "b", "c"]
    assert names(cloud, "?limit=2") == ["c", "a"]
    assert names(cloud, "?limit=2&marker=a") == ["b"]
    assert names(cloud, "?sort_dir=asc&marker=b&limit=1") == ["a"]
    refused(cloud, "GET", path("objects") + "?marker=x", 404)
    for query in ("limit=x", "limit=-1", "sort_key=id", "sort_dir=up"):
        refused(cloud, "GET", path("objects") + f"?{query}", 400)


def test_all_at_once(cloud: ImageCloud) -> None:
    make(cloud, "Ns::Two", objects=[{"name": "stays"}])
    for name in "ab":
        say(cloud, "POST", path("objects"), 201, {"name": name})
    say(cloud, "DELETE", path("objects"), 204)
    assert names(cloud) == []
    assert say(cloud, "GET", path("objects", "stays", namespace="Ns::Two"), 200)


def test_there_are_not_too_many(cloud: ImageCloud) -> None:
    make(cloud, "Ns::Full", objects=[{"name": f"o{n}"} for n in range(1000)])
    assert "1000" in refused(cloud, "POST", path("objects", namespace="Ns::Full"), 413, CASE)
    say(cloud, "DELETE", path("objects", "o1", namespace="Ns::Full"), 204)
    say(cloud, "POST", path("objects", namespace="Ns::Full"), 201, CASE)
