"""Live migration: a server goes on elsewhere without having stopped.

What it was stays on the source, and in placement held by the migration, until `landed` commits that it is on the other host:
before that it never executes there, from then on never here. So there is one way back, `recall`, for whoever aborts and for
what fails, and it leaves the guest where and what it was. When only the way breaks off, as when who relays is killed, the
guest sets out anew from there.
"""

from __future__ import annotations

import msgspec
import structlog

from tiffin.core.driver import Impossible
from tiffin.core.lifecycle import Outcome, go, inside, outside, rest, sleep
from tiffin.services.compute.drivers.base import Hosts, Hypervisor
from tiffin.services.compute.lifecycles import wiring
from tiffin.services.compute.lifecycles.evacuating import Evacuating
from tiffin.services.compute.lifecycles.moving import COPYING, LIVE, place, unsettled
from tiffin.services.compute.lifecycles.parts import LOOK
from tiffin.services.compute.scheduler.model import NoHost
from tiffin.services.compute.tables import Migration, Server
from tiffin.services.placement import public as placement

ABORT, COMPLETE, TIDY = "abort", "complete", "tidy"
"""What may be wished of a migration: of one that is on its way, and of one that has left something on a host that did not
answer."""
SOON = 0.02
"""Seconds between two looks at a guest that may stand still at any moment, until it is somewhere."""
WAYS = 3
"""How often a guest sets out."""
_LANDINGS = 4
"""How often a host that does not answer is tried again, when the server is already its own."""
_GOING = ("prepare", "prepared", "travel", "told", "landed")
log = structlog.get_logger("compute")


