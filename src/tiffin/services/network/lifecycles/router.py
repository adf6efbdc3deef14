"""The life of a router, with its ports."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.services.network import specs
from tiffin.services.network import tables as t
from tiffin.services.network.lifecycles.agreeing import Agreeing
from tiffin.services.network.ports import GATEWAY, INTERFACE


class RouterLife(Agreeing):
    kind = "network.router"
    table = t.RouterRow

    def wanted(self, session: Session) -> tuple[Any, set[str]]:
        row = session.get_one(t.RouterRow, self.id)
        return specs.router(session, row), {row.status, *(port.status for port in self._ports(session))}

    def _ports(self, session: Session) -> list[t.PortRow]:
        mine = (t.PortRow.device_id == self.id, t.PortRow.device_owner.in_((INTERFACE, GATEWAY)))
        return list(session.scalars(select(t.PortRow).where(*mine)))

    def ensure(self, wanted: Any) -> None:
        self.backend.ensure_router(self.turn, wanted)

    def forget(self) -> None:
        self.backend.forget_router(self.turn, self.id)

    def note(self, status: str) -> None:
        self.db.get_one(t.RouterRow, self.id).status = status
        for port in self._ports(self.db):
            port.status = status
