"""Security groups as compute showed them before 2.36, and those of a server."""

from __future__ import annotations

from typing import Any

import pytest

from api.compute.conftest import ComputeCloud

NOWHERE = "00000000-0000-4000-8000-000000000000"


def make(cloud: ComputeCloud, name: str = "web", token: str = "member") -> dict[str, Any]:
    body = {"security_group": {"name": name, "description": "d"}}
    return dict(cloud.ok("POST", "/os-security-groups", body, token=token, at="")["security_group"])


def add(cloud: ComputeCloud, group: str, token: str = "member", **fields: Any) -> Any:
    body = {"security_group_rule": {"parent_group_id": group, **fields}}
    return cloud.do("POST", "/os-security-group-rules", body, token=token, at="")


def listed(cloud: ComputeCloud, token: str = "member", query: str = "") -> list[dict[str, Any]]:
    return list(cloud.ok("GET", f"/os-security-groups{query}", token=token, at="")["security_groups"])


def test_a_group_lives_and_dies(cloud: ComputeCloud) -> None:
    made = make(cloud, " web ")
    path = f"/os-security-groups/{made['id']}"
    tenant = made["tenant_id"]
    assert made == {"id": made["id"], "name": "web", "description": "d", "tenant_id": tenant, "rules": []}
    assert made in listed(cloud)
    assert {g["name"] for g in listed(cloud)} == {"default", "web"}
    assert cloud.ok("GET", path, at="")["security_group"] == made
    changed = cloud.do("PUT", path, {"security_group": {"name": "api", "description": ""}}, at="")
    assert (changed.status, changed.json["security_group"]["name"]) == (200, "api")
    gone = cloud.do("DELETE", path, at="")
    assert (gone.status, gone.body) == (202, b"")
    assert cloud.do("GET", path, at="").status == 404
    assert cloud.do("DELETE", path, at="").status == 404


def test_rules_come_and_go(cloud: ComputeCloud) -> None:
    group = make(cloud)["id"]
    made = add(cloud, group, ip_protocol="TCP", from_port="22", to_port=22)
    assert made.status == 200, made.body
    rule = made.json["security_group_rule"]
    assert rule == {
        "id": rule["id"],
        "parent_group_id": group,
        "ip_protocol": "tcp",
        "from_port": 22,
        "to_port": 22,
        "group": {},
        "ip_range": {"cidr": "0.0.0.0/0"},
    }
    ping = add(cloud, group, ip_protocol="icmp", from_port=-1, to_port=-1, cidr="10.0.0.0/8").json[
        "security_group_rule"
    ]
    assert (ping["from_port"], ping["to_port"], ping["ip_range"]) == (-1, -1, {"cidr": "10.0.0.0/8"})
    other = make(cloud, "other")
    friends = add(cloud, group, ip_protocol="udp", from_port=1, to_port=2, group_id=other["id"]).json
    assert friends["security_group_rule"]["group"] == {"name": "other", "tenant_id": other["tenant_id"]}
    shown = cloud.ok("GET", f"/os-security-groups/{group}", at="")["security_group"]["rules"]
    by_id = {r["id"]: r for r in shown}
    assert by_id == {r["id"]: r for r in (rule, ping, friends["security_group_rule"])}
    assert add(cloud, group, group_id=other["id"]).json["security_group_rule"]["ip_protocol"] is None
    gone = cloud.do("DELETE", f"/os-security-group-rules/{rule['id']}", at="")
    assert (gone.status, gone.body) == (202, b"")
    assert cloud.do("DELETE", f"/os-security-group-rules/{rule['id']}", at="").status == 404


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"ip_protocol": "tcp", "from_port": 5, "to_port": 4}, 400),
        ({"ip_protocol": "tcp", "from_port": 0, "to_port": 4}, 400),
        ({"ip_protocol": "tcp", "from_port": 1, "to_port": 65536}, 400),
        ({"ip_protocol": "icmp", "from_port": -2, "to_port": 0}, 400),
        ({"ip_protocol": "sctp", "from_port": 1, "to_port": 1}, 400),
        ({"ip_protocol": "tcp", "from_port": "x", "to_port": 1}, 400),
        ({"ip_protocol": "tcp"}, 400),
        ({}, 400),
        ({"ip_protocol": "tcp", "from_port": 1, "to_port": 1, "cidr": "elsewhere"}, 400),
        ({"ip_protocol": "tcp", "from_port": 1, "to_port": 1, "group_id": NOWHERE}, 404),
        ({"ip_protocol": "tcp", "from_port": 1, "to_port": 1, "parent_group_id": NOWHERE}, 404),
        ({"ip_protocol": "tcp", "from_port": 1, "to_port": 1, "parent_group_id": "x"}, 400),
    ],
)
def test_bad_rules(cloud: ComputeCloud, fields: dict[str, Any], status: int) -> None:
    group = make(cloud)["id"]
    assert add(cloud, **{"group": group, **fields}).status == status
    assert cloud.ok("GET", f"/os-security-groups/{group}", at="")["security_group"]["rules"] == []


