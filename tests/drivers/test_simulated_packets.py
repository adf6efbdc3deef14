"""What the simulated network says about packets: the same as the real one in tests/real/test_ovn_packets.py."""

from __future__ import annotations

import msgspec
import pytest

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
)
from tiffin.core.driver import Turn
from tiffin.services.network.drivers.base import Network, Port, Router, SecurityGroup
from tiffin.simulator.network import SimulatedHostNetwork, SimulatedNetwork
from tiffin.simulator.packets import Packet, arrives

ONE, TWO = Turn(1), Turn(2)


class Cloud:
    """Two networks with a guest each, a router to the outside, and a floating IP for the first guest."""

    def __init__(self) -> None:
        self.network = SimulatedNetwork()
        SimulatedHostNetwork(self.network, HOST)
        self.open = an_open_group()
        self.left, self.right = a_network("10.0.1"), a_network("10.0.2")
        self.public = a_network("172.24.4", physical_network="public")
        self.one, self.neighbour = (a_port(self.left, f"10.0.1.{n}", self.open.id) for n in (10, 11))
        self.other = a_port(self.right, "10.0.2.10", self.open.id)
        self.router = a_router(
            an_interface(self.left), an_interface(self.right), gateway=a_gateway(self.public, "172.24.4.20")
        )
        self.floating = a_floating_ip(self.router, self.one, "172.24.4.30")
        self.have(self.open, self.left, self.right, self.public, self.one, self.neighbour, self.other, self.router)
        self.network.ensure_floating_ip(ONE, self.floating)

    def have(self, *things: Network | Port | Router | SecurityGroup) -> None:
        ensure = {
            Network: self.network.ensure_network,
            Port: self.network.ensure_port,
            Router: self.network.ensure_router,
            SecurityGroup: self.network.ensure_security_group,
        }
        for thing in things:
            ensure[type(thing)](ONE, thing)  # type: ignore[operator]

    def arrives(self, sender: Port | None, destination: str, **more: object) -> bool:
        packet = Packet(destination, sender.id if sender else None, **more)  # type: ignore[arg-type]
        return arrives(self.network.intents, packet)


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_neighbours_and_routed_guests_and_the_outside_are_reached(cloud: Cloud) -> None:
    assert cloud.arrives(cloud.one, "10.0.1.11")
    assert cloud.arrives(cloud.one, "10.0.2.10")
    assert cloud.arrives(cloud.one, "8.8.8.8")
    assert not cloud.arrives(cloud.one, "10.0.1.99")
    assert not cloud.arrives(cloud.one, "10.0.2.99")
    cloud.network.forget_router(TWO, cloud.router.id)
    assert not cloud.arrives(cloud.one, "10.0.2.10")
    assert not cloud.arrives(cloud.one, "8.8.8.8")


def test_the_outside_reaches_floating_addresses_only(cloud: Cloud) -> None:
    assert cloud.arrives(None, "172.24.4.30", source="172.24.4.1")
    assert not cloud.arrives(None, "172.24.4.31", source="172.24.4.1")
    assert not cloud.arrives(None, "10.0.1.10", source="172.24.4.1")
    assert cloud.arrives(cloud.other, "172.24.4.30")
    cloud.network.forget_floating_ip(TWO, cloud.floating.id)
    assert not cloud.arrives(None, "172.24.4.30", source="172.24.4.1")


def test_rules_decide_by_direction_protocol_port_and_peer(cloud: Cloud) -> None:
    web = a_group(
        a_rule("ingress", protocol="tcp", port_range_min=80, port_range_max=90, remote_ip_prefix="10.0.2.0/24")
    )
    cloud.have(web, msgspec.structs.replace(cloud.one, security_group_ids=(web.id,)))
    assert cloud.arrives(cloud.other, "10.0.1.10", protocol="tcp", port=85)
    assert not cloud.arrives(cloud.other, "10.0.1.10", protocol="tcp", port=91)
    assert not cloud.arrives(cloud.other, "10.0.1.10", protocol="udp", port=85)
    assert not cloud.arrives(cloud.neighbour, "10.0.1.10", protocol="tcp", port=85)
    assert not cloud.arrives(cloud.one, "10.0.1.11")


def test_a_remote_group_admits_its_members(cloud: Cloud) -> None:
    friends = an_open_group()
    guarded = a_group(a_rule("ingress", remote_group_id=friends.id))
    cloud.have(friends, guarded, msgspec.structs.replace(cloud.one, security_group_ids=(guarded.id,)))
    assert not cloud.arrives(cloud.other, "10.0.1.10")
    cloud.have(msgspec.structs.replace(cloud.other, security_group_ids=(friends.id,)))
    assert cloud.arrives(cloud.other, "10.0.1.10")


def test_nobody_speaks_for_another(cloud: Cloud) -> None:
    assert not cloud.arrives(cloud.one, "10.0.1.11", source="10.0.1.99")
    assert not cloud.arrives(cloud.one, "10.0.1.11", source_mac="fa:16:3e:de:ad:01")
    pair = (("10.0.1.99", cloud.one.mac_address),)
    cloud.have(msgspec.structs.replace(cloud.one, allowed_address_pairs=pair))
    assert cloud.arrives(cloud.one, "10.0.1.11", source="10.0.1.99")
    cloud.have(msgspec.structs.replace(cloud.one, port_security_enabled=False))
    assert cloud.arrives(cloud.one, "10.0.1.11", source="10.0.1.98", source_mac="fa:16:3e:de:ad:01")


def test_what_is_down_carries_nothing(cloud: Cloud) -> None:
    cloud.have(msgspec.structs.replace(cloud.neighbour, admin_state_up=False))
    assert not cloud.arrives(cloud.one, "10.0.1.11")
    assert not cloud.arrives(cloud.neighbour, "10.0.1.10")
    cloud.have(msgspec.structs.replace(cloud.router, admin_state_up=False))
    assert not cloud.arrives(cloud.one, "10.0.2.10")
    assert not cloud.arrives(None, "172.24.4.30", source="172.24.4.1")


def test_fate_is_asked_before_and_after_every_effect() -> None:
    points: list[str] = []
    network = SimulatedNetwork(points.append)
    network.ensure_network(ONE, a_network())
    assert points == ["network?", "network!"]
