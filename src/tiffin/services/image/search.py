"""Which images may be seen, and which of them a list asks for, as SQL. What filters mean is in filters.py."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, bindparam, cast, exists, or_, select, true
from sqlalchemy.orm import Session

from tiffin.core.actor import Actor
from tiffin.core.errors import BadRequest
from tiffin.core.listing import Key
from tiffin.core.policy import Target
from tiffin.services.image import filters
from tiffin.services.image.rules import VISIBILITIES
from tiffin.services.image.shown import JSON, PARTS
from tiffin.services.image.tables import ImageRow, MemberRow

_TABLE = ImageRow.__table__.columns
COLUMNS = [
    *(cast(_TABLE[name], Text).label(name) if name in JSON else _TABLE[name] for name in PARTS),
    _TABLE["owner"].label("project_id"),
]
"""What a view and a policy target need, without loading objects; lists and properties as the JSON that they are kept as."""

SORTABLE = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
MEMBER_STATUSES = ("pending", "accepted", "rejected", "all")


def is_image(row: Any) -> bool:
    """Whether this is an image, as an object or as a row of `COLUMNS`."""
    return hasattr(row, "os_hidden")


def target(row: Any, actor: Actor) -> Target:
    """Whose thing an image is, with the actor as its member where they do not own it."""
    return Target(row, member_id=actor.project_id if row.owner != actor.project_id else None)


def _shared_with(project_id: str | Any, status: str | None = None) -> ColumnElement[bool]:
    member = [MemberRow.image_id == ImageRow.id, MemberRow.member_id == project_id]
    return exists().where(*member, *([MemberRow.status == status] if status else []))


def visible(project: str | Any, admin: bool) -> ColumnElement[bool]:
    """The images that a project may see when it names one: its own, public and community ones, and what is shared with it,
    accepted or not. An administrator sees all."""
    if admin:
        return ImageRow.status != "deleted"
    shared = and_(ImageRow.visibility == "shared", _shared_with(project))
    seen = or_(ImageRow.owner == project, ImageRow.visibility.in_(("public", "community")), shared)
    return and_(ImageRow.status != "deleted", seen)


@functools.cache
def _one(admin: bool) -> Select[Any]:
    return select(*COLUMNS).where(ImageRow.id == bindparam("id"), visible(bindparam("project"), admin))


def one(session: Session, actor: Actor, admin: bool, image_id: str) -> Any:
    """The image if the actor may see it, as a row of `COLUMNS`; None if not."""
    return session.execute(_one(admin), {"id": image_id, "project": actor.project_id or ""}).first()


def loaded(session: Session, actor: Actor, admin: bool, image_id: str) -> ImageRow | None:
    """The same as an object, to be changed."""
    seen = visible(actor.project_id or "", admin)
    return session.scalar(select(ImageRow).where(ImageRow.id == image_id, seen))


def held(session: Session, image_id: str) -> ImageRow | None:
    """The image as it is now, which nobody else changes until this transaction ends; None if it is gone. Tags and properties
    are changed as a whole, so that who does not hold the row might undo what another just did."""
    statement = select(ImageRow).where(ImageRow.id == image_id, ImageRow.status != "deleted").with_for_update()
    return session.scalar(statement.execution_options(populate_existing=True))


def _listed(actor: Actor, admin: bool, visibility: str | None, member_status: str) -> ColumnElement[bool]:
    """What a list shows: community images of others and shares that were not accepted only when they are asked for."""
    project = actor.project_id or ""
    own = ImageRow.owner == project
    if admin:
        seen: ColumnElement[bool] = true()
    else:
        shared = _shared_with(project, None if member_status == "all" else member_status)
        seen = or_(own, ImageRow.visibility.in_(("public", "community")), and_(ImageRow.visibility == "shared", shared))
    if visibility is None:
        return and_(seen, or_(own, ImageRow.visibility != "community"))
    return seen if visibility == "all" else and_(seen, ImageRow.visibility == visibility)


def listing(
    actor: Actor, admin: bool, query: Mapping[str, list[str]], readable: Callable[[str], bool]
) -> Select[Any]:
    """The images that a list with this query string shows. `readable`: whether the actor may see a property of this name.
    Raises `BadRequest` naming the parameter."""
    visibility, member_status = filters.last(query, "visibility"), filters.last(query, "member_status") or "accepted"
    if visibility not in (None, "all", *VISIBILITIES):
        raise BadRequest(f"Invalid visibility value: {visibility:.80}")
    if member_status not in MEMBER_STATUSES:
        raise BadRequest(f"Invalid status: {member_status:.80}. It must be one of: {', '.join(MEMBER_STATUSES)}.")
    shown = _listed(actor, admin, visibility, member_status)
    return select(*COLUMNS).where(ImageRow.status != "deleted", shown, *filters.conditions(query, readable))


def check_marker(session: Session, actor: Actor, admin: bool, marker: str) -> None:
    """Raises `BadRequest` for a marker that is no image, or none that the actor may know of."""
    if one(session, actor, admin, marker) is None:
        raise BadRequest(f"No image found with ID {marker:.80}: the marker must be an image.")


def sorting(query: Mapping[str, list[str]]) -> list[Key]:
    """The order that a list asks for: `sort=key:dir,...` or `sort_key` and `sort_dir`, repeated; then the time of making and
    the id. Raises `BadRequest`."""
    if "sort" in query:
        if "sort_key" in query or "sort_dir" in query:
            raise BadRequest("Old and new sorting syntax cannot be combined")
        words = [word.partition(":") for word in query["sort"][-1].strip().split(",")]
        pairs = [(key.strip(), direction.strip() or "desc") for key, _, direction in words]
        last = pairs[0][1] if len(pairs) == 1 else "desc"
    else:
        keys = [key.strip() for key in query.get("sort_key", [])]
        directions = [direction.strip() for direction in query.get("sort_dir", [])]
        if len(directions) > 1 and len(directions) != len(keys):
            raise BadRequest("Number of sort dirs does not match the number of sort keys")
        last = directions[0] if len(directions) == 1 else "desc"
        _check_directions(directions)
        pairs = list(zip(keys, directions if len(directions) > 1 else [last] * len(keys), strict=True))
    if len(pairs) > len(SORTABLE):
        raise BadRequest("There are more sort keys than attributes to sort by.")
    _check_directions([direction for _, direction in pairs])
    for key, _ in pairs:
        if key not in SORTABLE:
            raise BadRequest(f"Invalid sort key: {key:.80}. It must be one of the following: {', '.join(SORTABLE)}.")
    order: dict[str, str] = {}
    for key, direction in [*pairs, ("created_at", last), ("id", last)]:
        order.setdefault(key, direction)
    return [(getattr(ImageRow, key), direction == "desc") for key, direction in order.items()]


def _check_directions(directions: list[str]) -> None:
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Invalid sort direction: {direction:.80}. It must be asc or desc.")
