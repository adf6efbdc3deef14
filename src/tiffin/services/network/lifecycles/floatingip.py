"""The life of a floating IP: known to the backend while it is associated."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from tiffin.services.network import specs
from tiffin.services.network import tables as t
from tiffin.services.network.lifecycles.agreeing import Agreeing


class FloatingIPLife(Agreeing):
    kind = "network.floatingip"
    table = t.FloatingIPRow

    def wanted(self, session: Session) -> tuple[Any, set[str]]:
        row = session.get_one(t.FloatingIPRow, self.id)
        return specs.floating_ip(session, row), {row.status}

    def status(self, wanted: Any) -> str:
        return "DOWN" if wanted is None else "ACTIVE"

    def ensure(self, wanted: Any) -> None:
        self.backend.ensure_floating_ip(self.turn, wanted)

    def forget(self) -> None:
        self.backend.forget_floating_ip(self.turn, self.id)

    def note(self, status: str) -> None:
        self.db.get_one(t.FloatingIPRow, self.id).status = status
