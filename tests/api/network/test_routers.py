from __future__ import annotations

from typing import Any

import pytest

from api.network.conftest import NetworkCloud


def add(cloud: NetworkCloud, router: str, token: str = "member", **what: str) -> Any:
    return cloud.call("PUT", f"routers/{router}/add_router_interface", token, json=what)


def remove(cloud: NetworkCloud, router: str, **what: str) -> Any:
    return cloud.call("PUT", f"routers/{router}/remove_router_interface", json=what)


def test_a_router_lives_and_dies(cloud: NetworkCloud) -> None:
    made = cloud.make("router", name="r", admin_state_up=False, external_gateway_info={})
    assert (made["external_gateway_info"], made["routes"], made["status"]) == (None, [], "ACTIVE")
    assert "ha" not in made
    url = f"routers/{made['id']}"
    cloud.settle()
    assert cloud.backend.inventory().routers == {made["id"]}
    changed = cloud.call("PUT", url, json={"router": {"name": "s"}}).json["router"]
    assert (changed["name"], changed["revision_number"]) == ("s", 1)
    assert cloud.call("GET", url, "admin").json["router"]["ha"] is True
    assert cloud.fault("GET", url, "other") == (404, "RouterNotFound")
    assert cloud.call("PUT", url, "reader", {"router": {"name": "t"}}).status == 403
    assert cloud.call("DELETE", url).status == 204
    cloud.settle()
    assert cloud.backend.inventory().routers == set()


def test_an_interface_by_subnet(cloud: NetworkCloud) -> None:
    _network, subnet = cloud.network()
    router = cloud.make("router")["id"]
    added = add(cloud, router, subnet_id=subnet["id"]).json
    assert (added["id"], added["subnet_id"], added["subnet_ids"]) == (router, subnet["id"], [subnet["id"]])
    cloud.settle()
    (port,) = cloud.call("GET", f"ports?device_id={router}").json["ports"]
    assert (port["device_owner"], port["status"], port["security_groups"]) == ("network:router_interface", "ACTIVE", [])
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.0.0.1"}]
    (real,) = cloud.backend.intents.routers[router].interfaces
    assert (real.cidrs, real.snat_cidrs) == (("10.0.0.1/24",), ("10.0.0.0/24",))
    assert cloud.fault("DELETE", f"ports/{port['id']}") == (409, "ServicePortInUse")
    assert cloud.fault("DELETE", f"routers/{router}") == (409, "RouterInUse")
    assert cloud.fault("DELETE", f"subnets/{subnet['id']}") == (409, "SubnetInUse")
    assert cloud.fault("PUT", f"subnets/{subnet['id']}", json={"subnet": {"gateway_ip": "10.0.0.254"}})[0] == 409
    assert remove(cloud, router, subnet_id=subnet["id"]).json["port_id"] == port["id"]
    assert remove(cloud, router, subnet_id=subnet["id"]).status == 404
    assert cloud.call("DELETE", f"routers/{router}").status == 204


def test_an_interface_by_port(cloud: NetworkCloud) -> None:
    network, _subnet = cloud.network()
    router = cloud.make("router")["id"]
    cloud.settle()  # a port that is looked at before its network is has to be looked at again
    port = cloud.make("port", network_id=network["id"])
    cloud.settle()
    assert port["id"] in cloud.backend.inventory().ports
    assert add(cloud, router, port_id=port["id"]).json["port_id"] == port["id"]
    cloud.settle()
    seen = cloud.call("GET", f"ports/{port['id']}").json["port"]
    assert (seen["device_id"], seen["device_owner"], seen["status"]) == (router, "network:router_interface", "ACTIVE")
    assert port["id"] not in cloud.backend.inventory().ports
    assert [i.port_id for i in cloud.backend.intents.routers[router].interfaces] == [port["id"]]
    assert remove(cloud, router, port_id=port["id"]).status == 200
    assert cloud.call("GET", f"ports/{port['id']}").status == 404
    assert remove(cloud, router, port_id=port["id"]).json["NeutronError"]["type"] == "RouterInterfaceNotFound"


def test_bad_interfaces(cloud: NetworkCloud) -> None:
    network, subnet = cloud.network()
    _, overlapping = cloud.network("10.0.0.0/16")
    _, without_gateway = cloud.network("10.7.0.0/24", gateway_ip=None)
    router = cloud.make("router")["id"]
    used = cloud.make("port", network_id=network["id"], device_id="x")["id"]
    bare = cloud.make("port", network_id=network["id"], fixed_ips=[])["id"]
    add(cloud, router, subnet_id=subnet["id"])
    cases: list[tuple[dict[str, str], tuple[int, str]]] = [
        ({}, (400, "BadRequest")),
        ({"subnet_id": subnet["id"], "port_id": bare}, (400, "BadRequest")),
        ({"subnet_id": subnet["id"]}, (400, "BadRequest")),
        ({"subnet_id": overlapping["id"]}, (400, "BadRequest")),
        ({"subnet_id": without_gateway["id"]}, (400, "BadRequest")),
        ({"port_id": bare}, (400, "BadRequest")),
        ({"port_id": used}, (409, "PortInUse")),
        ({"subnet_id": "x"}, (404, "SubnetNotFound")),
        ({"port_id": "x"}, (404, "PortNotFound")),
    ]
    for body, fault in cases:
        assert cloud.fault("PUT", f"routers/{router}/add_router_interface", json=body) == fault, body
    assert add(cloud, router, "reader", subnet_id=subnet["id"]).status == 403
    assert add(cloud, router, "other", subnet_id=subnet["id"]).status == 404


