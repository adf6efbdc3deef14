"""Many servers are created, moved and deleted on many hosts; the benchmark of growth does the same with ten thousand."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from openstack.connection import Connection

from running_cloud import ADMIN, RunningCloud, running_cloud
from world import assert_becomes, world

MANY, MOVED = 120, 20


def test_many_servers_are_created_moved_and_deleted() -> None:
    with running_cloud(simulated=True, settings="hosts = 50\n") as cloud, cloud.connect(ADMIN) as admin:
        before = world(cloud)
        network = admin.network.create_network(name="many")
        admin.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.98.0.0/24")
        _create(admin, network.id)
        assert_becomes(lambda: Counter(one["status"] for one in _servers(admin)), {"ACTIVE": MANY}, patience=120)
        servers = _servers(admin)
        assert len({one["OS-EXT-SRV-ATTR:host"] for one in servers}) == 50
        assert len({address["addr"] for one in servers for address in one["addresses"]["many"]}) == MANY
        _move(admin, servers[:MOVED])
        for one in _servers(admin):
            _done(admin.compute.delete(f"/servers/{one['id']}"))
        assert_becomes(lambda: _servers(admin), [], patience=120)
        admin.network.delete_network(network)
        assert_becomes(lambda: world(cloud), before, patience=60)
        assert _guests(cloud) == 0


def _create(admin: Connection, network_id: str) -> None:
    unlimited = {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}
    _done(admin.compute.put(f"/os-quota-sets/{admin.current_project_id}", json=unlimited))
    server = {
        "name": "many",
        "flavorRef": next(flavor.id for flavor in admin.compute.flavors() if flavor.name == "m1.nano"),
        "imageRef": next(image.id for image in admin.image.images() if image.name == "tiffin-tiny"),
        "networks": [{"uuid": network_id}],
        "min_count": MANY,
        "max_count": MANY,
    }
    _done(admin.compute.post("/servers", json={"server": server}, microversion="2.90"))


def _move(admin: Connection, servers: list[dict[str, Any]]) -> None:
    hosts = {one["id"]: one["OS-EXT-SRV-ATTR:host"] for one in servers}
    for action, status in (("migrate", "VERIFY_RESIZE"), ("confirmResize", "ACTIVE")):
        for id in hosts:
            _done(admin.compute.post(f"/servers/{id}/action", json={action: None}))
        assert_becomes(lambda: Counter(o["status"] for o in _servers(admin) if o["id"] in hosts), {status: MOVED}, patience=120)
    now = {one["id"]: one["OS-EXT-SRV-ATTR:host"] for one in _servers(admin)}
    assert all(now[id] != host for id, host in hosts.items())


def _servers(admin: Connection) -> list[dict[str, Any]]:
    answer = admin.compute.get("/servers/detail", microversion="2.90")
    _done(answer)
    found: list[dict[str, Any]] = answer.json()["servers"]
    return found


def _done(answer: Any) -> None:
    assert answer.status_code < 300, answer.text


def _guests(cloud: RunningCloud) -> int:
    found: int = json.loads(cloud.tiffin("simulator", "show").stdout)["guests"]
    return found
