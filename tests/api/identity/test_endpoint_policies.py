"""Policy documents, and whose they are."""

from __future__ import annotations

from typing import Any

import pytest

from api.identity.conftest import IdentityCloud


def policy(cloud: IdentityCloud, **fields: Any) -> str:
    return str(cloud.make("policy", "/policies", **{"blob": "{}", "type": "application/json", **fields})["id"])


def test_policy_documents(cloud: IdentityCloud) -> None:
    made = cloud.make("policy", "/policies", blob="{}", type="application/json", color="red")
    path = f"/policies/{made['id']}"
    assert cloud.do("PATCH", path, {"policy": {"type": "text/plain"}}).json["policy"]["type"] == "text/plain"
    found = cloud.do("GET", path).json["policy"]
    assert (found["blob"], found["color"]) == ("{}", "red")
    assert cloud.do("HEAD", path).status == 200
    policy(cloud)
    assert [p["id"] for p in cloud.do("GET", "/policies?type=text/plain").json["policies"]] == [made["id"]]
    assert len(cloud.do("GET", "/policies").json["policies"]) == 2
    assert cloud.do("DELETE", path).status == 204
    for method, body in (("GET", None), ("PATCH", {"policy": {"type": "x"}}), ("DELETE", None)):
        assert cloud.do(method, path, body).status == 404


@pytest.mark.parametrize("change", [{"blob": None}, {"blob": {}}, {"type": None}, {"type": "x" * 256}, {"type": 1}])
def test_bad_policy_documents(cloud: IdentityCloud, change: dict[str, Any]) -> None:
    assert cloud.do("POST", "/policies", {"policy": {"blob": "{}", "type": "x", **change}}).status == 400
    path = f"/policies/{policy(cloud)}"
    assert cloud.do("PATCH", path, {"policy": change}).status == 400
    assert cloud.do("PATCH", path, {"policy": {}}).status == 400
    assert cloud.do("PATCH", path, {"policy": {"id": "x"}}).status == 400


class Place:
    """Endpoints of two services in the regions `inner`, which is in `outer`, and `far`."""

    def __init__(self, cloud: IdentityCloud) -> None:
        self.cloud = cloud
        cloud.do("PUT", "/regions/outer", {"region": {}})
        cloud.do("PUT", "/regions/inner", {"region": {"parent_region_id": "outer"}})
        cloud.do("PUT", "/regions/far", {"region": {}})
        self.dns, self.mail = (cloud.make("service", "/services", type=type)["id"] for type in ("dns", "mail"))
        self.ends = {
            f"{type} {region}": cloud.make(
                "endpoint", "/endpoints", service_id=id, interface="public", url="http://x", region_id=region
            )["id"]
            for type, id in (("dns", self.dns), ("mail", self.mail))
            for region in ("inner", "outer", "far", None)
        }

    def put(self, policy_id: str, path: str) -> None:
        assert self.cloud.do("PUT", f"/policies/{policy_id}/OS-ENDPOINT-POLICY/{path}").status == 204

    def policy_of(self, name: str) -> str | None:
        reply = self.cloud.do("GET", f"/endpoints/{self.ends[name]}/OS-ENDPOINT-POLICY/policy")
        assert reply.status in (200, 404)
        return str(reply.json["policy"]["id"]) if reply.status == 200 else None

    def endpoints_of(self, policy_id: str) -> set[str]:
        listed = self.cloud.do("GET", f"/policies/{policy_id}/OS-ENDPOINT-POLICY/endpoints").json["endpoints"]
        ids = [e["id"] for e in listed]
        assert len(ids) == len(set(ids))
        return {name for name, id in self.ends.items() if id in ids}


@pytest.fixture
def place(cloud: IdentityCloud) -> Place:
    return Place(cloud)


