"""How every object of this service lives: made to agree with its rows as often as they change, then forgotten."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy.orm import Session

from tiffin.core.lifecycle import Lifecycle, Outcome, done, go, inside, outside, rest
from tiffin.services.network import tables as t
from tiffin.services.network.drivers.base import NetworkBackend


class Agreeing(Lifecycle):
    """Rows first: `start` tells the backend what the rows say, as often as it is asked to `sync`. Where the row is gone,
    the object is forgotten."""

    requests: ClassVar[dict[str, str]] = {"sync": "start"}
    patience: ClassVar[int] = 30  # the backend may restart, or wait for another object to come first
    table: ClassVar[type[t.Standard]]

    def wanted(self, session: Session) -> tuple[Any, set[str]]:
        """The struct to ensure (None: nothing, forget it), and the statuses that the rows tell now."""
        raise NotImplementedError

    def status(self, wanted: Any) -> str:
        """The status once the backend agrees; it may be asked."""
        return "ACTIVE"

    def ensure(self, wanted: Any) -> None:
        raise NotImplementedError

    def forget(self) -> None:
        raise NotImplementedError

    def note(self, status: str) -> None:
        """Write the status into the rows, which are there. In a write transaction."""
        raise NotImplementedError

    @property
    def backend(self) -> NetworkBackend:
        return self.part(NetworkBackend)

    @outside
    def start(self) -> Outcome:
        with self.read() as session:
            gone = session.get(self.table, self.id) is None
            wanted, told = (None, set[str]()) if gone else self.wanted(session)
        if wanted is None:
            self.forget()
        else:
            self.ensure(wanted)
        return go("gone") if gone else self.compare(self.status(wanted), told)

    def compare(self, status: str, told: set[str]) -> Outcome:
        self.frame["status"] = status
        return go("agreed") if told - {status} else rest()

    @inside
    def agreed(self) -> Outcome:
        row = self.db.get(self.table, self.id)
        if row is not None:
            self.note(self.frame["status"])
            self.record("update", self.kind, after={"status": self.frame["status"]}, project_id=row.project_id)
        return rest()

    @inside
    def failed(self) -> Outcome:
        row = self.db.get(self.table, self.id)
        if row is not None:
            self.note("ERROR")
            self.record("error", self.kind, after={"reason": self.reason}, project_id=row.project_id)
        return rest()

    @outside
    def teardown(self) -> Outcome:
        self.forget()
        return go("gone")

    @inside
    def gone(self) -> Outcome:
        return done()
