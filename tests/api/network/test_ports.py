from __future__ import annotations

from typing import Any

import pytest

from api.network.conftest import NetworkCloud


def ips(port: dict[str, Any]) -> list[str]:
    return sorted(f["ip_address"] for f in port["fixed_ips"])


def test_a_port_lives_and_dies(cloud: NetworkCloud) -> None:
    network, _subnet = cloud.network()
    made = cloud.make("port", network_id=network["id"], name="p")
    assert ips(made) == ["10.0.0.3"]  # .1 is the gateway, .2 answers metadata
    assert made["mac_address"].startswith("fa:16:3e:")
    assert (made["status"], made["binding:vnic_type"], len(made["security_groups"])) == ("DOWN", "normal", 1)
    assert "binding:host_id" not in made
    cloud.settle()
    assert cloud.call("GET", f"ports/{made['id']}").json["port"] == made
    assert cloud.backend.intents.ports[made["id"]].fixed_ips[0].ip_address == "10.0.0.3"
    assert cloud.call("DELETE", f"ports/{made['id']}").status == 204
    assert cloud.fault("GET", f"ports/{made['id']}") == (404, "PortNotFound")
    cloud.settle()
    assert cloud.backend.inventory().ports == set()


def test_addresses_are_given_in_turn_until_none_is_left(cloud: NetworkCloud) -> None:
    network, _subnet = cloud.network(allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.13"}], enable_dhcp=False)
    made = [cloud.make("port", network_id=network["id"]) for _ in range(3)]
    assert [ips(p) for p in made] == [["10.0.0.10"], ["10.0.0.11"], ["10.0.0.12"]]
    cloud.call("DELETE", f"ports/{made[1]['id']}")
    assert ips(cloud.make("port", network_id=network["id"])) == ["10.0.0.13"]
    assert ips(cloud.make("port", network_id=network["id"])) == ["10.0.0.11"]
    body = {"port": {"network_id": network["id"]}}
    assert cloud.fault("POST", "ports", json=body) == (409, "IpAddressGenerationFailure")
    outside_of_the_pool = {"fixed_ips": [{"ip_address": "10.0.0.99"}]}
    assert ips(cloud.make("port", network_id=network["id"], **outside_of_the_pool)) == ["10.0.0.99"]


def test_addresses_asked_for(cloud: NetworkCloud) -> None:
    network, subnet = cloud.network()
    second = cloud.make("subnet", network_id=network["id"], cidr="10.7.0.0/24", ip_version=4)
    both = [{"subnet_id": subnet["id"], "ip_address": "10.0.0.50"}, {"subnet_id": second["id"]}]
    port = cloud.make("port", network_id=network["id"], fixed_ips=both)
    assert ips(port) == ["10.0.0.50", "10.7.0.3"]
    cases = [
        ({"ip_address": "10.0.0.50"}, (409, "IpAddressAlreadyAllocated")),
        ({"ip_address": "10.3.0.1"}, (400, "InvalidIpForNetwork")),
        ({"ip_address": "10.0.0.255"}, (400, "InvalidIpForSubnet")),
        ({"ip_address": "10.7.0.9", "subnet_id": subnet["id"]}, (400, "InvalidIpForSubnet")),
        ({"subnet_id": "missing"}, (400, "InvalidInput")),
        ({"ip_address": "x"}, (400, "InvalidInput")),
        ({}, (400, "InvalidInput")),
    ]
    for fixed, fault in cases:
        assert cloud.fault("POST", "ports", json={"port": {"network_id": network["id"], "fixed_ips": [fixed]}}) == fault
    moved = cloud.call("PUT", f"ports/{port['id']}", json={"port": {"fixed_ips": [{"subnet_id": second["id"]}]}})
    assert ips(moved.json["port"]) == ["10.7.0.3"]
    assert cloud.make("port", network_id=network["id"], fixed_ips=[])["fixed_ips"] == []


def test_ipv6_addresses_from_the_mac(cloud: NetworkCloud) -> None:
    network, _ = cloud.network()
    old = cloud.make("port", network_id=network["id"], mac_address="fa:16:3e:00:00:01")
    cloud.make("subnet", network_id=network["id"], cidr="2001:db8::/64", ip_version=6,
               ipv6_ra_mode="slaac", ipv6_address_mode="slaac")  # fmt: skip
    expected = "2001:db8::f816:3eff:fe00:1"
    assert expected in ips(cloud.call("GET", f"ports/{old['id']}").json["port"])
    new = cloud.make("port", network_id=network["id"], mac_address="fa:16:3e:00:00:02")
    assert "2001:db8::f816:3eff:fe00:2" in ips(new)


def test_mac_addresses(cloud: NetworkCloud) -> None:
    network, _ = cloud.network()
    body = {"network_id": network["id"], "mac_address": "FA-16-3E-00-00-01"}
    assert cloud.make("port", **body)["mac_address"] == "fa:16:3e:00:00:01"
    assert cloud.fault("POST", "ports", json={"port": body}) == (409, "MacAddressInUse")
    for bad in ("x", "00:00:00:00:00:00", "01:00:5e:00:00:01"):
        assert cloud.fault("POST", "ports", json={"port": {**body, "mac_address": bad}}) == (400, "InvalidInput")


def test_security_of_ports(cloud: NetworkCloud) -> None:
    network, _ = cloud.network()
    group = cloud.make("security_group", name="g")
    foreign = cloud.make("security_group", "other", name="g")
    none = cloud.make("port", network_id=network["id"], security_groups=[])
    assert none["security_groups"] == []
    url = f"ports/{none['id']}"
    assert cloud.call("PUT", url, json={"port": {"security_groups": [group["id"]]}}).json["port"][
        "security_groups"
    ] == [group["id"]]
    off = {"port": {"port_security_enabled": False}}
    assert cloud.fault("PUT", url, json=off) == (409, "PortSecurityPortHasSecurityGroup")
    both = {"port": {"port_security_enabled": False, "security_groups": []}}
    assert cloud.call("PUT", url, json=both).json["port"]["port_security_enabled"] is False
    pairs = {"port": {"allowed_address_pairs": [{"ip_address": "10.0.0.77"}]}}
    assert cloud.fault("PUT", url, json=pairs) == (409, "AddressPairAndPortSecurityRequired")
    back = {"port": {"port_security_enabled": True, **pairs["port"]}}
    assert cloud.call("PUT", url, json=back).json["port"]["allowed_address_pairs"] == [
        {"ip_address": "10.0.0.77", "mac_address": none["mac_address"]}
    ]
    bad = {"port": {"security_groups": [foreign["id"]]}}
    assert cloud.fault("PUT", url, json=bad) == (404, "SecurityGroupNotFound")


def test_binding_makes_a_port_active(cloud: NetworkCloud) -> None:
    network, _ = cloud.network()
    port = cloud.make("port", network_id=network["id"], device_id="server", device_owner="compute:nova")
    bind = {"port": {"binding:host_id": "host1"}}
    assert cloud.call("PUT", f"ports/{port['id']}", json=bind).status == 403
    bound = cloud.call("PUT", f"ports/{port['id']}", "admin", bind).json["port"]
    assert (bound["binding:vif_type"], bound["binding:host_id"]) == ("ovs", "host1")
    cloud.settle()
    cloud.host.ensure_plugged(1, port["id"], port["mac_address"], 1442)  # type: ignore[arg-type]
    cloud.settle()
    assert cloud.call("GET", f"ports/{port['id']}").json["port"]["status"] == "ACTIVE"
    cloud.host.forget_plugged(2, port["id"])  # type: ignore[arg-type]
    cloud.settle()
    assert cloud.call("GET", f"ports/{port['id']}").json["port"]["status"] == "DOWN"


def test_dhcp_options_and_names(cloud: NetworkCloud) -> None:
    network, _ = cloud.network()
    port = cloud.make("port", network_id=network["id"], dns_name="Web", extra_dhcp_opts=[
        {"opt_name": "mtu", "opt_value": "1300"}, {"opt_name": "tftp-server", "opt_value": "1.2.3.4"}])  # fmt: skip
    assert port["dns_assignment"] == [{"hostname": "web", "ip_address": "10.0.0.3", "fqdn": "web.openstacklocal."}]
    gone = {"port": {"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": None}]}}
    left = cloud.call("PUT", f"ports/{port['id']}", json=gone).json["port"]["extra_dhcp_opts"]
    assert left == [{"opt_name": "tftp-server", "opt_value": "1.2.3.4", "ip_version": 4}]
    assert (
        cloud.call("PUT", f"ports/{port['id']}", json={"port": {"extra_dhcp_opts": [{"opt_name": "a\nb"}]}}).status
        == 400
    )


