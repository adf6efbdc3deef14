"""A guest that is real on a host and that no server claims: it is removed."""

from __future__ import annotations

from sqlalchemy import select

from tiffin.core.driver import Turn
from tiffin.core.lifecycle import Lifecycle, Outcome, done, go, inside, outside, rest
from tiffin.services.compute.drivers.base import Hosts
from tiffin.services.compute.tables import Server

NOBODYS = Turn(2**62)
"""Above every turn of the server that the guest once was: it has no owner any more."""


class OrphanLife(Lifecycle):
    kind = "compute.orphan"

    @outside
    def start(self) -> Outcome:
        with self.read() as session:
            claimed = session.scalar(select(Server.id).where(Server.id == self.id, Server.deleted_at.is_(None)))
        if claimed is None:
            self.part(Hosts).hypervisor(str(self.frame["host"])).forget_guest(NOBODYS, self.id)
        return go("gone")

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
