"""The JSON schemas of metadata definitions, as clients read them before they speak."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ImageCloud
from .metadefs import say

PROPERTY = (
    "name title description operators type required minimum maximum maxLength minLength pattern enum readonly default items "
    "maxItems minItems uniqueItems additionalItems"
)
FIELDS = {
    "namespace": "namespace display_name description visibility protected owner created_at updated_at schema self "
    "resource_type_associations properties objects tags",
    "object": "name description required properties schema self created_at updated_at",
    "property": PROPERTY,
    "tag": "name created_at updated_at",
    "resource_type": "name prefix properties_target created_at updated_at",
}
NAMES = {"resource_type": "resource_type_association"}
REQUIRED = {"namespace": {"namespace"}, "property": {"name", "title", "type"}}


def show(cloud: ImageCloud, name: str) -> dict[str, Any]:
    found: dict[str, Any] = say(cloud, "GET", f"/image/v2/schemas/metadefs/{name}", 200, token="nobody")
    return found


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(inner) for inner in value.values()))
    return set().union(*(references(inner) for inner in value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("name", FIELDS)
def test_one_thing(cloud: ImageCloud, name: str) -> None:
    schema = show(cloud, name)
    assert schema["name"] == NAMES.get(name, name)
    assert set(schema["properties"]) == set(FIELDS[name].split())
    assert set(schema["required"]) == REQUIRED.get(name, {"name"})
    assert schema["additionalProperties"] is False
    for field in ("created_at", "updated_at", "self", "schema"):
        assert schema["properties"].get(field, {}).get("readOnly", True)


@pytest.mark.parametrize(
    ("name", "root", "one"),
    [
        ("namespaces", "namespaces", "namespace"),
        ("objects", "objects", "object"),
        ("tags", "tags", "tag"),
        ("resource_types", "resource_type_associations", "resource_type"),
    ],
)
def test_a_list(cloud: ImageCloud, name: str, root: str, one: str) -> None:
    schema = show(cloud, name)
    assert schema["name"] == root
    assert set(schema["properties"]) == {root, "first", "next", "schema"}
    item = {key: value for key, value in show(cloud, one).items() if key != "definitions"}
    assert schema["properties"][root] == {"type": "array", "items": item}
    assert [link["rel"] for link in schema["links"]] == ["first", "next", "describedby"]


def test_properties_stand_under_their_names(cloud: ImageCloud) -> None:
    schema = show(cloud, "properties")
    item = schema["properties"]["properties"]["additionalProperties"]
    assert set(item["properties"]) == set(PROPERTY.split())
    assert set(item["required"]) == {"title", "type"}


@pytest.mark.parametrize("name", [*FIELDS, "namespaces", "objects", "tags", "resource_types", "properties"])
def test_what_a_schema_refers_to_is_in_it(cloud: ImageCloud, name: str) -> None:
    schema = show(cloud, name)
    defined = {f"#/definitions/{inner}" for inner in schema.get("definitions", {})}
    assert references(schema) <= defined


def test_there_are_no_others(cloud: ImageCloud) -> None:
    assert cloud.ask("GET", "/image/v2/schemas/metadefs/color").status == 404
    assert cloud.ask("POST", "/image/v2/schemas/metadefs/tag").status == 405
