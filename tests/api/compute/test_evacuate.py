"""Evacuation: a server whose host is dead is built anew elsewhere."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from api.compute.conftest import ComputeCloud
from api.compute.test_moves import action, at, held, moves, where_real
from tiffin.services.compute import reconcilers
from tiffin.services.compute.tables import ComputeHost


@pytest.fixture
def dead(cloud: ComputeCloud) -> tuple[ComputeCloud, str]:
    """A cloud with a server on a host that no longer answers, and another host."""
    id = cloud.server(config_drive=True)
    cloud.world.guests[id].written = b"lost with its host"
    cloud.add_host("host-2")
    fall_silent(cloud, "host-1")
    return cloud, id


def fall_silent(cloud: ComputeCloud, name: str) -> None:
    cloud.buried = cloud.hosts.there.pop(name)  # type: ignore[attr-defined]
    cloud.clock.now += 100.0
    reconcilers.hosts(cloud.cloud)


def come_back(cloud: ComputeCloud, name: str) -> None:
    cloud.hosts.there[name] = cloud.buried  # type: ignore[attr-defined]
    cloud.clock.now += 1
    for reconcile in (reconcilers.hosts, reconcilers.guests, reconcilers.plugs, reconcilers.metadata):
        reconcile(cloud.cloud)
    cloud.settle()


def test_it_runs_elsewhere_and_what_returns_is_removed(dead: tuple[ComputeCloud, str]) -> None:
    cloud, id = dead
    ports = {port["id"] for port in cloud.ports(id)}
    reply = cloud.act(id, "evacuate", {}, token="admin", at="compute 2.94")
    assert (reply.status, reply.body) == (200, b"")
    assert cloud.states(id)[:3] == ("REBUILD", "active", "rebuilding")
    cloud.settle()
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    assert at(cloud, id) == "host-2"
    new = cloud.worlds["host-2"].guests[id]
    assert (new.written, bool(new.config_drive)) == (b"", True)
    assert {port["id"] for port in cloud.ports(id)} == ports
    assert {port["binding:host_id"] for port in cloud.ports(id)} == {"host-2"}
    assert held(cloud) == {("INSTANCE", "host-2"): 1}
    assert [(one["migration_type"], one["status"]) for one in moves(cloud)] == [("evacuation", "done")]
    assert where_real(cloud, id) == {"host-1": "running", "host-2": "running"}, "out of reach, it runs on"
    come_back(cloud, "host-1")
    assert where_real(cloud, id) == {"host-2": "running"}
    assert (cloud.plugs("host-1").plugged(), cloud.plugs("host-1").metadata_networks()) == (frozenset(), frozenset())
    cloud.act(id, "migrate", {"host": "host-1"}, token="admin")
    cloud.settle()
    assert at(cloud, id) == "host-1", "it may live there again"


def test_deleted_before_its_host_returns(dead: tuple[ComputeCloud, str]) -> None:
    cloud, id = dead
    cloud.act(id, "evacuate", {}, token="admin")
    cloud.settle()
    cloud.do("DELETE", f"/servers/{id}", token="admin")
    cloud.settle()
    assert cloud.do("GET", f"/servers/{id}").status == 404
    come_back(cloud, "host-1")
    assert where_real(cloud, id) == {}
    assert cloud.plugs("host-1").plugged() == frozenset()


def test_who_was_stopped_stays_stopped_and_since_2_95_everybody(cloud: ComputeCloud) -> None:
    first, second = cloud.server("a"), cloud.server("b")
    cloud.act(first, "os-stop")
    cloud.settle()
    cloud.add_host("host-2")
    fall_silent(cloud, "host-1")
    cloud.act(first, "evacuate", {}, token="admin", at="compute 2.94")
    cloud.act(second, "evacuate", {}, token="admin", at="compute 2.95")
    cloud.settle()
    for id in (first, second):
        assert cloud.states(id) == ("SHUTOFF", "stopped", None, 4)


def test_to_a_host_of_choice(dead: tuple[ComputeCloud, str]) -> None:
    cloud, id = dead
    cloud.add_host("host-3")
    assert cloud.act(id, "evacuate", {"host": "host-3"}, token="admin").status == 200
    cloud.settle()
    assert at(cloud, id) == "host-3"


def test_the_password_is_told_before_2_14(dead: tuple[ComputeCloud, str]) -> None:
    cloud, id = dead
    body = {"onSharedStorage": False, "adminPass": "opensesame"}
    reply = cloud.act(id, "evacuate", body, token="admin", at="compute 2.13")
    assert (reply.status, reply.json) == (200, {"adminPass": "opensesame"})


@pytest.mark.parametrize(("version", "body"), [
    ("2.13", {}), ("2.13", {"onSharedStorage": True}), ("2.13", {"onSharedStorage": True, "adminPass": "x"}),
    ("2.13", {"onSharedStorage": "maybe"}), ("2.14", {"onSharedStorage": False}), ("2.28", {"force": False}),
    ("2.68", {"force": False}), ("2.95", {"host": "nowhere"}), ("2.95", {"host": "host-1"}), ("2.95", {"host": ""}),
])  # fmt: skip
def test_what_cannot_be_asked(dead: tuple[ComputeCloud, str], version: str, body: dict[str, object]) -> None:
    cloud, id = dead
    assert cloud.act(id, "evacuate", body, token="admin", at=f"compute {version}").status == 400
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    assert moves(cloud) == []


def test_force_is_a_word_of_2_29_to_2_67(dead: tuple[ComputeCloud, str]) -> None:
    cloud, id = dead
    body = {"host": "host-2", "force": True}
    assert cloud.act(id, "evacuate", body, token="admin", at="compute 2.67").status == 200


def test_a_host_that_is_up_is_not_left(cloud: ComputeCloud) -> None:
    id = cloud.server()
    cloud.add_host("host-2")
    reply = cloud.act(id, "evacuate", {}, token="admin")
    assert (reply.status, "still in use" in reply.json["badRequest"]["message"]) == (400, True)


def test_nowhere_to_go(cloud: ComputeCloud) -> None:
    id = cloud.server()
    fall_silent(cloud, "host-1")
    cloud.act(id, "evacuate", {}, token="admin")
    cloud.settle()
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    assert "No valid host" in action(cloud, id)["events"][0]["details"]
    assert [one["status"] for one in moves(cloud)] == ["error"]
    assert held(cloud) == {("INSTANCE", "host-1"): 1}


@pytest.mark.parametrize("state", ["paused", "resized"])
def test_a_state_that_cannot_be_evacuated(cloud: ComputeCloud, state: str) -> None:
    id = cloud.server()
    cloud.add_host("host-2")
    cloud.act(id, "pause" if state == "paused" else "migrate", token="admin")
    cloud.settle()
    with cloud.cloud.database.write() as session:
        session.execute(update(ComputeHost).values(seen_at=0.0))
    assert cloud.act(id, "evacuate", {}, token="admin").status == 409


EVACUATORS = {"admin": 200, "manager": 403, "member": 403, "reader": 403, "other": 404, "nobody": 403, "service": 404}


@pytest.mark.parametrize(("who", "code"), EVACUATORS.items())
def test_who_may_evacuate(dead: tuple[ComputeCloud, str], who: str, code: int) -> None:
    cloud, id = dead
    assert cloud.act(id, "evacuate", {}, token=who).status == code


def test_a_move_that_lost_its_way_back_goes_on_when_both_hosts_answer(cloud: ComputeCloud) -> None:
    id = cloud.server()
    cloud.add_host("host-2")
    cloud.act(id, "migrate", token="admin")
    cloud.settle()
    cloud.act(id, "revertResize")
    fall_silent(cloud, "host-1")
    for _ in range(20):
        cloud.settle()
        cloud.clock.now += 20.0
    assert cloud.states(id)[0] == "ERROR"
    assert where_real(cloud, id) == {"host-1": "shutdown"}
    reconcilers.moves(cloud.cloud)
    cloud.settle()
    assert cloud.states(id)[0] == "ERROR"
    come_back(cloud, "host-1")
    for _ in range(3):
        reconcilers.moves(cloud.cloud)
    assert cloud.states(id)[0] == "REVERT_RESIZE"
    cloud.settle()
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    assert where_real(cloud, id) == {"host-1": "running"}
    assert [one["status"] for one in moves(cloud)] == ["error"]
    assert held(cloud) == {("INSTANCE", "host-1"): 1}


def test_a_destination_that_dies_before_anything_ran_there(cloud: ComputeCloud) -> None:
    id = cloud.server()
    cloud.add_host("host-2")
    cloud.act(id, "migrate", token="admin")
    fall_silent(cloud, "host-2")
    with cloud.cloud.database.write() as session:
        session.execute(update(ComputeHost).values(seen_at=cloud.clock.now))
    for _ in range(20):
        cloud.settle()
        cloud.clock.now += 20.0
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    assert where_real(cloud, id) == {"host-1": "running"}
    assert [one["status"] for one in moves(cloud)] == ["error"]
