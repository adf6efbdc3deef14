"""Regions, services, endpoints, who sees which of them, their policy documents, and unified limits."""

from __future__ import annotations

from typing import Any

from api.identity.personas import ADMINS, ANY, PERSONAS, READERS, Row, Scene, thing


def _make(scene: Scene, kind: str, path: str, **fields: Any) -> str:
    return str(scene.cloud.make(kind, path, **fields)["id"])


@thing("region")
def region(scene: Scene) -> str:
    return _make(scene, "region", "/regions")


@thing("service")
def service(scene: Scene) -> str:
    return _make(scene, "service", "/services", type="dns")


@thing("endpoint")
def endpoint(scene: Scene) -> str:
    fields = {"service_id": service(scene), "region_id": region(scene), "interface": "public", "url": "http://dns"}
    return _make(scene, "endpoint", "/endpoints", **fields)


@thing("policy")
def policy(scene: Scene) -> str:
    return _make(scene, "policy", "/policies", blob="{}", type="application/json")


@thing("endpoint_group")
def endpoint_group(scene: Scene) -> str:
    return _make(
        scene, "endpoint_group", "/OS-EP-FILTER/endpoint_groups", name="g", filters={"interface": "public"}
    )


def _put(scene: Scene, path: str) -> str:
    """The path, after having put what it says."""
    assert scene.cloud.do("PUT", path).status == 204
    return path


@thing("seen_endpoint")
def seen_endpoint(scene: Scene) -> str:
    return _put(scene, f"/OS-EP-FILTER/projects/{scene.project}/endpoints/{endpoint(scene)}")


@thing("seen_group")
def seen_group(scene: Scene) -> str:
    return _put(scene, f"/OS-EP-FILTER/endpoint_groups/{endpoint_group(scene)}/projects/{scene.project}")


@thing("policy_of_endpoint")
def policy_of_endpoint(scene: Scene) -> str:
    return _put(scene, f"/policies/{policy(scene)}/OS-ENDPOINT-POLICY/endpoints/{endpoint(scene)}")


@thing("policy_of_service")
def policy_of_service(scene: Scene) -> str:
    return _put(scene, f"/policies/{policy(scene)}/OS-ENDPOINT-POLICY/services/{service(scene)}")


@thing("policy_of_region")
def policy_of_region(scene: Scene) -> str:
    path = f"/policies/{policy(scene)}/OS-ENDPOINT-POLICY/services/{service(scene)}/regions/{region(scene)}"
    return _put(scene, path)


@thing("endpoint_with_policy")
def endpoint_with_policy(scene: Scene) -> str:
    return policy_of_endpoint(scene).rpartition("/")[2]


@thing("registered_limit")
def registered_limit(scene: Scene) -> str:
    wanted = {"service_id": service(scene), "resource_name": "zones", "default_limit": 10}
    reply = scene.cloud.do("POST", "/registered_limits", {"registered_limits": [wanted]})
    return str(reply.json["registered_limits"][0]["id"])


@thing("service_with_limit")
def service_with_limit(scene: Scene) -> str:
    id = registered_limit(scene)
    return str(scene.cloud.do("GET", f"/registered_limits/{id}").json["registered_limit"]["service_id"])


@thing("limit")
def limit(scene: Scene) -> str:
    wanted = {"service_id": service_with_limit(scene), "resource_name": "zones", "resource_limit": 1}
    reply = scene.cloud.do("POST", "/limits", {"limits": [{**wanted, "project_id": scene.project}]})
    return str(reply.json["limits"][0]["id"])


FILTER, OF_POLICY = "/v3/OS-EP-FILTER", "/v3/policies/{policy}/OS-ENDPOINT-POLICY"
AT_GROUP = f"{FILTER}/endpoint_groups/{{endpoint_group}}"
SEEN_ENDPOINT = f"{FILTER}/projects/{{p}}/endpoints/{{e}}"
SEEN_GROUP = f"{FILTER}/endpoint_groups/{{g}}/projects/{{p}}"
OF_ENDPOINT = f"{OF_POLICY}/endpoints/{{endpoint}}"
OF_SERVICE = f"{OF_POLICY}/services/{{service}}"
OF_REGION = f"{OF_POLICY}/services/{{service}}/regions/{{region}}"
NEW_ENDPOINT = {"service_id": "{service}", "interface": "public", "url": "http://dns"}
NEW_GROUP = {"name": "g", "filters": {"interface": "public"}}
NEW_REGISTERED = {"service_id": "{service}", "resource_name": "zones", "default_limit": 1}
NEW_LIMIT = {
    "service_id": "{service_with_limit}", "resource_name": "zones", "resource_limit": 1, "project_id": "{project}",
}  # fmt: skip
NOT_OF_PROJECT = ("nobody", "other")

