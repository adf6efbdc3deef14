"""Kinds of things that metadata definitions are about."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ImageCloud
from .metadefs import WHEN, make, path, refused, say

TYPES = "/image/v2/metadefs/resource_types"
VOLUME = {"name": "OS::Cinder::Volume", "prefix": "hw_", "properties_target": "image"}


@pytest.fixture(autouse=True)
def namespace(cloud: ImageCloud) -> None:
    make(cloud)


def test_an_association_makes_its_type(cloud: ImageCloud) -> None:
    assert say(cloud, "GET", TYPES, 200, token="reader") == {"resource_types": []}
    made = say(cloud, "POST", path("resource_types"), 201, VOLUME)
    assert made == {**VOLUME, **WHEN}
    assert say(cloud, "GET", TYPES, 200, token="other") == {"resource_types": [{"name": "OS::Cinder::Volume", **WHEN}]}
    assert say(cloud, "GET", path("resource_types"), 200, token="other") == {"resource_type_associations": [made]}
    cloud.clock.now += 60
    make(cloud, "Ns::Two", resource_type_associations=[{"name": "OS::Cinder::Volume"}, {"name": "OS::Nova::Flavor"}])
    types = say(cloud, "GET", TYPES, 200)["resource_types"]
    assert [(t["name"], t["created_at"][11:16]) for t in types] == [
        ("OS::Cinder::Volume", "08:00"),
        ("OS::Nova::Flavor", "08:01"),
    ]
    say(cloud, "DELETE", path("resource_types", "OS::Cinder::Volume"), 204)
    assert say(cloud, "GET", path("resource_types"), 200) == {"resource_type_associations": []}
    assert len(say(cloud, "GET", TYPES, 200)["resource_types"]) == 2
    (left, _) = say(cloud, "GET", path("resource_types", namespace="Ns::Two"), 200)["resource_type_associations"]
    assert left["name"] == "OS::Cinder::Volume"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a/b"},
        {"name": "n" * 81},
        {"name": 5},
        {"name": "n", "prefix": "p" * 81},
        {"name": "n", "prefix": 5},
        {"name": "n", "properties_target": "p" * 81},
        {"name": "n", "color": "red"},
        "n",
    ],
)
def test_what_is_no_association(cloud: ImageCloud, body: Any) -> None:
    assert refused(cloud, "POST", path("resource_types"), 400, body)


@pytest.mark.parametrize("name", ["created_at", "updated_at"])
def test_what_only_the_service_says(cloud: ImageCloud, name: str) -> None:
    assert name in refused(cloud, "POST", path("resource_types"), 403, {"name": "n", name: "x"})


def test_a_namespace_is_about_a_type_once(cloud: ImageCloud) -> None:
    say(cloud, "POST", path("resource_types"), 201, VOLUME)
    assert "OS::Cinder::Volume" in refused(cloud, "POST", path("resource_types"), 409, {"name": "OS::Cinder::Volume"})


def test_what_is_not_there(cloud: ImageCloud) -> None:
    assert "gone" in refused(cloud, "DELETE", path("resource_types", "gone"), 404)
    assert "None" in refused(cloud, "DELETE", path("resource_types", "gone", namespace="None"), 404)
    assert "None" in refused(cloud, "GET", path("resource_types", namespace="None"), 404)
    assert "None" in refused(cloud, "POST", path("resource_types", namespace="None"), 404, VOLUME)
    refused(cloud, "GET", path("resource_types", "gone"), 405)