def test_the_closest_policy_holds(cloud: IdentityCloud, place: Place) -> None:
    one, near, around, all_of_it = (policy(cloud) for _ in range(4))
    assert place.policy_of("dns inner") is None
    place.put(all_of_it, f"services/{place.dns}")
    assert [place.policy_of(f"dns {region}") for region in ("inner", "far", None)] == [all_of_it] * 3
    assert place.policy_of("mail inner") is None
    place.put(around, f"services/{place.dns}/regions/outer")
    assert [place.policy_of(f"dns {region}") for region in ("inner", "outer", "far")] == [around, around, all_of_it]
    place.put(near, f"services/{place.dns}/regions/inner")
    assert [place.policy_of(f"dns {region}") for region in ("inner", "outer")] == [near, around]
    place.put(one, f"endpoints/{place.ends['dns inner']}")
    assert place.policy_of("dns inner") == one
    assert cloud.do("HEAD", f"/endpoints/{place.ends['dns inner']}/OS-ENDPOINT-POLICY/policy").status == 200
    told = cloud.do("GET", f"/endpoints/{place.ends['dns inner']}/OS-ENDPOINT-POLICY/policy").json["policy"]
    assert told == cloud.do("GET", f"/policies/{one}").json["policy"]


def test_the_endpoints_of_a_policy(cloud: IdentityCloud, place: Place) -> None:
    mine, other = policy(cloud), policy(cloud)
    assert place.endpoints_of(mine) == set()
    place.put(mine, f"endpoints/{place.ends['mail far']}")
    place.put(mine, f"services/{place.dns}/regions/outer")
    place.put(other, f"services/{place.mail}")
    assert place.endpoints_of(mine) == {"mail far", "dns inner", "dns outer"}
    assert place.endpoints_of(other) == {f"mail {region}" for region in ("inner", "outer", "far", None)}
    place.put(mine, f"services/{place.dns}/regions/inner")  # once is enough
    assert place.endpoints_of(mine) == {"mail far", "dns inner", "dns outer"}
    assert cloud.do("GET", "/policies/none/OS-ENDPOINT-POLICY/endpoints").status == 404


@pytest.mark.parametrize("kind", ["endpoint", "service", "region"])
def test_associations(cloud: IdentityCloud, place: Place, kind: str) -> None:
    first, second = policy(cloud), policy(cloud)
    what = {
        "endpoint": f"endpoints/{place.ends['dns inner']}",
        "service": f"services/{place.dns}",
        "region": f"services/{place.dns}/regions/inner",
    }[kind]
    old, new = (f"/policies/{id}/OS-ENDPOINT-POLICY/{what}" for id in (first, second))
    assert (cloud.do("GET", old).status, cloud.do("HEAD", old).status) == (404, 404)
    assert cloud.do("DELETE", old).status == 204  # upstream does not mind
    assert (cloud.do("PUT", old).status, cloud.do("PUT", old).status) == (204, 204)
    assert (cloud.do("GET", old).status, cloud.do("HEAD", old).status) == (204, 204)
    assert cloud.do("PUT", new).status == 204
    assert (cloud.do("GET", old).status, cloud.do("GET", new).status) == (404, 204)
    assert cloud.do("DELETE", old).status == 204
    assert cloud.do("GET", new).status == 204
    assert cloud.do("DELETE", new).status == 204
    assert place.policy_of("dns inner") is None


def test_associations_of_what_is_not_there(cloud: IdentityCloud, place: Place) -> None:
    mine = policy(cloud)
    for path in (
        f"none/OS-ENDPOINT-POLICY/endpoints/{place.ends['dns inner']}",
        f"none/OS-ENDPOINT-POLICY/services/{place.dns}",
        f"none/OS-ENDPOINT-POLICY/services/{place.dns}/regions/inner",
        f"{mine}/OS-ENDPOINT-POLICY/endpoints/none",
        f"{mine}/OS-ENDPOINT-POLICY/services/none",
        f"{mine}/OS-ENDPOINT-POLICY/services/none/regions/inner",
        f"{mine}/OS-ENDPOINT-POLICY/services/{place.dns}/regions/none",
    ):
        for method in ("GET", "PUT", "DELETE"):
            assert cloud.do(method, f"/policies/{path}").status == 404, path
    assert cloud.do("GET", "/endpoints/none/OS-ENDPOINT-POLICY/policy").status == 404


def test_an_association_ends_with_either_side(cloud: IdentityCloud, place: Place) -> None:
    mine = policy(cloud)
    place.put(mine, f"endpoints/{place.ends['mail far']}")
    place.put(mine, f"services/{place.dns}")
    assert cloud.do("DELETE", f"/endpoints/{place.ends.pop('mail far')}").status == 204
    assert place.endpoints_of(mine) == {f"dns {region}" for region in ("inner", "outer", "far", None)}
    assert cloud.do("DELETE", f"/policies/{mine}").status == 204
    assert place.policy_of("dns inner") is None
