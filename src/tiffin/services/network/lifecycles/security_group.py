"""The life of a security group. It has no status: a failure stands in the change log."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from tiffin.services.network import specs
from tiffin.services.network import tables as t
from tiffin.services.network.lifecycles.agreeing import Agreeing


class SecurityGroupLife(Agreeing):
    kind = "network.security_group"
    table = t.SecurityGroupRow

    def wanted(self, session: Session) -> tuple[Any, set[str]]:
        return specs.security_group(session, session.get_one(t.SecurityGroupRow, self.id)), set()

    def ensure(self, wanted: Any) -> None:
        self.backend.ensure_security_group(self.turn, wanted)

    def forget(self) -> None:
        self.backend.forget_security_group(self.turn, self.id)

    def note(self, status: str) -> None:
        """There is nowhere to write it."""