def test_what_conflicts_is_a_bad_request(cloud: ComputeCloud) -> None:
    group = make(cloud)["id"]
    ssh = {"ip_protocol": "tcp", "from_port": 22, "to_port": 22}
    assert [add(cloud, group, **ssh).status for _ in range(2)] == [200, 400]
    cloud.server(security_groups=[{"name": "web"}])
    assert cloud.do("DELETE", f"/os-security-groups/{group}", at="").status == 400
    for name in ("default", "", " "):
        body = {"security_group": {"name": name, "description": "d"}}
        assert cloud.do("POST", "/os-security-groups", body, at="").status == 400
    assert cloud.do("POST", "/os-security-groups", {"security_group": {"name": "x"}}, at="").status == 400


def test_pages_and_all_tenants(cloud: ComputeCloud) -> None:
    for name in "cab":
        make(cloud, name)
    assert [g["name"] for g in listed(cloud, query="?limit=2&offset=1")] == ["b", "c"]
    assert "a" not in {g["name"] for g in listed(cloud, "admin")}
    assert "a" in {g["name"] for g in listed(cloud, "admin", "?all_tenants=1")}
    assert cloud.do("GET", "/os-security-groups?limit=x", at="").status == 400


def test_who_may(cloud: ComputeCloud) -> None:
    group = make(cloud)["id"]
    path, body = f"/os-security-groups/{group}", {"security_group": {"name": "n", "description": "d"}}
    rule = {"ip_protocol": "tcp", "from_port": 1, "to_port": 1}
    assert [g["id"] for g in listed(cloud, "reader") if g["name"] == "web"] == [group]
    assert cloud.do("POST", "/os-security-groups", body, token="reader", at="").status == 403
    assert cloud.do("PUT", path, body, token="reader", at="").status == 403
    assert cloud.do("DELETE", path, token="reader", at="").status == 403
    assert add(cloud, group, "reader", **rule).status == 403
    assert group not in {g["id"] for g in listed(cloud, "other")}
    assert cloud.do("GET", path, token="other", at="").status == 404
    assert cloud.do("PUT", path, body, token="other", at="").status == 404
    assert cloud.do("DELETE", path, token="other", at="").status == 404
    assert add(cloud, group, "other", **rule).status == 404


def test_they_end_at_2_36(cloud: ComputeCloud) -> None:
    group = make(cloud)["id"]
    for path in ("/os-security-groups", f"/os-security-groups/{group}"):
        assert cloud.do("GET", path, at="compute 2.35").status == 200
        assert cloud.do("GET", path, at="compute 2.36").status == 404
    body = {"security_group_rule": {"parent_group_id": group}}
    assert cloud.do("POST", "/os-security-group-rules", body, at="compute 2.36").status == 404


def test_the_groups_of_a_server(cloud: ComputeCloud) -> None:
    group = make(cloud)
    server = cloud.server(security_groups=[{"name": "web"}])
    found = cloud.ok("GET", f"/servers/{server}/os-security-groups")["security_groups"]
    assert found == [group]
    assert cloud.do("GET", f"/servers/{server}/os-security-groups", token="other").status == 404
