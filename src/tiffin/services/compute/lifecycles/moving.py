"""Resize and cold migration: a server stops here, goes on there, and may come back until somebody confirms.

What it was stays on the source, set aside, and in placement, held by the migration. So there is one way back (`retreat`,
`returned`, `resume`) for whoever reverts and for what fails. A guest is gone from one host before it runs on the other.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tiffin.core.asker import Asker, Itself
from tiffin.core.cloud import Cloud
from tiffin.core.lifecycle import Outcome, go, inside, outside, rest, sleep
from tiffin.services.compute import rules
from tiffin.services.compute.drivers.base import Disk, Hosts
from tiffin.services.compute.lifecycles import scheduling, wiring
from tiffin.services.compute.lifecycles.parts import LOOK, ServerParts
from tiffin.services.compute.resources.server_actions import ask
from tiffin.services.compute.scheduler.model import NoHost
from tiffin.services.compute.tables import Migration, Server
from tiffin.services.placement import public as placement

LIVE = "live-migration"
"""The kind of a move of a server that runs meanwhile (live.py)."""
COPYING = 6 * 3600.0
"""Seconds that the disks of a server may be on their way."""
SIZE = ("flavor", "vcpus", "memory_mb", "root_gb", "ephemeral_gb", "swap_mb")
"""The columns of a server that its flavor fills."""
_GOING = ("unload", "transfer", "arrived", "settle_in", "moved")
_BACK = ("retreat", "returned", "resume", "resumed")


def unsettled(session: Session, server_id: str) -> Migration | None:
    """The move that a server is on, or may come back from. An evacuation is none: there is no way back."""
    mine = select(Migration).where(
        Migration.server_id == server_id, Migration.settled.is_(False), Migration.kind != "evacuation"
    )
    return session.scalars(mine.order_by(Migration.number.desc()).limit(1)).first()


def promised(session: Session, server_id: str) -> set[str]:
    """The hosts on which something of a server may be, beside the one that it is on."""
    mine = select(Migration.source, Migration.dest).where(
        Migration.server_id == server_id, Migration.settled.is_(False)
    )
    return {host for pair in session.execute(mine) for host in pair if host}


def servers_promised_on(session: Session, host: str, ids: Collection[str]) -> set[str]:
    """Those of the servers that are on a host or may come back to it."""
    on_it = select(Server.id).where(Server.id.in_(ids), Server.host == host)
    there = or_(Migration.source == host, Migration.dest == host)
    move = select(Migration.server_id).where(Migration.server_id.in_(ids), Migration.settled.is_(False), there)
    return {*session.scalars(on_it), *session.scalars(move)}


class Moving(ServerParts):
    # --- there ----------------------------------------------------------------------------------------------------------

    @inside
    def resize(self) -> Outcome:
        """Choose where to. What the server has stays its migration's; the server takes the new room."""
        row, move = self._row(), self._move()
        try:
            avoid = (move.source,) if self.args["elsewhere"] else ()
            place(self.cloud, self.db, (row, move), avoid=avoid, host=self.args.get("host"))
        except NoHost as none:
            return self._stayed(row, move, f"No valid host was found. {none}")
        row.task_state, move.status, move.updated_at = "resize_migrating", "migrating", self.now
        return go("unload", deadline=COPYING)

    @outside
    def unload(self) -> Outcome:
        move, source = self._look(), self.part(Hosts)
        hypervisor = source.hypervisor(move.source)
        if not hypervisor.ensure_stopped(self.turn, self.id, self.cloud.service("compute").settings.shutdown_seconds):
            return sleep(LOOK)
        self.frame["disks"] = msgspec.to_builtins(hypervisor.ensure_kept(self.turn, self.id))
        if move.dest != move.source:
            for port in self._wiring().ports:
                source.network(move.source).forget_plugged(self.turn, port.id)
        return go("transfer")

    @outside
    def transfer(self) -> Outcome:
        found = self._wiring()
        hypervisor = self.part(Hosts).hypervisor(str(self._look().dest))
        for one in wiring.images(found.server):
            hypervisor.ensure_image(self.turn, self.id, one)
        disks = msgspec.convert(self.frame["disks"], tuple[Disk, ...])
        there = hypervisor.ensure_disks_from(self.turn, wiring.guest(found.server, ()), disks)
        return go("arrived") if there else sleep(LOOK)

    @inside
    def arrived(self) -> Outcome:
        row, move = self._row(), self._move()
        self.frame.pop("disks")
        row.host, row.node, row.availability_zone = move.dest, move.dest_node, move.dest_zone
        self._is(row, move.new_size)
        row.task_state, move.status, move.updated_at = "resize_finish", "post-migrating", self.now
        self._bind(row)
        self._leave_metadata(move.source)
        return go("settle_in")

    @outside
    def settle_in(self) -> Outcome:
        found = self._wiring()
        guest = wiring.guest(found.server, wiring.plug(self.part(Hosts), self.turn, found))
        self._hypervisor(found).ensure_disks(self.turn, guest)
        if self._look().old_vm_state == "active":
            self._hypervisor(found).ensure_running(self.turn, guest)
        return go("moved")

    @inside
    def moved(self) -> Outcome:
        row, move = self._row(), self._move()
        row.vm_state, row.power_state = "resized", _power(move)
        row.launched_at = move.updated_at = self.now
        move.status = "finished"
        outcome = self._settled(row, "finish_resize.end")
        if move.emptying:
            confirm(Itself(self.cloud.world, self.db), row, move)
        return outcome

    # --- for good -------------------------------------------------------------------------------------------------------

    @outside
    def confirm(self) -> Outcome:
        move = self._look()
        if move.source == move.dest:
            self.part(Hosts).hypervisor(move.source).forget_kept(self.turn, self.id)
        else:
            self.part(Hosts).hypervisor(move.source).forget_guest(self.turn, self.id)
        return go("confirmed")

    @inside
    def confirmed(self) -> Outcome:
        row, move = self._row(), self._move()
        placement.release(self.db, move.id)
        if row.vm_state == "resized":  # and not reset by an admin meanwhile
            row.vm_state = "active" if row.power_state == rules.RUNNING else "stopped"
        self._over(move, "confirmed")
        return self._settled(row, "resize.confirm.end")

    # --- and back -------------------------------------------------------------------------------------------------------

    @outside
    def retreat(self) -> Outcome:
        """Have it no longer there."""
        move = self._look()
        if move.source != move.dest:
            self._forget_on(str(move.dest))
        elif not self.part(Hosts).hypervisor(move.source).ensure_stopped(self.turn, self.id, 0.0):
            return sleep(LOOK)
        return go("returned")

    @inside
    def returned(self) -> Outcome:
        row, move = self._row(), self._move()
        away = row.host
        row.host, row.node, row.availability_zone = move.source, move.source_node, move.source_zone
        self._is(row, move.old_size)
        self._give_back(row, move)
        self._bind(row)
        if away and away != row.host:
            self._leave_metadata(away)
        return go("resume")

    @outside
    def resume(self) -> Outcome:
        found = self._wiring()
        self._hypervisor(found).ensure_restored(self.turn, self.id)
        guest = wiring.guest(found.server, wiring.plug(self.part(Hosts), self.turn, found))
        if self._look().old_vm_state == "active":
            self._hypervisor(found).ensure_running(self.turn, guest)
        return go("resumed")

    @inside
    def resumed(self) -> Outcome:
        row, move = self._row(), self._move()
        row.vm_state, row.power_state, row.fault = move.old_vm_state, _power(move), None
        why = self.frame.pop("undoing", None)
        self.frame.pop("disks", None)
        self._over(move, "error" if why or move.status == "error" else "reverted")
        return self._settled(row, "resize.revert.end" if why is None else "resize.error", error=why)

    # --- when it does not work ------------------------------------------------------------------------------------------

    def _move_failed(self, row: Server, step: str) -> Outcome | None:
        """What becomes of a move that failed at a step of its own."""
        move = unsettled(self.db, self.id)
        if move is None:
            return None
        if step == "resize":
            return self._stayed(row, move, self.reason)
        if step in ("confirm", "confirmed"):
            move.status, move.updated_at = "finished", self.now
            return self._settled(row, "resize.error", error=self.reason)
        if step in _GOING:
            self.frame["undoing"] = self.reason
            return go("retreat")
        if step not in _BACK:
            return None
        if step == "retreat" and row.host == move.source != move.dest:
            return go("returned")  # it has never run there: what is there goes when that host answers again
        move.status, move.updated_at = "error", self.now  # the reconciler tries again as soon as the host is there
        self.frame.pop("undoing", None)
        self._fail(row, self.reason)
        return rest()

    def _stayed(self, row: Server, move: Migration, why: str) -> Outcome:
        self._is(row, move.old_size)
        self._over(move, "error")
        return self._settled(row, "resize.error", error=why)

    def _settle_moves(self) -> None:
        """The server goes: no move of it holds anything any more."""
        moves = select(Migration).where(Migration.server_id == self.id, Migration.settled.is_(False))
        for move in list(self.db.scalars(moves)):
            placement.release(self.db, move.id)
            self._over(move, "confirmed" if move.status == "finished" else "error")

    # --- parts ----------------------------------------------------------------------------------------------------------

    def _move(self) -> Migration:
        found = unsettled(self.db, self.id)
        assert found is not None, "a step of a move without one"
        return found

    def _look(self) -> Migration:
        with self.read() as session:
            found = unsettled(session, self.id)
        assert found is not None, "a step of a move without one"
        return found

    def _is(self, row: Server, size: dict[str, object]) -> None:
        for name in SIZE:
            setattr(row, name, size[name])

    def _over(self, move: Migration, status: str) -> None:
        move.status, move.updated_at, move.settled = status, self.now, True

    def _give_back(self, row: Server, move: Migration) -> None:
        """Let the server have again what it had."""
        if placement.allocations(self.db, move.id):
            placement.release(self.db, row.id)
            consumer = placement.Consumer(row.id, row.project_id, row.user_id)
            placement.hand_over(self.db, self.cloud.world, move.id, consumer)


