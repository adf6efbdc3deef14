"""A server whose host is dead is built anew elsewhere; and a host that returns loses what is no longer its own."""

from __future__ import annotations

from tiffin.core.lifecycle import Outcome, go, inside, outside, rest
from tiffin.services.compute.lifecycles.moving import Moving, place, promised
from tiffin.services.compute.scheduler.model import NoHost
from tiffin.services.compute.tables import Migration


class Evacuating(Moving):
    @inside
    def evacuate(self) -> Outcome:
        """From here on the old host has no say: its guest is of an older turn, and no row names it."""
        row, move = self._row(), self.db.get_one(Migration, self.args["number"])
        try:
            place(self.cloud, self.db, (row, move), avoid=(move.source,), host=self.args.get("host"))
        except NoHost as none:
            move.status, move.updated_at, move.settled = "error", self.now, True
            return self._settled(row, "evacuate.error", error=f"No valid host was found. {none}")
        self._settle_moves()
        row.host, row.node, row.availability_zone = move.dest, move.dest_node, move.dest_zone
        row.task_state = "rebuild_spawning"
        move.status, move.updated_at, move.settled = "pre-migrating", self.now, True
        self.frame |= {"evacuation": move.number, "rebuilt": True, "was_stopped": bool(self.args["was_stopped"])}
        self._bind(row)
        return go("wipe")  # a move that never ended may have left something there

    def _evacuated(self, status: str) -> None:
        """Note how an evacuation ended, if this was one."""
        number = self.frame.pop("evacuation", None)
        if number is not None:
            move = self.db.get_one(Migration, number)
            move.status, move.updated_at = status, self.now

    @outside
    def leave(self) -> Outcome:
        """Remove what a host has of a server that is elsewhere."""
        host = str(self.args["host"])
        with self.read() as session:
            places = promised(session, self.id)
        if host not in {self._wiring().server.host, *places}:
            self._forget_on(host)
        return rest()
