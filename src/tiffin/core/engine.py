"""Runs lifecycles: takes a lease on one that is due, runs its steps, and commits each only while the lease is still its own.

Several engines may run on one database. A wake-up is a hint; the rows are the queue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import ColumnElement, Row, delete, func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tiffin.core import engine_statements as statements
from tiffin.core.database import is_away
from tiffin.core.driver import Impossible, Refused, StaleTurn
from tiffin.core.engine_threads import FULL, SlowThreads, name_this_thread
from tiffin.core.lifecycle import DELETE, DUE, FAILED, REST, TEARDOWN, Lifecycle, Outcome
from tiffin.core.peers import Peers
from tiffin.core.set_back import SetBack
from tiffin.core.tables import LifecycleRequest, LifecycleRow

if TYPE_CHECKING:
    from tiffin.core.cloud import Cloud

LEASE = 300.0
"""Seconds that a step may take before another engine may take it over; a slow one renews them."""
LOOK = 1.0
"""Seconds between two looks at the queue when no hint comes."""

_FREE = update(LifecycleRow).values(lease=0.0, owner=None)
log = structlog.get_logger("engine")


class _Lost(Exception):
    """The lease is another's now: their word counts, not ours."""


def backoff(attempts: int) -> float:
    """Seconds before the next try: 0.1, 0.2, 0.4 ... at most 30."""
    return float(min(0.1 * 2 ** min(attempts, 20), 30.0))


