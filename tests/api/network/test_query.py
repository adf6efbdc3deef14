from __future__ import annotations

import pytest

from api.network.conftest import NetworkCloud


def names(cloud: NetworkCloud, query: str, token: str = "member") -> list[str]:
    reply = cloud.call("GET", f"networks?{query}", token)
    assert reply.status == 200, reply.body
    return [n["name"] for n in reply.json["networks"]]


@pytest.fixture
def letters(cloud: NetworkCloud) -> NetworkCloud:
    for name in "cabd":
        cloud.make("network", name=name, admin_state_up=name != "d")
    return cloud


def test_filters(letters: NetworkCloud) -> None:
    assert sorted(names(letters, "name=a&name=b")) == ["a", "b"]
    assert names(letters, "name=a&status=DOWN") == []
    assert names(letters, "admin_state_up=False") == ["d"]
    assert len(names(letters, "tenant_id=p1&project_id=p1&shared=false&router:external=False&mtu=1442")) == 4
    assert names(letters, "name=") == []
    for bad in ("color=red", "shared=maybe", "mtu=x"):
        assert letters.call("GET", f"networks?{bad}").status == 400, bad


def test_sorting_and_pages(letters: NetworkCloud) -> None:
    assert names(letters, "sort_key=name&sort_dir=desc") == ["d", "c", "b", "a"]
    first = letters.call("GET", "networks?sort_key=name&limit=2").json
    assert [n["name"] for n in first["networks"]] == ["a", "b"]
    (link,) = first["networks_links"]
    assert link["rel"] == "next"
    second = letters.call("GET", link["href"].partition("/v2.0/")[2]).json
    assert [n["name"] for n in second["networks"]] == ["c", "d"]
    (back,) = second["networks_links"]
    assert back["rel"] == "previous"
    again = letters.call("GET", back["href"].partition("/v2.0/")[2]).json
    assert [n["name"] for n in again["networks"]] == ["a", "b"]
    for bad in ("sort_key=color", "sort_key=name&sort_dir=up", "sort_dir=asc", "limit=x"):
        assert letters.call("GET", f"networks?{bad}").status == 400, bad
    assert letters.fault("GET", "networks?marker=x&limit=1") == (404, "NetworkNotFound")


def test_fields(letters: NetworkCloud) -> None:
    found = letters.call("GET", "networks?fields=name&fields=router:external&name=a").json["networks"]
    assert found == [{"name": "a", "router:external": False}]


def test_tags(cloud: NetworkCloud) -> None:
    one, two = (cloud.make("network", name=n)["id"] for n in ("one", "two"))
    tags = f"networks/{one}/tags"
    assert cloud.call("PUT", tags, json={"tags": ["red", "blue"]}).json == {"tags": ["blue", "red"]}
    assert cloud.call("PUT", f"networks/{two}/tags/red").status == 201
    assert cloud.call("GET", f"networks/{two}/tags/red").status == 204
    assert cloud.fault("GET", f"networks/{two}/tags/blue") == (404, "TagNotFound")
    assert names(cloud, "tags=red,blue") == ["one"]
    assert sorted(names(cloud, "tags-any=blue,red")) == ["one", "two"]
    assert names(cloud, "not-tags=red,blue") == ["two"]
    assert names(cloud, "not-tags-any=red") == []
    assert cloud.call("GET", f"networks/{one}").json["network"]["tags"] == ["blue", "red"]
    assert cloud.call("DELETE", f"{tags}/red").status == 204
    assert cloud.call("GET", tags).json == {"tags": ["blue"]}
    assert cloud.call("DELETE", tags).status == 204
    assert cloud.call("PUT", f"{tags}/x", "reader").status == 403
    assert cloud.call("PUT", f"{tags}/x", "other").status == 404
    assert cloud.call("PUT", tags, json={"tags": [""]}).status == 400


