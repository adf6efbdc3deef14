"""The life of a network."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from tiffin.services.network import specs
from tiffin.services.network import tables as t
from tiffin.services.network.lifecycles.agreeing import Agreeing


class NetworkLife(Agreeing):
    kind = "network.network"
    table = t.NetworkRow

    def wanted(self, session: Session) -> tuple[Any, set[str]]:
        row = session.get_one(t.NetworkRow, self.id)
        return specs.network(session, row), {row.status}

    def ensure(self, wanted: Any) -> None:
        self.backend.ensure_network(self.turn, wanted)

    def forget(self) -> None:
        self.backend.forget_network(self.turn, self.id)

    def note(self, status: str) -> None:
        self.db.get_one(t.NetworkRow, self.id).status = status
