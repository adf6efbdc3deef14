"""A host is emptied: what an operator asks, what is left there and why, and who moves it away.

The mark on the host, and on each move that it causes, is all that is kept. So whoever looks, whenever, goes on from there.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import msgspec
import structlog
from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from tiffin.core.asker import Asker, Itself
from tiffin.core.cloud import Cloud
from tiffin.core.errors import NotFound
from tiffin.core.sql import listed
from tiffin.services.compute.host_rows import enable, status_changed
from tiffin.services.compute.lifecycles.live import TIDY
from tiffin.services.compute.lifecycles.moving import LIVE
from tiffin.services.compute.resources.availability_zones import is_up
from tiffin.services.compute.resources.live_migrations import go_live
from tiffin.services.compute.resources.server_moves import go_cold
from tiffin.services.compute.settings import Settings
from tiffin.services.compute.tables import ComputeHost, Migration, Server, ServerAction

COLD_TOO = "cold"
"""The mark of a host from which servers that cannot go while they run are moved cold; of all others it is `LIVE_ONLY`."""
LIVE_ONLY = "live"
COLD = "migration"
FIRST_PAUSE, LONGEST_PAUSE = 30.0, 1800.0
"""Seconds after the first failure of a server's move, and after many: the pause doubles each time."""
_REASON = "Maintenance: its servers are moved to other hosts."
_FAILED = ("error", "cancelled", "reverted")

State = Literal["moving", "waiting", "stuck"]
log = structlog.get_logger("compute")


class Left(msgspec.Struct, frozen=True, omit_defaults=True):
    """A server that is on the host, or has left something there."""

    id: str
    name: str
    state: State  # stuck: nothing happens before somebody does something, or a pause is over
    why: str  # for people: what it waits for, and what helps
    next: str = ""  # how it is to be moved now: live-migration, migration
    failures: int = 0  # of its moves since the operator asked


class Emptying(msgspec.Struct, frozen=True):
    host: str
    maintenance: str | None  # as ComputeHost.maintenance
    left: list[Left]


# --- what an operator asks ----------------------------------------------------------------------------------------------


def begin(by: Asker, host: str, *, cold: bool) -> None:
    """Have a host emptied, and kept empty. Asked again, what has failed is tried again at once. Raises `NotFound`."""
    row = _host(by.db, host)
    row.maintenance = COLD_TOO if cold else LIVE_ONLY
    row.disabled, row.disabled_reason = True, _REASON
    over = update(Migration).where(Migration.server_id.in_(_on_it(host)), Migration.settled.is_(True))
    by.db.execute(over.values(emptying=False), execution_options={"synchronize_session": False})
    status_changed(by, row)


def end(by: Asker, host: str) -> None:
    """Have it take servers again. Moves that are on their way go on. Raises `NotFound`."""
    row = _host(by.db, host)
    enable(row)
    status_changed(by, row)


def look(session: Session, host: str, now: float, settings: Settings) -> Emptying:
    """What is left on a host. Raises `NotFound`."""
    row = _host(session, host)
    return Emptying(host, row.maintenance, left(session, row, now, settings))


def _host(session: Session, name: str) -> ComputeHost:
    row = session.scalar(select(ComputeHost).where(ComputeHost.name == name))
    if row is None:
        raise NotFound(f"Compute host {name[:64]} could not be found.")
    return row


# --- who moves it away --------------------------------------------------------------------------------------------------


def empty(cloud: Cloud) -> None:
    """Begin the moves that hosts in maintenance have room for."""
    settings: Settings = cloud.service("compute").settings
    marked = select(ComputeHost).where(ComputeHost.maintenance.is_not(None))
    with cloud.database.read() as session:
        due = [row.name for row in session.scalars(marked) if _due(session, row, cloud.world.clock(), settings)]
    for name in due:
        with cloud.database.write() as session:  # of two that are here at once, the other sees what the first one did
            row = session.scalar(marked.where(ComputeHost.name == name))
            for one in _due(session, row, cloud.world.clock(), settings) if row else ():
                server = session.scalars(select(Server).where(Server.id == one.id)).one()
                log.info("host.emptied", host=name, server=one.id, how=one.next, failures=one.failures)
                go = go_live if one.next == LIVE else go_cold
                go(Itself(cloud.world, session), server, emptying=True)


def _due(session: Session, host: ComputeHost, now: float, settings: Settings) -> list[Left]:
    """The servers whose moves are to begin now, those first that have failed least."""
    found = left(session, host, now, settings)
    room = settings.maintenance_moves - sum(one.state == "moving" for one in found)
    return sorted((one for one in found if one.next), key=lambda one: one.failures)[: max(room, 0)]


# --- what is left, and why ----------------------------------------------------------------------------------------------


