"""Regions, and services."""

from __future__ import annotations

from typing import Any

import pytest

from api.identity.conftest import IdentityCloud


def test_regions(cloud: IdentityCloud) -> None:
    made = cloud.make("region", "/regions", description="d", color="red")
    assert (made["description"], made["parent_region_id"], made["color"]) == ("d", None, "red")
    assert made["links"]["self"].endswith(f"/v3/regions/{made['id']}")
    put = cloud.do("PUT", "/regions/north", {"region": {"parent_region_id": made["id"]}})
    assert (put.status, put.json["region"]["id"], put.json["region"]["description"]) == (201, "north", "")
    assert cloud.make("region", "/regions", id="south")["id"] == "south"
    assert len(cloud.make("region", "/regions", id=None)["id"]) == 32
    assert cloud.do("GET", "/regions/north").json["region"] == put.json["region"]
    assert cloud.do("HEAD", "/regions/north").status == 200
    assert [r["id"] for r in cloud.do("GET", f"/regions?parent_region_id={made['id']}").json["regions"]] == ["north"]
    changed = cloud.do("PATCH", "/regions/north", {"region": {"description": None, "id": "north", "color": 1}})
    assert (changed.status, changed.json["region"]["description"], changed.json["region"]["color"]) == (200, "", 1)
    moved = cloud.do("PATCH", "/regions/north", {"region": {"parent_region_id": "south"}}).json["region"]
    assert moved["parent_region_id"] == "south"
    assert cloud.do("PATCH", "/regions/north", {"region": {"parent_region_id": None}}).json["region"]["color"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/regions", {"parent_region_id": "none"}, 404),
        ("POST", "/regions", {"id": "RegionOne"}, 409),
        ("POST", "/regions", {"id": 5}, 400),
        ("POST", "/regions", {"description": "d" * 256}, 400),
        ("POST", "/regions", {"parent_region_id": ""}, 400),
        ("PUT", "/regions/RegionOne", {}, 409),
        ("PUT", "/regions/x", {"id": "y"}, 400),
        ("PUT", "/regions/x", {"id": None}, 400),
        ("PUT", f"/regions/{'x' * 256}", {}, 400),
        ("PATCH", "/regions/RegionOne", {}, 400),
        ("PATCH", "/regions/RegionOne", {"id": "x"}, 400),
        ("PATCH", "/regions/RegionOne", {"parent_region_id": "none"}, 404),
        ("PATCH", "/regions/RegionOne", {"parent_region_id": "RegionOne"}, 400),
        ("PATCH", "/regions/none", {"description": "x"}, 404),
    ],
)
def test_bad_regions(cloud: IdentityCloud, method: str, path: str, body: Any, status: int) -> None:
    assert cloud.do(method, path, {"region": body}).status == status


def test_regions_that_are_not_there_and_filters(cloud: IdentityCloud) -> None:
    assert cloud.do("GET", "/regions/none").status == 404
    assert cloud.do("DELETE", "/regions/none").status == 404
    for query in ("description=x", "limit=1", "parent_region_id="):
        assert cloud.do("GET", f"/regions?{query}").status == 400
    assert cloud.do("POST", "/regions").status == 400


def test_a_region_cannot_be_its_own_ancestor(cloud: IdentityCloud) -> None:
    cloud.do("PUT", "/regions/a", {"region": {}})
    cloud.do("PUT", "/regions/b", {"region": {"parent_region_id": "a"}})
    cloud.do("PUT", "/regions/c", {"region": {"parent_region_id": "b"}})
    assert cloud.do("PATCH", "/regions/a", {"region": {"parent_region_id": "c"}}).status == 400


def test_a_region_goes_with_all_in_it_unless_that_is_used(cloud: IdentityCloud) -> None:
    for name, parent in (("a", None), ("b", "a"), ("c", "b")):
        cloud.do("PUT", f"/regions/{name}", {"region": {"parent_region_id": parent}})
    service = cloud.make("service", "/services", type="dns")["id"]
    fields = {"service_id": service, "interface": "public", "url": "http://dns", "region_id": "c"}
    endpoint = cloud.make("endpoint", "/endpoints", **fields)["id"]
    assert cloud.do("DELETE", "/regions/a").status == 403
    assert cloud.do("DELETE", f"/endpoints/{endpoint}").status == 204
    wanted = {"service_id": service, "resource_name": "zones", "default_limit": 1, "region_id": "b"}
    limit = cloud.do("POST", "/registered_limits", {"registered_limits": [wanted]}).json["registered_limits"][0]
    assert cloud.do("DELETE", "/regions/a").status == 403
    assert cloud.do("DELETE", f"/registered_limits/{limit['id']}").status == 204
    assert cloud.do("DELETE", "/regions/a").status == 204
    assert [r["id"] for r in cloud.do("GET", "/regions").json["regions"]] == ["RegionOne"]
    assert cloud.do("DELETE", "/regions/RegionOne").status == 403


def test_services(cloud: IdentityCloud) -> None:
    made = cloud.make("service", "/services", type="dns", name="designate", description="names", id="x")
    path = f"/services/{made['id']}"
    assert (made["enabled"], made["description"], len(made["id"])) == (True, "names", 32)
    assert cloud.make("service", "/services", type="dns")["name"] == ""
    assert cloud.do("GET", path).json["service"] == made
    assert cloud.do("HEAD", path).status == 200
    assert cloud.do("GET", "/services?type=dns&name=designate").json["services"] == [made]
    assert cloud.do("GET", "/services?name__startswith=desi").json["services"] == [made]
    assert cloud.do("GET", "/services?type=none").json["services"] == []
    changed = cloud.do("PATCH", path, {"service": {"name": "bind", "enabled": False, "description": None}}).json["service"]
    assert changed == {**made, "name": "bind", "enabled": False, "description": None}
    assert cloud.do("DELETE", path).status == 204
    for method, body in (("GET", None), ("PATCH", {"service": {"name": "x"}}), ("DELETE", None)):
        assert cloud.do(method, path, body).status == 404


@pytest.mark.parametrize(
    "body",
    [{}, {"type": ""}, {"type": "x" * 256}, {"type": "x", "name": ""}, {"type": "x", "enabled": "yes"}, {"type": 1}],
)
def test_bad_services(cloud: IdentityCloud, body: Any) -> None:
    assert cloud.do("POST", "/services", {"service": body}).status == 400
    service = cloud.do("GET", "/services").json["services"][0]["id"]
    assert cloud.do("PATCH", f"/services/{service}", {"service": {**body, "id": "other"}}).status == 400
    assert cloud.do("PATCH", f"/services/{service}", {"service": {}}).status == 400


def test_a_service_takes_its_endpoints_with_it(cloud: IdentityCloud) -> None:
    service = cloud.make("service", "/services", type="dns")["id"]
    fields = {"service_id": service, "interface": "public", "url": "http://dns"}
    endpoint = cloud.make("endpoint", "/endpoints", **fields)["id"]
    assert cloud.do("DELETE", f"/services/{service}").status == 204
    assert cloud.do("GET", f"/endpoints/{endpoint}").status == 404
