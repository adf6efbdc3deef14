"""What operators see and set: services, hypervisors, aggregates, zones, quotas, limits, usage, groups."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from api.compute.conftest import ComputeCloud
from tiffin.services.compute import reconcilers


def test_services(cloud: ComputeCloud) -> None:
    (shown,) = cloud.ok("GET", "/os-services", token="admin")["services"]
    assert (shown["binary"], shown["host"], shown["state"], shown["status"], shown["zone"]) == (
        "nova-compute", "host-1", "up", "enabled", "nova")  # fmt: skip
    url = f"/os-services/{shown['id']}"
    disabled = cloud.ok("PUT", url, {"status": "disabled", "disabled_reason": "tea"}, token="admin")["service"]
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "tea")
    id = cloud.server()
    assert "ComputeFilter" in cloud.show(id)["fault"]["message"]
    assert cloud.ok("PUT", url, {"status": "enabled"}, token="admin")["service"]["disabled_reason"] is None
    assert cloud.ok("PUT", url, {"forced_down": True}, token="admin")["service"]["state"] == "down"
    for bad in ({}, {"status": "x"}, {"status": "enabled", "disabled_reason": "x"}, {"color": 1}):
        assert cloud.do("PUT", url, bad, token="admin").status == 400
    assert cloud.do("PUT", "/os-services/none", {"status": "enabled"}, token="admin").status == 404
    assert cloud.do("GET", "/os-services").status == 403


def test_services_in_old_words(cloud: ComputeCloud) -> None:
    body = {"host": "host-1", "binary": "nova-compute"}
    old: dict[str, Any] = {"token": "admin", "at": "compute 2.11"}
    assert cloud.ok("PUT", "/os-services/disable", body, **old)["service"]["status"] == "disabled"
    with_reason = {**body, "disabled_reason": "tea"}
    assert cloud.ok("PUT", "/os-services/disable-log-reason", with_reason, **old)["service"]["disabled_reason"] == "tea"
    assert cloud.ok("PUT", "/os-services/enable", body, **old)["service"]["status"] == "enabled"
    assert cloud.ok("PUT", "/os-services/force-down", {**body, "forced_down": "true"}, **old)["service"]["forced_down"]
    assert cloud.do("PUT", "/os-services/enable", {**body, "host": "none"}, **old).status == 404


OLD: dict[str, Any] = {"token": "admin", "at": "compute 2.42"}


def test_hosts_before_2_43(cloud: ComputeCloud) -> None:
    cloud.server()
    assert cloud.ok("GET", "/os-hosts", **OLD)["hosts"] == [{"host_name": "host-1", "service": "compute", "zone": "nova"}]
    assert [len(cloud.ok("GET", f"/os-hosts?zone={zone}", **OLD)["hosts"]) for zone in ("nova", "", "moon")] == [1, 1, 0]
    lines = [line["resource"] for line in cloud.ok("GET", "/os-hosts/host-1", **OLD)["host"]]
    assert [line["project"] for line in lines] == ["(total)", "(used_now)", "(used_max)", "p1"]
    assert {line["host"] for line in lines} == {"host-1"}
    assert [(line["cpu"], line["memory_mb"], line["disk_gb"]) for line in lines[1:]] == [(1, 512, 1)] * 3


def test_a_host_is_disabled_in_old_words(cloud: ComputeCloud) -> None:
    assert cloud.ok("PUT", "/os-hosts/host-1", {"status": "Disable"}, **OLD) == {"host": "host-1", "status": "disabled"}
    assert cloud.ok("GET", "/os-services", token="admin")["services"][0]["status"] == "disabled"
    assert "ComputeFilter" in cloud.show(cloud.server())["fault"]["message"]
    assert cloud.ok("PUT", "/os-hosts/host-1", {"status": "enable"}, **OLD)["status"] == "enabled"
    assert cloud.states(cloud.server())[0] == "ACTIVE"


def test_what_hosts_do_not_do(cloud: ComputeCloud) -> None:
    for body, status in (
        ({}, 400),
        ({"status": "x"}, 400),
        ({"maintenance_mode": "x"}, 400),
        ({"status": "enable", "color": 1}, 400),
        ({"maintenance_mode": "enable", "status": "disable"}, 501),
    ):
        assert cloud.do("PUT", "/os-hosts/host-1", body, **OLD).status == status
    assert cloud.ok("GET", "/os-services", token="admin")["services"][0]["status"] == "enabled"
    for verb in ("startup", "shutdown", "reboot"):
        assert cloud.do("GET", f"/os-hosts/host-1/{verb}", **OLD).status == 501
        assert cloud.do("GET", f"/os-hosts/none/{verb}", **OLD).status == 404
        assert cloud.do("GET", f"/os-hosts/host-1/{verb}", at="compute 2.42").status == 403
    assert cloud.do("PUT", "/os-hosts/none", {"status": "enable"}, **OLD).status == 404
    assert cloud.do("GET", "/os-hosts/none", **OLD).status == 404
    for method, path in (("GET", ""), ("GET", "/host-1"), ("PUT", "/host-1")):
        body = {"status": "enable"} if method == "PUT" else None
        assert cloud.do(method, f"/os-hosts{path}", body, at="compute 2.42").status == 403
        assert cloud.do(method, f"/os-hosts{path}", body, token="admin", at="compute 2.43").status == 404


def test_a_service_with_servers_stays(cloud: ComputeCloud) -> None:
    id = cloud.server()
    (shown,) = cloud.ok("GET", "/os-services", token="admin")["services"]
    assert cloud.do("DELETE", f"/os-services/{shown['id']}", token="admin").status == 409
    cloud.do("DELETE", f"/servers/{id}")
    cloud.settle()
    assert cloud.do("DELETE", f"/os-services/{shown['id']}", token="admin").status == 204
    assert cloud.ok("GET", "/os-hypervisors", token="admin")["hypervisors"] == []


def test_hypervisors(cloud: ComputeCloud) -> None:
    cloud.server()
    (shown,) = cloud.ok("GET", "/os-hypervisors/detail?with_servers=true", token="admin", at="compute 2.87")[
        "hypervisors"
    ]
    assert (shown["vcpus_used"], shown["memory_mb_used"], shown["local_gb_used"], shown["running_vms"]) == (
        1,
        512,
        1,
        1,
    )
    assert shown["servers"][0]["name"] == "instance-00000001"
    assert (
        cloud.ok("GET", f"/os-hypervisors/{shown['id']}", token="admin")["hypervisor"]["hypervisor_type"] == "Simulated"
    )
    stats = cloud.ok("GET", "/os-hypervisors/statistics", token="admin", at="compute 2.87")["hypervisor_statistics"]
    assert (stats["count"], stats["vcpus_used"]) == (1, 1)
    assert cloud.do("GET", "/os-hypervisors/statistics", token="admin").status == 404
    assert cloud.do("GET", "/os-hypervisors/none", token="admin").status == 404
    assert cloud.do("GET", "/os-hypervisors").status == 403
    cloud.add_host("host-2")
    page = cloud.ok("GET", "/os-hypervisors?limit=1", token="admin")
    assert len(page["hypervisors"]) == 1
    rest = cloud.ask("GET", page["hypervisors_links"][0]["href"].removeprefix("http://127.0.0.1:8000"), "admin",
                     OpenStack_API_Version="compute 2.104").json  # fmt: skip
    assert [h["hypervisor_hostname"] for h in rest["hypervisors"]] == ["host-2"]


def test_hypervisors_by_name(cloud: ComputeCloud) -> None:
    id = cloud.server()
    cloud.add_host("other-2")
    old: dict[str, Any] = {"token": "admin", "at": "compute 2.52"}
    found = cloud.ok("GET", "/os-hypervisors/host/search", **old)["hypervisors"]
    assert [one["hypervisor_hostname"] for one in found] == ["host-1"]
    (shown,) = cloud.ok("GET", "/os-hypervisors/host/servers", **old)["hypervisors"]
    assert shown["servers"] == [{"name": "instance-00000001", "uuid": id}]
    (empty,) = cloud.ok("GET", "/os-hypervisors/other/servers", **old)["hypervisors"]
    assert "servers" not in empty
    for path in ("search", "servers"):
        assert cloud.do("GET", f"/os-hypervisors/none/{path}", **old).status == 404
        assert cloud.do("GET", f"/os-hypervisors/host/{path}", at="compute 2.52").status == 403
        assert cloud.do("GET", f"/os-hypervisors/host/{path}", token="admin", at="compute 2.53").status == 404
    new = "/os-hypervisors?hypervisor_hostname_pattern="
    assert len(cloud.ok("GET", f"{new}-", token="admin")["hypervisors"]) == 2
    assert len(cloud.ok("GET", f"{new}other", token="admin")["hypervisors"]) == 1
    assert cloud.do("GET", f"{new}none", token="admin").status == 404
    assert cloud.do("GET", f"{new}other&limit=1", token="admin").status == 400


def test_aggregates_and_zones(cloud: ComputeCloud) -> None:
    cloud.add_host("host-2")
    admin: dict[str, Any] = {"token": "admin"}
    made = cloud.ok("POST", "/os-aggregates", {"aggregate": {"name": "a", "availability_zone": "east"}}, **admin)[
        "aggregate"
    ]
    url = f"/os-aggregates/{made['id']}"
    assert cloud.do("POST", "/os-aggregates", {"aggregate": {"name": "a"}}, **admin).status == 409
    assert cloud.ok("POST", f"{url}/action", {"add_host": {"host": "host-2"}}, **admin)["aggregate"]["hosts"] == [
        "host-2"
    ]
    assert cloud.do("POST", f"{url}/action", {"add_host": {"host": "host-2"}}, **admin).status == 409
    assert cloud.do("POST", f"{url}/action", {"add_host": {"host": "none"}}, **admin).status == 404
    shown = cloud.ok("POST", f"{url}/action", {"set_metadata": {"metadata": {"ssd": "true"}}}, **admin)["aggregate"]
    assert shown["metadata"] == {"ssd": "true", "availability_zone": "east"}
    zones = {z["zoneName"]: z for z in cloud.ok("GET", "/os-availability-zone")["availabilityZoneInfo"]}
    assert set(zones) == {"east", "nova"}
    assert zones["east"]["hosts"] is None
    detail = cloud.ok("GET", "/os-availability-zone/detail", **admin)["availabilityZoneInfo"]
    assert detail[0]["hosts"]["host-2"]["nova-compute"]["available"] is True
    id = cloud.server(availability_zone="east")
    assert cloud.show(id)["OS-EXT-AZ:availability_zone"] == "east"
    assert cloud.show(id, token="admin")["OS-EXT-SRV-ATTR:host"] == "host-2"
    assert cloud.do("PUT", url, {"aggregate": {"availability_zone": "west"}}, **admin).status == 409
    assert cloud.ok("PUT", url, {"aggregate": {"name": "b"}}, **admin)["aggregate"]["name"] == "b"
    assert cloud.do("PUT", url, {"aggregate": {}}, **admin).status == 400
    assert cloud.do("DELETE", url, **admin).status == 409
    other = cloud.ok("POST", "/os-aggregates", {"aggregate": {"name": "o", "availability_zone": "west"}}, **admin)[
        "aggregate"
    ]
    assert (
        cloud.do("POST", f"/os-aggregates/{other['id']}/action", {"add_host": {"host": "host-2"}}, **admin).status
        == 409
    )
    # a host does not change its zone under its servers
    assert cloud.do("POST", f"{url}/action", {"remove_host": {"host": "host-2"}}, **admin).status == 409
    assert cloud.do("DELETE", f"/servers/{id}").status == 204
    cloud.settle()
    assert cloud.ok("POST", f"{url}/action", {"remove_host": {"host": "host-2"}}, **admin)["aggregate"]["hosts"] == []
    assert cloud.do("DELETE", url, **admin).status == 200
    assert cloud.do("GET", url, **admin).status == 404
    assert cloud.do("GET", "/os-aggregates").status == 403


def test_quota_sets(cloud: ComputeCloud) -> None:
    defaults = cloud.ok("GET", "/os-quota-sets/p1/defaults")["quota_set"]
    assert (defaults["instances"], defaults["cores"], defaults["ram"], defaults["key_pairs"]) == (10, 20, 51200, 100)
    assert "floating_ips" in cloud.ok("GET", "/os-quota-sets/p1", at="compute 2.35")["quota_set"]
    assert cloud.ok("PUT", "/os-quota-sets/p1", {"quota_set": {"cores": "7"}}, token="admin")["quota_set"]["cores"] == 7
    cloud.server()
    detail = cloud.ok("GET", "/os-quota-sets/p1/detail")["quota_set"]
    assert detail["cores"] == {"in_use": 1, "limit": 7, "reserved": 0}
    assert cloud.do("PUT", "/os-quota-sets/p1", {"quota_set": {"cores": 0}}, token="admin").status == 400
    assert cloud.do("PUT", "/os-quota-sets/p1", {"quota_set": {"cores": 0, "force": True}}, token="admin").status == 200
    assert cloud.do("PUT", "/os-quota-sets/p1", {"quota_set": {"cores": 9}}).status == 403
    for bad in ({"cores": -2}, {"cores": "x"}, {"color": 1}, {"floating_ips": 1}):
        assert cloud.do("PUT", "/os-quota-sets/p1", {"quota_set": bad}, token="admin").status == 400
    assert cloud.do("GET", "/os-quota-sets/p2").status == 403
    assert cloud.do("DELETE", "/os-quota-sets/p1", token="admin").status == 202
    assert cloud.ok("GET", "/os-quota-sets/p1")["quota_set"]["cores"] == 20


def test_limits_and_usage(cloud: ComputeCloud) -> None:
    cloud.server()
    found = cloud.ok("GET", "/limits?reserved=False", at="")["limits"]["absolute"]
    assert (found["totalInstancesUsed"], found["maxTotalInstances"], found["totalRAMUsed"]) == (1, 10, 512)
    assert cloud.do("GET", "/limits?tenant_id=p2").status == 403
    assert cloud.ok("GET", "/limits?tenant_id=p1", token="admin")["limits"]["absolute"]["totalCoresUsed"] == 1
    cloud.clock.now += 3600
    usage = cloud.ok("GET", "/os-simple-tenant-usage/p1")["tenant_usage"]
    assert round(usage["total_vcpus_usage"], 3) == 1.0
    assert usage["server_usages"][0]["uptime"] == 3600
    assert cloud.ok("GET", "/os-simple-tenant-usage/p1?end=2020-01-01T00:00:00")["tenant_usage"] == {}
    assert cloud.do("GET", "/os-simple-tenant-usage/p1?start=x").status == 400
    assert cloud.do("GET", "/os-simple-tenant-usage").status == 403
    assert len(cloud.ok("GET", "/os-simple-tenant-usage?detailed=1", token="admin")["tenant_usages"]) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"name": "g"},
        {"name": "g", "policy": "x"},
        {"name": "", "policy": "affinity"},
        {"name": "g", "policies": ["affinity"]},
        {"name": "g", "policy": "affinity", "rules": {"max_server_per_host": 2}},
        {"name": "g", "policy": "anti-affinity", "rules": {"x": 1}},
    ],
)
def test_what_is_no_server_group(cloud: ComputeCloud, bad: dict[str, Any]) -> None:
    assert cloud.do("POST", "/os-server-groups", {"server_group": bad}).status == 400


def test_server_groups(cloud: ComputeCloud) -> None:
    rules = {"max_server_per_host": 3}
    made = cloud.ok(
        "POST", "/os-server-groups", {"server_group": {"name": "g", "policy": "anti-affinity", "rules": rules}}
    )
    group = made["server_group"]
    assert (group["policy"], group["rules"], group["members"], group["project_id"]) == (
        "anti-affinity",
        rules,
        [],
        "p1",
    )
    assert cloud.ok("GET", f"/os-server-groups/{group['id']}") == made
    assert cloud.do("GET", f"/os-server-groups/{group['id']}", token="other").status == 404
    assert cloud.ok("GET", "/os-server-groups", token="other")["server_groups"] == []
    assert len(cloud.ok("GET", "/os-server-groups?all_projects=True", token="admin")["server_groups"]) == 1
    assert cloud.do("DELETE", f"/os-server-groups/{group['id']}", token="reader").status == 403
    assert cloud.do("DELETE", f"/os-server-groups/{group['id']}").status == 204
    assert cloud.do("DELETE", f"/os-server-groups/{group['id']}").status == 404


def test_what_else_clients_look_for(cloud: ComputeCloud) -> None:
    id = cloud.server()
    assert cloud.ok("GET", f"/servers/{id}/os-volume_attachments") == {"volumeAttachments": []}
    assert cloud.do("GET", f"/servers/{id}/os-volume_attachments/x").status == 404
    listed = cloud.ok("GET", "/extensions")["extensions"]
    assert cloud.ok("GET", f"/extensions/{listed[0]['alias']}")["extension"] == listed[0]
    assert cloud.do("GET", "/extensions/none").status == 404
    assert cloud.ok("GET", f"/servers/{id}/os-server-password") == {"password": ""}
    assert cloud.do("DELETE", f"/servers/{id}/os-server-password").status == 204
    assert cloud.ok("GET", "/os-quota-class-sets/default", token="admin")["quota_class_set"]["instances"] == 10
    reconcilers.hosts(cloud.cloud)


def test_two_controllers_see_a_new_host_at_the_same_moment(cloud: ComputeCloud) -> None:
    """The other one writes between what this one has read and what it writes."""
    world, other = cloud.cloud.world, []

    def clock() -> float:
        if not other:
            other.append("writes")
            reconcilers.hosts(cloud.cloud)
        return world.clock()

    cloud.cloud.world = dataclasses.replace(world, clock=clock)
    cloud.add_host("host-2")
    assert other
    shown = cloud.ok("GET", "/os-hypervisors", token="admin")["hypervisors"]
    assert sorted(one["hypervisor_hostname"] for one in shown) == ["host-1", "host-2"]
