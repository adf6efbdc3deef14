"""The metadata definitions that every cloud begins with: names, types and values that operators and dashboards know."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.schema import ALWAYS, decode
from tiffin.core.tables import Fact
from tiffin.core.world import World
from tiffin.services.image.metadef_bodies import NamespaceIn
from tiffin.services.image.metadef_filling import Pen, fill, given
from tiffin.services.image.metadef_tables import NamespaceRow

LOADED = "metadef_catalogue"
OWNER = "admin"
"""Whose they are: upstream's word for those that came with the service."""


def loaded(session: Session) -> bool:
    """Whether the cloud has had them; what was changed or deleted since stays so."""
    return session.get(Fact, LOADED) is not None


def load(session: Session, world: World) -> None:
    """Give them to a cloud that never had them. A namespace that is there by the same name is left alone."""
    if loaded(session):
        return
    known = set(session.scalars(select(NamespaceRow.namespace)))
    for body in catalogue():
        if body.namespace not in known:
            _add(session, world, body)
    session.add(Fact(name=LOADED, value="done"))


def catalogue() -> list[NamespaceIn]:
    """All of them, as bodies of the requests that would make them."""
    shape = Annotated[list[NamespaceIn], Meta(max_length=100)]
    files = sorted(Path(__file__).parent.glob("*.json"))
    return [body for file in files for body in decode(shape, "", file.read_bytes(), ALWAYS)]


def _add(session: Session, world: World, body: NamespaceIn) -> None:
    now = world.clock()
    row = NamespaceRow(
        id=world.new_id(),
        namespace=body.namespace,
        display_name=given(body.display_name),
        description=given(body.description),
        visibility="public",
        protected=given(body.protected) or False,
        owner=OWNER,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    fill(Pen(session, world.new_id, now, row), body)
