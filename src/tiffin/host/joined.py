"""The hosts of a cloud as its controller reaches them: this machine in the process, others by their agents."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from sqlalchemy import select

from tiffin.core.cloud import Cloud
from tiffin.core.driver import Refused
from tiffin.core.settings import parts
from tiffin.services.compute.drivers.base import Hypervisor
from tiffin.services.compute.tables import HostAgent
from tiffin.services.network.drivers.base import HostNetwork

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
    """A `Hosts`: those of this process, and those that have joined."""

    def __init__(self, cloud: Cloud, keys: Path, local: Local, clock: Callable[[], float]) -> None:
        """`keys`: the folder of the cloud's keys, which is looked into when there is a host to be reached."""
        self._cloud, self._keys, self._local, self._clock = cloud, keys, local, clock
        self._here = frozenset(local.names())
        self._far: dict[tuple[str, str, str], _Host] = {}
        self._known: dict[str, tuple[str, str]] = {}
        self._read_at = -FRESH
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        return sorted({*self._here, *self._joined()})

    def hypervisor(self, host: str) -> Hypervisor:
        return self._local.hypervisor(host) if host in self._here else self._reach(host).hypervisor

    def network(self, host: str) -> HostNetwork:
        return self._local.network(host) if host in self._here else self._reach(host).network

    def _reach(self, name: str) -> _Host:
        found = self._joined().get(name)
        if found is None:
            raise Refused(f"There is no host {name} here (any more).")
        address, key = found
        with self._lock:
            host = self._far.get((name, address, key))
            if host is None:  # a host that joined anew, or moved, is another connection
                self._forget(name)
                host = self._far[name, address, key] = _Host(name, address, self._keys)
        return host

    def _forget(self, name: str) -> None:
        for one in [known for known in self._far if known[0] == name]:
            self._far.pop(one).connection.close()

    def _joined(self) -> dict[str, tuple[str, str]]:
        now = self._clock()
        if not 0 <= now - self._read_at < FRESH:
            with self._cloud.database.read() as session:
                rows = session.execute(select(HostAgent.name, HostAgent.address, HostAgent.key_digest)).all()
            self._known, self._read_at = {name: (address, key) for name, address, key in rows}, now
        return self._known


class _Host:
    def __init__(self, name: str, address: str, keys: Path) -> None:
        # with libraries that a cloud of one machine never needs
        from tiffin.core.remote import Connection
        from tiffin.host.door import Keys

        self.connection = Connection(name, parts(address), Keys(keys).own.client_context())
        self.hypervisor = cast(Hypervisor, self._object(Hypervisor, HYPERVISOR))
        self.network = cast(HostNetwork, self._object(HostNetwork, NETWORK))

    def _object(self, protocol: type, name: str) -> Any:
        from tiffin.core.remote import Remote

        return Remote(protocol, name, self.connection)
