"""What is refused, by a whole cloud over its socket: the status, who is named, and that nothing has changed."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from running_cloud import ADMIN, DEMO, RunningCloud, running_cloud
from world import world

HUGE = {"name": "huge", "ram": 1 << 20, "vcpus": 2, "disk": 1}


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(simulated=True) as cloud:
        yield cloud


class Client:
    """Requests as somebody, and what is answered: (status, text)."""

    def __init__(self, cloud: RunningCloud, who: str = "") -> None:
        self.address, self.token = cloud.address, ""
        if who:
            with cloud.connect(who) as connection:
                self.token = str(connection.auth_token)

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        headers = {"X-Auth-Token": self.token, "Content-Type": kind}
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body)
        try:
            connection.request(method, path, raw, headers)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def make(self, path: str, body: dict[str, Any]) -> Any:
        status, text = self.ask("POST", path, body)
        assert status in (200, 201, 202), text
        found = json.loads(text)
        root = next(iter(body))
        return found[root] if isinstance(found.get(root), dict) else found


@pytest.fixture(scope="module")
def demo(cloud: RunningCloud) -> Client:
    return Client(cloud, DEMO)


@pytest.fixture(scope="module")
def admin(cloud: RunningCloud) -> Client:
    return Client(cloud, ADMIN)


COLLECTIONS = (
    "/identity/v3/projects",
    "/image/v2/images",
    "/placement/usages",
    "/compute/v2.1/servers",
    "/network/v2.0/networks",
)


@pytest.mark.parametrize("path", COLLECTIONS)
def test_without_a_good_token(cloud: RunningCloud, path: str) -> None:
    wrong = Client(cloud)
    for token in ("", "wrong", "gAAAAA" + "x" * 180):
        wrong.token = token
        assert wrong.ask("GET", path)[0] == 401


def test_what_is_anothers_is_not_there(admin: Client, demo: Client) -> None:
    image = admin.make("/image/v2/images", {"name": "x", "disk_format": "raw", "container_format": "bare"})["id"]
    network = admin.make("/network/v2.0/networks", {"network": {"name": "x"}})["id"]
    for path in (f"/image/v2/images/{image}", f"/network/v2.0/networks/{network}"):
        assert demo.ask("GET", path)[0] == 404
        assert demo.ask("DELETE", path)[0] == 404
        assert admin.ask("DELETE", path)[0] == 204


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/identity/v3/users", {"user": {"name": "x"}}),
        ("/compute/v2.1/flavors", {"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1}}),
        ("/placement/resource_providers", {"name": "x"}),
        ("/network/v2.0/networks", {"network": {"name": "x", "router:external": True}}),
    ],
)
def test_without_the_role(demo: Client, path: str, body: Any) -> None:
    assert demo.ask("POST", path, body)[0] == 403


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/compute/v2.1/os-keypairs", {"keypair": {"name": "k", "colour": "x"}}, "colour"),
        ("/compute/v2.1/os-keypairs", {"keypair": {"name": 7}}, "name"),
        ("/network/v2.0/networks", {"network": {"name": "x", "colour": "x"}}, "colour"),
        ("/network/v2.0/networks", {"network": {"name": "x", "mtu": "much"}}, "mtu"),
        ("/image/v2/images", {"name": 7}, "name"),
    ],
)
def test_bad_bodies_name_the_field(demo: Client, path: str, body: Any, named: str) -> None:
    status, text = demo.ask("POST", path, body)
    assert status == 400
    assert named in text


def test_bytes_that_are_not_what_they_claim(demo: Client) -> None:
    claim = {"name": "liar", "disk_format": "qcow2", "container_format": "bare"}
    id = demo.make("/image/v2/images", claim)["id"]
    status, _ = demo.ask("PUT", f"/image/v2/images/{id}/file", b"#!/bin/sh\n" * 200, "application/octet-stream")
    assert 400 <= status < 500
    assert json.loads(demo.ask("GET", f"/image/v2/images/{id}")[1])["status"] != "active"
    assert demo.ask("DELETE", f"/image/v2/images/{id}")[0] == 204


def test_names_and_states_that_conflict(admin: Client, demo: Client) -> None:
    network = demo.make("/network/v2.0/networks", {"network": {"name": "n"}})["id"]
    subnet = {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.5.0.0/24"}}
    demo.make("/network/v2.0/subnets", subnet)
    assert demo.ask("POST", "/network/v2.0/subnets", subnet)[0] == 400  # upstream: overlapping is a bad request
    demo.make("/network/v2.0/ports", {"port": {"network_id": network, "fixed_ips": [{"ip_address": "10.5.0.9"}]}})
    twin = {"port": {"network_id": network, "fixed_ips": [{"ip_address": "10.5.0.9"}]}}
    assert demo.ask("POST", "/network/v2.0/ports", twin)[0] == 409
    assert demo.ask("DELETE", f"/network/v2.0/networks/{network}")[0] == 409
    for port in json.loads(demo.ask("GET", f"/network/v2.0/ports?network_id={network}")[1])["ports"]:
        demo.ask("DELETE", f"/network/v2.0/ports/{port['id']}")
    assert demo.ask("DELETE", f"/network/v2.0/networks/{network}")[0] == 204
    demo.make("/compute/v2.1/os-keypairs", {"keypair": {"name": "k"}})
    assert demo.ask("POST", "/compute/v2.1/os-keypairs", {"keypair": {"name": "k"}})[0] == 409
    assert demo.ask("DELETE", "/compute/v2.1/os-keypairs/k")[0] == 202
    assert admin.ask("POST", "/identity/v3/projects", {"project": {"name": "demo"}})[0] == 409


def test_over_quota_by_the_client(cloud: RunningCloud) -> None:
    before = world(cloud)
    with cloud.openstack(ADMIN) as admin, cloud.openstack() as demo:
        admin("quota set --instances 0 --networks 0 demo")
        assert "Quota exceeded for instances" in demo.refused(CREATE.format("m1.nano"))
        assert "403: " in demo.refused(CREATE.format("m1.nano"))
        refused = demo.refused("network create more")
        assert "409" in refused
        assert "Quota exceeded" in refused
        admin("quota set --instances 10 --networks 100 demo")
    assert world(cloud) == before


CREATE = "server create --flavor {} --image tiffin-tiny --nic none vm"


def test_no_valid_host_by_the_client(cloud: RunningCloud, admin: Client) -> None:
    admin.make("/compute/v2.1/flavors", {"flavor": HUGE})
    with cloud.openstack(ADMIN) as root, cloud.openstack() as demo:
        root("quota set --ram -1 demo")
        assert (
            "ERROR" in demo.refused(CREATE.format("huge") + " --wait")
            or demo.json("server show vm")["status"] == "ERROR"
        )
        shown = demo.json("server show vm")
        assert shown["status"] == "ERROR"
        assert shown["fault"]["code"] == 500
        assert shown["fault"]["message"].startswith("No valid host was found. ")
        assert "RAM" in shown["fault"]["message"]
        assert "409" in demo.refused("server stop vm")
        demo("server delete --wait vm")
        root("flavor delete huge")
