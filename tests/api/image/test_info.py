"""What the service tells about itself: versions, stores, and the schemas of images and members."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shapes import shape
from tiffin.services.image.resources.info import BROUGHT

from .conftest import ImageCloud

FACTS: dict[str, Any] = json.loads((Path(__file__).with_name("facts") / "schemas.json").read_text())
"""Upstream's schemas without their descriptions. Of lists, what one item is stands with the item."""


@pytest.mark.parametrize(
    ("path", "status"), [("/image", 300), ("/image/", 300), ("/image/versions", 200), ("/image/v2", 300), ("/image/v2/", 300)]
)
def test_versions(cloud: ImageCloud, path: str, status: int) -> None:
    reply = cloud.ask("GET", path, None)
    assert reply.status == status
    versions = reply.json["versions"]
    assert [v["status"] for v in versions] == ["CURRENT"] + ["SUPPORTED"] * (len(versions) - 1)
    assert {v["links"][0]["href"] for v in versions} == {"http://127.0.0.1:8000/image/v2/"}
    numbers = [int(v["id"].removeprefix("v2.")) for v in versions]
    assert numbers == sorted(numbers, reverse=True)


def test_a_version_is_told_when_what_it_brought_is_here(cloud: ImageCloud) -> None:
    there = {shape(o.method, o.path) for o in cloud.cloud.service("image").operations()}
    lacking = {minor for minor, operation in BROUGHT.items() if operation not in there}
    told = {int(v["id"].removeprefix("v2.")) for v in cloud.ask("GET", "/image/versions", None).json["versions"]}
    assert told == set(range(19)) - lacking


def test_what_it_can_do(cloud: ImageCloud) -> None:
    assert "glance-direct" in cloud.ask("GET", "/image/v2/info/import").json["import-methods"]["value"]
    assert [s["id"] for s in cloud.ask("GET", "/image/v2/info/stores").json["stores"]] == ["memory"]
    assert cloud.ask("GET", "/image/v2/info/stores/detail", "admin").json["stores"][0]["type"] == "memory"


def _bare(value: Any) -> Any:
    """A schema without its descriptions."""
    if isinstance(value, dict):
        return {k: _bare(v) for k, v in value.items() if k != "description" or isinstance(v, dict)}
    return [_bare(v) for v in value] if isinstance(value, list) else value


def _same(value: Any) -> Any:
    """What means the same in two spellings, in one: patterns, and the order of enumerations."""
    if isinstance(value, dict):
        found = {k: _same(v) for k, v in value.items()}
        if "enum" in found:
            found["enum"] = sorted(found["enum"], key=str)
        if "pattern" in found:
            found["pattern"] = found["pattern"].replace("(", "").replace(")", "")
        return found
    return [_same(v) for v in value] if isinstance(value, list) else value


NEWER = {"visibility": {"type": "string", "enum": ["community", "private", "public", "shared"]}}
"""Of the image: the reference shows an older one."""


@pytest.mark.parametrize("name", FACTS)
def test_schemas_are_upstreams(cloud: ImageCloud, name: str) -> None:
    ours, upstream = _same(_bare(cloud.ask("GET", f"/image/v2/schemas/{name}").json)), _same(FACTS[name])
    known = upstream.pop("properties")
    properties = ours.pop("properties")
    assert ours == upstream
    if name in ("images", "members"):
        one = _same(_bare(cloud.ask("GET", f"/image/v2/schemas/{name.removesuffix('s')}").json))
        assert properties[name] == {"type": "array", "items": one}
        known[name] = properties[name]
    if name == "image":
        known |= {**NEWER, "stores": {"type": "string", "readOnly": True}}
    assert properties == known


@pytest.mark.parametrize("name", ["image", "member"])
def test_every_property_is_described(cloud: ImageCloud, name: str) -> None:
    for property, about in cloud.ask("GET", f"/image/v2/schemas/{name}").json["properties"].items():
        assert about.get("description") or property == "schema", property


def test_the_schema_names_every_attribute(cloud: ImageCloud) -> None:
    known = cloud.ask("GET", "/image/v2/schemas/image").json["properties"]
    assert set(cloud.active()) <= set(known)
