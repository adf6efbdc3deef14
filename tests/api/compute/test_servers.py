"""Servers: made, seen, changed, deleted."""

from __future__ import annotations

from api.compute.conftest import ComputeCloud


def test_a_server_lives_and_dies(cloud: ComputeCloud) -> None:
    reply = cloud.do("POST", "/servers", cloud.body(metadata={"a": "b"}, tags=["t"], description="d"))
    assert reply.status == 202, reply.body
    made = reply.json["server"]
    assert set(made) == {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}
    assert reply.headers["location"].endswith(f"/compute/v2.1/servers/{made['id']}")
    assert cloud.states(made["id"]) == ("BUILD", "building", "scheduling", 0)
    cloud.settle()
    assert cloud.states(made["id"]) == ("ACTIVE", "active", None, 1)
    shown = cloud.show(made["id"])
    assert shown["addresses"]["net"][0]["OS-EXT-IPS:type"] == "fixed"
    assert shown["security_groups"] == [{"name": "default"}]
    assert (shown["metadata"], shown["tags"], shown["description"]) == ({"a": "b"}, ["t"], "d")
    assert cloud.world.guests[made["id"]].power == "running"
    (port,) = cloud.ports(made["id"])
    assert (port["status"], port["binding:host_id"]) == ("ACTIVE", "host-1")
    assert cloud.do("DELETE", f"/servers/{made['id']}").status == 204
    cloud.settle()
    assert cloud.do("GET", f"/servers/{made['id']}").status == 404
    assert cloud.world.guests == {}
    assert cloud.ports(made["id"]) == []
    assert cloud.plugs("host-1").plugged() == frozenset()
    assert cloud.plugs("host-1").metadata_networks() == frozenset()
