"""Who asks for something in an open transaction: a request (`Call`), or the cloud itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from sqlalchemy.orm import Session

from tiffin.core import changes, lifecycle
from tiffin.core.actor import ENGINE, Actor
from tiffin.core.world import World


class Asker(ABC):
    """What must be known to do a thing in somebody's name."""

    request_id: str
    now: float  # seconds since the epoch

    @property
    @abstractmethod
    def db(self) -> Session:
        """The open transaction."""

    @property
    @abstractmethod
    def actor(self) -> Actor: ...

    @property
    @abstractmethod
    def origin(self) -> changes.Origin: ...

    @abstractmethod
    def new_id(self) -> str: ...

    def record(
        self,
        kind: str,
        resource: tuple[str, str],
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
    ) -> None:
        """Append to the change log; `resource` is (type, id), such as ("compute.server", id)."""
        changes.record(self.db, self.origin, kind, resource, before=before, after=after)

    def ask(self, kind: str, resource_id: str, request: str, **args: Any) -> None:
        """Ask something of a lifecycle; it is done after this transaction has committed."""
        lifecycle.ask(self.db, self.now, (kind, resource_id), request, request_id=self.request_id, args=args)


class Itself(Asker):
    """The cloud, as an administrator that no token tells of. Each is a request of its own."""

    def __init__(self, world: World, db: Session) -> None:
        self._world, self._db, self.now = world, db, world.clock()
        self.request_id = f"req-{world.new_id()}"

    @property
    def db(self) -> Session:
        return self._db

    @property
    def actor(self) -> Actor:
        return ENGINE

    @property
    def origin(self) -> changes.Origin:
        return changes.Origin(at=self.now, request_id=self.request_id, actor_id=ENGINE.user_id, project_id=None)

    def new_id(self) -> str:
        return self._world.new_id()
