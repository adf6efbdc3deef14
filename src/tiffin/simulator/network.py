"""OVN and the network of a host in memory: keeps what was asked for, and refuses what OVN would refuse."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tiffin.core.driver import Impossible, Refused, Turn, Turns
from tiffin.services.network.drivers.base import (
    Chassis,
    FloatingIP,
    Inventory,
    Network,
    Port,
    Router,
    SecurityGroup,
)
from tiffin.services.network.drivers.ovn_checks import (
    check_floating_ip,
    check_network,
    check_port,
    check_router,
    check_security_group,
    router_ports,
)

FRESH = 0.5
"""Seconds for which what another process told is believed."""
Fate = Callable[[str], None]
"""Called with the name of a point before (`name?`) and after (`name!`) every effect; it may raise, as the world may."""


def no_fate(point: str) -> None:
    """Nothing goes wrong."""


@dataclass
class Intents:
    """What the cloud's network is meant to be."""

    networks: dict[str, Network] = field(default_factory=dict)
    ports: dict[str, Port] = field(default_factory=dict)
    routers: dict[str, Router] = field(default_factory=dict)
    floating_ips: dict[str, FloatingIP] = field(default_factory=dict)
    security_groups: dict[str, SecurityGroup] = field(default_factory=dict)


class SimulatedNetwork:
    """A `NetworkBackend` in memory. A port is up once it is ensured and plugged on its host."""

    def __init__(
        self, fate: Fate = no_fate, elsewhere: Callable[[str], frozenset[str]] = lambda host: frozenset()
    ) -> None:
        """`elsewhere`: the ports that are plugged on a host of another process."""
        self.intents = Intents()
        self.fate, self._elsewhere = fate, elsewhere
        self.hosts: dict[str, SimulatedHostNetwork] = {}
        self.lock = threading.RLock()
        self.plugged: dict[str, set[str]] = {}  # port -> hosts
        self._turns = Turns()
        self._heard: list[Callable[[str, bool], None]] = []

    def ensure_network(self, turn: Turn, network: Network) -> None:
        with self._effect("network", network.id, turn):
            check_network(network)
            self.intents.networks[network.id] = network

    def forget_network(self, turn: Turn, network_id: str) -> None:
        with self._effect("network forgotten", network_id, turn):
            if network_id in self._networks_in_use():
                raise Refused(f"network {network_id} still has ports")
            self.intents.networks.pop(network_id, None)

    def ensure_port(self, turn: Turn, port: Port) -> None:
        with self._effect("port", port.id, turn):
            self._want_network(port.network_id, f"port {port.id}")
            old = self.intents.ports.get(port.id)
            if old is not None and old.network_id != port.network_id:
                raise Impossible(f"port {port.id} cannot move from network {old.network_id} to {port.network_id}")
            check_port(port)
            self.intents.ports[port.id] = port

    def forget_port(self, turn: Turn, port_id: str) -> None:
        with self._effect("port forgotten", port_id, turn):
            self.intents.ports.pop(port_id, None)

    def ensure_router(self, turn: Turn, router: Router) -> None:
        with self._effect("router", router.id, turn):
            for port in router_ports(router):
                self._want_network(port.network_id, f"router {router.id}")
            check_router(router)
            if router.gateway is not None and not self.chassis():
                raise Refused(f"router {router.id}: no chassis is there to carry its gateway")
            self.intents.routers[router.id] = router

    def forget_router(self, turn: Turn, router_id: str) -> None:
        with self._effect("router forgotten", router_id, turn):
            self.intents.routers.pop(router_id, None)
            for floating in list(self.intents.floating_ips.values()):
                if floating.router_id == router_id:
                    del self.intents.floating_ips[floating.id]

    def ensure_floating_ip(self, turn: Turn, floating_ip: FloatingIP) -> None:
        with self._effect("floating IP", floating_ip.id, turn):
            if floating_ip.router_id not in self.intents.routers:
                raise Refused(f"floating IP {floating_ip.id}: router {floating_ip.router_id} is not there yet")
            check_floating_ip(floating_ip)
            self.intents.floating_ips[floating_ip.id] = floating_ip

    def forget_floating_ip(self, turn: Turn, floating_ip_id: str) -> None:
        with self._effect("floating IP forgotten", floating_ip_id, turn):
            self.intents.floating_ips.pop(floating_ip_id, None)

    def ensure_security_group(self, turn: Turn, group: SecurityGroup) -> None:
        with self._effect("security group", group.id, turn):
            check_security_group(group)
            self.intents.security_groups[group.id] = group

    def forget_security_group(self, turn: Turn, group_id: str) -> None:
        with self._effect("security group forgotten", group_id, turn):
            self.intents.security_groups.pop(group_id, None)

    def port_up(self, port_id: str) -> bool:
        with self.lock:
            port = self.intents.ports.get(port_id)
            there = self.plugged.get(port_id, frozenset[str]())
            if port is None or port.host is None or port.host in self.hosts:
                return port is not None and (bool(there) if port.host is None else port.host in there)
        return port_id in self._elsewhere(port.host)

    def forget_plug(self, port_id: str, host: str) -> None:
        there = self.plugged[port_id]
        there.discard(host)
        if not there:
            del self.plugged[port_id]

    def on_port_change(self, heard: Callable[[str, bool], None]) -> None:
        self._heard.append(heard)

    def tell(self, port_id: str) -> None:
        """A host plugged or unplugged this port."""
        for heard in self._heard:
            heard(port_id, self.port_up(port_id))

    def chassis(self) -> list[Chassis]:
        with self.lock:
            return [Chassis(name, name, alive=True) for name in sorted(self.hosts)]

    def inventory(self) -> Inventory:
        up = frozenset(id for id in list(self.intents.ports) if self.port_up(id))
        with self.lock:
            mine = self.intents
            return Inventory(
                frozenset(mine.networks),
                frozenset(mine.ports),
                frozenset(mine.routers),
                frozenset(mine.floating_ips),
                frozenset(mine.security_groups),
                up,
            )

    def close(self) -> None:
        """Memory needs no closing; the networks stay for whoever holds this object."""

    @contextmanager
    def _effect(self, name: str, id: str, turn: Turn) -> Iterator[None]:
        self.fate(f"{name}?")
        with self.lock:
            self._turns.check(id, turn)
            yield
        self.fate(f"{name}!")

    def _want_network(self, network_id: str, who: str) -> None:
        if network_id not in self.intents.networks:
            raise Refused(f"{who}: network {network_id} is not there yet")

    def _networks_in_use(self) -> set[str]:
        routers = self.intents.routers.values()
        return {port.network_id for port in self.intents.ports.values()} | {
            port.network_id for router in routers for port in router_ports(router)
        }


