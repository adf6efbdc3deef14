"""The words that the resources of the catalogue share."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest

ADMIN = "rule:admin_required"
READ = "rule:admin_required or (role:reader and system_scope:all)"
RegionId = Annotated[str, Meta(min_length=1, max_length=255)]
Url = Annotated[str, Meta(max_length=225, pattern="^[a-zA-Z0-9+.-]+:.+")]
Interface = Literal["admin", "internal", "public"]
INTERFACES = ("admin", "internal", "public")


def refuse_other_filters(call: Call, known: str) -> None:
    """Raises `BadRequest` for a query that has more than this one filter: lists of which upstream's schema is strict."""
    for word, values in call.query.items():
        if word != known:
            raise BadRequest(f"Invalid input for query parameters: {word[:64]!r} was unexpected; known: {known}.")
        if not values[-1].strip() or len(values[-1]) > 255:
            raise BadRequest(f"Invalid input for query parameter {known}: 1 to 255 characters are expected.")
