"""What a controller does for the other controllers of its cloud: they reach its own hosts, and the networks that it runs."""

from __future__ import annotations

from typing import cast

from tiffin.core.https import Reply, Request
from tiffin.core.remote import Connection, Dispatcher, Remote
from tiffin.core.settings import parts
from tiffin.host.door import CONTROLLER, Keys
from tiffin.host.joined import HYPERVISOR, NETWORK, Local
from tiffin.services.compute.drivers.base import Hypervisor
from tiffin.services.network.drivers.base import HostNetwork, NetworkBackend

BACKEND = "networks"
"""The cloud's networks, by their name on the wire."""


class Exports:
    """Answers other controllers."""

    def __init__(self, local: Local, networks: NetworkBackend | None) -> None:
        """`networks` where this controller runs them."""
        self._dispatcher = Dispatcher()
        for host in local.names():
            self._dispatcher.add(of_host(host, HYPERVISOR), Hypervisor, local.hypervisor(host))
            self._dispatcher.add(of_host(host, NETWORK), HostNetwork, local.network(host))
        if networks is not None:
            self._dispatcher.add(BACKEND, NetworkBackend, networks)

    def __call__(self, request: Request) -> Reply:
        return self._dispatcher(request)


def of_host(host: str, name: str) -> str:
    """The name on the wire of an object of a controller's own host."""
    return f"hosts/{host}/{name}"


def to_controller(keys: Keys, address: str) -> Connection:
    """As one controller speaks to another."""
    return Connection(CONTROLLER, parts(address), keys.own.client_context(keys.controllers.file))


def networks_at(keys: Keys, address: str) -> NetworkBackend:
    """Those of the controller that is answered there, who hears their hints, too."""
    return cast(NetworkBackend, Remote(NetworkBackend, BACKEND, to_controller(keys, address)))