ROWS = [
    Row("POST", "/v3/regions", ADMINS, {"region": {}}),
    Row("PUT", "/v3/regions/{name}", ADMINS, {"region": {}}),
    Row("GET", "/v3/regions", ANY),
    Row("GET", "/v3/regions/{region}", ANY),
    Row("PATCH", "/v3/regions/{region}", ADMINS, {"region": {"description": "x"}}),
    Row("DELETE", "/v3/regions/{region}", ADMINS),
    Row("POST", "/v3/services", ADMINS, {"service": {"type": "dns"}}),
    Row("GET", "/v3/services", READERS),
    Row("GET", "/v3/services/{service}", READERS),
    Row("PATCH", "/v3/services/{service}", ADMINS, {"service": {"name": "x"}}),
    Row("DELETE", "/v3/services/{service}", ADMINS),
    Row("POST", "/v3/endpoints", ADMINS, {"endpoint": NEW_ENDPOINT}),
    Row("GET", "/v3/endpoints", READERS),
    Row("GET", "/v3/endpoints/{endpoint}", READERS),
    Row("PATCH", "/v3/endpoints/{endpoint}", ADMINS, {"endpoint": {"enabled": False}}),
    Row("DELETE", "/v3/endpoints/{endpoint}", ADMINS),
    Row("POST", "/v3/policies", ADMINS, {"policy": {"blob": "{}", "type": "application/json"}}),
    Row("GET", "/v3/policies", READERS),
    Row("GET", "/v3/policies/{policy}", READERS),
    Row("PATCH", "/v3/policies/{policy}", ADMINS, {"policy": {"type": "x"}}),
    Row("DELETE", "/v3/policies/{policy}", ADMINS),
    Row("GET", "/v3/OS-SIMPLE-CERT/ca", "", refused=(410,)),
    Row("GET", "/v3/OS-SIMPLE-CERT/certificates", "", refused=(410,)),
    # who sees which endpoints
    Row("POST", f"{FILTER}/endpoint_groups", ADMINS, {"endpoint_group": NEW_GROUP}),
    Row("GET", f"{FILTER}/endpoint_groups", READERS),
    Row("GET", AT_GROUP, READERS),
    Row("PATCH", AT_GROUP, ADMINS, {"endpoint_group": {"name": "x"}}),
    Row("DELETE", AT_GROUP, ADMINS),
    Row("GET", f"{AT_GROUP}/endpoints", READERS),
    Row("GET", f"{AT_GROUP}/projects", READERS),
    Row("GET", f"{FILTER}/endpoints/{{endpoint}}/projects", READERS),
    Row("GET", f"{FILTER}/projects/{{project}}/endpoints", READERS),
    Row("GET", f"{FILTER}/projects/{{project}}/endpoint_groups", READERS),
    Row("PUT", f"{FILTER}/projects/{{project}}/endpoints/{{endpoint}}", ADMINS),
    Row("GET", "/v3{seen_endpoint}", READERS, route=SEEN_ENDPOINT),
    Row("DELETE", "/v3{seen_endpoint}", ADMINS, route=SEEN_ENDPOINT),
    Row("PUT", f"{AT_GROUP}/projects/{{project}}", ADMINS),
    Row("GET", "/v3{seen_group}", READERS, route=SEEN_GROUP),
    Row("DELETE", "/v3{seen_group}", ADMINS, route=SEEN_GROUP),
    # which policy document is whose
    Row("GET", f"{OF_POLICY}/endpoints", READERS),
    Row("PUT", OF_ENDPOINT, ADMINS),
    Row("GET", "/v3{policy_of_endpoint}", READERS, route=OF_ENDPOINT),
    Row("DELETE", "/v3{policy_of_endpoint}", ADMINS, route=OF_ENDPOINT),
    Row("PUT", OF_SERVICE, ADMINS),
    Row("GET", "/v3{policy_of_service}", READERS, route=OF_SERVICE),
    Row("DELETE", "/v3{policy_of_service}", ADMINS, route=OF_SERVICE),
    Row("PUT", OF_REGION, ADMINS),
    Row("GET", "/v3{policy_of_region}", READERS, route=OF_REGION),
    Row("DELETE", "/v3{policy_of_region}", ADMINS, route=OF_REGION),
    Row("GET", "/v3/endpoints/{endpoint_with_policy}/OS-ENDPOINT-POLICY/policy", READERS),
    # unified limits
    Row("POST", "/v3/registered_limits", ADMINS, {"registered_limits": [NEW_REGISTERED]}),
    Row("GET", "/v3/registered_limits", ANY),
    Row("GET", "/v3/registered_limits/{registered_limit}", ANY),
    Row("PATCH", "/v3/registered_limits/{registered_limit}", ADMINS, {"registered_limit": {"default_limit": 2}}),
    Row("DELETE", "/v3/registered_limits/{registered_limit}", ADMINS),
    Row("POST", "/v3/limits", ADMINS, {"limits": [NEW_LIMIT]}),
    Row("GET", "/v3/limits", ANY),
    Row("GET", "/v3/limits/model", ANY),
    Row("GET", "/v3/limits/{limit}", " ".join(p for p in PERSONAS if p not in NOT_OF_PROJECT)),
    Row("PATCH", "/v3/limits/{limit}", ADMINS, {"limit": {"resource_limit": 2}}),
    Row("DELETE", "/v3/limits/{limit}", ADMINS),
]