class Engine:
    def __init__(self, cloud: Cloud, node: str, fate: Callable[[str], None] = lambda point: None) -> None:
        """`node` names this engine's place (one engine runs at a place at a time); `fate` is called at every point where
        the process might die, for the crash harness."""
        self.cloud, self.node, self.fate = cloud, node, fate
        self._hint = threading.Condition()
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._slow = SlowThreads(cloud, node, LEASE)
        self._due = 0
        self._running: dict[int, str] = {}  # rows by thread
        self._trouble = False
        self.peers, self._clock = Peers(cloud.database, node, self.adopt), SetBack(cloud)

    # --- the queue ------------------------------------------------------------------------------------------------------

    def adopt(self, node: str = "") -> None:
        """Free what a dead predecessor at this place had leased, or the dead engine at another `node`."""
        with self.cloud.database.write() as session:
            session.info[DUE] = False  # others find it out themselves
            session.execute(_FREE.where(LifecycleRow.owner == (node or self.node)))

    def turn(self, *, likely: bool = False) -> bool:
        """Lease one lifecycle that is due and run it until it waits for something; False when none is. `likely`: that one is
        due, so that there is no need to look before it is taken."""
        row = self._lease(likely=likely)
        if row is None:
            return False
        self.fate("leased")
        self._run(row)
        return True

    def _run(self, row: LifecycleRow) -> None:
        """Run the steps of a lifecycle that we have leased."""
        me = threading.get_ident()
        self._running[me] = row.id
        with structlog.contextvars.bound_contextvars(
            request_id=row.request_id, lifecycle=row.kind, resource=row.resource_id
        ):
            try:
                while self._step(row):
                    pass
            except _Lost as lost:
                log.info("lifecycle.lost", step=row.step, why=str(lost))
            except Exception:
                self._trouble = True
                raise
            finally:
                del self._running[me]

    def _lease(self, *, likely: bool = False) -> LifecycleRow | None:
        self._give_back()
        now = self._clock.now()
        if not likely:
            with self.cloud.database.read() as session:
                due = session.scalars(statements.DUE, {"now": now}).all()
            if not due:
                return None
            if len(due) > 1:
                self.hint()  # there is work for another thread
        try:
            with self.cloud.database.statement() as session:
                return session.scalar(
                    statements.TAKE,
                    {"now": now, "now_ms": int(now * 1000), "new_lease": now + LEASE, "node": self.node},
                    execution_options={"synchronize_session": False},
                )
        except OperationalError:
            self._trouble = True  # it may be ours, without our knowing
            raise

    def _give_back(self) -> None:
        """Free what is leased to us and none of our threads runs, now that the database is there again: whoever lost it does
        not know what it had committed."""
        if not self._trouble:
            return
        self._trouble = False
        try:
            with self.cloud.database.write() as session:
                running = LifecycleRow.id.in_(list(self._running.values()))
                session.execute(_FREE.where(LifecycleRow.owner == self.node, ~running))
        except Exception:
            self._trouble = True
            raise

    # --- one step -------------------------------------------------------------------------------------------------------

    def _step(self, row: LifecycleRow) -> bool:
        """Run the row's next step; whether there is more to do at once."""
        self._choose(row)
        if row.step == REST:
            self._commit(row, Outcome("rest", REST), dict(row.frame))
            return False
        kind = self.cloud.lifecycle(row.kind)
        step: Any = getattr(kind, row.step)
        if getattr(step, "slow", False) and self._slow.wanted():
            return self._hand_over(row)
        started = time.perf_counter()
        try:
            if step.where == "inside":
                outcome = self._inside(kind, row)
            else:
                life = kind(self.cloud, row)
                outcome = step(life)
                self.fate(f"{row.step} before commit")
                self._commit(row, outcome, life.frame)
        except Refused as no:
            return self._refused(row, kind, str(no))
        except Impossible as no:
            row.frame = {**row.frame, "refusal": ""}  # that `failed` finds one exactly when one too many was the cause
            return self._fail(row, kind, str(no))
        except StaleTurn as old:  # if the lease is still ours, the next one has a newer turn
            return self._refused(row, kind, str(old))
        except _Lost:
            raise
        except Exception as defect:
            if isinstance(defect, OperationalError) and is_away(defect):
                raise
            log.exception("lifecycle.defect", step=row.step)
            return self._refused(
                row, kind, f"Internal error at step {row.step}; see the log of request {row.request_id}."
            )
        self.fate(f"{row.step} after commit")
        log.debug(
            "lifecycle.step", step=row.step, ms=round((time.perf_counter() - started) * 1000, 1), outcome=outcome.what
        )
        return outcome.what == "go"

    def _hand_over(self, row: LifecycleRow) -> bool:
        """Go on in a thread of the lifecycle's own, or later."""
        if not self._slow.begin(row, self._run):
            self._commit(row, Outcome("sleep", seconds=FULL), dict(row.frame), keep_attempts=True)
        return False

    def _inside(self, kind: type[Lifecycle], row: LifecycleRow) -> Outcome:
        with self.cloud.database.write() as session:
            life = kind(self.cloud, row, session)
            outcome: Outcome = getattr(life, row.step)()
            session.flush()
            self.fate(f"{row.step} within commit")
            self._save(session, row, outcome, life.frame)
        return outcome

    def _choose(self, row: LifecycleRow) -> None:
        """Let a delete win, a deadline end, and a request start what it asks for."""
        now = self.cloud.world.clock()
        kind = self.cloud.lifecycle(row.kind)
        with self.cloud.database.read() as session:
            asked = session.execute(statements.ASKED, {"row_id": row.id}).all()
        ending = row.frame.get("ending")
        delete_asked = next((r for r in asked if r.name == DELETE), None)
        if delete_asked and not ending:
            frame = {**row.frame, "ending": "deleted", "request": statements.as_frame(delete_asked)}
            self._redirect(row, TEARDOWN, frame, now + kind.deadline, delete_asked)
        elif row.step == REST and asked:
            first = asked[0]
            if first.name in kind.requests:
                frame = {**row.frame, "request": statements.as_frame(first)}
                self._redirect(row, kind.requests[first.name], frame, now + kind.deadline, first)
            else:
                log.error("lifecycle.unknown_request", request=first.name)
                self._redirect(row, REST, row.frame, row.deadline, first)
                self._choose(row)
        elif row.step != REST and row.deadline is None:
            row.deadline = now + kind.deadline
        elif row.step not in (REST, FAILED) and row.deadline is not None and now > row.deadline:
            self._past_deadline(row, kind)

    def _past_deadline(self, row: LifecycleRow, kind: type[Lifecycle]) -> None:
        now = self.cloud.world.clock()
        last = row.frame.get("refusal")
        reason = f"Step {row.step} did not finish in time." + (f" Last refusal: {last}" if last else "")
        frame = {**row.frame, "reason": reason, "failed_step": row.step, "refusal": ""}
        if not row.frame.get("ending"):
            self._redirect(row, FAILED, frame, now + kind.deadline, None)
            return
        log.error("lifecycle.late", step=row.step, reason=reason)
        row.deadline = now + kind.deadline
        with self.cloud.database.write() as session:
            row.frame = frame
            kind(self.cloud, row, session).late()
            self._save(session, row, Outcome("go", row.step), frame)

    def _redirect(
        self, row: LifecycleRow, step: str, frame: dict[str, Any], deadline: float | None, taken: Row[Any] | None
    ) -> None:
        """Move to a step from outside of it; the request that caused it is taken in the same transaction."""
        row.deadline, row.attempts = deadline, 0
        if taken:
            row.request_id = taken.request_id
            structlog.contextvars.bind_contextvars(request_id=taken.request_id)
        with self.cloud.database.write() as session:
            if taken:
                session.execute(delete(LifecycleRequest).where(LifecycleRequest.id == taken.id))
            self._save(session, row, Outcome("go", step), frame)
        self.fate(f"{step} chosen")

    def _refused(self, row: LifecycleRow, kind: type[Lifecycle], why: str) -> bool:
        row.attempts += 1
        if row.attempts > kind.patience and not row.frame.get("ending") and row.step != FAILED:
            return self._fail(row, kind, why)
        log.warning("lifecycle.refused", step=row.step, attempt=row.attempts, why=why)
        self._commit(
            row, Outcome("sleep", seconds=backoff(row.attempts)), {**row.frame, "refusal": why}, keep_attempts=True
        )
        return False

    def _fail(self, row: LifecycleRow, kind: type[Lifecycle], why: str) -> bool:
        if row.frame.get("ending") or row.step == FAILED:  # there is no other way down
            row.attempts += 1
            log.error("lifecycle.stuck", step=row.step, attempt=row.attempts, why=why)
            self._commit(
                row, Outcome("sleep", seconds=backoff(row.attempts)), {**row.frame, "refusal": why}, keep_attempts=True
            )
            return False
        log.warning("lifecycle.failed", step=row.step, why=why)
        self._redirect(
            row,
            FAILED,
            {**row.frame, "reason": why, "failed_step": row.step},
            self.cloud.world.clock() + kind.deadline,
            None,
        )
        return True

    # --- commit, only while the lease is ours ---------------------------------------------------------------------------

    def _commit(
        self, row: LifecycleRow, outcome: Outcome, frame: dict[str, Any], *, keep_attempts: bool = False
    ) -> None:
        with self.cloud.database.write() as session:
            self._save(session, row, outcome, frame, keep_attempts=keep_attempts)

    def _save(
        self, session: Session, row: LifecycleRow, outcome: Outcome, frame: dict[str, Any], *, keep_attempts: bool = False
    ) -> None:
        now = self.cloud.world.clock()
        if outcome.what == "done":
            self._end(session, row)
            return
        row.frame, row.attempts = frame, row.attempts if keep_attempts else 0
        if outcome.what in ("go", "rest"):
            row.step = outcome.step
        if outcome.deadline is not None:
            row.deadline = now + outcome.deadline
        if outcome.what == "rest":
            row.deadline, row.frame = None, {k: v for k, v in frame.items() if k not in ("request", "refusal")}
        session.flush()
        saved: Any = session.execute(
            statements.SAVE,
            {
                "row_id": row.id,
                "its_turn": row.turn,
                "node": self.node,
                "new_step": row.step,
                "new_frame": row.frame,
                "new_attempts": row.attempts,
                "new_deadline": row.deadline,
                "new_request_id": row.request_id,
                "new_wake": self._wake(session, row, outcome, now),
                "new_lease": now + LEASE if outcome.what == "go" else 0.0,
                "new_owner": self.node if outcome.what == "go" else None,
            },
        )
        if saved.rowcount == 0:
            raise _Lost("the lease was lost")

    def _mine(self, row: LifecycleRow) -> tuple[ColumnElement[bool], ...]:
        """That the lease on the row is still ours."""
        return LifecycleRow.id == row.id, LifecycleRow.turn == row.turn, LifecycleRow.owner == self.node

    def _end(self, session: Session, row: LifecycleRow) -> None:
        ended = session.execute(delete(LifecycleRow).where(*self._mine(row)).returning(LifecycleRow.id)).first()
        if ended is None:
            raise _Lost("the lease was lost before the end")
        session.execute(delete(LifecycleRequest).where(LifecycleRequest.lifecycle_id == row.id))

    @staticmethod
    def _wake(session: Session, row: LifecycleRow, outcome: Outcome, now: float) -> float | None:
        """When to look again: a request that came meanwhile must not be slept over."""
        if outcome.what == "go":
            return now
        waiting = set(session.scalars(statements.WAITING, {"row_id": row.id}))
        if outcome.what != "sleep" and not waiting:
            return None
        session.info.setdefault(DUE, False)  # another thread may have to wake up earlier; other processes need not know
        if outcome.what == "sleep":
            return now if DELETE in waiting and not row.frame.get("ending") else now + outcome.seconds
        return now

    # --- running --------------------------------------------------------------------------------------------------------

    def run_until_idle(self, most: int = 10_000) -> int:
        """Run all that is due now, in this thread. The number of turns taken."""
        for n in range(most):
            if not self.turn():
                return n
        raise RuntimeError(f"lifecycles were still due after {most} turns")

    def start(self, threads: int) -> None:
        """Run in the background until `stop`."""
        self.peers.start()
        self.adopt()
        self._clock.wake_all()
        self.cloud.database.on_commit(self.hint, DUE)
        self._slow.start()
        for n in range(threads):
            thread = threading.Thread(target=self._work, name=f"engine-{n}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def hint(self) -> None:
        """Something may be due."""
        with self._hint:
            self._due += 1
            self._hint.notify()

    def stop(self, timeout: float = 10.0) -> None:
        """End after the steps that are running; what remains is in the rows."""
        with self._hint:
            self._stopping = True
            self._hint.notify_all()
        for thread in self._threads:
            thread.join(timeout)
        self._slow.stop(timeout=1.0)
        self.peers.stop()

    def _work(self) -> None:
        name_this_thread()
        busy = False
        while not self._stopping:
            seen = self._due
            try:
                busy = self.turn(likely=busy)
                pause = 0.0 if busy else self._until_next()
            except Exception as defect:
                if isinstance(defect, OperationalError) and is_away(defect):
                    log.warning("engine.no_database", why=str(defect.orig))
                else:
                    log.exception("engine.defect")
                busy, pause = False, LOOK
            with self._hint:
                if pause and self._due == seen and not self._stopping:
                    self._hint.wait(pause)

    def _until_next(self) -> float:
        with self.cloud.database.read() as session:
            next_wake = session.scalar(
                select(func.min(LifecycleRow.wake)).where(LifecycleRow.lease <= self.cloud.world.clock())
            )
        if next_wake is None:
            return LOOK
        return max(0.005, min(LOOK, next_wake - self.cloud.world.clock()))
