"""A guest that is real on a host and that no server claims: it is removed."""

from __future__ import annotations

from sqlalchemy import select

from tiffin.core.driver import Turn
from tiffin.core.lifecycle import Lifecycle, Outcome, done, go, inside, outside, rest
from tiffin.services.compute.drivers.base import HostPorts, Hosts
from tiffin.services.compute.tables import Server
from tiffin.services.network import public as network

NOBODYS = Turn(2**62)
"""Above every turn of the server that the guest once was: it has no owner any more."""


class OrphanLife(Lifecycle):
    kind = "compute.orphan"

    @outside
    def start(self) -> Outcome:
        with self.read() as session:
            claimed = session.scalar(select(Server.id).where(Server.id == self.id, Server.deleted_at.is_(None)))
        if claimed is None:
            host = str(self.frame["host"])
            self.part(Hosts).hypervisor(host).forget_guest(NOBODYS, self.id)
            self._unplug(self.part(Hosts).network(host))
        return go("gone")

    def _unplug(self, host: HostPorts) -> None:
        """The guest's ports went with its server, while this host did not answer: no row names them."""
        plugged = host.plugged()
        with self.read() as session:
            ownerless = plugged - network.existing_ports(session, plugged)
        for port_id in sorted(ownerless):
            host.forget_plugged(NOBODYS, port_id)

    @inside
    def gone(self) -> Outcome:
        self.record("remove", self.kind, after={"host": self.frame["host"]})
        return done()

    @inside
    def failed(self) -> Outcome:
        return rest()

    @outside
    def teardown(self) -> Outcome:
        return go("gone")