def test_ports_on_a_shared_network(cloud: NetworkCloud) -> None:
    network = cloud.make("network", "admin", shared=True)
    subnet = cloud.make("subnet", "admin", network_id=network["id"], cidr="10.4.0.0/24", ip_version=4)
    body: dict[str, Any] = {"network_id": network["id"]}
    assert (
        cloud.call("POST", "ports", json={"port": {**body, "fixed_ips": [{"subnet_id": subnet["id"]}]}}).status == 201
    )
    for more in ({"mac_address": "fa:16:3e:00:00:09"}, {"fixed_ips": [{"ip_address": "10.4.0.9"}]},
                 {"port_security_enabled": False}, {"device_owner": "network:dhcp"}):  # fmt: skip
        assert cloud.call("POST", "ports", json={"port": {**body, **more}}).status == 403, more
    external, _ = cloud.public()
    assert cloud.call("POST", "ports", json={"port": {"network_id": external["id"]}}).status == 403
    assert cloud.call("POST", "ports", json={"port": {**body, "project_id": "p2"}}).status == 400


def test_filters_on_addresses(cloud: NetworkCloud) -> None:
    network, subnet = cloud.network()
    port = cloud.make("port", network_id=network["id"])
    for query, found in (("ip_address=10.0.0.3", 1), (f"subnet_id={subnet['id']}", 2), ("ip_address_substr=0.0.", 2),
                         ("ip_address=9.9.9.9", 0)):  # fmt: skip
        assert len(cloud.call("GET", f"ports?fixed_ips={query}").json["ports"]) == found, query
    group = port["security_groups"][0]
    assert [p["id"] for p in cloud.call("GET", f"ports?security_groups={group}").json["ports"]] == [port["id"]]
    assert cloud.call("GET", "ports?fixed_ips=color=red").status == 400


@pytest.mark.parametrize("body", [{}, {"network_id": 1}, {"network_id": "x" * 65}, {"fixed_ips": "x"}])
def test_bad_bodies(cloud: NetworkCloud, body: dict[str, Any]) -> None:
    assert cloud.fault("POST", "ports", json={"port": body})[0] == 400


def test_bulk_on_a_network_without_subnets(cloud: NetworkCloud) -> None:
    network = cloud.make("network")
    body = {"ports": [{"network_id": network["id"], "tags": ["a"]}, {"network_id": network["id"], "name": "x"}]}
    made = cloud.call("POST", "ports", json=body).json["ports"]
    assert [(p["fixed_ips"], p["name"], p["tags"]) for p in made] == [([], "", ["a"]), ([], "x", [])]
