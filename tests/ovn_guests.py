"""Fixtures: a cloud on a real OVN, with guests that are namespaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guests import Guest, Listener, Wires
from networks import a_gateway, a_group, a_network, a_router, an_interface, an_open_group, eventually
from ovn_cloud import ovn_daemons, ovn_of
from tiffin.core.driver import Turn
from tiffin.services.network.drivers.base import Network, Port, Router, SecurityGroup, SecurityGroupRule
from tiffin.services.network.drivers.ovn import Ovn
from tiffin.services.network.drivers.ovn_names import Names
from tiffin.services.network.drivers.ovs_host import OvsHost

ONE, TWO, THREE = Turn(1), Turn(2), Turn(3)


class Cloud:
    """OVN, a host, and the guests on it."""

    def __init__(self, ovn: Ovn, names: Names, wires: Wires, folder: Path) -> None:
        self.ovn, self.names, self._wires, self._folder = ovn, names, wires, folder
        self.host = OvsHost(names, self.answer)
        self.guests: list[Guest] = []
        self.asked: list[tuple[str, str, str, str, dict[str, str]]] = []
        self.open = an_open_group()
        ovn.ensure_security_group(ONE, self.open)
        self.public = a_network(
            "172.24.4", physical_network="public", mtu=1500, metadata_port_id=None, metadata_mac=None
        )
        ovn.ensure_network(ONE, self.public)

    @property
    def outside(self) -> str:
        return self.names.outside

    def answer(
        self, network_id: str, remote: str, method: str, path: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        self.asked.append((network_id, remote, method, path, headers))
        return 200, {"Content-Type": "text/plain"}, f"you are {remote}".encode()

    def guest(self, port: Port) -> Guest:
        """A running machine on this port, once OVN has its flows in place."""
        self.ovn.ensure_port(ONE, port)
        tap = self.host.ensure_plugged(ONE, port.id, port.mac_address, 1442)
        guest = Guest(self.names, self._wires, port, tap, self._folder)
        self.guests.append(guest)
        assert eventually(lambda: self.ovn.port_up(port.id))
        return guest

    def network(self, prefix: str = "10.0.1", **changes: object) -> Network:
        network = a_network(prefix, **changes)
        self.ovn.ensure_network(ONE, network)
        return network

    def router(self, address: str, *networks: Network) -> Router:
        router = a_router(*(an_interface(network) for network in networks), gateway=a_gateway(self.public, address))
        self.ovn.ensure_router(ONE, router)
        return router

    def group(self, *rules: SecurityGroupRule) -> SecurityGroup:
        group = a_group(*rules)
        self.ovn.ensure_security_group(ONE, group)
        return group


@pytest.fixture(scope="module")
def module_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with ovn_daemons() as daemons:
        ovn, wires = ovn_of(daemons), Wires()
        cloud = Cloud(ovn, daemons.names, wires, tmp_path_factory.mktemp("guests"))
        yield cloud
        wires.close()
        cloud.host.close()
        ovn.close()


@pytest.fixture
def cloud(module_cloud: Cloud) -> Iterator[Cloud]:
    module_cloud.asked.clear()
    yield module_cloud
    for guest in module_cloud.guests:
        guest.close()
        module_cloud.host.forget_plugged(THREE, guest.port.id)
        module_cloud.ovn.forget_port(THREE, guest.port.id)
    module_cloud.guests.clear()


@pytest.fixture
def listening() -> Iterator[Callable[[str, int], Listener]]:
    servers: list[Listener] = []

    def listen(space: str, port: int) -> Listener:
        servers.append(Listener(space, port))
        return servers[-1]

    yield listen
    for server in servers:
        server.close()
