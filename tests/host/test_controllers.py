"""Controllers reach each other's hosts and networks by the door, and nobody else does; agents know every controller."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from host.machines import Controllers, Machine
from tiffin.core.certificates import Identity
from tiffin.core.driver import Refused, StaleTurn, Turn
from tiffin.core.https import HttpsServer, Reply, Request
from tiffin.core.peers import can_share
from tiffin.core.remote import Connection, Remote
from tiffin.core.settings import Settings, SettingsError
from tiffin.host.agent import Membership, learn
from tiffin.host.door import CONTROLLER, Door
from tiffin.host.exports import Exports, networks_at, of_host, to_controller
from tiffin.host.joined import HYPERVISOR, NETWORK, LocalHosts
from tiffin.host.tunnels import certify, of_controller
from tiffin.services.compute.controllers import Mine, take_place
from tiffin.services.compute.drivers.base import Hypervisor
from tiffin.services.compute.settings import Machines
from tiffin.services.compute.tables import Controller, HostAgent
from tiffin.services.network.drivers.base import HostNetwork, Network


def door_of(cloud: Controllers, **machines: str) -> HttpsServer:
    """Another controller's, with the same keys."""
    local = LocalHosts(cloud.hosts.there)
    return Door(cloud.cloud, cloud.keys, Machines(**machines), Exports(local, None)).open(("127.0.0.1", 0))


def write_down(cloud: Controllers, *doors: HttpsServer) -> list[str]:
    """As the controllers do that have these."""
    addresses = [f"127.0.0.1:{door.port}" for door in doors]
    with cloud.cloud.database.write() as session:
        for n, address in enumerate(addresses):
            session.add(Controller(name=f"c{n}", node=f"c{n}", address=address, network="", hosts=[]))
    return addresses


# --- one controller at another ------------------------------------------------------------------------------------------


def test_a_controllers_own_hosts_are_reached_by_the_others(cloud: Controllers) -> None:
    connection = to_controller(cloud.keys, f"127.0.0.1:{cloud.door.port}")
    hypervisor: Hypervisor = Remote(Hypervisor, of_host("host-1", HYPERVISOR), connection)  # type: ignore[assignment]
    network: HostNetwork = Remote(HostNetwork, of_host("host-1", NETWORK), connection)  # type: ignore[assignment]
    id = cloud.server()
    assert [guest.id for guest in hypervisor.guests()] == [id]
    assert network.plugged() == {port["id"] for port in cloud.ports(id)}
    with pytest.raises(StaleTurn):
        hypervisor.forget_guest(Turn(0), id)
    hypervisor.forget_guest(Turn(2**62), id)
    assert cloud.worlds["host-1"].guests == {}
    absent: Hypervisor = Remote(Hypervisor, of_host("host-9", HYPERVISOR), connection)  # type: ignore[assignment]
    with pytest.raises(Refused, match="no such call"):
        absent.guests()
    connection.close()


def test_the_networks_are_changed_where_they_run(cloud: Controllers) -> None:
    networks = networks_at(cloud.keys, f"127.0.0.1:{cloud.door.port}")
    networks.ensure_network(Turn(1), Network("n", "n", 1500, ""))
    assert "n" in cloud.backend.inventory().networks
    assert networks.inventory() == cloud.backend.inventory()
    networks.forget_network(Turn(2), "n")
    with pytest.raises(StaleTurn):
        networks.ensure_network(Turn(1), Network("n", "n", 1500, ""))
    elsewhere = door_of(cloud, listen="127.0.0.1:1", network="127.0.0.1:2")
    with pytest.raises(Refused, match="no such call"):
        networks_at(cloud.keys, f"127.0.0.1:{elsewhere.port}").inventory()
    elsewhere.stop()


@pytest.mark.parametrize("name", ["host-2", CONTROLLER])
def test_a_host_is_no_controller_whatever_its_name_is(cloud: Controllers, name: str) -> None:
    machine = cloud.machine(name)
    machine.join(cloud.token())
    connection = Connection(CONTROLLER, ("127.0.0.1", cloud.door.port), machine.identity.client_context())
    for path in ("/hosts/host-1/hypervisor/facts", "/networks/inventory"):
        assert connection.ask("POST", path, b"[]").status == 404
    connection.close()


def test_a_certificate_of_another_cloud_is_not_heard(cloud: Controllers, tmp_path: Path) -> None:
    other = Controllers(tmp_path / "other")
    identity = Identity(tmp_path / "spy")
    identity.keep(
        other.keys.controllers.sign(identity.request(CONTROLLER), CONTROLLER, cloud.clock.now, 1),
        cloud.keys.controllers.certificate(),
    )
    spy = Connection(CONTROLLER, ("127.0.0.1", cloud.door.port), identity.client_context())
    with pytest.raises(Refused, match="does not answer"):
        spy.ask("POST", "/networks/inventory", b"[]")
    other.close()