def place(
    cloud: Cloud,
    session: Session,
    of: tuple[Server, Migration],
    *,
    avoid: Collection[str],
    host: str | None = None,
    force: bool = False,
) -> None:
    """Choose where the move of a server leads (to `host`, if that is said; `force`: whatever the scheduler would say), and
    take the room there; the migration holds the room that the server had. Raises `NoHost`, having changed nothing, and
    `Refused`."""
    row, move = of
    columns = {column.name: getattr(row, column.name) for column in Server.__table__.columns}
    moved = Server(**{**columns, **move.new_size, "forced_host": host})
    world, held = cloud.world, placement.Consumer(move.id, row.project_id, row.user_id, "MIGRATION")
    placement.hand_over(session, world, row.id, held)
    try:
        if force:
            scheduling.claim(cloud, session, moved)
        else:
            scheduling.place(cloud, session, moved, avoid=avoid)
    except NoHost:
        placement.hand_over(session, world, move.id, placement.Consumer(row.id, row.project_id, row.user_id))
        raise
    move.dest, move.dest_node, move.dest_zone = moved.host, moved.node, moved.availability_zone


def confirm(by: Asker, row: Server, move: Migration) -> None:
    """Have what the server has left behind go for good."""
    move.status, move.updated_at = "confirming", by.now
    ask(by, row, ("confirm", "confirmResize", None))


def _power(move: Migration) -> int:
    return rules.RUNNING if move.old_vm_state == "active" else rules.SHUTDOWN
