"""All simulated hosts of a cloud, and the trouble that people make in them while it runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import msgspec

from tiffin.core.driver import Impossible, Refused
from tiffin.services.compute.drivers.base import DiskSource, HostFacts, ImageSource
from tiffin.services.compute.drivers.departure import TunnelSource
from tiffin.simulator.clock import SimulatedClock
from tiffin.simulator.hypervisor import FACTS, SimulatedHypervisor, Timing
from tiffin.simulator.network import SimulatedHostNetwork, SimulatedNetwork
from tiffin.simulator.world import SimulatedWorld, Troubles

ANY = "*"
"""Stands for every host."""


class Sources(msgspec.Struct, frozen=True):
    """What hosts get from elsewhere."""

    image: ImageSource
    disks: Callable[[str], DiskSource]  # by the name of the host that asks
    tunnels: Callable[[str], TunnelSource]  # likewise


class DataCentre:
    """Implements `tiffin.host.joined.Local`: hosts of this process."""

    def __init__(self, names: Iterable[str], sources: Sources, clock: SimulatedClock, network: SimulatedNetwork) -> None:
        self.timing, self.clock = Timing(), clock
        self.cut: set[str] = set()
        self.troubles: dict[str, Troubles] = {}
        self.worlds: dict[str, SimulatedWorld] = {}
        self._hosts: dict[str, tuple[SimulatedHypervisor, SimulatedHostNetwork]] = {}
        judged: dict[tuple[str, str], int] = {}  # an image's bytes are the same for all hosts
        for name in names:
            fate = functools.partial(self._fate, name)
            world = self.worlds[name] = SimulatedWorld(judged=judged)
            facts: HostFacts = msgspec.structs.replace(FACTS, hostname=name)
            hypervisor = SimulatedHypervisor(
                sources.image, clock, world, facts, self.timing, fate, disks=sources.disks(name), tunnels=sources.tunnels(name)
            )
            self._hosts[name] = (hypervisor, SimulatedHostNetwork(network, name, functools.partial(self._reach, name)))

    def names(self) -> list[str]:
        return sorted(self._hosts)

    def hypervisor(self, host: str) -> SimulatedHypervisor:
        return self._at(host)[0]

    def network(self, host: str) -> SimulatedHostNetwork:
        return self._at(host)[1]

    def fail(self, host: str, call: str, times: int, *, for_good: bool = False) -> None:
        """Have the next `times` calls of this name on the host (`ANY`: on any) refused."""
        no = Impossible if for_good else Refused
        self.troubles.setdefault(host, Troubles()).set(call, "*", no(f"{call} on {host} was told to fail"), times)

    def crash(self, guest_id: str) -> bool:
        """Have the guest's process die, wherever it is. False when there is no such guest."""
        for world in self.worlds.values():
            if guest_id in world.guests:
                world.crash(guest_id)
                return True
        return False

    def _at(self, host: str) -> tuple[SimulatedHypervisor, SimulatedHostNetwork]:
        if host not in self._hosts:
            raise Refused(f"There is no host {host} here (any more).")
        self._reach(host)
        return self._hosts[host]

    def _reach(self, host: str, point: str = "") -> None:
        if host in self.cut:
            raise Refused(f"Host {host} does not answer.")

    def _fate(self, host: str, point: str) -> None:
        self._reach(host)
        if self.troubles:
            for name in (host, ANY):
                if name in self.troubles:
                    self.troubles[name](point)
