"""What a guest is told by 169.254.169.254."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from api.compute.conftest import ComputeCloud
from tiffin.services.compute.public import answer_metadata


class Guest:
    """A server, as it asks the metadata service."""

    def __init__(self, cloud: ComputeCloud, **more: Any) -> None:
        self.cloud, self.id = cloud, cloud.server("vm", **more)
        self.address = cloud.show(self.id)["addresses"]["net"][0]["addr"]

    def ask(self, path: str, method: str = "GET", address: str = "") -> tuple[int, bytes]:
        where = (self.cloud.network_id, address or self.address)
        status, _, body = answer_metadata(self.cloud.cloud, *where, method, path, {})
        return status, body

    def text(self, path: str) -> str:
        status, body = self.ask(path)
        assert status == 200, path
        return body.decode()

    def json(self, path: str) -> Any:
        return msgspec.json.decode(self.text(path))


@pytest.fixture
def guest(cloud: ComputeCloud) -> Guest:
    cloud.ok("POST", "/os-keypairs", {"keypair": {"name": "k"}}, at="compute 2.2")
    data = base64.b64encode(b"#!/bin/sh").decode()
    return Guest(cloud, key_name="k", user_data=data, metadata={"role": "web"})


def test_the_openstack_layout(guest: Guest) -> None:
    assert guest.text("/openstack/").splitlines()[-1] == "latest"
    assert guest.text("/openstack/latest/").splitlines() == [
        "meta_data.json", "user_data", "vendor_data.json", "vendor_data2.json", "network_data.json", "password"]  # fmt: skip
    meta = guest.json("/openstack/latest/meta_data.json")
    assert (meta["uuid"], meta["name"], meta["hostname"], meta["meta"]) == (guest.id, "vm", "vm", {"role": "web"})
    assert (meta["project_id"], meta["availability_zone"], meta["launch_index"]) == ("p1", "nova", 0)
    assert meta["public_keys"]["k"].startswith("ecdsa")
    assert "admin_pass" not in meta
    again = guest.json("/openstack/latest/meta_data.json")
    seeds = {base64.b64decode(one["random_seed"]) for one in (meta, again)}
    assert [len(seed) for seed in seeds] == [512, 512]
    assert guest.text("/openstack/latest/user_data") == "#!/bin/sh"
    assert guest.json("/openstack/latest/vendor_data.json") == {}
    assert "project_id" not in guest.json("/openstack/2012-08-10/meta_data.json")
    assert guest.ask("/openstack/2012-08-10/network_data.json")[0] == 404
    assert guest.text("/openstack/latest/password") == ""


def test_network_data(guest: Guest) -> None:
    data = guest.json("/openstack/latest/network_data.json")
    (link,), (net,) = data["links"], data["networks"]
    assert (net["type"], net["link"], net["network_id"]) == ("ipv4_dhcp", link["id"], guest.cloud.network_id)
    assert link["ethernet_mac_address"].startswith("fa:16:3e")
    assert data["services"] == [{"type": "dns", "address": "9.9.9.9"}]


def test_the_ec2_layout(guest: Guest) -> None:
    assert "2009-04-04" in guest.text("/").splitlines()
    assert guest.text("/latest/") == "meta-data/\nuser-data"
    listed = guest.text("/latest/meta-data/").splitlines()
    assert {"instance-id", "local-ipv4", "placement/", "public-keys/"} <= set(listed)
    assert guest.text("/latest/meta-data/instance-id") == "i-00000001"
    assert guest.text("/2009-04-04/meta-data/local-ipv4") == guest.address
    assert guest.text("/latest/meta-data/public-keys/") == "0=k"
    assert guest.text("/latest/meta-data/public-keys/0/openssh-key").startswith("ecdsa")
    assert guest.text("/latest/meta-data/placement/availability-zone") == "nova"
    assert guest.text("/latest/user-data") == "#!/bin/sh"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/openstack/1999-01-01/",
        "/openstack/latest/nothing",
        "/latest/nothing",
        "/latest/meta-data/nothing",
        "/openstack/content/0000",
        "/latest/meta-data/public-keys/0/_name",
        "/openstack/latest/meta_data.json/x",
        "/%2e%2e/etc/passwd",
    ],
)
def test_what_is_not_there(guest: Guest, path: str) -> None:
    assert guest.ask(path)[0] == 404


def test_nobody_else_is_answered(guest: Guest) -> None:
    assert guest.ask("/openstack/latest/meta_data.json", address="10.0.0.250")[0] == 404
    assert guest.ask("/openstack/latest/meta_data.json", "POST")[0] == 405
    assert guest.ask("/openstack/latest/meta_data.json", "HEAD") == (200, b"")
    guest.cloud.do("DELETE", f"/servers/{guest.id}")
    guest.cloud.settle()
    assert guest.ask("/openstack/latest/meta_data.json")[0] == 404


def test_a_port_that_claims_to_be_a_guest_is_not_believed(guest: Guest) -> None:
    cloud = guest.cloud
    network = cloud.network(token="other")
    port = cloud.port(network, "other", device_id=guest.id, device_owner="compute:nova")
    address = port["fixed_ips"][0]["ip_address"]
    status, _, body = answer_metadata(cloud.cloud, network, address, "GET", "/openstack/latest/user_data", {})
    assert (status, body) == (404, b"404 Not Found")
    assert [link["vif_id"] for link in guest.json("/openstack/latest/network_data.json")["links"]] != [port["id"]]
    shown = cloud.show(guest.id)
    assert [one["addr"] for net in shown["addresses"].values() for one in net] == [guest.address]
    assert len(shown["security_groups"]) == 1
    assert len(cloud.ok("GET", f"/servers/{guest.id}/os-interface")["interfaceAttachments"]) == 1


def test_without_user_data(cloud: ComputeCloud) -> None:
    guest = Guest(cloud)
    assert guest.ask("/openstack/latest/user_data")[0] == 404
    assert guest.ask("/latest/user-data")[0] == 404
    assert guest.text("/latest/") == "meta-data/"
