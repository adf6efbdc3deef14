"""The life of a port of a guest. A port that a router has taken is left to the router."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy.orm import Session

from tiffin.core.lifecycle import Outcome, outside, rest
from tiffin.services.network import ports, specs
from tiffin.services.network import tables as t
from tiffin.services.network.lifecycles.agreeing import Agreeing
from tiffin.services.network.work import ROUTER

TAKEN = "taken"


class PortLife(Agreeing):
    kind = "network.port"
    table = t.PortRow
    requests: ClassVar[dict[str, str]] = {"sync": "start", "look": "look"}

    def wanted(self, session: Session) -> tuple[Any, set[str]]:
        row = session.get_one(t.PortRow, self.id)
        return None if row.device_owner in ports.OWNERS else specs.port(session, row), {row.status}

    def status(self, wanted: Any) -> str:
        if wanted is None:
            return TAKEN
        return "ACTIVE" if self.backend.port_up(self.id) else "DOWN"

    def ensure(self, wanted: Any) -> None:
        self.backend.ensure_port(self.turn, wanted)

    def forget(self) -> None:
        self.backend.forget_port(self.turn, self.id)

    @outside
    def look(self) -> Outcome:
        """See whether a host has it up; asked on every hint of the backend."""
        with self.read() as session:
            row = session.get(t.PortRow, self.id)
        if row is None or row.device_owner in ports.OWNERS:
            return rest()
        return self.compare("ACTIVE" if self.backend.port_up(self.id) else "DOWN", {row.status} - {"ERROR"})

    def note(self, status: str) -> None:
        row = self.db.get_one(t.PortRow, self.id)
        if row.device_owner in ports.OWNERS:
            self.ask(ROUTER, row.device_id, "sync")  # it could not have this port while it was a guest's
        elif status != TAKEN:
            row.status = status
