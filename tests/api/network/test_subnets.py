from __future__ import annotations

from typing import Any

import pytest

from api.network.conftest import NetworkCloud


def test_a_subnet_by_default(cloud: NetworkCloud) -> None:
    network, made = cloud.network("10.1.0.0/24", dns_nameservers=["1.1.1.1"])
    assert made["gateway_ip"] == "10.1.0.1"
    assert made["allocation_pools"] == [{"start": "10.1.0.2", "end": "10.1.0.254"}]
    assert (made["host_routes"], made["dns_nameservers"], made["enable_dhcp"]) == ([], ["1.1.1.1"], True)
    assert cloud.call("GET", f"networks/{network['id']}").json["network"]["subnets"] == [made["id"]]
    cloud.settle()
    (real,) = cloud.backend.intents.networks[network["id"]].subnets
    assert (real.cidr, real.gateway_ip, real.metadata_ip) == ("10.1.0.0/24", "10.1.0.1", "10.1.0.2")


def test_ipv6(cloud: NetworkCloud) -> None:
    _, made = cloud.network("2001:db8::/64")
    assert made["gateway_ip"] == "2001:db8::1"
    assert made["allocation_pools"] == [{"start": "2001:db8::2", "end": "2001:db8::ffff:ffff:ffff:ffff"}]


def test_pools_and_gateway(cloud: NetworkCloud) -> None:
    pools = [{"start": "10.0.0.10", "end": "10.0.0.11"}, {"start": "10.0.0.5", "end": "10.0.0.6"}]
    _network, made = cloud.network(allocation_pools=pools, gateway_ip=None)
    assert made["gateway_ip"] is None
    assert made["allocation_pools"] == pools[::-1]
    body = {"subnet": {"gateway_ip": "10.0.0.5"}}
    assert cloud.fault("PUT", f"subnets/{made['id']}", json=body) == (409, "GatewayConflictWithAllocationPools")
    changed = {"gateway_ip": "10.0.0.9", "name": "x", "dns_nameservers": ["8.8.8.8"], "enable_dhcp": False,
               "host_routes": [{"destination": "10.2.0.0/16", "nexthop": "10.0.0.7"}]}  # fmt: skip
    seen = cloud.call("PUT", f"subnets/{made['id']}", json={"subnet": changed}).json["subnet"]
    assert {k: seen[k] for k in changed} == changed


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"cidr": "10.0.0.1/24"}, (400, "HTTPBadRequest")),
        ({"cidr": "nonsense"}, (400, "HTTPBadRequest")),
        ({"cidr": "2001:db8::/64"}, (400, "InvalidInput")),
        ({"cidr": "0.0.0.0/0"}, (400, "InvalidInput")),
        ({"cidr": "224.0.0.0/24"}, (400, "InvalidInput")),
        ({"cidr": "10.0.0.0/31"}, (400, "InvalidInput")),
        ({"ip_version": 5}, (400, "HTTPBadRequest")),
        ({"cidr": None}, (400, "BadRequest")),
        ({"gateway_ip": "10.0.0.255"}, (400, "InvalidInput")),
        ({"gateway_ip": "x"}, (400, "InvalidInput")),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.8"}]}, (400, "InvalidAllocationPool")),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.1.8"}]}, (400, "OutOfBoundsAllocationPool")),
        (
            {
                "allocation_pools": [
                    {"start": "10.0.0.9", "end": "10.0.0.20"},
                    {"start": "10.0.0.20", "end": "10.0.0.30"},
                ]
            },
            (409, "OverlappingAllocationPools"),
        ),
        ({"allocation_pools": [{"start": "10.0.0.9"}]}, (400, "HTTPBadRequest")),
        ({"dns_nameservers": ["1.1.1.1", "1.1.1.1"]}, (400, "HTTPBadRequest")),
        ({"dns_nameservers": [f"1.1.1.{n}" for n in range(6)]}, (400, "DNSNameServersExhausted")),
        ({"host_routes": [{"destination": "10.0.0.0/8", "nexthop": "::1"}]}, (400, "InvalidInput")),
        ({"ipv6_ra_mode": "slaac"}, (400, "InvalidInput")),
        ({"network_id": "missing"}, (404, "NetworkNotFound")),
    ],
)
def test_bad_subnets(cloud: NetworkCloud, more: dict[str, Any], fault: tuple[int, str]) -> None:
    network = cloud.make("network")
    body = {"network_id": network["id"], "cidr": "10.0.0.0/24", "ip_version": 4, **more}
    assert cloud.fault("POST", "subnets", json={"subnet": body}) == fault
    assert cloud.call("GET", "subnets").json["subnets"] == []