# --- an agent and its controllers ---------------------------------------------------------------------------------------


def test_an_agent_goes_on_when_the_controller_dies_at_which_it_joined(cloud: Controllers, tmp_path: Path) -> None:
    machine, second = cloud.host("host-2"), door_of(cloud, listen="127.0.0.1:1")
    agent, file = machine.controller(), tmp_path / "agent.json"
    doors = write_down(cloud, cloud.door, second)
    learn(agent, file)
    known = msgspec.json.decode(file.read_bytes(), type=Membership)
    assert list(known.controllers) == doors
    cloud.door.stop()
    asked = (cloud.network_id, "10.0.0.250", "GET", "/", {})
    assert agent.metadata(*asked)[0] == 404, "of no guest of this host"
    machine.membership = known
    assert machine.controller().metadata(*asked)[0] == 404, "also one that has been started anew"
    second.stop()
    assert agent.metadata(*asked)[0] == 503


def test_an_agent_does_not_wait_for_a_controller_that_cannot(cloud: Controllers) -> None:
    """Such as one whose way to the database is cut."""

    def cannot(request: Request) -> Reply:
        return Reply(503, b'"The database does not answer."')

    sick = HttpsServer(("127.0.0.1", 0), lambda: cloud.keys.own.server_context(strangers=True), cannot)
    sick.start()
    machine = cloud.host("host-2")
    write_down(cloud, sick, cloud.door)
    agent = machine.controller()
    assert agent.learn()
    agent._last = f"127.0.0.1:{sick.port}"
    assert agent.metadata(cloud.network_id, "10.0.0.250", "GET", "/", {})[0] == 404
    assert not agent.learn(), "it is no news"
    cloud.door.stop()
    with pytest.raises(Refused, match="The database does not answer"):
        agent.image("i")
    sick.stop()


def test_an_agent_learns_where_the_networks_run(cloud: Controllers) -> None:
    machine, second = cloud.host("host-2"), door_of(cloud, listen="127.0.0.1:1", network="192.0.2.7:8443")
    agent = Machine("host-2", cloud.folder, second.port).controller()
    assert agent.learn()
    assert agent.membership.network == "192.0.2.7:8443"
    assert machine.controller().learn() is False, "the first one knows of no other"
    second.stop()


# --- the places of controllers ------------------------------------------------------------------------------------------


def test_a_cloud_of_one_process_that_lets_nobody_in_tells_nobody(cloud: Controllers) -> None:
    take_place(cloud.cloud, Mine("a", "a:1", Machines(), ("a",)))
    assert places(cloud) == ({"a": ["a"]} if can_share(cloud.cloud.database) else {})


def test_a_controller_may_be_renamed(cloud: Controllers) -> None:
    take_place(cloud.cloud, Mine("a", "a:1", Machines(listen="127.0.0.1:1"), ("a",)))
    take_place(cloud.cloud, Mine("b", "b:1", Machines(listen="127.0.0.1:1"), ("b",)))
    assert places(cloud) == {"b": ["b"]}


def test_a_controllers_host_is_none_that_has_joined(cloud: Controllers) -> None:
    with cloud.cloud.database.write() as session:
        session.add(HostAgent(name="a", address="x:1", key_digest="k", joined_at=0.0, certified_at=0.0))
    with pytest.raises(SettingsError, match="the host a is a machine that has joined"):
        take_place(cloud.cloud, Mine("a", "a:1", Machines(listen="127.0.0.1:1"), ("a",)))
    assert places(cloud) == {}


def places(cloud: Controllers) -> dict[str, list[str]]:
    with cloud.cloud.database.read() as session:
        return {row.name: row.hosts for row in session.query(Controller)}


def test_a_second_real_controller_has_its_end_of_the_tunnels(tmp_path: Path) -> None:
    table = {"listen": "192.0.2.2:8443", "network": "192.0.2.1:8443"}
    with pytest.raises(SettingsError, match="underlay: set it"):
        of_controller(Settings(home=tmp_path, sections={"compute": {"machines": table}}))
    table["underlay"] = "eth1=10.99.0.2/24"
    settings = Settings(home=tmp_path, sections={"compute": {"machines": table}})
    certify(settings, "far", time.time())
    found = of_controller(settings)
    assert found is not None
    assert (found.member, found.patient, found.southbound) == (True, True, "192.0.2.1:6642")
    assert found.certified.certificate.exists()
    before = found.certified.certificate.read_bytes()
    certify(settings, "far", time.time())
    assert found.certified.certificate.read_bytes() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"listen": "0.0.0.0:8443"},
        {"listen": "[::]:8443"},
        {"network": "192.0.2.1:8443"},
        {"listen": "192.0.2.2:8443", "network": "there"},
        {"name": "Not A Name"},
        {"name": "x" * 64},
    ],
)
def test_settings_that_cannot_be_meant(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"listen|network|name"):
        Machines(**wrong)
