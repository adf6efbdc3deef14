from __future__ import annotations

from typing import Any

import pytest

from api.network.conftest import NetworkCloud


def default(cloud: NetworkCloud, token: str = "member") -> Any:
    (found,) = cloud.call("GET", "security-groups?name=default", token).json["security_groups"]
    return found


def test_the_default_group_is_there_at_first_look(cloud: NetworkCloud) -> None:
    group = default(cloud)
    rules = {(r["direction"], r["ethertype"], r["remote_group_id"]) for r in group["security_group_rules"]}
    assert rules == {("egress", "IPv4", None), ("egress", "IPv6", None), ("ingress", "IPv4", group["id"]),
                     ("ingress", "IPv6", group["id"])}  # fmt: skip
    assert default(cloud) == group
    assert default(cloud, "other")["id"] != group["id"]
    cloud.settle()
    assert len(cloud.backend.intents.security_groups[group["id"]].rules) == 4


def test_a_group_lives_and_dies(cloud: NetworkCloud) -> None:
    made = cloud.make("security_group", name="g", description="d")
    assert [r["direction"] for r in made["security_group_rules"]] == ["egress", "egress"]
    assert (made["stateful"], made["shared"]) == (True, False)
    url = f"security-groups/{made['id']}"
    assert cloud.call("GET", url).json["security_group"] == made
    assert cloud.call("PUT", url, json={"security_group": {"name": "h"}}).json["security_group"]["name"] == "h"
    assert cloud.fault("GET", url, "other") == (404, "SecurityGroupNotFound")
    assert cloud.call("DELETE", url, "reader").status == 403
    assert cloud.call("DELETE", url).status == 204
    cloud.settle()
    assert made["id"] not in cloud.backend.inventory().security_groups


def test_the_default_group_is_special(cloud: NetworkCloud) -> None:
    group = default(cloud)
    url = f"security-groups/{group['id']}"
    taken = {"security_group": {"name": "default"}}
    assert cloud.fault("POST", "security-groups", json=taken) == (409, "SecurityGroupDefaultAlreadyExists")
    renamed = {"security_group": {"name": "x"}}
    assert cloud.fault("PUT", url, json=renamed) == (409, "SecurityGroupCannotUpdateDefault")
    assert cloud.fault("DELETE", url) == (409, "SecurityGroupCannotRemoveDefault")
    assert cloud.call("DELETE", url, "admin").status == 204
    assert default(cloud)["id"] != group["id"]


def test_a_group_in_use_stays(cloud: NetworkCloud) -> None:
    group = cloud.make("security_group", name="g")
    network, _ = cloud.network()
    cloud.make("port", network_id=network["id"], security_groups=[group["id"]])
    url = f"security-groups/{group['id']}"
    assert cloud.fault("DELETE", url) == (409, "SecurityGroupInUse")
    assert cloud.fault("PUT", url, json={"security_group": {"stateful": False}}) == (409, "SecurityGroupInUse")


