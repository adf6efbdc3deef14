"""Limits, counted by SQL inside the transaction that uses them up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from tiffin.core.errors import OverQuota
from tiffin.core.tables import QuotaLimit


class Quota(msgspec.Struct, frozen=True):
    """A limit of one service. `used(session, owner_id)` counts what the owner (a project; a user for key pairs) has."""

    name: str
    default: int  # -1: unlimited
    used: Callable[[Session, str], int]


_LIMIT = select(QuotaLimit.hard_limit).where(
    QuotaLimit.project_id == bindparam("project_id"),
    QuotaLimit.service == bindparam("service"),
    QuotaLimit.resource == bindparam("name"),
)


def limit(session: Session, service: str, quota: Quota, project_id: str) -> int:
    own = session.scalar(_LIMIT, {"project_id": project_id, "service": service, "name": quota.name})
    return quota.default if own is None else own


def limits(session: Session, service: str, quotas: dict[str, Quota], project_id: str) -> dict[str, int]:
    """Every limit of a project, own ones over defaults."""
    own: dict[str, Any] = dict(
        session.execute(
            select(QuotaLimit.resource, QuotaLimit.hard_limit).where(
                QuotaLimit.project_id == project_id, QuotaLimit.service == service
            )
        ).all()
    )
    return {name: own.get(name, q.default) for name, q in quotas.items()}


def reserve(session: Session, service: str, quota: Quota, owner: tuple[str, str], amount: int) -> None:
    """Raise `OverQuota` unless `amount` more fits. `owner` is (project whose limit holds, id whose things are counted).

    The open write transaction keeps everybody else from counting at the same time.
    """
    if amount <= 0:
        return
    project_id, counted = owner
    most = limit(session, service, quota, project_id)
    if most < 0:
        return
    used = quota.used(session, counted)
    if used + amount > most:
        raise OverQuota(
            f"Quota exceeded for {quota.name}: Requested {amount}, but already used {used} of {most} {quota.name}",
            quota=quota.name,
            requested=amount,
            used=used,
            limit=most,
        )
