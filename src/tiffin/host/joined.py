"""The hosts of a cloud as a controller reaches them: its own in the process, others by their agents or controllers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from sqlalchemy import select

from tiffin.core.cloud import Cloud
from tiffin.core.driver import Refused
from tiffin.core.settings import parts
from tiffin.services.compute.controllers import hosts_elsewhere
from tiffin.services.compute.drivers.base import Hypervisor
from tiffin.services.compute.tables import HostAgent
from tiffin.services.network.drivers.base import HostNetwork

if TYPE_CHECKING:
    from tiffin.core.remote import Connection

FRESH = 2.0
"""Seconds for which the list of hosts is believed."""
HYPERVISOR, NETWORK = "hypervisor", "network"
"""The objects of an agent, by their names on the wire."""


class LocalHosts:
    """Hosts of this process, by name."""

    def __init__(self, hosts: Mapping[str, tuple[Hypervisor, HostNetwork]]) -> None:
        self._hosts = hosts

    def names(self) -> list[str]:
        return sorted(self._hosts)

    def hypervisor(self, host: str) -> Hypervisor:
        return self._hosts[host][0]

    def network(self, host: str) -> HostNetwork:
        return self._hosts[host][1]


class Local(Protocol):
    """What `JoinedHosts` adds to: hosts that are reached without an agent."""

    def names(self) -> list[str]: ...
    def hypervisor(self, host: str) -> Hypervisor: ...
    def network(self, host: str) -> HostNetwork: ...


class JoinedHosts:
    """A `Hosts`: those of this process, those that have joined, and those of the cloud's other controllers."""

    def __init__(self, cloud: Cloud, keys: Path, local: Local, clock: Callable[[], float]) -> None:
        """`keys`: the folder of the cloud's keys, which is looked into when there is a host to be reached."""
        self.local = local
        self._cloud, self._keys, self._clock = cloud, keys, clock
        self._here = frozenset(local.names())
        self._far: dict[tuple[str, str, str], _Host] = {}
        self._controllers: dict[str, Connection] = {}
        self._known: dict[str, tuple[str, str]] = {}
        self._read_at = -FRESH
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        return sorted({*self._here, *self._elsewhere()})

    def own(self) -> list[str]:
        return sorted(self._here)

    def looked_after(self) -> list[str]:
        return sorted({*self._here, *(name for name, (_, key) in self._elsewhere().items() if key)})

    def hypervisor(self, host: str) -> Hypervisor:
        return self.local.hypervisor(host) if host in self._here else self._reach(host).hypervisor

    def network(self, host: str) -> HostNetwork:
        return self.local.network(host) if host in self._here else self._reach(host).network

    def _reach(self, name: str) -> _Host:
        found = self._elsewhere().get(name)
        if found is None:
            raise Refused(f"There is no host {name} here (any more).")
        address, key = found
        with self._lock:
            host = self._far.get((name, address, key))
            if host is None:  # a host that joined anew, or moved, is another connection
                self._forget(name)
                host = self._far[name, address, key] = self._connected(name, address, key)
        return host

    def _connected(self, name: str, address: str, key: str) -> _Host:
        # with libraries that a cloud of one machine never needs
        from tiffin.core.remote import Connection
        from tiffin.host.door import Keys
        from tiffin.host.exports import of_host, to_controller

        keys = Keys(self._keys)
        if key:
            return _Host(Connection(name, parts(address), keys.own.client_context()), HYPERVISOR, NETWORK)
        if address not in self._controllers:
            self._controllers[address] = to_controller(keys, address)
        return _Host(self._controllers[address], of_host(name, HYPERVISOR), of_host(name, NETWORK))

    def _forget(self, name: str) -> None:
        for one in [known for known in self._far if known[0] == name]:
            host = self._far.pop(one)
            if one[2]:  # a controller's connection is that of all of its hosts
                host.connection.close()

    def _elsewhere(self) -> dict[str, tuple[str, str]]:
        """(address, key) by the name of the host; no key for one that is another controller's."""
        now = self._clock()
        if not 0 <= now - self._read_at < FRESH:
            with self._cloud.database.read() as session:
                agents = session.execute(select(HostAgent.name, HostAgent.address, HostAgent.key_digest)).all()
                theirs = hosts_elsewhere(session, self._here) if self._cloud.database.is_server else {}
            known = {name: (address, "") for name, address in theirs.items()}
            self._known, self._read_at = known | {name: (address, key) for name, address, key in agents}, now
        return self._known


class _Host:
    def __init__(self, connection: Connection, hypervisor: str, network: str) -> None:
        from tiffin.core.remote import Remote

        self.connection = connection
        self.hypervisor = cast(Hypervisor, Remote(Hypervisor, hypervisor, connection))
        self.network = cast(HostNetwork, Remote(HostNetwork, network, connection))