class LiveMoving(Evacuating):
    # --- there ----------------------------------------------------------------------------------------------------------

    @inside
    def live_migrate(self) -> Outcome:
        """Choose where to. What the server has stays its migration's; the server takes the new room."""
        row, move = self._row(), self._move()
        if (why := self.args.get("impossible")) is not None:
            return self._stays(row, move, "error", str(why))
        if move.wish == ABORT:
            return self._stays(row, move, "cancelled", "The migration was aborted.")
        try:
            host, force = self.args.get("host"), bool(self.args.get("force"))
            place(self.cloud, self.db, (row, move), avoid=(move.source,), host=host, force=force)
        except NoHost as none:
            return self._stays(row, move, "error", f"No valid host was found. {none}")
        move.status, move.updated_at = "preparing", self.now
        return go("prepare", deadline=COPYING)

    @outside
    def prepare(self) -> Outcome:
        """Have a guest of the same make wait there."""
        found, move = self._wiring(), self._look()
        there = self._there(move)
        for one in wiring.images(found.server):
            there.ensure_image(self.turn, self.id, one)
        guest = wiring.guest(found.server, wiring.plug(self.part(Hosts), self.turn, found, host=move.dest))
        coming = self._hypervisor(found).ensure_departing(self.turn, self.id)
        return go("prepared") if there.ensure_incoming(self.turn, guest, coming) else sleep(LOOK)

    @inside
    def prepared(self) -> Outcome:
        move = self._move()
        move.status, move.updated_at = "running", self.now
        return go("travel")

    @outside
    def travel(self) -> Outcome:
        move = self._look()
        if move.wish == ABORT:
            self.frame |= {"undoing": "The migration was aborted.", "undone": "cancelled"}
            return go("recall")
        if (pause := self.frame.pop("pause", None)) is not None:
            return sleep(pause)
        here = self.part(Hosts).hypervisor(move.source)
        progress = here.ensure_migrating(self.turn, self.id, move.wish == COMPLETE)
        if progress.state in ("broken", "failed"):
            return self._turn_back(move, progress.reason, broken=progress.state == "broken")
        if progress.state == "going":
            self.frame |= {"progress": msgspec.to_builtins(progress), "pause": SOON if progress.memory_total else LOOK}
            return go("told")
        try:
            return go("landed") if self._there(move).ensure_arrived(self.turn, self.id) else sleep(SOON)
        except Impossible as lost:  # what was on the way when that ended
            return self._turn_back(move, str(lost), broken=True)

    @inside
    def told(self) -> Outcome:
        move = self._move()
        move.progress, move.updated_at = self.frame.pop("progress"), self.now
        return go("travel")

    @inside
    def landed(self) -> Outcome:
        """From here on it is the other host's."""
        row, move = self._row(), self._move()
        row.host, row.node, row.availability_zone = move.dest, move.dest_node, move.dest_zone
        move.status, move.updated_at = "post-migrating", self.now
        self._bind(row)
        self._leave_metadata(move.source)
        return go("land")

    @outside
    def land(self) -> Outcome:
        move = self._look()
        self._there(move).ensure_landed(self.turn, self.id, move.old_vm_state == "active")
        return go("clear")

    @outside
    def clear(self) -> Outcome:
        """Have nothing of it where it was."""
        self._forget_on(self._look().source)
        return go("completed")

    @inside
    def completed(self) -> Outcome:
        row, move = self._row(), self._move()
        if move.wish == TIDY:
            self._over(move, move.status)
            return rest()
        return self._is_there(row, move, clean=True)

    # --- and back -------------------------------------------------------------------------------------------------------

    @outside
    def recall(self) -> Outcome:
        """Have it only where it was."""
        move = self._look()
        if self._wiring().server.host != move.source:
            return go("clear")
        self.part(Hosts).hypervisor(move.source).forget_departing(self.turn, self.id, move.old_vm_state == "active")
        return go("sweep_there" if move.dest else "recalled")

    @outside
    def sweep_there(self) -> Outcome:
        self._forget_on(str(self._look().dest))
        return go("recalled")

    @inside
    def recalled(self) -> Outcome:
        row, move = self._row(), self._move()
        if move.wish == TIDY:
            self._over(move, move.status)
            return rest()
        if self.frame.pop("again", False):
            if move.wish != ABORT:
                return self._set_out_anew(move)
            self.frame |= {"undoing": "The migration was aborted.", "undone": "cancelled"}
        return self._is_back(row, move, clean=True)

    # --- when it does not work ------------------------------------------------------------------------------------------

    def _move_failed(self, row: Server, step: str) -> Outcome | None:
        move = unsettled(self.db, self.id)
        if move is None or move.kind != LIVE:
            return super()._move_failed(row, step)
        if step == "live_migrate":
            return self._stays(row, move, "error", self.reason)
        if step in _GOING:
            self.frame |= {"undoing": self.reason, "again": False}
            return go("recall")
        if step == "land":
            return self._not_landed(row, move)
        if step in ("clear", "sweep_there"):
            if move.wish == TIDY:
                return rest()
            over = self._is_there if step == "clear" else self._is_back
            return over(row, move, clean=False)
        if step == "recall":  # the reconciler tries again as soon as the host is there
            self.frame.pop("again", None)
            move.status, move.updated_at = "error", self.now
            return self._settled(row, "live_migration.rollback.error", error=self.reason)
        return None

    def _not_landed(self, row: Server, move: Migration) -> Outcome:
        """The server is the other host's, and nobody can tell whether it goes on there."""
        landings = int(self.frame.pop("landings", 0))
        if self.frame.get("refusal") and landings < _LANDINGS:
            self.frame["landings"] = landings + 1
            return go("land")
        placement.release(self.db, move.id)
        self._ended(move, "error", clean=False)
        self._fail(row, f"It did not go on on {move.dest}: {self.reason}")
        return rest()

    def _turn_back(self, move: Migration, why: str, *, broken: bool) -> Outcome:
        """Have it where it was; if only the way is `broken`, it may set out from there anew."""
        again = broken and self.frame.get("ways", 1) < WAYS
        log.warning("migration.broken", dest=move.dest, why=why, again=again)
        self.frame |= {"undoing": f"The guest could not go to {move.dest}: {why}", "again": again}
        return go("recall")

    def _set_out_anew(self, move: Migration) -> Outcome:
        """Nothing of it is there any more, and what is reserved there is still its own."""
        for name in ("pause", "undoing"):
            self.frame.pop(name, None)
        self.frame["ways"] = self.frame.get("ways", 1) + 1
        move.status, move.progress, move.updated_at = "preparing", None, self.now
        return go("prepare")

    # --- parts ----------------------------------------------------------------------------------------------------------

    def _is_there(self, row: Server, move: Migration, *, clean: bool) -> Outcome:
        placement.release(self.db, move.id)
        self._ended(move, "completed", clean=clean)
        return self._settled(row, "live_migration.post.end")

    def _is_back(self, row: Server, move: Migration, *, clean: bool) -> Outcome:
        self._give_back(row, move)
        why = self.frame.pop("undoing", "The migration was interrupted.")
        self._ended(move, self.frame.pop("undone", "error"), clean=clean)
        if move.dest:
            self._leave_metadata(move.dest)
        return self._settled(row, "live_migration.rollback.end", error=why)

    def _ended(self, move: Migration, status: str, *, clean: bool) -> None:
        """`clean`: nothing of it is left anywhere else; if not, the reconciler has it tidied when that host answers."""
        self._over(move, status)
        for name in ("pause", "progress", "landings", "again", "ways"):
            self.frame.pop(name, None)
        if not clean:
            move.settled, move.wish = False, TIDY

    def _stays(self, row: Server, move: Migration, status: str, why: str) -> Outcome:
        self._over(move, status)
        return self._settled(row, "live_migration.rollback.end", error=why)

    def _there(self, move: Migration) -> Hypervisor:
        return self.part(Hosts).hypervisor(str(move.dest))
