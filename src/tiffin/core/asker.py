"""Who asks for something in an open transaction: a request (`Call`), or the cloud itself."""

from __future__ import annotations

from typing import Any, Protocol

from sqlalchemy.orm import Session

from tiffin.core import changes, lifecycle
from tiffin.core.actor import ENGINE, Actor
from tiffin.core.world import World


class Asker(Protocol):
    """What must be known to do a thing in somebody's name."""

    request_id: str
    now: float  # seconds since the epoch

    @property
    def db(self) -> Session: ...

    @property
    def actor(self) -> Actor: ...

    def new_id(self) -> str: ...

    def record(
        self,
        kind: str,
        resource: tuple[str, str],
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None: ...

    def ask(self, kind: str, resource_id: str, request: str, **args: Any) -> None: ...


class Itself:
    """The cloud, as an administrator that no token tells of. Each is a request of its own."""

    actor = ENGINE

    def __init__(self, world: World, db: Session) -> None:
        self.db, self.now, self.new_id = db, world.clock(), world.new_id
        self.request_id = f"req-{world.new_id()}"

    def record(
        self,
        kind: str,
        resource: tuple[str, str],
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        """Append to the change log, as `Call.record`."""
        origin = changes.Origin(at=self.now, request_id=self.request_id, actor_id=self.actor.user_id, project_id=None)
        changes.record(self.db, origin, kind, resource, before=before, after=after)

    def ask(self, kind: str, resource_id: str, request: str, **args: Any) -> None:
        """Ask something of a lifecycle, as `Call.ask`."""
        lifecycle.ask(self.db, self.now, (kind, resource_id), request, request_id=self.request_id, args=args)
