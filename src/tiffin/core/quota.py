"""Limits, counted by SQL inside the transaction that uses them up.

A service keeps its limits itself, by its own quota API, or reads those that the identity service keeps for all services, as
its operator sets `quotas` in the table of the service.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, Protocol

import msgspec
from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from tiffin.core.errors import OverQuota
from tiffin.core.tables import QuotaLimit

Kept = Literal["own", "unified"]
"""Where a service's limits are: in its own quota API, or among the unified limits of the identity service."""
Owners = Any
"""Whose things are counted: one id, or a statement that gives ids."""
UNLIMITED = -1


class Quota(msgspec.Struct, frozen=True):
    """A limit of one service. `used(session, owners)` counts what the owner (a project; a user for key pairs) has."""

    name: str
    default: int  # -1: unlimited
    used: Callable[[Session, Owners], int]
    unified: str = ""  # its name among the unified limits, where that is another
    by_project: bool = True  # whether a unified limit of one project counts, or the registered one only
    required: bool = True  # what has no registered unified limit may not be had at all; False: any number of it

    @property
    def unified_name(self) -> str:
        return self.unified or self.name


class Used:
    """Counts by one statement. `query(owners)` gives it, with a single number; `owners` stands in its `in_`."""

    def __init__(self, query: Callable[[Any], Select[Any]]) -> None:
        self._query, self._one = query, query([bindparam("owner")])

    def __call__(self, session: Session, owners: Owners) -> int:
        if isinstance(owners, str):
            return session.scalar(self._one, {"owner": owners}) or 0
        return session.scalar(self._query(owners)) or 0


class Bound(msgspec.Struct, frozen=True):
    """These owners together may have at most this many."""

    most: int  # -1: any number
    owners: Owners


class Unified(msgspec.Struct, frozen=True):
    """What the unified limits say of one resource."""

    default: int  # as it is registered
    bounds: tuple[Bound, ...]  # all of them hold; the project's own comes first


class UnifiedLimits(Protocol):
    """The limits of all services in one place. `main.py` says who keeps them."""

    def find(
        self, session: Session, service: str, names: Collection[str], project_id: str | None
    ) -> Mapping[str, Unified]:
        """Those of a service (by its type) for a project, by name; what is not registered is not among them."""


class Quotas:
    """The quotas of one service, with the limits that its operator wants to count."""

    def __init__(self, service: str, quotas: Mapping[str, Quota], unified: UnifiedLimits | None = None) -> None:
        self.service, self.quotas, self.unified = service, quotas, unified

    def room(self, session: Session, name: str, project_id: str) -> int | None:
        """How many more fit into a project, less than nothing where too many are there; None: any number."""
        quota = self.quotas[name]
        bounds = self._find(session, quota, (project_id, project_id)).bounds
        return min((b.most - quota.used(session, b.owners) for b in bounds if b.most >= 0), default=None)

    def limits(self, session: Session, project_id: str) -> dict[str, int]:
        """Every limit of a project, own ones over defaults."""
        if self.unified is not None:
            found = self._unified(session, project_id)
            return {name: _most(q, found.get(q.unified_name)) for name, q in self.quotas.items()}
        own: dict[str, Any] = dict(
            session.execute(
                select(QuotaLimit.resource, QuotaLimit.hard_limit).where(
                    QuotaLimit.project_id == project_id, QuotaLimit.service == self.service
                )
            ).all()
        )
        return {name: own.get(name, q.default) for name, q in self.quotas.items()}

    def defaults(self, session: Session) -> dict[str, int]:
        """Every limit of a project that has none of its own."""
        if self.unified is None:
            return {name: q.default for name, q in self.quotas.items()}
        found = self._unified(session, None)
        return {name: _most(q, found.get(q.unified_name)) for name, q in self.quotas.items()}

    def reserve(self, session: Session, name: str, owner: tuple[str, str], amount: int) -> None:
        """Raise `OverQuota` unless `amount` more fits. `owner` is (project whose limit holds, id whose things are counted).

        It holds until the open write transaction ends, since no other writer is beside it.
        """
        if amount <= 0:
            return
        quota = self.quotas[name]
        found = self._find(session, quota, owner)
        bounds = [bound for bound in found.bounds if bound.most >= 0]
        for bound in bounds:
            used = quota.used(session, bound.owners)
            if used + amount > bound.most:
                raise OverQuota(
                    f"Quota exceeded for {name}: Requested {amount}, but already used {used} of {bound.most} {name}",
                    quota=name,
                    requested=amount,
                    used=used,
                    limit=bound.most,
                )

    def _find(self, session: Session, quota: Quota, owner: tuple[str, str]) -> Unified:
        """The limits that hold for the owner, wherever they are kept."""
        project_id, counted = owner
        if self.unified is not None:
            project = project_id if quota.by_project else None
            found = self.unified.find(session, self.service, [quota.unified_name], project).get(quota.unified_name)
            if found is not None and quota.by_project:
                return found
            most = _most(quota, found)
        else:
            own = session.scalar(_LIMIT, {"project_id": project_id, "service": self.service, "name": quota.name})
            most = quota.default if own is None else own
        return Unified(quota.default, (Bound(most, counted),))

    def _unified(self, session: Session, project_id: str | None) -> Mapping[str, Unified]:
        assert self.unified is not None
        names = [quota.unified_name for quota in self.quotas.values()]
        return self.unified.find(session, self.service, names, project_id)


def _most(quota: Quota, found: Unified | None) -> int:
    """What the unified limits allow one project."""
    if found is None:
        return 0 if quota.required else UNLIMITED
    return found.bounds[0].most if quota.by_project else found.default


_LIMIT = select(QuotaLimit.hard_limit).where(
    QuotaLimit.project_id == bindparam("project_id"),
    QuotaLimit.service == bindparam("service"),
    QuotaLimit.resource == bindparam("name"),
)
