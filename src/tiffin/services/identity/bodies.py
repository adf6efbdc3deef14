"""What several request bodies of identity need, beyond their schemas."""

from __future__ import annotations

import urllib.parse
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from tiffin.core.errors import BadRequest
from tiffin.core.schema import Schema

T = TypeVar("T")
MOST_ID = 64
"""Characters of an id that the client chooses."""


def given(value: T | UnsetType) -> T | None:
    """A field's value; None for an absent field."""
    return None if value is UNSET else value


def refuse_nothing(body: Schema, kind: str) -> None:
    """Raises `BadRequest` for an update that says nothing."""
    said: dict[str, Any] = msgspec.structs.asdict(body)
    unknown = said.pop("extra", None)
    if not unknown and all(value is UNSET for value in said.values()):
        raise BadRequest(f"Invalid input for field/attribute {kind}: at least one field must be there.")


def check_chosen_id(id: str, kind: str) -> None:
    """Raises `BadRequest` for an id in a path that is too long to be stored."""
    if len(id) > MOST_ID:
        raise BadRequest(f"Invalid id of {kind}: it has {len(id)} characters; at most {MOST_ID} are accepted.")


def in_url(id: str) -> str:
    """An id that the client chose, as a segment of a path."""
    return urllib.parse.quote(id, safe="")