def test_a_gateway(cloud: NetworkCloud) -> None:
    external, outside = cloud.public()
    router = cloud.make("router", external_gateway_info={"network_id": external["id"]})
    info = {"network_id": external["id"], "enable_snat": True,
            "external_fixed_ips": [{"subnet_id": outside["id"], "ip_address": "172.24.4.2"}]}  # fmt: skip
    assert router["external_gateway_info"] == info
    cloud.settle()
    gateway = cloud.backend.intents.routers[router["id"]].gateway
    assert gateway is not None
    assert (gateway.cidrs, gateway.next_hops, gateway.enable_snat) == (("172.24.4.2/24",), ("172.24.4.1",), True)
    assert cloud.call("GET", f"ports?device_id={router['id']}").json["ports"] == []  # not the tenant's
    assert len(cloud.call("GET", f"ports?device_id={router['id']}", "admin").json["ports"]) == 1
    url = f"routers/{router['id']}"
    body: dict[str, Any] = {"router": {"external_gateway_info": {"network_id": external["id"], "enable_snat": False}}}
    assert cloud.call("PUT", url, json=body).status == 403
    assert cloud.call("PUT", url, "admin", body).json["router"]["external_gateway_info"]["enable_snat"] is False
    fixed = {"network_id": external["id"], "external_fixed_ips": [{"ip_address": "172.24.4.77"}]}
    assert cloud.call("PUT", url, json={"router": {"external_gateway_info": fixed}}).status == 403
    moved = cloud.call("PUT", url, "admin", {"router": {"external_gateway_info": fixed}}).json["router"]
    assert moved["external_gateway_info"]["external_fixed_ips"][0]["ip_address"] == "172.24.4.77"
    gone = cloud.call("PUT", url, json={"router": {"external_gateway_info": {}}}).json["router"]
    assert gone["external_gateway_info"] is None
    inside, _ = cloud.network()
    wrong = {"router": {"external_gateway_info": {"network_id": inside["id"]}}}
    assert cloud.fault("PUT", url, json=wrong) == (400, "BadRequest")
    missing = {"router": {"external_gateway_info": {"network_id": "x"}}}
    assert cloud.fault("PUT", url, json=missing) == (404, "NetworkNotFound")


def test_routes(cloud: NetworkCloud) -> None:
    _, subnet = cloud.network()
    router = cloud.make("router")["id"]
    add(cloud, router, subnet_id=subnet["id"])
    url = f"routers/{router}"
    one = {"destination": "10.5.0.0/16", "nexthop": "10.0.0.9"}
    two = {"destination": "10.6.0.0/16", "nexthop": "10.0.0.9"}
    assert cloud.call("PUT", url, json={"router": {"routes": [one]}}).json["router"]["routes"] == [one]
    more = cloud.call("PUT", f"{url}/add_extraroutes", json={"router": {"routes": [one, two]}})
    assert more.json["router"]["routes"] == [one, two]
    less = cloud.call("PUT", f"{url}/remove_extraroutes", json={"router": {"routes": [one]}})
    assert less.json["router"]["routes"] == [two]
    for hop in ("9.9.9.9", "10.0.0.1"):
        bad = {"router": {"routes": [{"destination": "10.5.0.0/16", "nexthop": hop}]}}
        assert cloud.fault("PUT", url, json=bad) == (400, "InvalidRoutes")
    assert remove(cloud, router, subnet_id=subnet["id"]).json["NeutronError"]["type"] == "RouterInterfaceInUseByRoute"


@pytest.mark.parametrize("name", ["ha", "distributed"])
def test_flags_of_admins(cloud: NetworkCloud, name: str) -> None:
    assert cloud.call("POST", "routers", json={"router": {name: True}}).status == 403
    assert cloud.make("router", "admin", **{name: True})[name] is True


def test_two_ipv6_subnets_share_a_port(cloud: NetworkCloud) -> None:
    network, first = cloud.network("2001:db8::/64")
    second = cloud.make("subnet", network_id=network["id"], cidr="2001:db8:1::/64", ip_version=6)
    router = cloud.make("router")["id"]
    one, two = (add(cloud, router, subnet_id=s["id"]).json["port_id"] for s in (first, second))
    assert one == two
    assert remove(cloud, router, subnet_id=first["id"]).status == 200
    (port,) = cloud.call("GET", f"ports?device_id={router}").json["ports"]
    assert [f["subnet_id"] for f in port["fixed_ips"]] == [second["id"]]
