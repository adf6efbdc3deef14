"""What is real on a host and no server claims there, a guest or a plugged port, is removed."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.lifecycle import Lifecycle, Outcome, done, go, inside, outside
from tiffin.services.compute.drivers.base import Hosts
from tiffin.services.compute.lifecycles.moving import servers_promised_on
from tiffin.services.compute.tables import Server, ServerNic


def unclaimed_ports(session: Session, host: str, port_ids: set[str]) -> set[str]:
    """Those of the ports, plugged on a host, that are no server's which is there, may be there, or is on its way."""
    rows = session.execute(
        select(ServerNic.port_id, Server.id, Server.task_state)
        .join(Server, Server.id == ServerNic.server_id)
        .where(ServerNic.port_id.in_(port_ids))
    ).all()
    there = servers_promised_on(session, host, {row.id for row in rows})
    return port_ids - {row.port_id for row in rows if row.id in there or row.task_state is not None}


class OrphanLife(Lifecycle):
    """Begun by the reconciler. The frame names the host, and says whether the id is a port's."""

    kind = "compute.orphan"

    @outside
    def start(self) -> Outcome:
        host, hosts = str(self.frame["host"]), self.part(Hosts)
        with self.read() as session:
            if self.frame.get("port"):
                unclaimed = self.id in unclaimed_ports(session, host, {self.id})
            else:
                living = select(Server.id).where(Server.id == self.id, Server.deleted_at.is_(None))
                unclaimed = session.scalar(living) is None
        if unclaimed and self.frame.get("port"):
            hosts.network(host).forget_plugged(self.turn, self.id)
        elif unclaimed:
            hosts.hypervisor(host).forget_guest(self.turn, self.id)
        return go("gone")

    @inside
    def gone(self) -> Outcome:
        self.record("remove", self.kind, after={"host": self.frame["host"]})
        return done()

    @inside
    def failed(self) -> Outcome:
        return done()  # the reconciler begins another one

    @outside
    def teardown(self) -> Outcome:
        return go("gone")
