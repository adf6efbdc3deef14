from __future__ import annotations

from typing import Any

import pytest

from api.network.conftest import NetworkCloud


class Site:
    """A tenant's network behind a router, with two ports."""

    def __init__(self, cloud: NetworkCloud) -> None:
        self.cloud = cloud
        self.external, self.outside = cloud.public()
        self.network, self.subnet = cloud.network()
        self.router = cloud.make("router", external_gateway_info={"network_id": self.external["id"]})["id"]
        cloud.call("PUT", f"routers/{self.router}/add_router_interface", json={"subnet_id": self.subnet["id"]})
        self.ports = [cloud.make("port", network_id=self.network["id"]) for _ in range(2)]

    def make(self, **more: Any) -> Any:
        return self.cloud.make("floatingip", floating_network_id=self.external["id"], **more)

    def fault(self, **more: Any) -> tuple[int, str]:
        body = {"floatingip": {"floating_network_id": self.external["id"], **more}}
        return self.cloud.fault("POST", "floatingips", json=body)


@pytest.fixture
def site(cloud: NetworkCloud) -> Site:
    return Site(cloud)


def test_a_floating_ip_lives_moves_and_dies(cloud: NetworkCloud, site: Site) -> None:
    first, second = site.ports
    made = site.make(port_id=first["id"])
    assert (made["floating_ip_address"], made["fixed_ip_address"]) == ("172.24.4.3", "10.0.0.3")
    assert (made["router_id"], made["port_details"]["network_id"]) == (site.router, site.network["id"])
    cloud.settle()
    url = f"floatingips/{made['id']}"
    assert cloud.call("GET", url).json["floatingip"]["status"] == "ACTIVE"
    assert cloud.backend.intents.floating_ips[made["id"]].fixed_ip_address == "10.0.0.3"
    moved = cloud.call("PUT", url, json={"floatingip": {"port_id": second["id"]}}).json["floatingip"]
    assert (moved["fixed_ip_address"], moved["port_id"]) == ("10.0.0.4", second["id"])
    cloud.settle()
    assert cloud.backend.intents.floating_ips[made["id"]].fixed_ip_address == "10.0.0.4"
    freed = cloud.call("PUT", url, json={"floatingip": {"port_id": None}}).json["floatingip"]
    assert (freed["port_id"], freed["fixed_ip_address"], freed["router_id"], freed["port_details"]) == (None,) * 4
    cloud.settle()
    assert cloud.call("GET", url).json["floatingip"]["status"] == "DOWN"
    assert cloud.backend.inventory().floating_ips == set()
    assert cloud.fault("GET", url, "other") == (404, "FloatingIPNotFound")
    assert cloud.call("DELETE", url, "reader").status == 403
    assert cloud.call("DELETE", url).status == 204
    assert cloud.call("GET", url).status == 404


def test_deleting_the_port_frees_it(cloud: NetworkCloud, site: Site) -> None:
    made = site.make(port_id=site.ports[0]["id"])
    cloud.settle()
    assert cloud.call("DELETE", f"ports/{site.ports[0]['id']}").status == 204
    cloud.settle()
    seen = cloud.call("GET", f"floatingips/{made['id']}").json["floatingip"]
    assert (seen["port_id"], seen["status"]) == (None, "DOWN")
    assert cloud.backend.inventory().floating_ips == set()


def test_one_for_each_address(cloud: NetworkCloud, site: Site) -> None:
    fixed = [{"ip_address": "10.0.0.50"}, {"ip_address": "10.0.0.51"}]
    port = cloud.make("port", network_id=site.network["id"], fixed_ips=fixed)["id"]
    assert site.fault(port_id=port) == (400, "BadRequest")
    assert site.make(port_id=port, fixed_ip_address="10.0.0.51")["fixed_ip_address"] == "10.0.0.51"
    assert site.fault(port_id=port, fixed_ip_address="10.0.0.51") == (409, "FloatingIPPortAlreadyAssociated")
    assert site.fault(port_id=port, fixed_ip_address="10.0.0.99") == (400, "BadRequest")


def test_what_cannot_be(cloud: NetworkCloud, site: Site) -> None:
    lonely, _ = cloud.network("10.99.0.0/24")
    unreachable = cloud.make("port", network_id=lonely["id"])["id"]
    bare = cloud.make("port", network_id=lonely["id"], fixed_ips=[])["id"]
    assert site.fault(port_id=unreachable) == (404, "ExternalGatewayForFloatingIPNotFound")
    assert site.fault(port_id=bare) == (400, "BadRequest")
    assert site.fault(port_id="x") == (404, "PortNotFound")
    assert site.fault(fixed_ip_address="10.0.0.3") == (400, "BadRequest")
    assert site.fault(floating_network_id=lonely["id"]) == (400, "BadRequest")
    assert site.fault(floating_network_id="x") == (404, "NetworkNotFound")
    assert site.fault(floating_ip_address="172.24.4.9")[0] == 403
    assert site.fault(subnet_id="x") == (404, "SubnetNotFound")


def test_a_chosen_address(cloud: NetworkCloud, site: Site) -> None:
    body = {"floatingip": {"floating_network_id": site.external["id"], "floating_ip_address": "172.24.4.9"}}
    made = cloud.call("POST", "floatingips", "manager", body)
    assert made.json["floatingip"]["floating_ip_address"] == "172.24.4.9"
    assert cloud.fault("POST", "floatingips", "manager", body) == (409, "IpAddressAlreadyAllocated")


def test_they_hold_the_router(cloud: NetworkCloud, site: Site) -> None:
    site.make(port_id=site.ports[0]["id"])
    body = {"subnet_id": site.subnet["id"]}
    assert cloud.fault("PUT", f"routers/{site.router}/remove_router_interface", json=body) == (
        409,
        "RouterInterfaceInUseByFloatingIP",
    )
    unset = {"router": {"external_gateway_info": None}}
    assert cloud.fault("PUT", f"routers/{site.router}", json=unset) == (409, "RouterExternalGatewayInUseByFloatingIp")
    private = {"network": {"router:external": False}}
    assert cloud.fault("PUT", f"networks/{site.external['id']}", "admin", private) == (409, "ExternalNetworkInUse")


def test_no_more_than_the_quota(cloud: NetworkCloud, site: Site) -> None:
    cloud.call("PUT", "quotas/p1", "admin", {"quota": {"floatingip": 0}})
    assert site.fault() == (409, "OverQuota")