def test_extensions_and_versions(cloud: NetworkCloud) -> None:
    listed = cloud.call("GET", "extensions").json["extensions"]
    assert {"router", "security-group", "external-net", "subnet_allocation"} <= {e["alias"] for e in listed}
    for one in listed:
        assert cloud.call("GET", f"extensions/{one['alias']}").json == {"extension": one}
    assert cloud.call("GET", "extensions/nothing").status == 404
    for path in ("/network", "/network/"):
        assert [v["id"] for v in cloud.ask("GET", path, None).json["versions"]] == ["v2.0"]
    for path in ("/network/v2.0", "/network/v2.0/"):
        assert {"network", "subnet", "port"} <= {r["name"] for r in cloud.ask("GET", path, None).json["resources"]}


def test_quotas(cloud: NetworkCloud) -> None:
    assert cloud.call("GET", "quotas/p1", "manager").json["quota"]["network"] == 100
    assert cloud.call("GET", "quotas/p1").status == 403
    changed = cloud.call("PUT", "quotas/p1", "admin", {"quota": {"network": 3, "port": -1}})
    assert (changed.json["quota"]["network"], changed.json["quota"]["port"]) == (3, -1)
    assert cloud.call("PUT", "quotas/p1", "manager", {"quota": {"network": 9}}).status == 403
    assert cloud.call("GET", "quotas/p1/default", "admin").json["quota"]["network"] == 100
    cloud.make("network")
    detail = cloud.call("GET", "quotas/p1/details", "admin").json["quota"]["network"]
    assert detail == {"limit": 3, "used": 1, "reserved": 0}
    assert [q["project_id"] for q in cloud.call("GET", "quotas", "admin").json["quotas"]] == ["p1"]
    assert cloud.call("DELETE", "quotas/p1", "admin").status == 204
    assert cloud.call("GET", "quotas/p1", "admin").json["quota"]["network"] == 100
    assert cloud.call("PUT", "quotas/p1", "admin", {"quota": {"network": -2}}).status == 400
    assert cloud.call("PUT", "quotas/p1", "admin", {"quota": {"cats": 2}}).status == 400


def test_agents_zones_and_free_addresses(cloud: NetworkCloud) -> None:
    (agent,) = cloud.call("GET", "agents", "admin").json["agents"]
    assert (agent["binary"], agent["host"], agent["alive"]) == ("ovn-controller", "host1", True)
    assert cloud.call("GET", f"agents/{agent['id']}", "admin").json["agent"]["id"] == agent["id"]
    assert cloud.call("GET", "agents").json["agents"] == []
    assert cloud.fault("GET", "agents/x", "admin") == (404, "AgentNotFound")
    zones = cloud.call("GET", "availability_zones").json["availability_zones"]
    assert {z["resource"] for z in zones} == {"network", "router"}
    network, _ = cloud.network()
    (free,) = cloud.call("GET", "network-ip-availabilities", "admin").json["network_ip_availabilities"]
    assert (free["network_id"], free["total_ips"], free["used_ips"]) == (network["id"], 253, 1)
    assert cloud.call("GET", "network-ip-availabilities").status == 403


def test_rbac(cloud: NetworkCloud) -> None:
    network, subnet = cloud.network()
    assert cloud.call("GET", f"networks/{network['id']}", "other").status == 404
    body = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared", "target_tenant": "p2"}
    reply = cloud.call("POST", "rbac-policies", json={"rbac_policy": body})
    assert reply.status == 201, reply.body
    policy = reply.json["rbac_policy"]
    assert cloud.call("GET", f"networks/{network['id']}", "other").json["network"]["shared"] is True
    assert cloud.call("GET", f"subnets/{subnet['id']}", "other").status == 200
    assert cloud.call("POST", "rbac-policies", json={"rbac_policy": body}).status == 409
    everybody = {"rbac_policy": {**body, "target_tenant": "*"}}
    assert cloud.call("POST", "rbac-policies", json=everybody).status == 403
    assert cloud.call("POST", "rbac-policies", "other", {"rbac_policy": body}).status == 404
    port = cloud.make("port", "other", network_id=network["id"])
    assert cloud.fault("DELETE", f"rbac-policies/{policy['id']}") == (409, "RbacPolicyInUse")
    cloud.call("DELETE", f"ports/{port['id']}", "other")
    assert cloud.call("DELETE", f"rbac-policies/{policy['id']}").status == 204
    assert cloud.call("GET", f"networks/{network['id']}", "other").status == 404
