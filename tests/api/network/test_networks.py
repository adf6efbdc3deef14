from __future__ import annotations

import pytest

from api.network.conftest import NetworkCloud


def test_a_network_lives_and_dies(cloud: NetworkCloud) -> None:
    made = cloud.make("network", name="n", description="d", mtu=1400)
    assert made["status"] == "ACTIVE"
    assert made["subnets"] == []
    assert (made["tenant_id"], made["project_id"], made["mtu"]) == ("p1", "p1", 1400)
    cloud.settle()
    assert cloud.backend.inventory().networks == {made["id"]}
    changed = cloud.call("PUT", f"networks/{made['id']}", json={"network": {"name": "m", "admin_state_up": False}})
    assert changed.json["network"] == {**made, "name": "m", "admin_state_up": False, "revision_number": 1}
    assert cloud.call("GET", f"networks/{made['id']}").json == changed.json
    assert cloud.call("DELETE", f"networks/{made['id']}").status == 204
    assert cloud.fault("GET", f"networks/{made['id']}") == (404, "NetworkNotFound")
    cloud.settle()
    assert cloud.backend.inventory().networks == set()


def test_several_at_once_all_or_nothing(cloud: NetworkCloud) -> None:
    made = cloud.call("POST", "networks", json={"networks": [{"name": "a"}, {}]})
    assert made.status == 201
    assert [n["name"] for n in made.json["networks"]] == ["a", ""]
    bad = {"networks": [{"name": "c"}, {"name": "d", "mtu": 9000}]}
    assert cloud.fault("POST", "networks", json=bad) == (400, "InvalidInput")
    assert len(cloud.call("GET", "networks").json["networks"]) == 2


@pytest.mark.parametrize(
    "body",
    [{}, {"network": {"nme": "x"}}, {"network": {"name": 1}}, {"network": {"name": "x" * 256}}, {"network": {"id": "x"}},
     {"network": {"mtu": 10**30}}, {"network": {"admin_state_up": "maybe"}}, {"networks": []}, {"network": None},
     {"network": {}, "networks": [{}]}, {"network": {"dns_domain": "a b"}}],
)  # fmt: skip
def test_bad_bodies(cloud: NetworkCloud, body: object) -> None:
    assert cloud.fault("POST", "networks", json=body)[0] == 400


def test_who_may(cloud: NetworkCloud) -> None:
    id = cloud.make("network")["id"]
    for token, seen in (("admin", 200), ("member2", 200), ("reader", 200), ("other", 404), ("nobody", 404)):
        assert cloud.call("GET", f"networks/{id}", token).status == seen, token
        found = [n["id"] for n in cloud.call("GET", "networks", token).json["networks"]]
        assert found == ([id] if seen == 200 else []), token
    assert cloud.call("POST", "networks", "reader", {"network": {}}).status == 403
    assert cloud.call("PUT", f"networks/{id}", "reader", {"network": {"name": "x"}}).status == 403
    assert cloud.call("DELETE", f"networks/{id}", "reader").status == 403
    assert cloud.call("DELETE", f"networks/{id}", "other").status == 404
    assert cloud.call("POST", "networks", "member", {"network": {"project_id": "p2"}}).status == 400
    assert cloud.make("network", "admin", tenant_id="p2")["project_id"] == "p2"
    assert cloud.call("GET", "networks", None).status == 401  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["shared", "router:external", "is_default"])
def test_what_only_admins_set(cloud: NetworkCloud, name: str) -> None:
    assert cloud.call("POST", "networks", json={"network": {name: True}}).status == 403
    assert cloud.call("POST", "networks", json={"network": {name: False}}).status == 201
    assert cloud.make("network", "admin", **{name: True})[name] is True


def test_provider_attributes_are_for_admins(cloud: NetworkCloud) -> None:
    vlan = {"provider:network_type": "vlan", "provider:physical_network": "public", "provider:segmentation_id": 7}
    made = cloud.make("network", "admin", project_id="p1", **vlan)
    assert {k: made[k] for k in vlan} == vlan
    assert not any(k.startswith("provider:") for k in cloud.call("GET", f"networks/{made['id']}").json["network"])
    assert cloud.call("POST", "networks", json={"network": vlan}).status == 403
    assert cloud.fault("POST", "networks", "admin", {"network": vlan}) == (409, "VlanIdInUse")
    assert cloud.fault("POST", "networks", "admin", {"network": {**vlan, "provider:physical_network": "x"}})[0] == 400
    cloud.public()
    flat = {"provider:network_type": "flat", "provider:physical_network": "public"}
    assert cloud.fault("POST", "networks", "admin", {"network": flat}) == (409, "FlatNetworkInUse")


def test_shared_and_external_networks_are_seen_by_all(cloud: NetworkCloud) -> None:
    shared = cloud.make("network", "admin", shared=True)["id"]
    external, _subnet = cloud.public()
    assert {n["id"] for n in cloud.call("GET", "networks").json["networks"]} == {shared, external["id"]}
    outside = cloud.call("GET", "networks?router:external=True").json["networks"]
    assert [n["id"] for n in outside] == [external["id"]]
    assert cloud.call("GET", f"subnets?network_id={external['id']}").json["subnets"] == []
    assert cloud.call("PUT", f"networks/{shared}", json={"network": {"name": "mine"}}).status == 403
    cloud.make("subnet", "admin", network_id=shared, cidr="10.9.0.0/24", ip_version=4)
    cloud.make("port", network_id=shared)
    unshare = {"network": {"shared": False}}
    assert cloud.fault("PUT", f"networks/{shared}", "admin", unshare) == (409, "InvalidSharedSetting")


def test_a_network_with_ports_stays(cloud: NetworkCloud) -> None:
    network, _ = cloud.network()
    port = cloud.make("port", network_id=network["id"])
    assert cloud.fault("DELETE", f"networks/{network['id']}") == (409, "NetworkInUse")
    cloud.call("DELETE", f"ports/{port['id']}")
    assert cloud.call("DELETE", f"networks/{network['id']}").status == 204
    assert cloud.call("GET", "subnets").json["subnets"] == []


def test_revisions_guard_changes(cloud: NetworkCloud) -> None:
    id = cloud.make("network")["id"]
    body = {"network": {"name": "x"}}
    assert cloud.call("PUT", f"networks/{id}", json=body, If_Match="revision_number=5").status == 412
    assert cloud.call("PUT", f"networks/{id}", json=body, If_Match="revision_number=0").status == 200
    assert cloud.call("DELETE", f"networks/{id}", If_Match="revision_number=0").status == 412
    assert cloud.call("DELETE", f"networks/{id}", If_Match="what").status == 400


def test_over_quota(cloud: NetworkCloud) -> None:
    cloud.call("PUT", "quotas/p1", "admin", {"quota": {"network": 1}})
    cloud.make("network")
    assert cloud.fault("POST", "networks", json={"network": {}}) == (409, "OverQuota")
