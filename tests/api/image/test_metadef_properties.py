"""Properties of metadata definitions: what a definition may say."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ImageCloud
from .metadefs import COLOR, SIZE, make, path, refused, say

FLAVOR = {"name": "OS::Nova::Flavor", "prefix": "hw:"}


@pytest.fixture(autouse=True)
def namespace(cloud: ImageCloud) -> None:
    make(cloud, resource_type_associations=[FLAVOR, {"name": "OS::Glance::Image"}])


def test_its_life(cloud: ImageCloud) -> None:
    made = say(cloud, "POST", path("properties"), 201, {"name": "size", **SIZE})
    assert made == {"name": "size", **SIZE}
    assert say(cloud, "GET", path("properties", "size"), 200, token="other") == made
    say(cloud, "POST", path("properties"), 201, {"name": "color", **COLOR})
    assert say(cloud, "GET", path("properties"), 200, token="reader") == {"properties": {"color": COLOR, "size": SIZE}}
    changed = say(cloud, "PUT", path("properties", "size"), 200, {"name": "width", "title": "Width", "type": "number"})
    assert changed == {"name": "width", "title": "Width", "type": "number"}
    refused(cloud, "GET", path("properties", "size"), 404)
    say(cloud, "DELETE", path("properties", "width"), 204)
    assert list(say(cloud, "GET", path("properties"), 200)["properties"]) == ["color"]


ALL_WORDS = {
    "name": "all",
    "title": "All",
    "type": "array",
    "description": "Every word there is.",
    "operators": ["<in>", "<or>"],
    "required": ["other"],
    "minimum": -1.5,
    "maximum": 10**12,
    "maxLength": 10,
    "minLength": 0,
    "pattern": "^(a|b)*$",
    "enum": ["a", 1, 2.5, True, None],
    "readonly": True,
    "default": {"deep": [1, "two"]},
    "items": {"type": "string", "enum": ["a", "b"]},
    "maxItems": 4,
    "minItems": 1,
    "uniqueItems": True,
    "additionalItems": False,
}


def test_every_word_of_a_definition(cloud: ImageCloud) -> None:
    assert say(cloud, "POST", path("properties"), 201, ALL_WORDS) == ALL_WORDS
    assert say(cloud, "GET", path("properties", "all"), 200) == ALL_WORDS
    unnamed = {word: value for word, value in ALL_WORDS.items() if word != "name"}
    say(cloud, "POST", path("objects"), 201, {"name": "o", "properties": {"all": unnamed}})
    assert say(cloud, "GET", path("objects", "o"), 200)["properties"] == {"all": unnamed}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": None},
        {"name": ""},
        {"name": "a/b"},
        {"name": "n" * 81},
        {"title": 5},
        {"title": "t" * 256},
        {"type": "text"},
        {"type": None},
        {"type": "string\n"},
        {"description": ["d"]},
        {"description": "d" * 65_536},
        {"operators": "<in>"},
        {"operators": [1]},
        {"operators": ["<in>"] * 101},
        {"required": [1]},
        {"minimum": "1"},
        {"maximum": True},
        {"maxLength": -1},
        {"maxLength": 1.5},
        {"minLength": -1},
        {"pattern": 5},
        {"pattern": "p" * 4097},
        {"enum": "red"},
        {"enum": [{}]},
        {"enum": ["red"] * 1001},
        {"readonly": "yes"},
        {"default": "d" * 65_536},
        {"items": []},
        {"items": {"type": "text"}},
        {"items": {"enum": "a"}},
        {"items": {"color": "red"}},
        {"maxItems": -1},
        {"minItems": "1"},
        {"uniqueItems": 1},
        {"additionalItems": {}},
        {"color": "red"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_is_no_definition(cloud: ImageCloud, wrong: dict[str, Any]) -> None:
    say(cloud, "POST", path("properties"), 201, {"name": "size", **SIZE})
    body = {"name": "n", **SIZE, **wrong}
    assert refused(cloud, "POST", path("properties"), 400, body)
    assert refused(cloud, "PUT", path("properties", "size"), 400, body)


@pytest.mark.parametrize(("depth", "status"), [(32, 201), (33, 400), (900, 400), (985, 400), (100_000, 400)])
def test_a_default_is_not_too_deep(cloud: ImageCloud, depth: int, status: int) -> None:
    body = b'{"name": "n", "title": "t", "type": "array", "default": ' + b"[" * depth + b"]" * depth + b"}"
    headers = {"X-Auth-Token": "admin", "Content-Type": "application/json"}
    assert cloud.client.request("POST", path("properties"), headers=headers, body=body).status == status
    inside = b'{"name": "o", "properties": {"p": ' + body + b"}}"
    assert cloud.client.request("POST", path("objects"), headers=headers, body=inside).status == status


@pytest.mark.parametrize("missing", ["name", "title", "type"])
def test_what_a_definition_needs(cloud: ImageCloud, missing: str) -> None:
    body = {name: value for name, value in {"name": "n", **SIZE}.items() if name != missing}
    assert missing in refused(cloud, "POST", path("properties"), 400, body)


@pytest.mark.parametrize("name", ["created_at", "updated_at"])
def test_what_only_the_service_says(cloud: ImageCloud, name: str) -> None:
    say(cloud, "POST", path("properties"), 201, {"name": "size", **SIZE})
    body = {"name": "n", **SIZE, name: "x"}
    assert name in refused(cloud, "POST", path("properties"), 403, body)
    assert name in refused(cloud, "PUT", path("properties", "size"), 403, body)


def test_names_are_there_once(cloud: ImageCloud) -> None:
    for name in ("size", "width"):
        say(cloud, "POST", path("properties"), 201, {"name": name, **SIZE})
    assert "size" in refused(cloud, "POST", path("properties"), 409, {"name": "size", **COLOR})
    assert "size" in refused(cloud, "PUT", path("properties", "width"), 409, {"name": "size", **SIZE})
    say(cloud, "PUT", path("properties", "width"), 200, {"name": "width", **COLOR})


def test_shown_as_things_of_a_type_call_it(cloud: ImageCloud) -> None:
    made = say(cloud, "POST", path("properties"), 201, {"name": "size", **SIZE})
    flavor = "?resource_type=OS::Nova::Flavor"
    assert say(cloud, "GET", path("properties", "hw:size") + flavor, 200, token="reader") == made
    for name, query in (
        ("size", flavor),
        ("hw:color", flavor),
        ("hw:size", ""),
        ("size", "?resource_type=OS::Glance::Image"),
        ("size", "?resource_type=OS::Cinder::Volume"),
    ):
        refused(cloud, "GET", path("properties", name) + query, 404)


def test_what_is_not_there(cloud: ImageCloud) -> None:
    body = {"name": "n", **SIZE}
    for method, sent in (("GET", None), ("PUT", body), ("DELETE", None)):
        assert "gone" in refused(cloud, method, path("properties", "gone"), 404, sent)
    for method, sent in (("GET", None), ("POST", body), ("DELETE", None)):
        assert "None" in refused(cloud, method, path("properties", namespace="None"), 404, sent)


def test_all_at_once(cloud: ImageCloud) -> None:
    make(cloud, "Ns::Two", properties={"stays": SIZE})
    for name in "ab":
        say(cloud, "POST", path("properties"), 201, {"name": name, **SIZE})
    say(cloud, "DELETE", path("properties"), 204)
    assert say(cloud, "GET", path("properties"), 200) == {"properties": {}}
    assert say(cloud, "GET", path("properties", namespace="Ns::Two"), 200) == {"properties": {"stays": SIZE}}


def test_there_are_not_too_many(cloud: ImageCloud) -> None:
    make(cloud, "Ns::Full", properties={f"p{n}": SIZE for n in range(1000)})
    assert refused(cloud, "POST", path("properties", namespace="Ns::Full"), 413, {"name": "n", **SIZE})
