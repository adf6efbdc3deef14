"""Asking for servers: what is possible, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from api.compute.conftest import ComputeCloud
from tiffin.services.compute import reconcilers
from tiffin.services.compute.tables import Server, ServerNic
from tiffin.simulator.hypervisor import FACTS

UUID = "5ffae63a-0587-40f3-bcb5-8935ac9da00d"


def refused(
    cloud: ComputeCloud, status: int, words: str, *, token: str = "member", at: str = "compute 2.104", **more: Any
) -> None:
    reply = cloud.do("POST", "/servers", cloud.body(**more), token=token, at=at)
    assert reply.status == status, reply.body
    (fault,) = reply.json.values()
    assert fault["code"] == status
    assert words in fault["message"], fault["message"]
    with cloud.cloud.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Server)) == 0
        assert session.scalar(select(func.count()).select_from(ServerNic)) == 0
    assert cloud.ask("GET", "/network/v2.0/ports?device_owner=compute:nova", "admin").json["ports"] == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"flavorRef": "none"}, "flavor none could not be found"),
        ({"imageRef": UUID}, "requested image"),
        ({"imageRef": ""}, "imageRef"),
        ({"imageRef": None}, "imageRef"),
        ({"key_name": "none"}, "key_name"),
        ({"networks": [{"uuid": UUID}]}, UUID),
        ({"networks": [{"port": UUID}]}, UUID),
        ({"networks": [{}]}, "uuid"),
        ({"networks": [{"uuid": "x", "color": 1}]}, "color"),
        ({"networks": "some"}, "networks"),
        ({"networks": [{"uuid": "x", "fixed_ip": "1.2.3.4"}]}, "x"),
        ({"name": ""}, "name"),
        ({"name": " x"}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"name": 1}, "name"),
        ({"color": "red"}, "color"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"ü": "x"}}, "metadata"),
        ({"user_data": "%%%"}, "user_data"),
        ({"min_count": 2, "max_count": 1}, "min_count"),
        ({"min_count": 0}, "min_count"),
        ({"max_count": "x"}, "max_count"),
        ({"accessIPv4": "::1"}, "accessIPv4"),
        ({"accessIPv6": "1.2.3.4"}, "accessIPv6"),
        ({"config_drive": "maybe"}, "config_drive"),
        ({"security_groups": [{"name": "none"}]}, "none"),
        ({"availability_zone": "mars"}, "zone"),
        ({"tags": ["a/b"]}, "tags"),
        ({"tags": ["t"] * 51}, "tags"),
        ({"hostname": "a b"}, "hostname"),
        ({"personality": []}, "personality"),
        (
            {"block_device_mapping_v2": [{"source_type": "volume", "destination_type": "volume", "uuid": UUID}]},
            "volumes",
        ),
        ({"block_device_mapping": [{"volume_id": UUID}]}, "volume service"),
        ({"block_device_mapping_v2": [{"source_type": "image", "uuid": UUID, "boot_index": 0}]}, "two images"),
        ({"block_device_mapping_v2": [{"source_type": "image", "uuid": UUID}]}, "boot_index"),
        ({"networks": [{"port": UUID, "fixed_ip": "10.0.0.9"}]}, "fixed_ip"),
        ({"networks": [{"port": UUID}], "max_count": 2}, "single"),
    ],
)
def test_what_is_refused_names_the_field(cloud: ComputeCloud, more: dict[str, Any], words: str) -> None:
    refused(cloud, 400, words, **more)


@pytest.mark.parametrize(
    "body", [{}, [], None, {"server": None}, {"server": {}}, {"server": {"name": "x"}}, {"servers": {}}]
)
def test_bodies_that_are_none(cloud: ComputeCloud, body: Any) -> None:
    assert cloud.do("POST", "/servers", body).status == 400


def test_fields_exist_since_their_versions(cloud: ComputeCloud) -> None:
    for version, field in (("2.18", {"description": "x"}), ("2.51", {"tags": ["x"]}), ("2.73", {"host": "host-1"}),
                           ("2.89", {"hostname": "x"}), ("2.62", {"trusted_image_certificates": ["x"]})):  # fmt: skip
        refused(cloud, 400, next(iter(field)), at=f"compute {version}", **field)
    refused(cloud, 400, "networks", networks=None)
    refused(cloud, 400, "2.37", at="compute 2.36", networks="none")
    refused(cloud, 400, "hostname", at="compute 2.93", hostname="a.b")


def test_who_may(cloud: ComputeCloud) -> None:
    refused(cloud, 403, "os_compute_api:servers:create", token="reader")
    refused(cloud, 403, "os_compute_api:servers:create", token="nobody")
    refused(cloud, 403, "forced_host", availability_zone="nova:host-1")
    refused(cloud, 403, "requested_destination", host="host-1")
    refused(cloud, 400, "could not be found", token="other")  # the network is another's
    assert cloud.do("POST", "/servers", cloud.body(), token="wrong").status == 401


def test_no_network_one_network_many(cloud: ComputeCloud) -> None:
    alone = cloud.server(networks="none")
    assert cloud.show(alone)["addresses"] == {}
    assert cloud.show(alone)["status"] == "ACTIVE"
    assert list(cloud.show(cloud.server(networks="auto"))["addresses"]) == ["net"]
    reply = cloud.do("POST", "/servers", cloud.body(networks=None), at="compute 2.1")
    cloud.settle()
    assert list(cloud.show(reply.json["server"]["id"])["addresses"]) == ["net"]
    cloud.network("second", "10.1.0.0/24")
    assert cloud.do("POST", "/servers", cloud.body(networks="auto")).status == 409


def test_ports_and_fixed_addresses(cloud: ComputeCloud) -> None:
    port = cloud.port(cloud.network_id)
    id = cloud.server(
        networks=[{"port": port["id"], "tag": "front"}, {"uuid": cloud.network_id, "fixed_ip": "10.0.0.77"}]
    )
    interfaces = cloud.ok("GET", f"/servers/{id}/os-interface")["interfaceAttachments"]
    assert interfaces[0]["port_id"] == port["id"]
    assert interfaces[0]["tag"] == "front"
    assert interfaces[1]["fixed_ips"][0]["ip_address"] == "10.0.0.77"
    assert cloud.do("POST", "/servers", cloud.body(networks=[{"port": port["id"]}])).status == 409
    taken = cloud.do("POST", "/servers", cloud.body(networks=[{"uuid": cloud.network_id, "fixed_ip": "10.0.0.77"}]))
    assert taken.status in (400, 409)
    cloud.do("DELETE", f"/servers/{id}")
    cloud.settle()
    kept = cloud.ask("GET", f"/network/v2.0/ports/{port['id']}").json["port"]
    assert (kept["device_id"], kept["device_owner"]) == ("", "")


def test_several_at_once(cloud: ComputeCloud) -> None:
    reply = cloud.do("POST", "/servers", cloud.body("web", min_count="2", max_count=3, return_reservation_id=True))
    assert set(reply.json) == {"reservation_id"}
    cloud.settle()
    found = cloud.ok("GET", f"/servers/detail?reservation_id={reply.json['reservation_id']}")["servers"]
    assert sorted(s["name"] for s in found) == ["web-1", "web-2", "web-3"]
    assert {s["status"] for s in found} == {"ACTIVE"}
    assert {s["OS-EXT-SRV-ATTR:hostname"] for s in found} == {"web-1", "web-2", "web-3"}


def test_the_way_the_clients_ask(cloud: ComputeCloud) -> None:
    """Security groups by id, and the image as a device too."""
    group = cloud.ask("POST", "/network/v2.0/security-groups", json={"security_group": {"name": "g"}}).json[
        "security_group"
    ]
    device = {"uuid": cloud.image_id, "boot_index": 0, "source_type": "image", "destination_type": "local",
              "delete_on_termination": True}  # fmt: skip
    id = cloud.server(
        security_groups=[{"name": group["id"]}], block_device_mapping_v2=[device], min_count=1, max_count=1
    )
    assert cloud.show(id)["security_groups"] == [{"name": "g"}]


@pytest.mark.parametrize(
    ("flavor", "image", "words"),
    [
        ({"disk": 1}, {"min_disk": 2}, "smaller than the minimum"),
        ({"ram": 64}, {"min_ram": 512}, "memory is too small"),
    ],
)
def test_flavors_that_are_too_small(
    cloud: ComputeCloud, flavor: dict[str, int], image: dict[str, int], words: str
) -> None:
    refused(cloud, 400, words, flavorRef=cloud.flavor("small", **flavor), imageRef=cloud.image(**image))


def test_images_that_nobody_may_boot(cloud: ComputeCloud) -> None:
    refused(cloud, 400, "requested image", token="other", networks="none", imageRef=cloud.image(visibility="private"))
    queued = cloud.ask(
        "POST", "/image/v2/images", json={"name": "q", "disk_format": "raw", "container_format": "bare"}
    ).json["id"]
    refused(cloud, 400, "not active", imageRef=queued)


def test_flavors_without_a_disk_are_for_admins(cloud: ComputeCloud) -> None:
    zero = cloud.flavor("zero", disk=0)
    refused(cloud, 403, "zero disk", flavorRef=zero)
    id = cloud.server(token="admin", flavorRef=zero, networks="none")
    assert cloud.show(id, token="admin")["status"] == "ACTIVE"


def test_quotas(cloud: ComputeCloud) -> None:
    put = lambda **q: cloud.ok("PUT", "/os-quota-sets/p1", {"quota_set": q}, token="admin")  # noqa: E731
    put(instances=0)
    refused(cloud, 403, "Quota exceeded for instances: Requested 1, but already used 0 of 0 instances")
    put(instances=5, cores=0)
    refused(cloud, 403, "Quota exceeded for cores")
    put(cores=5, ram=100)
    refused(cloud, 403, "Quota exceeded for ram")
    put(ram=51200)
    refused(cloud, 403, "metadata_items", metadata={f"k{n}": "v" for n in range(129)})
    refused(cloud, 403, "Quota exceeded for instances", max_count=6)


def test_what_is_said_about_hosts(cloud: ComputeCloud) -> None:
    small = msgspec.structs.replace(FACTS, vcpus=2, cpu_allocation_ratio=1.0)
    cloud.add_host("host-2", small)
    on2 = cloud.server(token="admin", networks="none", availability_zone="nova:host-2")
    assert cloud.show(on2, token="admin")["OS-EXT-SRV-ATTR:host"] == "host-2"
    on2 = cloud.server(token="admin", networks="none", hypervisor_hostname="host-2")
    assert cloud.show(on2, token="admin")["OS-EXT-SRV-ATTR:host"] == "host-2"
    full = cloud.show(cloud.server(token="admin", networks="none", host="host-2"), token="admin")
    assert (
        full["fault"]["message"]
        == "No valid host was found. Placement left none: the host that was asked for has no room, or not what the "
        "server needs."
    )
    reply = cloud.do("POST", "/servers", cloud.body(networks="none", host="host-9"), token="admin")
    assert reply.status == 400


@pytest.mark.parametrize(
    ("flavor", "words"),
    [
        ({"vcpus": 1000}, "no host has enough free CPU"),
        ({"disk": 10**6}, "no host has enough free disk"),
        ({"ram": 10**9, "vcpus": 1000}, "CPU and RAM"),
    ],
)
def test_no_host_has_room(cloud: ComputeCloud, flavor: dict[str, int], words: str) -> None:
    cloud.ok("PUT", "/os-quota-sets/p1", {"quota_set": {"cores": -1, "ram": -1}}, token="admin")
    id = cloud.server(flavorRef=cloud.flavor("giant", **flavor))
    shown = cloud.show(id)
    assert (shown["status"], shown["fault"]["code"]) == ("ERROR", 500)
    assert words in shown["fault"]["message"]
    assert cloud.do("DELETE", f"/servers/{id}").status == 204
    cloud.settle()
    assert cloud.ports(id) == []


def test_image_properties_choose_hosts(cloud: ComputeCloud) -> None:
    arm = cloud.image(hw_architecture="aarch64")
    assert "hw_architecture" in cloud.show(cloud.server(imageRef=arm))["fault"]["message"]


def test_server_groups_keep_servers_apart(cloud: ComputeCloud) -> None:
    cloud.add_host("host-2")
    group = cloud.ok("POST", "/os-server-groups", {"server_group": {"name": "g", "policy": "anti-affinity"}})[
        "server_group"
    ]
    body = cloud.body(max_count=3)
    body["os:scheduler_hints"] = {"group": group["id"]}
    assert cloud.do("POST", "/servers", body).status == 202
    cloud.settle()
    found = cloud.ok("GET", "/servers/detail?all_tenants=1", token="admin")["servers"]
    assert {s["OS-EXT-SRV-ATTR:host"] for s in found if s["status"] == "ACTIVE"} == {"host-1", "host-2"}
    (failed,) = (s for s in found if s["status"] == "ERROR")
    assert "server group" in failed["fault"]["message"]
    assert failed["scheduler_hints"] == {"group": group["id"]}
    assert cloud.show(failed["id"])["server_groups"] == [group["id"]]
    assert len(cloud.ok("GET", f"/os-server-groups/{group['id']}")["server_group"]["members"]) == 3
    wrong = {**cloud.body(), "os:scheduler_hints": {"group": UUID}}
    assert cloud.do("POST", "/servers", wrong).status == 400


def test_keys_user_data_and_files_reach_the_config_drive(cloud: ComputeCloud) -> None:
    cloud.ok("POST", "/os-keypairs", {"keypair": {"name": "k"}}, at="compute 2.2")
    data = base64.b64encode(b"#!/bin/sh\necho hi").decode()
    body = cloud.body(key_name="k", user_data=data, config_drive="True", personality=[
        {"path": "/etc/motd", "contents": base64.b64encode(b"welcome").decode()}])  # fmt: skip
    made = cloud.do("POST", "/servers", body, at="compute 2.56").json["server"]
    cloud.settle()
    files = cloud.world.guests[made["id"]].config_drive
    assert files is not None
    meta = msgspec.json.decode(files["openstack/latest/meta_data.json"])
    assert meta["admin_pass"] == made["adminPass"]
    assert meta["public_keys"]["k"].startswith("ecdsa-sha2-nistp256 ")
    assert files["openstack/latest/user_data"] == b"#!/bin/sh\necho hi"
    assert (meta["files"][0]["path"], files["openstack/content/0000"]) == ("/etc/motd", b"welcome")
    assert cloud.show(made["id"])["config_drive"] == "True"
    assert cloud.show(made["id"])["key_name"] == "k"
    reconcilers.guests(cloud.cloud)
