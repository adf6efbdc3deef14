"""How many of each thing a project may have, as upstream ships it."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from tiffin.core.quota import Quota
from tiffin.services.network import tables as t

Counted = type[t.Standard] | type[t.RbacRow]


def _used(table: Counted) -> Callable[[Session, str], int]:
    query = select(func.count()).select_from(table).where(table.project_id == bindparam("project_id"))

    def count(session: Session, project_id: str) -> int:
        return session.scalar(query, {"project_id": project_id}) or 0

    return count


_LIMITS: dict[str, tuple[int, Counted]] = {
    "network": (100, t.NetworkRow),
    "subnet": (100, t.SubnetRow),
    "subnetpool": (-1, t.SubnetPoolRow),
    "port": (500, t.PortRow),
    "router": (10, t.RouterRow),
    "floatingip": (50, t.FloatingIPRow),
    "security_group": (10, t.SecurityGroupRow),
    "security_group_rule": (100, t.SecurityGroupRuleRow),
    "rbac_policy": (10, t.RbacRow),
}

QUOTAS = {name: Quota(name, limit, _used(table)) for name, (limit, table) in _LIMITS.items()}
