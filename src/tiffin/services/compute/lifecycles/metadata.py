"""The end of a network's metadata address on a host, when the last server there has left the network."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, bindparam, or_, select
from sqlalchemy.orm import Session

from tiffin.core.driver import Refused, StaleTurn, Turn
from tiffin.core.lifecycle import Lifecycle, Outcome, done, go, inside, outside
from tiffin.core.tables import LifecycleRow
from tiffin.services.compute.drivers.base import Hosts
from tiffin.services.compute.tables import Migration, Server, ServerNic

METADATA = "compute.metadata"
SERVER = "compute.server"
GONE = Turn(2**62)
"""Above every turn of a network that is no more."""


COMING = ("preparing", "running", "post-migrating")
"""The statuses of a live migration whose destination needs what the server needs already."""


def users(session: Session, host: str, network_id: str) -> list[str]:
    """The living servers on this host, or coming to it while they run, that have a port on the network."""
    on_it = select(ServerNic.server_id).where(ServerNic.network_id == network_id)
    here = or_(Server.host == host, Server.id.in_(coming(Migration.server_id).where(Migration.dest == host)))
    return list(session.scalars(select(Server.id).where(here, Server.deleted_at.is_(None), Server.id.in_(on_it))))


def coming(*columns: Any) -> Select[Any]:
    """Columns of the live migrations under way."""
    return select(*columns).where(Migration.settled.is_(False), Migration.status.in_(COMING))


_TURN = select(LifecycleRow.turn).where(
    LifecycleRow.kind == "network.network", LifecycleRow.resource_id == bindparam("network_id")
)


def turn_of(session: Session, network_id: str) -> Turn:
    """The network's own turn: whoever speaks of its metadata speaks as of that."""
    found = session.scalar(_TURN, {"network_id": network_id})
    return GONE if found is None else Turn(found)


class MetadataLife(Lifecycle):
    """Begun in the transaction that ends a server, and by the reconciler; the frame says which host and network."""

    kind = METADATA

    @outside
    def start(self) -> Outcome:
        host, network_id = str(self.frame["host"]), str(self.frame["network"])
        with self.read() as session:
            needed, turn = users(session, host, network_id), turn_of(session, network_id)
        if not needed:
            try:
                self.part(Hosts).network(host).forget_metadata(turn, network_id)
            except StaleTurn as stale:
                raise Refused(str(stale)) from stale  # the network has moved on: ask with its new turn
        return go("settle")

    @inside
    def settle(self) -> Outcome:
        """A server that came while we forgot plugs itself in again."""
        for id in users(self.db, str(self.frame["host"]), str(self.frame["network"])):
            self.ask(SERVER, id, "sync")
        return done()

    @inside
    def failed(self) -> Outcome:
        return done()  # the reconciler begins another one

    @outside
    def teardown(self) -> Outcome:
        return go("settle")
