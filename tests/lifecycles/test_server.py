"""A server's life, killed, refused and deleted at every point."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update

from api.compute.conftest import ComputeCloud
from lifecycles.harness import Fate, crash_tests
from tiffin.core.driver import Refused
from tiffin.core.tables import Change, LifecycleRow
from tiffin.services.compute import reconcilers
from tiffin.services.compute.lifecycles.server import ServerLife
from tiffin.services.compute.tables import ComputeHost, Server, ServerAction, ServerNic
from tiffin.services.placement.tables import Allocation


class ServerTrial:
    """A server with a port of its own, a port of its user's, and a config drive."""

    def __init__(self, fate: Fate) -> None:
        self.begun = False
        self.cloud = ComputeCloud(fate=lambda point: fate(point) if self.begun else None)
        self.cloud.furnish()
        self.other = self.cloud.network("other", "10.9.0.0/24")
        self.cloud.settle()
        self.port = self.cloud.port(self.other)["id"]
        self.cloud.settle()
        with self.cloud.cloud.database.write() as session:  # the host is heard of for as long as the trial may last
            session.execute(update(ComputeHost).values(seen_at=self.cloud.clock.now + 1e6))

    def begin(self) -> None:
        self.begun = True
        nets = [{"uuid": self.cloud.network_id}, {"port": self.port}]
        self.id = self.cloud.server(networks=nets, config_drive=True, settle=False)

    def delete(self) -> None:
        assert self.cloud.do("DELETE", f"/servers/{self.id}").status == 204

    def rows(self, column: Any) -> list[Any]:
        with self.cloud.cloud.database.read() as session:
            return list(session.scalars(select(column)))

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("ACTIVE", "active", None, 1)
        assert {id: guest.power for id, guest in self.cloud.world.guests.items()} == {self.id: "running"}
        assert self.cloud.world.guests[self.id].config_drive
        ports = {port["id"]: port["status"] for port in self.cloud.ports(self.id)}
        assert len(ports) == 2
        assert set(ports.values()) == {"ACTIVE"}
        assert self.port in ports
        assert set(self.cloud.plugs("host-1").plugged()) == set(ports)
        assert sorted(self.rows(Allocation.resource_class)) == ["DISK_GB", "MEMORY_MB", "VCPU"]
        assert self.rows(ServerAction.result) == ["Success"]
        kinds = self.kinds()
        assert (kinds.count("create.start"), kinds.count("create.end")) == (1, 1)

    def kinds(self) -> list[str]:
        with self.cloud.cloud.database.read() as session:
            mine = select(Change.kind).where(Change.resource_type == "compute.server")
            return list(session.scalars(mine))

    def check_failed(self) -> None:
        status, _, task_state, _ = self.cloud.states(self.id)
        assert (status, task_state) in (("ACTIVE", None), ("ERROR", None))
        if status == "ERROR":
            assert "refused at" in self.cloud.show(self.id)["fault"]["message"]

    def check_gone(self) -> None:
        for reconcile in (reconcilers.guests, reconcilers.plugs, reconcilers.metadata):  # they ask who refused for long
            reconcile(self.cloud.cloud)
        self.cloud.settle()
        assert self.cloud.do("GET", f"/servers/{self.id}").status == 404
        assert self.cloud.world.guests == {}
        assert self.cloud.ports(self.id) == []
        assert self.rows(ServerNic.port_id) == []
        assert self.rows(Allocation.consumer_id) == []
        assert self.rows(Server.vm_state) == ["deleted"]
        network = self.cloud.plugs("host-1")
        assert (network.plugged(), network.metadata_networks()) == (frozenset(), frozenset())
        port = self.cloud.ask("GET", f"/network/v2.0/ports/{self.port}").json["port"]
        assert (port["device_id"], port["status"]) == ("", "DOWN")
        assert "compute.server" not in self.rows(LifecycleRow.kind)


TestServer = crash_tests(ServerTrial, every=2)


class TriedTwiceTrial(ServerTrial):
    """The same, where the host that is tried first starts no guest."""

    def __init__(self, fate: Fate) -> None:
        super().__init__(fate)
        hypervisor: Any = self.cloud.hosts.hypervisor("host-1")
        well = hypervisor._fate

        def ill(point: str) -> None:
            if point.startswith("ensure_running"):
                raise Refused("refused at all times")
            well(point)

        hypervisor._fate = ill
        self.cloud.add_host("host-2", fate=lambda point: fate(point) if self.begun else None)
        with self.cloud.cloud.database.write() as session:
            session.execute(update(ComputeHost).values(seen_at=self.cloud.clock.now + 1e6))

    def begin(self) -> None:
        """Until the last time that the first host is asked."""
        self.id = self.cloud.server()
        while max(self.rows(LifecycleRow.attempts)) < ServerLife.patience:
            self.cloud.clock.now += 20.0
            self.cloud.settle()
        self.cloud.clock.now += 20.0
        self.begun = True

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("ACTIVE", "active", None, 1)
        assert {name: set(world.guests) for name, world in self.cloud.worlds.items()} == {"host-1": set(), "host-2": {self.id}}
        ports = {port["id"] for port in self.cloud.ports(self.id)}
        assert (self.cloud.plugs("host-1").plugged(), self.cloud.plugs("host-2").plugged()) == (frozenset(), ports)
        assert sorted(self.rows(Allocation.resource_class)) == ["DISK_GB", "MEMORY_MB", "VCPU"]
        assert self.rows(ServerAction.result) == ["Success"]

    def check_failed(self) -> None:
        super().check_failed()
        if self.cloud.states(self.id)[0] == "ERROR":
            assert self.rows(Server.host) == [None]
            assert self.rows(Allocation.resource_class) == []

    def check_gone(self) -> None:
        super().check_gone()
        assert self.cloud.worlds["host-2"].guests == {}
        network = self.cloud.plugs("host-2")
        assert (network.plugged(), network.metadata_networks()) == (frozenset(), frozenset())


TestTriedTwice = crash_tests(TriedTwiceTrial, every=2)