def test_a_rule_lives_and_dies(cloud: NetworkCloud) -> None:
    group = cloud.make("security_group", name="g")
    made = cloud.make("security_group_rule", security_group_id=group["id"], direction="ingress", protocol="TCP",
                      port_range_min=22, port_range_max="22", remote_ip_prefix="10.0.0.7/24")  # fmt: skip
    assert (made["protocol"], made["port_range_max"]) == ("tcp", 22)
    assert (made["remote_ip_prefix"], made["normalized_cidr"]) == ("10.0.0.7/24", "10.0.0.0/24")
    url = f"security-group-rules/{made['id']}"
    assert cloud.call("GET", url).json["security_group_rule"] == made
    cloud.settle()
    assert made["id"] in {r.id for r in cloud.backend.intents.security_groups[group["id"]].rules}
    assert cloud.fault("GET", url, "other") == (404, "SecurityGroupRuleNotFound")
    assert cloud.call("DELETE", url).status == 204
    cloud.settle()
    assert len(cloud.backend.intents.security_groups[group["id"]].rules) == 2


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"protocol": "nope"}, (400, "SecurityGroupRuleInvalidProtocol")),
        ({"protocol": 256}, (400, "HTTPBadRequest")),
        ({"port_range_min": 1, "port_range_max": 2}, (400, "SecurityGroupProtocolRequiredWithPorts")),
        ({"protocol": "gre", "port_range_min": 1, "port_range_max": 2}, (400, "SecurityGroupInvalidProtocolForPort")),
        ({"protocol": "tcp", "port_range_min": 3, "port_range_max": 2}, (400, "SecurityGroupInvalidPortRange")),
        ({"protocol": "tcp", "port_range_min": 3}, (400, "SecurityGroupInvalidPortRange")),
        ({"protocol": "tcp", "port_range_min": 3, "port_range_max": 65536}, (400, "HTTPBadRequest")),
        ({"protocol": "icmp", "port_range_min": 256}, (400, "SecurityGroupInvalidIcmpValue")),
        ({"protocol": "icmp", "port_range_max": 1}, (400, "SecurityGroupMissingIcmpType")),
        ({"protocol": "ipv6-icmp"}, (400, "SecurityGroupEthertypeConflictWithProtocol")),
        ({"remote_ip_prefix": "::/0"}, (400, "SecurityGroupRuleParameterConflict")),
        ({"remote_ip_prefix": "x"}, (400, "InvalidInput")),
        ({"remote_ip_prefix": "::/0", "remote_group_id": "x"}, (400, "SecurityGroupRemoteGroupAndRemoteIpPrefix")),
        ({"remote_group_id": "x"}, (404, "SecurityGroupNotFound")),
        ({"direction": "sideways"}, (400, "HTTPBadRequest")),
        ({"ethertype": "IPv5"}, (400, "HTTPBadRequest")),
        ({"security_group_id": "x"}, (404, "SecurityGroupNotFound")),
    ],
)
def test_bad_rules(cloud: NetworkCloud, rule: dict[str, Any], fault: tuple[int, str]) -> None:
    group = cloud.make("security_group", name="g")
    body = {"security_group_id": group["id"], "direction": "ingress", **rule}
    assert cloud.fault("POST", "security-group-rules", json={"security_group_rule": body}) == fault


def test_duplicates(cloud: NetworkCloud) -> None:
    group = cloud.make("security_group", name="g")
    rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": "icmp"}
    cloud.make("security_group_rule", **rule)
    for same in ({}, {"protocol": "1"}, {"remote_ip_prefix": "0.0.0.0/0"}):
        body = {"security_group_rule": {**rule, **same}}
        assert cloud.fault("POST", "security-group-rules", json=body) == (409, "SecurityGroupRuleExists")
    cloud.make("security_group_rule", **{**rule, "ethertype": "IPv6"})
    cloud.make("security_group_rule", **{**rule, "direction": "egress"})
    egress = {"security_group_rule": {"security_group_id": group["id"], "direction": "egress"}}
    assert cloud.fault("POST", "security-group-rules", json=egress) == (409, "SecurityGroupRuleExists")


def test_others_may_not_add_rules(cloud: NetworkCloud) -> None:
    group = cloud.make("security_group", name="g")
    body = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress"}}
    assert cloud.fault("POST", "security-group-rules", "other", body) == (404, "SecurityGroupNotFound")
    assert cloud.call("POST", "security-group-rules", "reader", body).status == 403


def test_address_groups(cloud: NetworkCloud) -> None:
    made = cloud.call("POST", "address-groups", json={"address_group": {"name": "a", "addresses": ["10.0.0.1/32"]}})
    id = made.json["address_group"]["id"]
    group = cloud.make("security_group", name="g")
    cloud.make("security_group_rule", security_group_id=group["id"], direction="ingress", remote_address_group_id=id)
    more = cloud.call("PUT", f"address-groups/{id}/add_addresses", json={"addresses": ["10.1.0.0/16"]})
    assert more.json["address_group"]["addresses"] == ["10.0.0.1/32", "10.1.0.0/16"]
    cloud.settle()
    remote = [r.remote_address_group for r in cloud.backend.intents.security_groups[group["id"]].rules]
    assert ("10.0.0.1/32", "10.1.0.0/16") in remote
    assert cloud.fault("DELETE", f"address-groups/{id}") == (409, "AddressGroupInUse")
    cloud.call("DELETE", f"security-groups/{group['id']}")
    assert cloud.call("DELETE", f"address-groups/{id}").status == 204
