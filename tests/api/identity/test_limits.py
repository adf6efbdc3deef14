"""Unified limits: registered ones, those of projects and domains, and how the limits of a tree must relate."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.identity.conftest import ADMIN_PASSWORD, IdentityCloud
from tiffin.core.http.local import Reply
from tiffin.core.settings import SettingsError
from tiffin.services.identity.settings import ShareSettings
from tiffin.services.identity.unified_limits import KeptLimits


class Place:
    """A service with the registered limit `zones` of 10, a domain with two projects, and another domain."""

    def __init__(self, cloud: IdentityCloud) -> None:
        self.cloud = cloud
        self.service = cloud.make("service", "/services", type="dns")["id"]
        self.zones = self.register(resource_name="zones", default_limit=10).json["registered_limits"][0]
        self.domain, self.other = (cloud.make("domain", "/domains", name=name)["id"] for name in ("A", "D"))
        self.b, self.c = (self.project(name) for name in ("B", "C"))
        self.e = self.project("E", domain_id=self.other)
        self.system = cloud.login("admin", ADMIN_PASSWORD, {"system": {"all": True}}).headers["x-subject-token"]

    def project(self, name: str, **fields: Any) -> str:
        return str(self.cloud.make("project", "/projects", **{"name": name, "domain_id": self.domain, **fields})["id"])

    def register(self, *more: dict[str, Any], **fields: Any) -> Reply:
        wanted = [{"service_id": self.service, **one} for one in (fields, *more)]
        return self.cloud.do("POST", "/registered_limits", {"registered_limits": wanted})

    def limit(self, owner: str, most: int, **fields: Any) -> dict[str, Any]:
        """What is sent for a limit of a domain or a project."""
        key = "domain_id" if owner in (self.domain, self.other) else "project_id"
        return {
            "service_id": self.service,
            "resource_name": "zones",
            "resource_limit": most,
            key: owner,
            **fields,
        }

    def set(self, *limits: dict[str, Any]) -> Reply:
        return self.cloud.do("POST", "/limits", {"limits": list(limits)})

    def made(self, owner: str, most: int) -> str:
        return str(self.set(self.limit(owner, most)).json["limits"][0]["id"])

    def change(self, id: str, **fields: Any) -> int:
        return self.cloud.do("PATCH", f"/limits/{id}", {"limit": fields}).status

    def strict(self) -> None:
        shares = ShareSettings(enforcement_model="strict_two_level")
        self.cloud.identity.settings = msgspec.structs.replace(self.cloud.identity.settings, shares=shares)


@pytest.fixture
def place(cloud: IdentityCloud) -> Place:
    return Place(cloud)


# --- registered ones -------------------------------------------------------------------------------------------------


def test_registered_limits(cloud: IdentityCloud, place: Place) -> None:
    two = place.register({"resource_name": "b", "default_limit": -1, "region_id": "RegionOne", "description": "d"},
                         resource_name="a", default_limit=2**31 - 1)  # fmt: skip
    assert (two.status, set(two.json)) == (201, {"registered_limits"})
    a, b = two.json["registered_limits"]
    assert (a["region_id"], a["description"], b["region_id"], b["description"]) == (None, None, "RegionOne", "d")
    path = f"/registered_limits/{b['id']}"
    assert b["links"]["self"].endswith(f"/identity/v3{path}")
    assert cloud.do("GET", path).json == {"registered_limit": b}
    assert cloud.do("HEAD", path).status == 200
    for query, found in (
        (f"service_id={place.service}&resource_name=a", [a]),
        ("region_id=RegionOne", [b]),
        ("resource_name__contains=zon", [place.zones]),
        ("service_id=none", []),
    ):
        assert cloud.do("GET", f"/registered_limits?{query}").json["registered_limits"] == found
    change = {"default_limit": 7, "resource_name": "c", "region_id": None, "description": None}
    assert cloud.do("PATCH", path, {"registered_limit": change}).json["registered_limit"] == {**b, **change}
    assert cloud.do("PATCH", path, {"registered_limit": {}}).status == 200
    assert cloud.do("PATCH", path, {"registered_limit": {"resource_name": "a"}}).status == 409
    assert cloud.do("DELETE", path).status == 204
    for method, body in (("GET", None), ("PATCH", {"registered_limit": {"default_limit": 1}}), ("DELETE", None)):
        assert cloud.do(method, path, body).status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"service_id": "none"}, {"region_id": "none"}, {"default_limit": -2}, {"default_limit": 2**31}, {"id": "x"},
        {"default_limit": "1"}, {"resource_name": ""}, {"resource_name": "x" * 256}, {"description": "d" * 256},
    ],
)  # fmt: skip
def test_bad_registered_limits(cloud: IdentityCloud, place: Place, change: dict[str, Any]) -> None:
    assert place.register(**{"resource_name": "a", "default_limit": 1, **change}).status == 400
    path = f"/registered_limits/{place.zones['id']}"
    assert cloud.do("PATCH", path, {"registered_limit": change}).status == 400


def test_registered_limits_are_made_all_or_none(cloud: IdentityCloud, place: Place) -> None:
    again = {"resource_name": "zones", "default_limit": 1}
    assert place.register(again, resource_name="a", default_limit=1).status == 409
    twice = {"resource_name": "a", "default_limit": 1}
    assert place.register(twice, **twice).status == 409
    assert place.register({**again, "region_id": "RegionOne"}, **twice).status == 201
    assert cloud.do("POST", "/registered_limits", {"registered_limits": []}).status == 400
    assert cloud.do("POST", "/registered_limits", {}).status == 400
    assert len(cloud.do("GET", "/registered_limits").json["registered_limits"]) == 3


def test_a_registered_limit_stays_while_limits_refer_to_it(cloud: IdentityCloud, place: Place) -> None:
    id, path = place.made(place.b, 5), f"/registered_limits/{place.zones['id']}"
    for change in ({"default_limit": 3}, {"description": "d"}, {"resource_name": "x"}):
        assert cloud.do("PATCH", path, {"registered_limit": change}).status == 403
    assert cloud.do("DELETE", path).status == 403
    assert cloud.do("DELETE", f"/services/{place.service}").status == 403
    assert cloud.do("DELETE", f"/limits/{id}").status == 204
    assert cloud.do("PATCH", path, {"registered_limit": {"default_limit": 3}}).status == 200
    assert cloud.do("DELETE", path).status == 204


# --- limits ----------------------------------------------------------------------------------------------------------


def test_limits(cloud: IdentityCloud, place: Place) -> None:
    made = place.set(place.limit(place.b, 5, description="d"), place.limit(place.domain, -1))
    assert (made.status, set(made.json)) == (201, {"limits"})
    own, domains = made.json["limits"]
    assert (own["project_id"], own["domain_id"], own["resource_limit"], own["region_id"]) == (place.b, None, 5, None)
    assert (domains["project_id"], domains["domain_id"], domains["resource_limit"]) == (None, place.domain, -1)
    path = f"/limits/{own['id']}"
    assert own["links"]["self"].endswith(f"/identity/v3{path}")
    assert cloud.do("GET", path).json == {"limit": own}
    assert cloud.do("HEAD", path).status == 200
    changed = cloud.do("PATCH", path, {"limit": {"resource_limit": 0, "description": None}}).json["limit"]
    assert changed == {**own, "resource_limit": 0, "description": None}
    assert cloud.do("DELETE", path).status == 204
    for method, body in (("GET", None), ("PATCH", {"limit": {"resource_limit": 1}}), ("DELETE", None)):
        assert cloud.do(method, path, body).status == 404
    as_project = place.set({**place.limit(place.b, 1), "project_id": place.other}).json["limits"][0]
    assert (as_project["project_id"], as_project["domain_id"]) == (None, place.other)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"service_id": "none"}, 400), ({"region_id": "none"}, 400), ({"project_id": "none"}, 400),
        ({"resource_limit": -2}, 400), ({"resource_limit": 2**31}, 400), ({"resource_limit": None}, 400),
        ({"domain_id": "default"}, 400), ({"domain_id": None}, 400), ({"project_id": None}, 400), ({"id": "x"}, 400),
        ({"resource_name": "other"}, 403), ({"region_id": "RegionOne"}, 403),
    ],
)  # fmt: skip
def test_bad_limits(cloud: IdentityCloud, place: Place, change: dict[str, Any], status: int) -> None:
    fine = place.limit(place.c, 1)
    assert place.set(fine, {**place.limit(place.b, 5), **change}).status == status
    assert cloud.do("GET", "/limits", token=place.system).json["limits"] == []  # all or none


def test_a_limit_has_one_owner_and_each_resource_one_limit(cloud: IdentityCloud, place: Place) -> None:
    neither = place.limit(place.b, 5)
    del neither["project_id"]
    assert place.set(neither).status == 400
    assert place.set({**neither, "domain_id": place.b}).status == 400
    id = place.made(place.b, 5)
    assert place.set(place.limit(place.b, 6)).status == 409
    assert place.set(place.limit(place.c, 6), place.limit(place.c, 7)).status == 409
    for body in ({"limits": []}, {}, {"limits": [place.limit(place.c, 1)] * 513}):
        assert cloud.do("POST", "/limits", body).status == 400
    for change in ({"project_id": place.c}, {"service_id": place.service}, {"resource_name": "x"}, {"resource_limit": -2}):
        assert place.change(id, **change) == 400


def test_who_sees_which_limits(cloud: IdentityCloud, place: Place) -> None:
    """By the scope of the token, whatever the role."""
    owners = {place.b: 1, place.c: 2, place.domain: 3, place.e: 4}
    place.set(*(place.limit(owner, most) for owner, most in owners.items()))
    cloud.make("user", "/users", name="ann", password="pw", domain_id=place.domain)
    ann = cloud.do("GET", f"/users?name=ann&domain_id={place.domain}").json["users"][0]["id"]
    role = cloud.role("reader")
    for where in (f"/projects/{place.b}", f"/domains/{place.domain}"):
        assert cloud.do("PUT", f"{where}/users/{ann}/roles/{role}").status == 204

    def seen(scope: Any, query: str = "") -> list[int]:
        token = cloud.login("ann", "pw", scope, domain=place.domain).headers["x-subject-token"]
        found = cloud.do("GET", f"/limits{query}", token=token).json["limits"]
        return sorted(limit["resource_limit"] for limit in found)

    def all_of(query: str) -> list[int]:
        found = cloud.do("GET", f"/limits?{query}", token=place.system).json["limits"]
        return sorted(limit["resource_limit"] for limit in found)

    assert seen({"project": {"id": place.b}}) == [1]
    assert seen({"project": {"id": place.b}}, f"?project_id={place.c}") == []
    assert seen({"project": {"id": place.b}}, f"?domain_id={place.domain}") == []
    assert seen({"domain": {"id": place.domain}}) == [1, 2, 3]
    assert seen({"domain": {"id": place.domain}}, f"?project_id={place.c}") == [2]
    assert seen(None) == []
    assert cloud.do("GET", "/limits").json["limits"] == []  # an administrator's project has none
    assert all_of("") == [1, 2, 3, 4]
    assert all_of(f"domain_id={place.domain}") == [3]
    assert all_of(f"project_id={place.domain}") == []
    assert all_of(f"project_id={place.c}&resource_name=zones&service_id={place.service}") == [2]
    assert all_of("region_id=RegionOne") == []


def test_limits_end_with_their_owner(cloud: IdentityCloud, place: Place) -> None:
    place.set(place.limit(place.b, 1), place.limit(place.other, 2))
    assert cloud.do("DELETE", f"/projects/{place.b}").status == 204
    assert cloud.do("PATCH", f"/domains/{place.other}", {"domain": {"enabled": False}}).status == 200
    assert cloud.do("DELETE", f"/domains/{place.other}").status == 204
    assert cloud.do("GET", "/limits", token=place.system).json["limits"] == []


# --- models ----------------------------------------------------------------------------------------------------------


def test_models(cloud: IdentityCloud, place: Place) -> None:
    flat = cloud.do("GET", "/limits/model").json
    assert (set(flat), set(flat["model"]), flat["model"]["name"]) == ({"model"}, {"name", "description"}, "flat")
    assert cloud.do("HEAD", "/limits/model").status == 200
    assert place.set(place.limit(place.domain, 5), place.limit(place.b, 11)).status == 201
    place.strict()
    assert cloud.do("GET", "/limits/model").json["model"]["name"] == "strict_two_level"


def test_a_child_stays_within_its_parent(cloud: IdentityCloud, place: Place) -> None:
    place.strict()
    top = place.made(place.domain, 20)
    assert place.set(place.limit(place.b, 15)).status == 201
    refused = place.set(place.limit(place.c, 21))
    assert (refused.status, refused.json["error"]["title"]) == (403, "Forbidden")
    assert place.set(place.limit(place.c, -1)).status == 403
    own = place.made(place.c, 18)  # more than is left beside B: only use counts together
    assert [place.change(own, resource_limit=most) for most in (20, 21)] == [200, 403]
    assert [place.change(top, resource_limit=most) for most in (20, 19, -1)] == [200, 403, 200]
    assert place.change(own, resource_limit=1000) == 200
    assert place.change(own, description="d") == 200


def test_a_parent_without_a_limit_has_the_registered_one(cloud: IdentityCloud, place: Place) -> None:
    place.strict()
    assert place.set(place.limit(place.b, 9)).status == 201
    assert place.set(place.limit(place.c, 11)).status == 403
    assert place.set(place.limit(place.domain, 8)).status == 403
    assert place.set(place.limit(place.domain, 12)).status == 201
    assert place.set(place.limit(place.c, 11)).status == 201


def test_trees_that_are_made_at_once(cloud: IdentityCloud, place: Place) -> None:
    place.strict()
    fine = [place.limit(place.b, 12), place.limit(place.domain, 12), place.limit(place.c, 5)]
    assert place.set(*fine, place.limit(place.other, 9), place.limit(place.e, 10)).status == 403
    assert cloud.do("GET", "/limits", token=place.system).json["limits"] == []
    assert place.set(*fine, place.limit(place.other, 9), place.limit(place.e, 9)).status == 201


def test_a_strict_tree_is_two_levels_deep(cloud: IdentityCloud, place: Place) -> None:
    place.strict()
    child = place.project("child", parent_id=place.b)
    deeper = {"name": "deeper", "domain_id": place.domain, "parent_id": child}
    assert cloud.do("POST", "/projects", {"project": deeper}).status == 403
    place.set(place.limit(place.domain, 20), place.limit(place.b, 15))
    assert place.set(place.limit(child, 16)).status == 403
    assert place.set(place.limit(child, 15)).status == 201
    assert place.change(place.made(place.c, 1), resource_limit=20) == 200


def test_a_deeper_tree_keeps_the_strict_model_out(cloud: IdentityCloud, place: Place) -> None:
    child = place.project("child", parent_id=place.b)
    deeper = place.project("deeper", parent_id=child)
    with cloud.cloud.database.read() as session:
        KeptLimits("RegionOne", "flat").check(session)
        with pytest.raises(SettingsError, match=deeper):
            KeptLimits("RegionOne", "strict_two_level").check(session)
    assert cloud.do("DELETE", f"/projects/{deeper}").status == 204
    with cloud.cloud.database.read() as session:
        KeptLimits("RegionOne", "strict_two_level").check(session)
