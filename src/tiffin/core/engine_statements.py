"""The statements that every step of a lifecycle runs: made once, and of tables, which costs a fraction of what classes do."""

from __future__ import annotations

from typing import Any, cast

import sqlalchemy
from sqlalchemy import Row, bindparam, case, select, update

from tiffin.core.tables import LifecycleRequest, LifecycleRow

_ROWS = cast(sqlalchemy.Table, LifecycleRow.__table__)
_REQUESTS = cast(sqlalchemy.Table, LifecycleRequest.__table__)
_NOW, _ROW_ID = bindparam("now", type_=_ROWS.c.wake.type), bindparam("row_id", type_=_ROWS.c.id.type)
DUE = select(_ROWS.c.id).where(_ROWS.c.wake <= _NOW, _ROWS.c.lease <= _NOW).limit(2)
_FIRST = DUE.order_by(_ROWS.c.wake).limit(1).with_for_update(skip_locked=True)
_NEXT, _CLOCK = LifecycleRow.turn + 1, bindparam("now_ms", type_=_ROWS.c.turn.type)
TAKE = (
    update(LifecycleRow)
    .where(LifecycleRow.id == _FIRST.scalar_subquery())
    .values(lease=bindparam("new_lease"), owner=bindparam("node"), turn=case((_NEXT > _CLOCK, _NEXT), else_=_CLOCK))
    .returning(LifecycleRow)
)
ASKED = (
    select(*(_REQUESTS.c[name] for name in ("id", "name", "args", "request_id")))
    .where(_REQUESTS.c.lifecycle_id == _ROW_ID)
    .order_by(_REQUESTS.c.id)
)
WAITING = select(_REQUESTS.c.name).where(_REQUESTS.c.lifecycle_id == _ROW_ID)
SAVE = (
    update(_ROWS)
    .where(_ROWS.c.id == _ROW_ID, _ROWS.c.turn == bindparam("its_turn"), _ROWS.c.owner == bindparam("node"))
    .values(
        {
            name: bindparam(f"new_{name}", type_=_ROWS.c[name].type)
            for name in ("step", "frame", "attempts", "deadline", "request_id", "wake", "lease", "owner")
        }
    )
)


def as_frame(asked: Row[Any]) -> dict[str, Any]:
    """A row of `ASKED` as the frame keeps it of whoever serves it."""
    return {"name": asked.name, "args": asked.args, "request_id": asked.request_id}
