"""Regions, services, endpoints, credentials, policy documents and limits."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from api.identity.conftest import ADMIN_PASSWORD, IdentityCloud
from tiffin.services.identity.tables import Credential


def test_regions(cloud: IdentityCloud) -> None:
    made = cloud.make("region", "/regions", description="d")
    assert (made["description"], made["parent_region_id"]) == ("d", None)
    assert cloud.do("PUT", "/regions/north", {"region": {"parent_region_id": made["id"]}}).status == 201
    assert cloud.do("PUT", "/regions/north", {"region": {}}).status == 409
    assert cloud.do("PUT", "/regions/x", {"region": {"id": "y"}}).status == 400
    assert cloud.do("POST", "/regions", {"region": {"parent_region_id": "none"}}).status == 404
    assert cloud.do("PATCH", f"/regions/{made['id']}", {"region": {"parent_region_id": "north"}}).status == 400
    assert cloud.do("PATCH", "/regions/north", {"region": {"description": "n"}}).json["region"]["description"] == "n"
    assert [r["id"] for r in cloud.do("GET", f"/regions?parent_region_id={made['id']}").json["regions"]] == ["north"]
    assert cloud.do("DELETE", f"/regions/{made['id']}").status == 403
    assert cloud.do("DELETE", "/regions/RegionOne").status == 403
    assert cloud.do("DELETE", "/regions/north").status == 204
    assert cloud.do("GET", "/regions/north").status == 404


def test_services_and_endpoints(cloud: IdentityCloud) -> None:
    made = cloud.make("service", "/services", type="dns", name="designate", description="names")
    path = f"/services/{made['id']}"
    assert (made["enabled"], made["description"]) == (True, "names")
    assert cloud.do("GET", "/services?type=dns").json["services"] == [made]
    assert cloud.do("PATCH", path, {"service": {"name": "bind"}}).json["service"]["name"] == "bind"
    fields = {"service_id": made["id"], "interface": "public", "url": "http://dns/$(project_id)s", "region": "west"}
    end = cloud.make("endpoint", "/endpoints", **fields)
    assert (end["region"], end["region_id"], end["enabled"]) == ("west", "west", True)
    assert cloud.do("GET", "/regions/west").status == 200
    assert [e["id"] for e in cloud.do("GET", "/endpoints?region_id=west").json["endpoints"]] == [end["id"]]

    def urls() -> list[str]:
        found = cloud.do("GET", "/auth/catalog").json["catalog"]
        return [e["url"] for s in found if s["type"] == "dns" for e in s["endpoints"]]

    project = cloud.do("GET", "/projects?name=admin").json["projects"][0]["id"]
    assert urls() == [f"http://dns/{project}"]
    one = f"/endpoints/{end['id']}"
    assert cloud.do("PATCH", one, {"endpoint": {"enabled": False, "interface": "internal"}}).status == 200
    assert urls() == []
    assert cloud.do("GET", one).json["endpoint"]["interface"] == "internal"
    assert cloud.do("DELETE", path).status == 204
    assert (cloud.do("GET", path).status, cloud.do("GET", one).status) == (404, 404)
    assert cloud.do("DELETE", "/regions/west").status == 204


@pytest.mark.parametrize("change", [
    {"service_id": "none"}, {"interface": "other"}, {"url": "no url"}, {"url": "http://x/$(y)s"}, {"region_id": "none"},
    {"url": "http://x/$(project_id"}, {"url": 5}, {"url": ""}])  # fmt: skip
def test_bad_endpoints(cloud: IdentityCloud, change: dict[str, Any]) -> None:
    service = cloud.make("service", "/services", type="dns")["id"]
    fields = {"service_id": service, "interface": "public", "url": "http://x", **change}
    assert cloud.do("POST", "/endpoints", {"endpoint": fields}).status == 400


def test_the_catalogue_is_for_readers(cloud: IdentityCloud) -> None:
    _, _, token = cloud.member("ann", "p")
    assert cloud.do("GET", "/regions", token=token).status == 200
    for path in ("/services", "/endpoints"):
        assert cloud.do("GET", path, token=token).status == 403
    assert cloud.do("POST", "/services", {"service": {"type": "x"}}, token=token).status == 403
    system = cloud.login("admin", ADMIN_PASSWORD, {"system": {"all": True}}).headers["x-subject-token"]
    assert cloud.do("GET", "/endpoints", token=system).status == 200
    assert cloud.do("GET", "/auth/system", token=system).json["system"] == [{"all": True}]
    assert cloud.do("GET", "/auth/system", token=token).json["system"] == []


def test_credentials(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    blob = '{"access": "a", "secret": "very secret"}'
    fields = {"blob": blob, "type": "ec2", "project_id": project}
    made = cloud.do("POST", "/credentials", {"credential": fields}, token=token).json["credential"]
    path = f"/credentials/{made['id']}"
    assert (made["user_id"], made["blob"]) == (user, blob)
    with cloud.cloud.database.read() as session:
        assert b"very secret" not in session.scalars(select(Credential.blob)).one()
    assert cloud.do("POST", "/credentials", {"credential": fields}, token=token).status == 409
    for bad in ({**fields, "blob": "x"}, {**fields, "project_id": None}, {**fields, "blob": ""}, {"type": "cert"}):
        assert cloud.do("POST", "/credentials", {"credential": bad}, token=token).status == 400
    _, _, stranger = cloud.member("bob", "q")
    for method, body in (("GET", None), ("PATCH", {"credential": {"type": "x"}}), ("DELETE", None)):
        assert cloud.do(method, path, body, token=stranger).status == 403
    assert cloud.do("POST", "/credentials", {"credential": {**fields, "user_id": user}}, token=stranger).status == 403
    assert cloud.do("GET", "/credentials", token=stranger).json["credentials"] == []
    assert cloud.do("GET", f"/credentials?user_id={user}", token=stranger).json["credentials"] == []
    assert cloud.do("GET", "/credentials?type=ec2", token=token).json["credentials"] == [made]
    assert len(cloud.do("GET", "/credentials").json["credentials"]) == 1
    changed = cloud.do("PATCH", path, {"credential": {"type": "ec2", "blob": '{"access": "k", "secret": "t"}'}}, token=token)
    assert changed.json["credential"]["blob"] == '{"access": "k", "secret": "t"}'
    assert cloud.do("PATCH", path, {"credential": {"user_id": "none"}}, token=token).status == 400
    assert cloud.do("DELETE", path, token=token).status == 204
    assert cloud.do("GET", path).status == 404


def test_policy_documents(cloud: IdentityCloud) -> None:
    made = cloud.make("policy", "/policies", blob="{}", type="application/json")
    path = f"/policies/{made['id']}"
    assert cloud.do("PATCH", path, {"policy": {"type": "text/plain"}}).json["policy"]["type"] == "text/plain"
    assert cloud.do("GET", path).json["policy"]["blob"] == "{}"
    assert [p["id"] for p in cloud.do("GET", "/policies?type=text/plain").json["policies"]] == [made["id"]]
    assert cloud.do("DELETE", path).status == 204
    assert cloud.do("GET", path).status == 404


def test_limits(cloud: IdentityCloud) -> None:
    service = cloud.make("service", "/services", type="dns")["id"]
    wanted = {"service_id": service, "resource_name": "zones", "default_limit": 10}
    made = cloud.do("POST", "/registered_limits", {"registered_limits": [wanted]})
    assert made.status == 201
    registered = made.json["registered_limits"][0]
    assert cloud.do("POST", "/registered_limits", {"registered_limits": [wanted]}).status == 409
    assert cloud.do("POST", "/registered_limits", {"registered_limits": [{**wanted, "service_id": "x"}]}).status == 400
    _, project, token = cloud.member("ann", "p")
    one = {"service_id": service, "resource_name": "zones", "resource_limit": 5, "project_id": project}
    limit = cloud.do("POST", "/limits", {"limits": [one]}).json["limits"][0]
    assert (limit["project_id"], limit["domain_id"], limit["resource_limit"]) == (project, None, 5)
    assert cloud.do("POST", "/limits", {"limits": [one]}).status == 409
    assert cloud.do("POST", "/limits", {"limits": [{**one, "resource_name": "x"}]}).status == 403
    assert cloud.do("POST", "/limits", {"limits": [{**one, "domain_id": "default"}]}).status == 400
    assert cloud.do("GET", f"/limits/{limit['id']}", token=token).json["limit"] == limit
    assert cloud.do("GET", "/limits", token=token).json["limits"] == [limit]
    _, _, stranger = cloud.member("bob", "q")
    assert cloud.do("GET", f"/limits/{limit['id']}", token=stranger).status == 403
    assert cloud.do("GET", "/limits", token=stranger).json["limits"] == []
    assert cloud.do("GET", "/limits/model", token=token).json["model"]["name"] == "flat"
    path = f"/registered_limits/{registered['id']}"
    assert cloud.do("PATCH", path, {"registered_limit": {"resource_name": "x"}}).status == 403
    assert (
        cloud.do("PATCH", path, {"registered_limit": {"default_limit": 7}}).json["registered_limit"]["default_limit"]
        == 7
    )
    assert cloud.do("DELETE", path).status == 403
    assert cloud.do("DELETE", f"/services/{service}").status == 403
    changed = cloud.do("PATCH", f"/limits/{limit['id']}", {"limit": {"resource_limit": 6}}).json["limit"]
    assert changed == {**limit, "resource_limit": 6}
    assert cloud.do("DELETE", f"/limits/{limit['id']}").status == 204
    assert cloud.do("DELETE", path).status == 204
    assert cloud.do("GET", path, token=token).status == 404


def test_an_ec2_credential_stays_one(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    deep = {"blob": "[" * 60_000, "type": "ec2", "project_id": project}
    assert cloud.do("POST", "/credentials", {"credential": deep}, token=token).status == 400
    fields = {"blob": "plain", "type": "cert", "project_id": project}
    made = cloud.do("POST", "/credentials", {"credential": fields}, token=token).json["credential"]
    assert cloud.do("PATCH", f"/credentials/{made['id']}", {"credential": {"type": "ec2"}}, token=token).status == 400
    assert cloud.do("GET", f"/users/{user}/credentials/OS-EC2", token=token).json["credentials"] == []
