"""Guests on another machine: everything goes through its agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from host.machines import Controllers
from tiffin.core.driver import Impossible, Refused, StaleTurn, Turn
from tiffin.services.compute import reconcilers
from tiffin.services.compute.tables import Server


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Controllers]:
    made = Controllers(tmp_path)
    made.furnish()
    made.host("host-2")
    disabled = {"status": "disabled"}
    service = made.ok("GET", "/os-services?host=host-1", token="admin")["services"][0]["id"]
    made.ok("PUT", f"/os-services/{service}", disabled, token="admin")
    yield made
    made.close()


def test_a_server_lives_on_another_machine(cloud: Controllers) -> None:
    id = cloud.server(config_drive=True)
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    assert cloud.worlds["host-1"].guests == {}
    assert cloud.worlds["host-2"].guests[id].power == "running"
    assert cloud.do("POST", f"/servers/{id}/action", {"os-stop": None}).status == 202
    cloud.settle()
    assert cloud.worlds["host-2"].guests[id].power == "shutdown"
    assert cloud.do("DELETE", f"/servers/{id}").status == 204
    cloud.settle()
    assert cloud.worlds["host-2"].guests == {}


def test_a_snapshot_comes_back_over_the_wire(cloud: Controllers) -> None:
    id = cloud.server()
    reply = cloud.do("POST", f"/servers/{id}/action", {"createImage": {"name": "snap"}})
    assert reply.status == 202
    for _ in range(5):
        cloud.settle()
        cloud.clock.now += 5
    found = cloud.ask("GET", "/image/v2/images?name=snap").json["images"]
    assert [image["status"] for image in found] == ["active"]
    assert found[0]["size"] > 0


def test_an_agent_gets_the_images_of_its_guests_only(cloud: Controllers) -> None:
    other = cloud.image(b"of somebody else" * 10)
    cloud.server()
    agent = cloud.machines[0].controller()
    assert b"".join(agent.image(cloud.image_id)) == b"what boots" * 100
    with pytest.raises(Impossible, match="No guest of host-2"):
        agent.image(other)


def test_an_agent_gets_what_is_queued_for_the_caches_as_long_as_it_is(cloud: Controllers) -> None:
    id = cloud.image(b"for everybody" * 10)
    assert cloud.ask("PUT", f"/image/v2/cache/{id}", "admin").status == 202
    cloud.settle()
    assert cloud.ask("GET", f"/image/v2/cache/nodes/{id}", "admin").json == ["host-1", "host-2"]
    with pytest.raises(Impossible, match="No guest of host-2"):
        cloud.machines[0].controller().image(id)


def test_an_agent_gets_what_its_aggregate_is_told_to_fetch(cloud: Controllers) -> None:
    id = cloud.image(b"for some" * 10)
    aggregate = cloud.ok("POST", "/os-aggregates", {"aggregate": {"name": "some"}}, token="admin")["aggregate"]["id"]
    cloud.ok("POST", f"/os-aggregates/{aggregate}/action", {"add_host": {"host": "host-2"}}, token="admin")
    cloud.do("POST", f"/os-aggregates/{aggregate}/images", {"cache": [{"id": id}]}, token="admin")
    cloud.settle()
    assert set(cloud.worlds["host-2"].images) == {id}


def test_guests_are_told_about_themselves_only(cloud: Controllers) -> None:
    id = cloud.server()
    address = cloud.ports(id)[0]["fixed_ips"][0]["ip_address"]
    agent = cloud.machines[0].controller()
    asked = ("GET", "/latest/meta-data/instance-id", {})
    assert agent.metadata(cloud.network_id, address, *asked)[0] == 200
    with cloud.cloud.database.write() as session:
        session.execute(update(Server).values(host="host-1"))
    assert agent.metadata(cloud.network_id, address, *asked)[0] == 404
    assert agent.metadata(cloud.network_id, "10.0.0.250", *asked)[0] == 404


def test_metadata_while_the_controller_is_away(cloud: Controllers) -> None:
    agent = cloud.machines[0].controller()
    cloud.door.stop()
    assert agent.metadata("n", "10.0.0.1", "GET", "/", {})[0] == 503


def test_a_host_that_is_cut_off(cloud: Controllers) -> None:
    """Nothing is lost: what was asked meanwhile happens when the host answers again."""
    id = cloud.server()
    machine = cloud.machines[0]
    port = machine.server.port
    machine.server.stop()
    with pytest.raises(Refused, match="host-2 does not answer"):
        cloud.joined.hypervisor("host-2").ensure_stopped(Turn(10**6), "nobody", 0.0)
    reconcilers.guests(cloud.cloud)  # says so in the log, and goes on
    assert cloud.do("DELETE", f"/servers/{id}").status == 204
    cloud.settle()
    assert id in cloud.worlds["host-2"].guests
    machine.membership = machine.membership.__class__(
        name="host-2", listen=f"127.0.0.1:{port}", controller=machine.membership.controller
    )
    assert machine.agent is not None
    machine.agent._membership = machine.membership
    machine.server = machine.agent.open()
    cloud.clock.now += 60
    cloud.settle()
    assert cloud.worlds["host-2"].guests == {}


def test_turns_hold_over_the_wire(cloud: Controllers) -> None:
    id = cloud.server()
    hypervisor = cloud.joined.hypervisor("host-2")
    with pytest.raises(StaleTurn):
        hypervisor.forget_guest(Turn(0), id)
    assert id in cloud.worlds["host-2"].guests
