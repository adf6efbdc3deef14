"""A controller and hosts that join it, all on loopback, with real certificates."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from api.compute.conftest import ComputeCloud
from tiffin.core.certificates import Identity
from tiffin.host.agent import Agent, Controller, Membership
from tiffin.host.door import Door, Keys
from tiffin.host.exports import Exports
from tiffin.host.joined import JoinedHosts, LocalHosts
from tiffin.host.joining import join
from tiffin.services.compute import joining, reconcilers
from tiffin.services.compute.drivers.base import Hosts, Hypervisor
from tiffin.services.compute.joining import JoinToken
from tiffin.services.compute.settings import Machines
from tiffin.services.network.drivers.base import HostNetwork
from tiffin.simulator.hypervisor import FACTS, SimulatedHypervisor
from tiffin.simulator.network import SimulatedHostNetwork
from tiffin.simulator.world import SimulatedWorld


class Machine:
    """One that joins, with its own state folder."""

    def __init__(self, name: str, folder: Path, port: int) -> None:
        self.name, self.port = name, port
        self.identity = Identity(folder / name)
        self.membership = Membership(name=name, listen="127.0.0.1:0", controller=f"127.0.0.1:{port}")
        self.agent: Agent | None = None

    def join(self, token: JoinToken, address: str = "127.0.0.1:1") -> None:
        join(("127.0.0.1", self.port), token.text(), self.name, address, self.identity)

    def controller(self) -> Controller:
        return Controller(self.membership, self.identity)

    def serve(self, hypervisor: Hypervisor, network: HostNetwork) -> int:
        """Answer controllers; the port."""
        self.agent = Agent(self.membership, self.identity, hypervisor, network)
        self.server = self.agent.open()
        return self.server.port

    def stop(self) -> None:
        if self.agent is not None:
            self.server.stop()
            self.agent.close()
            self.agent = None


class Controllers(ComputeCloud):
    """A cloud whose own machine runs guests, and that others can join."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.clock.now = time.time()  # certificates are judged by the machine's clock
        self.folder = folder
        self.keys = Keys(folder / "keys")
        self.keys.ensure(self.clock.now)
        local = LocalHosts(self.hosts.there)
        self.door = Door(self.cloud, self.keys, Machines(), Exports(local, self.backend)).open(("127.0.0.1", 0))
        self.joined = JoinedHosts(self.cloud, folder / "keys", local, time.monotonic)
        self.cloud.add(Hosts, self.joined)  # type: ignore[arg-type]
        self.machines: list[Machine] = []

    def token(self, host: str | None = None, seconds: float = 600.0) -> JoinToken:
        with self.cloud.database.write() as session:
            return joining.make_token(session, self.clock.now, self.keys.controllers, host, seconds)

    def machine(self, name: str) -> Machine:
        made = Machine(name, self.folder, self.door.port)
        self.machines.append(made)
        return made

    def host(self, name: str) -> Machine:
        """A machine that has joined and serves."""
        machine = self.machine(name)
        token = self.token()
        machine.join(token)
        world = self.worlds[name] = SimulatedWorld()
        facts = msgspec.structs.replace(FACTS, hostname=name)
        ask = machine.controller()
        hypervisor = SimulatedHypervisor(ask.image, self.clock, world, facts, disks=ask.disk, tunnels=ask.tunnel)
        port = machine.serve(hypervisor, SimulatedHostNetwork(self.backend, name))
        machine.join(token, f"127.0.0.1:{port}")
        self.look()
        return machine

    def look(self) -> None:
        """See the hosts as they are now."""
        self.joined._read_at = -1e9
        reconcilers.hosts(self.cloud)

    def close(self) -> None:
        for machine in self.machines:
            machine.stop()
        self.door.stop()
        super().close()
