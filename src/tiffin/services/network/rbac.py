"""Opening an object to other projects."""

from __future__ import annotations

from sqlalchemy import delete, select

from tiffin.services.network import tables as t
from tiffin.services.network.work import Work


def open_to_all(w: Work, object_type: str, row: t.Standard, action: str) -> None:
    """Have a policy that opens this object to everybody."""
    found = select(t.RbacRow.id).where(
        t.RbacRow.object_id == row.id, t.RbacRow.action == action, t.RbacRow.target_project == "*"
    )
    if w.db.scalar(found) is None:
        w.db.add(
            t.RbacRow(
                id=w.new_id(),
                project_id=row.project_id,
                object_type=object_type,
                object_id=row.id,
                action=action,
                target_project="*",
            )
        )
        w.db.flush()


def close_to_all(w: Work, object_id: str, action: str) -> None:
    w.db.execute(
        delete(t.RbacRow).where(
            t.RbacRow.object_id == object_id, t.RbacRow.action == action, t.RbacRow.target_project == "*"
        )
    )