def test_no_overlap_within_a_network(cloud: NetworkCloud) -> None:
    network, _ = cloud.network("10.0.0.0/16")
    body = {"subnet": {"network_id": network["id"], "cidr": "10.0.3.0/24", "ip_version": 4}}
    reply = cloud.call("POST", "subnets", json=body)
    assert reply.status == 400
    assert "overlaps with another subnet" in reply.json["NeutronError"]["message"]
    cloud.network("10.0.0.0/16")  # another network may


def test_ipv6_modes(cloud: NetworkCloud) -> None:
    _, made = cloud.network("2001:db8::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    assert made["ipv6_address_mode"] == "slaac"
    id = cloud.make("network")["id"]
    base = {"network_id": id, "ip_version": 6}
    for more in (
        {"cidr": "2001:db8::/64", "ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"},
        {"cidr": "2001:db8::/60", "ipv6_address_mode": "slaac"},
        {"cidr": "2001:db8::/64", "ipv6_address_mode": "slaac", "enable_dhcp": False},
    ):
        assert cloud.fault("POST", "subnets", json={"subnet": {**base, **more}}) == (400, "InvalidInput")


def test_others_may_not(cloud: NetworkCloud) -> None:
    network, subnet = cloud.network()
    body = {"subnet": {"network_id": network["id"], "cidr": "10.5.0.0/24", "ip_version": 4}}
    assert cloud.fault("POST", "subnets", "other", body) == (404, "NetworkNotFound")
    assert cloud.fault("POST", "subnets", "reader", body)[0] == 403
    assert cloud.fault("GET", f"subnets/{subnet['id']}", "other") == (404, "SubnetNotFound")
    assert cloud.fault("PUT", f"subnets/{subnet['id']}", "reader", {"subnet": {}})[0] == 403
    assert cloud.fault("DELETE", f"subnets/{subnet['id']}", "reader")[0] == 403


def test_a_subnet_in_use_stays(cloud: NetworkCloud) -> None:
    network, subnet = cloud.network()
    port = cloud.make("port", network_id=network["id"])
    assert cloud.fault("DELETE", f"subnets/{subnet['id']}") == (409, "SubnetInUse")
    cloud.call("DELETE", f"ports/{port['id']}")
    assert cloud.call("DELETE", f"subnets/{subnet['id']}").status == 204
    cloud.settle()
    assert cloud.backend.intents.networks[network["id"]].subnets == ()


def test_subnets_from_a_pool(cloud: NetworkCloud) -> None:
    pool = cloud.make("subnetpool", name="p", prefixes=["10.8.0.0/17", "10.8.128.0/17"], default_prefixlen=24)
    assert (pool["prefixes"], pool["ip_version"], pool["min_prefixlen"]) == (["10.8.0.0/16"], 4, 8)
    network = cloud.make("network")
    made = [
        cloud.make("subnet", network_id=network["id"], subnetpool_id=pool["id"], ip_version=4, **more)["cidr"]
        for more in ({}, {}, {"prefixlen": 20}, {"cidr": "10.8.2.0/24"})
    ]
    assert made == ["10.8.0.0/24", "10.8.1.0/24", "10.8.16.0/20", "10.8.2.0/24"]
    taken = {
        "subnet": {"network_id": network["id"], "subnetpool_id": pool["id"], "cidr": "10.8.2.0/25", "ip_version": 4}
    }
    assert cloud.fault("POST", "subnets", json=taken) == (409, "SubnetAllocationError")
    assert cloud.fault("DELETE", f"subnetpools/{pool['id']}") == (409, "SubnetPoolDeleteError")
    smaller = {"subnetpool": {"prefixes": ["10.8.0.0/17"]}}
    assert cloud.fault("PUT", f"subnetpools/{pool['id']}", json=smaller) == (400, "IllegalSubnetPoolPrefixUpdate")
    assert (
        cloud.call("PUT", f"subnetpools/{pool['id']}", json={"subnetpool": {"name": "q"}}).json["subnetpool"]["name"]
        == "q"
    )
    default = cloud.make("subnetpool", "admin", name="d", prefixes=["10.9.0.0/24"], default_prefixlen=26,
                         is_default=True, shared=True)  # fmt: skip
    other = cloud.make("network")
    assert (
        cloud.make("subnet", network_id=other["id"], use_default_subnetpool=True, ip_version=4)["cidr"] == "10.9.0.0/26"
    )
    assert default["shared"] is True