def left(session: Session, host: ComputeHost, now: float, settings: Settings) -> list[Left]:
    """The servers that are on the host, or have left something there, in the order in which they were made."""
    touching = or_(Migration.source == host.name, Migration.dest == host.name, Migration.server_id.in_(_on_it(host.name)))
    unsettled = select(Migration).where(Migration.settled.is_(False), Migration.kind != "evacuation", touching)
    moves = {move.server_id: move for move in session.scalars(unsettled.order_by(Migration.number))}
    columns = (Server.id, Server.name, Server.host, Server.vm_state, Server.task_state)
    here = or_(Server.host == host.name, Server.id.in_(listed(moves)))
    servers = session.execute(select(*columns).where(Server.deleted_at.is_(None), here).order_by(Server.number)).all()
    failed = _failures(session, host.name)
    judge = _Judge(host, now, is_up(host, now, settings))
    return [judge.server(row, moves.get(row.id), failed.get(row.id, [])) for row in servers]


def _on_it(host: str) -> Select[str]:
    return select(Server.id).where(Server.host == host, Server.deleted_at.is_(None))


def _failures(session: Session, host: str) -> dict[str, list[Any]]:
    """The moves to empty the host that have failed, in their order, by server."""
    told = (ServerAction.server_id == Migration.server_id) & (ServerAction.request_id == Migration.request_id)
    query = (
        select(Migration.server_id, Migration.kind, Migration.updated_at, Migration.status, ServerAction.details)
        .join(ServerAction, told, isouter=True)
        .where(Migration.server_id.in_(_on_it(host)), Migration.source == host)
        .where(Migration.emptying.is_(True), Migration.status.in_(_FAILED))
        .order_by(Migration.number)
    )
    found: dict[str, list[Any]] = {}
    for row in session.execute(query):
        found.setdefault(row.server_id, []).append(row)
    return found


@dataclasses.dataclass(frozen=True)
class _Judge:
    """Says of servers what keeps them on a host."""

    host: ComputeHost
    now: float
    up: bool

    def server(self, row: Any, move: Migration | None, failed: list[Any]) -> Left:
        if move is not None:
            return Left(row.id, row.name, *self._on_a_move(row, move))
        if row.task_state is not None:
            return Left(row.id, row.name, "waiting", f"is busy ({row.task_state}), and moves when that has ended")
        if row.vm_state not in ("active", "paused", "stopped"):
            why = f"is in vm_state {row.vm_state}, in which nothing moves: reset its state, rebuild or delete it"
            return Left(row.id, row.name, "stuck", why)
        if not self.up:
            why = f"{self.host.name} does not answer: start its agent, or evacuate the server if the host is lost"
            return Left(row.id, row.name, "stuck", why)
        kind = self._kind(row.vm_state, failed)
        if (paused := self._pause(kind, failed)) is not None:
            return Left(row.id, row.name, "stuck", paused, failures=len(failed))
        return Left(row.id, row.name, "waiting", "waits for its turn", kind, len(failed))

    def _on_a_move(self, row: Any, move: Migration) -> tuple[State, str]:
        here, back = self.host.name, move.source if row.host == move.dest else move.dest
        if move.wish == TIDY:
            return "stuck", f"has left something of an earlier move on {back}, which goes when that host answers"
        if row.task_state is not None or move.status == "confirming":
            if move.source == here != move.dest:
                return "moving", f"is on its way to {move.dest or 'another host'}"
            return "waiting", f"is on its way within {here} or to it, and moves when that has ended"
        if move.status == "finished" and move.emptying:
            return "waiting" if self.up else "stuck", f"has moved to {move.dest}, and leaves {move.source} when that answers"
        if move.status == "finished":
            what = "resize" if move.kind == "resize" else "migration"
            return "stuck", f"may go back from {move.dest} to {move.source}: `openstack server {what} confirm {row.id}`"
        return "stuck", f"is on its way back from a move, and goes on when {move.source} and {move.dest} answer"

    def _kind(self, vm_state: str, failed: list[Any]) -> str:
        """How it is to move next. Where both ways are allowed they take turns, a live one first."""
        if vm_state == "stopped":
            return COLD
        live = sum(one.kind == LIVE for one in failed)
        turned = vm_state == "active" and self.host.maintenance == COLD_TOO and 2 * live > len(failed)
        return COLD if turned else LIVE

    def _pause(self, kind: str, failed: list[Any]) -> str | None:
        """Why it is not tried now, if it is not."""
        times = sum(one.kind == kind for one in failed)
        if not times:
            return None
        last, pause = failed[-1], min(FIRST_PAUSE * 2 ** min(times - 1, 10), LONGEST_PAUSE)
        ago = self.now - last.updated_at
        if not 0 <= ago < pause:  # or the clock was set back
            return None
        reason = str(last.details or f"Its move was {last.status}.").rstrip(".")
        return f"{reason}; tried again in {pause - ago:.0f} s"
