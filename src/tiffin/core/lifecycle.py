"""A long-lived resource's life is a row that remembers its next step.

A step is a short method of one of two kinds. An *outside* step calls drivers (repeatable `ensure_*` and `forget_*` calls
that carry the turn) and reads rows; it changes none. An *inside* step is one write transaction and calls no driver. A step
ends by `go` to the next, `sleep`, `rest` until a request comes, or `done`. A crash anywhere means: the lease runs out, and
the step runs again. `engine.py` runs them; a *slow* outside step has a thread and a heartbeat of its own.

Every lifecycle starts at `start`. `failed` (inside) is where it goes when the world refuses for good or a deadline passes:
it puts the reason, `self.reason`, where the user sees it. `teardown` (outside) is the one way down from anywhere: it
forgets everything by id and goes on to steps of its own. A request named `delete` wins before any step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast

import msgspec
import sqlalchemy
from sqlalchemy import bindparam, update
from sqlalchemy.orm import Session

from tiffin.core import changes
from tiffin.core.driver import Turn
from tiffin.core.tables import LifecycleRequest, LifecycleRow
from tiffin.core.world import World

if TYPE_CHECKING:
    from tiffin.core.cloud import Cloud

T = TypeVar("T")
REST = "rest"
TEARDOWN = "teardown"
FAILED = "failed"
DELETE = "delete"
DUE = "lifecycle.due"
"""The word in `session.info` of a transaction by which a lifecycle may have something to do; true: in any process."""


class Outcome(msgspec.Struct, frozen=True):
    """How a step ended. `deadline`: seconds that the work from here on may take."""

    what: Literal["go", "sleep", "rest", "done"]
    step: str = ""
    seconds: float = 0.0
    deadline: float | None = None


def go(step: str, *, deadline: float | None = None) -> Outcome:
    return Outcome("go", step, deadline=deadline)


def sleep(seconds: float) -> Outcome:
    """Run this same step again later (or earlier, when something is asked)."""
    return Outcome("sleep", seconds=seconds)


def rest() -> Outcome:
    """Nothing to do until something is asked."""
    return Outcome("rest", REST)


def done() -> Outcome:
    """The life is over; its row goes."""
    return Outcome("done")


Step = Callable[[Any], Outcome]


def outside(step: Step) -> Step:
    """Mark a step that calls drivers."""
    step.where = "outside"  # type: ignore[attr-defined]
    return step


def slow(step: Step) -> Step:
    """Mark an outside step that may take longer than a lease: it gets a thread of its own, and its lease is renewed while it
    runs. What it writes in transactions of its own it fences itself, as everything that outlives a lost lease."""
    step.slow = True  # type: ignore[attr-defined]
    return outside(step)


def inside(step: Step) -> Step:
    """Mark a step that is one write transaction, `self.db`."""
    step.where = "inside"  # type: ignore[attr-defined]
    return step


class Lifecycle:
    kind: ClassVar[str]
    requests: ClassVar[dict[str, str]] = {}  # what can be asked at rest -> the step that does it
    patience: ClassVar[int] = 6  # refusals of one step before it has failed
    deadline: ClassVar[float] = 600.0  # seconds from a request until rest

    def __init__(self, cloud: Cloud, row: LifecycleRow, db: Session | None = None) -> None:
        self.cloud, self.db_or_none = cloud, db
        self.id, self.step, self.request_id = row.resource_id, row.step, row.request_id
        self.turn = Turn(row.turn)
        self.frame: dict[str, Any] = dict(row.frame)
        self.now = cloud.world.clock()

    @property
    def db(self) -> Session:
        assert self.db_or_none is not None, "an outside step has no transaction: use self.read()"
        return self.db_or_none

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """Look at rows, in an outside step. Close it before calling a driver."""
        with self.cloud.database.read() as session:
            yield session

    def part(self, kind: type[T]) -> T:
        return self.cloud.part(kind)

    @property
    def args(self) -> dict[str, Any]:
        """The arguments of the request that is being served."""
        found: dict[str, Any] = self.frame.get("request", {}).get("args", {})
        return found

    @property
    def reason(self) -> str:
        """Why it failed, for people."""
        return str(self.frame.get("reason", "unknown"))

    @property
    def ending(self) -> bool:
        return bool(self.frame.get("ending"))

    def record(
        self,
        kind: str,
        resource_type: str,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
        project_id: str | None = None,
    ) -> None:
        """Append to the change log, in an inside step."""
        origin = changes.Origin(at=self.now, request_id=self.request_id, actor_id=None, project_id=project_id)
        changes.record(self.db, origin, kind, (resource_type, self.id), before=before, after=after)

    def begin(self, kind: str, resource_id: str, **frame: Any) -> None:
        begin(self.db, self.cloud.world, kind, resource_id, request_id=self.request_id, frame=frame)

    def ask(self, kind: str, resource_id: str, request: str, **args: Any) -> bool:
        return ask(self.db, self.now, (kind, resource_id), request, request_id=self.request_id, args=args)

    # --- every lifecycle says these ------------------------------------------------------------------------------------

    def start(self) -> Outcome:
        raise NotImplementedError(f"{self.kind} has no start")

    def failed(self) -> Outcome:
        raise NotImplementedError(f"{self.kind} has no failed")

    def teardown(self) -> Outcome:
        raise NotImplementedError(f"{self.kind} has no teardown")

    def late(self) -> None:
        """Called in a write transaction when a teardown has been refused past its deadline: say so where the user
        looks. The teardown itself goes on being tried."""


def steps(kind: type[Lifecycle]) -> dict[str, str]:
    """The steps of a lifecycle and where they run."""
    return {name: member.where for name in dir(kind) if hasattr(member := getattr(kind, name), "where")}


def begin(
    session: Session, world: World, kind: str, resource_id: str, *, request_id: str, frame: dict[str, Any]
) -> None:
    """Start the lifecycle of a new resource, in the transaction that makes its row."""
    now = world.clock()
    session.info[DUE] = True
    session.add(
        LifecycleRow(
            id=world.new_id(),
            kind=kind,
            resource_id=resource_id,
            step="start",
            frame=frame,
            wake=now,
            lease=0.0,
            turn=0,
            attempts=0,
            deadline=None,
            request_id=request_id,
        )
    )


_ROWS = cast(sqlalchemy.Table, LifecycleRow.__table__)
_WAKE = (
    update(_ROWS)
    .where(_ROWS.c.kind == bindparam("its_kind"), _ROWS.c.resource_id == bindparam("of_id"))
    .values(wake=bindparam("now", type_=_ROWS.c.wake.type))
    .returning(_ROWS.c.id)
)


def ask(
    session: Session,
    now: float,
    of: tuple[str, str],
    request: str,
    *,
    request_id: str,
    args: dict[str, Any] | None = None,
) -> bool:
    """Ask something of the lifecycle `of` (kind, resource id). False when it has none (any more)."""
    session.flush()
    session.info[DUE] = True
    kind, resource_id = of
    found = session.execute(_WAKE, {"its_kind": kind, "of_id": resource_id, "now": now}).scalar()
    if found is None:
        return False
    session.add(LifecycleRequest(lifecycle_id=found, name=request, args=args or {}, request_id=request_id))
    return True