class FarPlugs:
    """The ports that are plugged on hosts of other processes, as of a moment ago; of a host that does not answer, as it
    last told."""

    def __init__(self, ask: Callable[[str], frozenset[str]]) -> None:
        self._ask = ask
        self._told: dict[str, tuple[float, frozenset[str]]] = {}

    def __call__(self, host: str) -> frozenset[str]:
        at, told = self._told.get(host, (-FRESH, frozenset[str]()))
        if time.monotonic() - at >= FRESH:
            with contextlib.suppress(Refused):
                told = self._ask(host)
            self._told[host] = time.monotonic(), told
        return told


class SimulatedHostNetwork:
    """A `HostNetwork` in memory, and with it a chassis of the simulated OVN."""

    def __init__(self, network: SimulatedNetwork, host: str, fate: Fate = no_fate) -> None:
        self.taps: dict[str, str] = {}
        self.metadata: dict[str, Network] = {}
        self.fate = fate
        self._network, self._host = network, host
        self._turns = Turns()
        network.hosts[host] = self

    def ensure_plugged(self, turn: Turn, port_id: str, mac: str, mtu: int) -> str:
        with self._effect("plug", port_id, turn):
            self.taps[port_id] = f"tap{port_id[:11]}"
            self._network.plugged.setdefault(port_id, set()).add(self._host)
        self._network.tell(port_id)
        return self.taps[port_id]

    def forget_plugged(self, turn: Turn, port_id: str) -> None:
        with self._effect("unplug", port_id, turn):
            if was := self.taps.pop(port_id, None):
                self._network.forget_plug(port_id, self._host)
        if was:
            self._network.tell(port_id)

    def ensure_metadata(self, turn: Turn, network: Network) -> None:
        with self._effect("metadata", network.id, turn):
            if network.metadata_port_id and network.metadata_mac:
                self.metadata[network.id] = network
            else:
                self.metadata.pop(network.id, None)

    def forget_metadata(self, turn: Turn, network_id: str) -> None:
        with self._effect("metadata forgotten", network_id, turn):
            self.metadata.pop(network_id, None)

    def launch_prefix(self) -> tuple[str, ...]:
        return ()

    def plugged(self) -> frozenset[str]:
        return frozenset(self.taps)

    def metadata_networks(self) -> frozenset[str]:
        return frozenset(self.metadata)

    def close(self) -> None:
        """Memory needs no closing."""

    @contextmanager
    def _effect(self, name: str, id: str, turn: Turn) -> Iterator[None]:
        self.fate(f"{name}?")
        with self._network.lock:
            self._turns.check(id, turn)
            yield
        self.fate(f"{name}!")
