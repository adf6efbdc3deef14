"""Endpoints, and the catalogue that a token's bearer sees."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.identity.conftest import ADMIN_PASSWORD, IdentityCloud
from tiffin.services.identity.settings import ShareSettings


def service(cloud: IdentityCloud, **fields: Any) -> str:
    return str(cloud.make("service", "/services", **{"type": "dns", "name": "designate", **fields})["id"])


def endpoint(cloud: IdentityCloud, service_id: str, **fields: Any) -> dict[str, Any]:
    wanted = {"service_id": service_id, "interface": "public", "url": "http://dns", **fields}
    return cloud.make("endpoint", "/endpoints", **wanted)


def urls(cloud: IdentityCloud, token: str | None = None, type: str = "dns") -> list[str]:
    found = cloud.do("GET", "/auth/tokens", x_subject_token=token or cloud.admin).json["token"]["catalog"]
    return [e["url"] for s in found if s["type"] == type for e in s["endpoints"]]


def test_endpoints(cloud: IdentityCloud) -> None:
    dns = service(cloud)
    made = endpoint(cloud, dns, region="west", name="n", color="red")
    path = f"/endpoints/{made['id']}"
    assert (made["region"], made["region_id"], made["enabled"], made["name"]) == ("west", "west", True, "n")
    assert cloud.do("GET", "/regions/west").json["region"]["description"] == ""
    assert cloud.do("GET", path).json["endpoint"] == made
    assert cloud.do("HEAD", path).status == 200
    inner = endpoint(cloud, dns, interface="internal", region_id="RegionOne", enabled=False)
    assert endpoint(cloud, dns, interface="admin")["region_id"] is None
    for query, ids in (
        (f"service_id={dns}&region_id=west", [made["id"]]),
        (f"service_id={dns}&interface=internal", [inner["id"]]),
        ("service_id=none", []),
    ):
        assert [e["id"] for e in cloud.do("GET", f"/endpoints?{query}").json["endpoints"]] == ids
    assert cloud.do("GET", "/endpoints?interface=other").status == 400
    change = {"enabled": False, "interface": "internal", "region_id": None, "url": "https://x", "name": "m", "region": None}
    changed = cloud.do("PATCH", path, {"endpoint": change}).json["endpoint"]
    assert changed == {**made, **change}
    other = service(cloud, type="x")
    moved = cloud.do("PATCH", path, {"endpoint": {"region": "east", "service_id": other}}).json["endpoint"]
    assert (moved["region_id"], moved["service_id"], moved["color"]) == ("east", other, "red")
    assert cloud.do("PATCH", path, {"endpoint": {"region": None}}).json["endpoint"]["region_id"] == "east"
    assert cloud.do("DELETE", path).status == 204
    for method, body in (("GET", None), ("PATCH", {"endpoint": {"name": "x"}}), ("DELETE", None)):
        assert cloud.do(method, path, body).status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"service_id": "none"}, {"interface": "other"}, {"url": "no url"}, {"url": "http://x/$(y)s"}, {"region_id": "none"},
        {"url": "http://x/$(project_id"}, {"url": 5}, {"url": ""}, {"url": "http://x/%41"}, {"url": "http://" + "x" * 219},
        {"enabled": "true"}, {"name": 5}, {"description": 5}, {"region": ""},
    ],
)  # fmt: skip
def test_bad_endpoints(cloud: IdentityCloud, change: dict[str, Any]) -> None:
    dns = service(cloud)
    fields = {"service_id": dns, "interface": "public", "url": "http://x", **change}
    assert cloud.do("POST", "/endpoints", {"endpoint": fields}).status == 400
    path = f"/endpoints/{endpoint(cloud, dns)['id']}"
    assert cloud.do("PATCH", path, {"endpoint": change}).status == 400
    assert cloud.do("PATCH", path, {"endpoint": {}}).status == 400
    assert cloud.do("PATCH", path, {"endpoint": {"id": "other"}}).status == 400
    for missing in fields.keys() & {"service_id", "interface", "url"}:
        assert cloud.do("POST", "/endpoints", {"endpoint": {**fields, missing: None}}).status == 400


def test_the_catalogue_fills_in_who_asks(cloud: IdentityCloud) -> None:
    dns = service(cloud)
    endpoint(cloud, dns, url="http://dns/$(project_id)s/%(tenant_id)s", description="d")
    endpoint(cloud, dns, interface="internal", url="http://dns/%%41/$(user_id)s")
    user, project, token = cloud.member("ann", "p")
    assert urls(cloud, token) == [f"http://dns/%41/{user}", f"http://dns/{project}/{project}"]
    system = cloud.login("admin", ADMIN_PASSWORD, {"system": {"all": True}}).headers["x-subject-token"]
    (left,) = urls(cloud, system)
    assert left.startswith("http://dns/%41/")
    body = cloud.do("GET", "/auth/tokens", x_subject_token=token).json["token"]
    (told,) = [s for s in body["catalog"] if s["type"] == "dns"]
    assert (told["id"], told["name"]) == (dns, "designate")
    (public,) = [e for e in told["endpoints"] if e["interface"] == "public"]
    assert public == {
        "id": public["id"], "interface": "public", "region": None, "region_id": None, "url": public["url"],
        "description": "d",
    }  # fmt: skip


def test_what_is_disabled_is_not_in_the_catalogue(cloud: IdentityCloud) -> None:
    dns = service(cloud)
    one = endpoint(cloud, dns)
    assert urls(cloud) == ["http://dns"]
    cloud.do("PATCH", f"/endpoints/{one['id']}", {"endpoint": {"enabled": False}})
    assert urls(cloud) == []
    assert [s["endpoints"] for s in cloud.do("GET", "/auth/catalog").json["catalog"] if s["id"] == dns] == [[]]
    cloud.do("PATCH", f"/endpoints/{one['id']}", {"endpoint": {"enabled": True}})
    cloud.do("PATCH", f"/services/{dns}", {"service": {"enabled": False}})
    assert [s for s in cloud.do("GET", "/auth/catalog").json["catalog"] if s["id"] == dns] == []


def test_a_catalogue_may_be_empty_where_nothing_was_chosen(cloud: IdentityCloud) -> None:
    none = ShareSettings(all_endpoints_without_filter=False)
    cloud.identity.settings = msgspec.structs.replace(cloud.identity.settings, shares=none)
    one = endpoint(cloud, service(cloud))  # also lets the process forget what it knew under another setting
    assert cloud.do("GET", "/auth/catalog").json["catalog"] == []
    project = cloud.do("GET", "/projects?name=admin").json["projects"][0]["id"]
    assert cloud.do("PUT", f"/OS-EP-FILTER/projects/{project}/endpoints/{one['id']}").status == 204
    (only,) = cloud.do("GET", "/auth/catalog").json["catalog"]
    assert [e["id"] for e in only["endpoints"]] == [one["id"]]


def test_there_are_no_certificates(cloud: IdentityCloud) -> None:
    for path in ("ca", "certificates"):
        reply = cloud.ask("GET", f"/identity/v3/OS-SIMPLE-CERT/{path}", token=None)
        assert (reply.status, reply.json["error"]["title"]) == (410, "Gone")
        assert cloud.do("HEAD", f"/OS-SIMPLE-CERT/{path}").status == 410
