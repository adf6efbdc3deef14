"""What every network driver promises, checked on the simulated one and on OVN."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drivers.wire import Wire
from networks import (
    HOST,
    a_floating_ip,
    a_gateway,
    a_group,
    a_network,
    a_port,
    a_router,
    a_rule,
    an_interface,
    an_open_group,
    eventually,
    new_id,
)
from ovn_cloud import ovn_daemons, ovn_of
from tiffin.core.driver import Impossible, Refused, StaleTurn, Turn
from tiffin.services.network.drivers.base import HostNetwork, Inventory, NetworkBackend
from tiffin.services.network.drivers.ovn_daemons import Daemons
from tiffin.services.network.drivers.ovs_host import OvsHost
from tiffin.simulator.network import SimulatedHostNetwork, SimulatedNetwork

ONE, TWO, THREE = Turn(1), Turn(2), Turn(3)


@dataclass
class World:
    network: NetworkBackend
    host: HostNetwork


@pytest.fixture(scope="module")
def daemons() -> Iterator[Daemons]:
    with ovn_daemons() as running:
        yield running


@pytest.fixture(scope="module")
def ovn_world(daemons: Daemons) -> Iterator[World]:
    world = World(ovn_of(daemons), OvsHost(daemons.names, lambda *request: (200, {}, b"")))
    yield world
    world.host.close()
    world.network.close()


@pytest.fixture
def far_world(tmp_path: Path) -> Iterator[World]:
    """As another controller reaches them; who runs the networks hears their hints."""
    network = SimulatedNetwork()
    networks, host = Wire(tmp_path / "n", "networks", NetworkBackend, network), SimulatedHostNetwork(network, HOST)
    plugs = Wire(tmp_path / "h", "network", HostNetwork, host)
    networks.remote.on_port_change = network.on_port_change
    yield World(networks.remote, plugs.remote)
    networks.close()
    plugs.close()


@pytest.fixture(params=["simulated", "far", pytest.param("real", marks=pytest.mark.real)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param != "simulated":
        return request.getfixturevalue({"real": "ovn_world", "far": "far_world"}[request.param])  # type: ignore[no-any-return]
    network = SimulatedNetwork()
    return World(network, SimulatedHostNetwork(network, HOST))


def built(world: World) -> dict[str, Any]:
    """A cloud with one of each."""
    network, public, group = a_network(), a_network("172.24.4", physical_network="public"), an_open_group()
    port = a_port(network, "10.0.1.10", group.id)
    router = a_router(an_interface(network), gateway=a_gateway(public, "172.24.4.20"))
    floating = a_floating_ip(router, port, "172.24.4.30")
    everything = {
        "network": network,
        "public": public,
        "security_group": group,
        "port": port,
        "router": router,
        "floating_ip": floating,
    }
    ensure_all(world, everything)
    return everything


def ensure_all(world: World, everything: dict[str, Any], turn: Turn = ONE) -> None:
    for kind, thing in everything.items():
        ensure(world, kind)(turn, thing)


def ensure(world: World, kind: str) -> Callable[[Turn, Any], None]:
    return getattr(world.network, f"ensure_{'network' if kind == 'public' else kind}")  # type: ignore[no-any-return]


def forget(world: World, kind: str) -> Callable[[Turn, str], None]:
    return getattr(world.network, f"forget_{'network' if kind == 'public' else kind}")  # type: ignore[no-any-return]


def holds(inventory: Inventory, kind: str, id: str) -> bool:
    field = {"public": "networks"}.get(kind, f"{kind}s")
    return id in getattr(inventory, field)


KINDS = ["network", "public", "security_group", "port", "router", "floating_ip"]


def test_what_was_ensured_is_in_the_inventory_and_what_was_forgotten_is_not(world: World) -> None:
    everything = built(world)
    for kind, thing in everything.items():
        assert holds(world.network.inventory(), kind, thing.id), kind
    for kind in reversed(everything):
        forget(world, kind)(ONE, everything[kind].id)
        assert not holds(world.network.inventory(), kind, everything[kind].id), kind


def test_ensure_and_forget_may_be_repeated(world: World) -> None:
    everything = built(world)
    before = world.network.inventory()
    ensure_all(world, everything)
    ensure_all(world, everything, TWO)
    assert world.network.inventory() == before
    for _ in range(2):
        for kind in reversed(everything):
            forget(world, kind)(TWO, everything[kind].id)


@pytest.mark.parametrize("kind", KINDS)
def test_what_never_was_is_forgotten_for_free(world: World, kind: str) -> None:
    forget(world, kind)(ONE, new_id())


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_turn_is_refused(world: World, kind: str) -> None:
    everything = built(world)
    thing = everything[kind]
    ensure(world, kind)(TWO, thing)
    with pytest.raises(StaleTurn):
        ensure(world, kind)(ONE, thing)
    with pytest.raises(StaleTurn):
        forget(world, kind)(ONE, thing.id)
    assert holds(world.network.inventory(), kind, thing.id)


@pytest.mark.parametrize("kind", ["port", "router", "floating_ip", "security_group"])
def test_a_runner_that_was_overtaken_cannot_bring_back_what_was_forgotten(world: World, kind: str) -> None:
    everything = built(world)
    forget(world, kind)(THREE, everything[kind].id)
    with pytest.raises(StaleTurn):
        ensure(world, kind)(TWO, everything[kind])
    assert not holds(world.network.inventory(), kind, everything[kind].id)


def test_a_port_waits_for_its_network(world: World) -> None:
    network = a_network()
    port = a_port(network, "10.0.1.5")
    with pytest.raises(Refused):
        world.network.ensure_port(ONE, port)
    assert port.id not in world.network.inventory().ports
    world.network.ensure_network(ONE, network)
    world.network.ensure_port(ONE, port)


def test_a_router_waits_for_its_networks_and_a_floating_ip_for_its_router(world: World) -> None:
    network, public = a_network(), a_network("172.24.4", physical_network="public")
    world.network.ensure_network(ONE, network)
    port = a_port(network, "10.0.1.5")
    world.network.ensure_port(ONE, port)
    router = a_router(an_interface(network), gateway=a_gateway(public, "172.24.4.9"))
    floating = a_floating_ip(router, port, "172.24.4.10")
    with pytest.raises(Refused):
        world.network.ensure_router(ONE, router)
    with pytest.raises(Refused):
        world.network.ensure_floating_ip(ONE, floating)
    assert router.id not in world.network.inventory().routers
    world.network.ensure_network(ONE, public)
    world.network.ensure_router(ONE, router)
    world.network.ensure_floating_ip(ONE, floating)


def test_a_group_may_come_after_its_ports_and_name_groups_that_are_not_there(world: World) -> None:
    network, group = a_network(), a_group(a_rule("ingress", remote_group_id=new_id()))
    world.network.ensure_network(ONE, network)
    port = a_port(network, "10.0.1.5", group.id)
    world.network.ensure_port(ONE, port)
    assert group.id not in world.network.inventory().security_groups
    world.network.ensure_security_group(ONE, group)
    assert group.id in world.network.inventory().security_groups
    world.network.forget_security_group(ONE, group.id)
    world.network.forget_port(ONE, port.id)


def test_a_network_with_ports_is_not_forgotten(world: World) -> None:
    everything = built(world)
    for kind in ("network", "public"):
        with pytest.raises(Refused):
            forget(world, kind)(ONE, everything[kind].id)


def test_a_router_takes_its_floating_ips_along(world: World) -> None:
    everything = built(world)
    world.network.forget_router(ONE, everything["router"].id)
    assert everything["floating_ip"].id not in world.network.inventory().floating_ips
    world.network.forget_floating_ip(ONE, everything["floating_ip"].id)


def test_a_floating_ip_moves_to_another_router(world: World) -> None:
    everything = built(world)
    other = a_router(gateway=a_gateway(everything["public"], "172.24.4.21"))
    world.network.ensure_router(ONE, other)
    moved = msgspec.structs.replace(everything["floating_ip"], router_id=other.id)
    world.network.ensure_floating_ip(TWO, moved)
    world.network.forget_router(ONE, everything["router"].id)
    assert moved.id in world.network.inventory().floating_ips


def test_a_router_loses_interface_and_gateway(world: World) -> None:
    everything = built(world)
    bare = msgspec.structs.replace(everything["router"], interfaces=(), gateway=None)
    world.network.forget_floating_ip(ONE, everything["floating_ip"].id)
    world.network.ensure_router(TWO, bare)
    world.network.forget_port(ONE, everything["port"].id)
    world.network.forget_network(ONE, everything["network"].id)
    world.network.forget_network(ONE, everything["public"].id)


@pytest.mark.parametrize(
    "change",
    [
        {"mac_address": "not a mac"},
        {"mac_address": "fa:16:3e:00:00:01 10.0.0.1"},
        {"hostname": 'a"; drop'},
        {"allowed_address_pairs": (("10.0.1.0/99", "fa:16:3e:00:00:01"),)},
    ],
)
def test_a_port_that_cannot_be_is_impossible_and_changes_nothing(world: World, change: dict[str, Any]) -> None:
    network = a_network()
    world.network.ensure_network(ONE, network)
    port = a_port(network, "10.0.1.7", **change)
    with pytest.raises(Impossible):
        world.network.ensure_port(ONE, port)
    assert port.id not in world.network.inventory().ports


@pytest.mark.parametrize(
    "rule",
    [
        {"protocol": "no such"},
        {"protocol": "256"},
        {"remote_ip_prefix": "fd00::/8"},
        {"remote_ip_prefix": "0.0.0.0/0 || 1"},
        {"protocol": "dccp", "port_range_min": 1, "port_range_max": 2},
    ],
)
def test_a_rule_that_cannot_be_is_impossible_and_changes_nothing(world: World, rule: dict[str, Any]) -> None:
    group = a_group(a_rule("ingress", **rule))
    with pytest.raises(Impossible):
        world.network.ensure_security_group(ONE, group)
    assert group.id not in world.network.inventory().security_groups


def test_a_router_that_cannot_be_is_impossible_and_changes_nothing(world: World) -> None:
    router = a_router(routes=(("10.9.0.0/16", "nowhere"),))
    with pytest.raises(Impossible):
        world.network.ensure_router(ONE, router)
    assert router.id not in world.network.inventory().routers


def test_a_port_does_not_move_to_another_network(world: World) -> None:
    one, other = a_network(), a_network("10.0.2")
    world.network.ensure_network(ONE, one)
    world.network.ensure_network(ONE, other)
    port = a_port(one, "10.0.1.7")
    world.network.ensure_port(ONE, port)
    with pytest.raises(Impossible):
        world.network.ensure_port(TWO, msgspec.structs.replace(port, network_id=other.id))


def test_a_port_is_up_while_it_is_plugged_on_its_host(world: World) -> None:
    network = a_network()
    world.network.ensure_network(ONE, network)
    port = a_port(network, "10.0.1.7")
    heard: dict[tuple[str, bool], threading.Event] = {(port.id, up): threading.Event() for up in (True, False)}

    def listener(port_id: str, up: bool) -> None:
        if (port_id, up) in heard:
            heard[port_id, up].set()

    world.network.on_port_change(listener)
    assert not world.network.port_up(port.id)
    world.network.ensure_port(ONE, port)
    assert not world.network.port_up(port.id)
    tap = world.host.ensure_plugged(ONE, port.id, port.mac_address, network.mtu)
    assert world.host.ensure_plugged(ONE, port.id, port.mac_address, network.mtu) == tap
    assert heard[port.id, True].wait(5)
    assert world.network.port_up(port.id)
    assert port.id in world.network.inventory().up
    assert port.id in world.host.plugged()
    world.host.forget_plugged(ONE, port.id)
    world.host.forget_plugged(ONE, port.id)
    assert heard[port.id, False].wait(5)
    assert not world.network.port_up(port.id)
    assert port.id not in world.network.inventory().up
    assert port.id not in world.host.plugged()


def test_a_port_of_another_host_does_not_come_up_here(world: World) -> None:
    network = a_network()
    world.network.ensure_network(ONE, network)
    port = a_port(network, "10.0.1.7", host="elsewhere")
    world.network.ensure_port(ONE, port)
    world.host.ensure_plugged(ONE, port.id, port.mac_address, network.mtu)
    assert not eventually(lambda: world.network.port_up(port.id), 0.3)
    world.network.ensure_port(TWO, msgspec.structs.replace(port, host=HOST))
    assert eventually(lambda: world.network.port_up(port.id))
    world.host.forget_plugged(ONE, port.id)


def test_a_host_refuses_an_older_turn(world: World) -> None:
    network, port_id = a_network(), new_id()
    world.host.ensure_plugged(TWO, port_id, "fa:16:3e:00:00:07", 1442)
    with pytest.raises(StaleTurn):
        world.host.forget_plugged(ONE, port_id)
    world.host.ensure_metadata(TWO, network)
    with pytest.raises(StaleTurn):
        world.host.forget_metadata(ONE, network.id)
    world.host.forget_plugged(TWO, port_id)
    world.host.forget_metadata(TWO, network.id)
    with pytest.raises(StaleTurn):
        world.host.ensure_plugged(ONE, port_id, "fa:16:3e:00:00:07", 1442)


def test_metadata_of_a_network_comes_and_goes(world: World) -> None:
    network = a_network()
    world.network.ensure_network(ONE, network)
    world.host.forget_metadata(ONE, network.id)
    for _ in range(2):
        world.host.ensure_metadata(ONE, network)
        assert network.id in world.host.metadata_networks()
    for _ in range(2):
        world.host.forget_metadata(ONE, network.id)
        assert network.id not in world.host.metadata_networks()
    world.host.ensure_metadata(ONE, network)
    world.host.ensure_metadata(ONE, msgspec.structs.replace(network, metadata_port_id=None, metadata_mac=None))
    assert network.id not in world.host.metadata_networks()


def test_the_chassis_of_the_host_is_alive(world: World) -> None:
    assert [(chassis.name, chassis.alive) for chassis in world.network.chassis()] == [(HOST, True)]
