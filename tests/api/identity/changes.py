"""What the change log says of one thing."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from support import TestCloud
from tiffin.core.tables import Change


def changes_of(cloud: TestCloud, type: str, id: str) -> Sequence[Change]:
    """In the order in which they happened."""
    mine = select(Change).where(Change.resource_type == type, Change.resource_id == id).order_by(Change.sequence)
    with cloud.cloud.database.read() as session:
        return session.scalars(mine).all()
