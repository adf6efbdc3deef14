"""How operations find a provider and guard its generation."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from sqlalchemy.orm import Session

from tiffin.core.errors import Conflict, NotFound
from tiffin.services.placement import tables as t
from tiffin.services.placement.query import UUID

CONCURRENT_UPDATE = "placement.concurrent_update"

Uuid = Annotated[str, Meta(pattern=rf"^{UUID}\Z", max_length=36)]
Generation = Annotated[int, Meta(ge=0, le=2**63 - 1)]

ANY = "rule:admin_or_service_api"
"""The default check of nearly every operation."""


def find(session: Session, uuid: str) -> t.ResourceProvider:
    """Raises `NotFound`."""
    row = session.get(t.ResourceProvider, uuid)
    if row is None:
        raise NotFound(f"No resource provider with uuid {uuid} found.", code="placement.resource_provider.not_found")
    return row


def at_generation(session: Session, uuid: str, generation: int | None) -> t.ResourceProvider:
    """The provider, if it is still as the client saw it; None asks for no guard. Raises `Conflict`, `NotFound`."""
    row = find(session, uuid)
    if generation is not None and row.generation != generation:
        raise Conflict(
            f"Resource provider {uuid} has generation {row.generation}, not {generation}: it was changed by another. "
            "Look at it and try again.",
            code=CONCURRENT_UPDATE,
        )
    return row
