"""A piece of work on the rows: an open write transaction, when, and on whose request."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy.orm import Session

from tiffin.core import changes, lifecycle
from tiffin.core.call import Call
from tiffin.core.cloud import Cloud
from tiffin.core.world import World

NETWORK, PORT, ROUTER = "network.network", "network.port", "network.router"
FLOATING_IP, SECURITY_GROUP = "network.floatingip", "network.security_group"


class Work(msgspec.Struct, frozen=True):
    db: Session
    now: float
    request_id: str
    cloud: Cloud | None = None  # without it nothing new is made
    actor_id: str | None = None

    def new_id(self) -> str:
        return self.made_with().new_id()

    def made_with(self) -> World:
        """Where new ids and randomness come from."""
        return self._cloud.world

    @property
    def _cloud(self) -> Cloud:
        assert self.cloud is not None, "this work makes nothing new"
        return self.cloud

    def reserve(self, name: str, project_id: str, amount: int = 1) -> None:
        """Raises `OverQuota` unless this many more fit into the project."""
        self._cloud.quotas("network").reserve(self.db, name, (project_id, project_id), amount)

    def record(self, kind: str, resource: tuple[str, str], project_id: str, **pictures: dict[str, Any] | None) -> None:
        """Append to the change log; `pictures` are `before` and `after`."""
        origin = changes.Origin(
            at=self.now, request_id=self.request_id, actor_id=self.actor_id, project_id=project_id or None
        )
        changes.record(self.db, origin, kind, resource, **pictures)

    def realise(self, kind: str, id: str) -> None:
        """Have the engine that moves packets made to agree with the rows of this object."""
        if not lifecycle.ask(self.db, self.now, (kind, id), "sync", request_id=self.request_id):
            self.begin(kind, id)

    def begin(self, kind: str, id: str) -> None:
        """The same for an object that was made in this very transaction."""
        lifecycle.begin(self.db, self.made_with(), kind, id, request_id=self.request_id, frame={})

    def forget(self, kind: str, id: str) -> None:
        """Have it forgotten there; its row is gone."""
        lifecycle.ask(self.db, self.now, (kind, id), lifecycle.DELETE, request_id=self.request_id)


def of(call: Call) -> Work:
    """The work of a request."""
    return Work(call.db, call.now, call.request_id, call.cloud, call.actor.user_id)
