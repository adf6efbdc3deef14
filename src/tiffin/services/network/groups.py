"""The security groups of a project and of its ports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, delete, or_, select

from tiffin.services.network import faults
from tiffin.services.network import tables as t
from tiffin.services.network.work import SECURITY_GROUP, Work

_DEFAULT = select(t.DefaultGroupRow.group_id).where(t.DefaultGroupRow.project_id == bindparam("project_id"))


def default_group(w: Work, project_id: str) -> str:
    """The default group of a project; it comes to be when it is first asked for."""
    known = w.db.scalar(_DEFAULT, {"project_id": project_id})
    if known is not None:
        return known
    row = t.SecurityGroupRow(
        **_stamps(w, project_id, "default", "Default security group"), is_default=True, stateful=True
    )
    w.db.add(row)
    w.db.flush()
    add_rules(w, row, [(d, e, row.id if d == "ingress" else None) for d in ("egress", "ingress") for e in ETHERTYPES])
    w.db.add(t.DefaultGroupRow(project_id=project_id, group_id=row.id))
    w.db.flush()
    w.record("create", ("network.security_group", row.id), project_id)
    w.begin(SECURITY_GROUP, row.id)
    return row.id


ETHERTYPES = ("IPv4", "IPv6")


def add_rules(w: Work, group: t.SecurityGroupRow, wanted: Iterable[tuple[str, str, str | None]]) -> None:
    """Rules by (direction, ethertype, remote group) for any protocol."""
    for direction, ethertype, remote in wanted:
        rule = t.SecurityGroupRuleRow(
            **_stamps(w, group.project_id),
            group_id=group.id,
            direction=direction,
            ethertype=ethertype,
            remote_group_id=remote,
        )
        w.db.add(rule)
    w.db.flush()


def _stamps(w: Work, project_id: str, name: str = "", description: str = "") -> dict[str, Any]:
    return {
        "id": w.new_id(),
        "project_id": project_id,
        "created_at": w.now,
        "updated_at": w.now,
        "revision_number": 0,
        "name": name,
        "description": description,
    }


def check_usable(w: Work, project_id: str, group_ids: Sequence[str], *, any_project: bool = False) -> list[str]:
    """These groups, once each. Raises `NotFound` for one that the project may not use."""
    wanted = list(dict.fromkeys(group_ids))
    if not wanted:
        return []
    query = select(t.SecurityGroupRow.id).where(t.SecurityGroupRow.id.in_(wanted))
    if not any_project:
        shared = select(t.RbacRow.object_id).where(
            t.RbacRow.action == "access_as_shared", t.RbacRow.target_project.in_((project_id, "*"))
        )
        query = query.where(or_(t.SecurityGroupRow.project_id == project_id, t.SecurityGroupRow.id.in_(shared)))
    usable = set(w.db.scalars(query))
    for id in wanted:
        if id not in usable:
            raise faults.missing("security_group", id)
    return wanted


def set_groups(w: Work, port_id: str, group_ids: Iterable[str]) -> None:
    """The port is a member of exactly these groups."""
    w.db.execute(delete(t.PortGroupRow).where(t.PortGroupRow.port_id == port_id))
    w.db.add_all([t.PortGroupRow(port_id=port_id, group_id=id) for id in group_ids])
    w.db.flush()


def of_port(w: Work, port_id: str) -> list[str]:
    return list(w.db.scalars(select(t.PortGroupRow.group_id).where(t.PortGroupRow.port_id == port_id)))
