"""How many of each thing a project may have, as upstream ships it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select

from tiffin.core.quota import Quota, Used
from tiffin.services.network import tables as t

Counted = type[t.Standard] | type[t.RbacRow]


def _used(table: Counted) -> Used:
    def query(owners: Any) -> Select[Any]:
        return select(func.count()).select_from(table).where(table.project_id.in_(owners))

    return Used(query)


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
