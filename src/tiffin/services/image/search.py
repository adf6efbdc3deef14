"""Which images may be seen, and which of them a list asks for, as SQL."""

from __future__ import annotations

import csv
import datetime
import functools
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, or_, select, true
from sqlalchemy.orm import Session

from tiffin.core.actor import Actor
from tiffin.core.errors import BadRequest
from tiffin.core.listing import Key
from tiffin.core.sql import json_items, json_pairs
from tiffin.services.image.rules import VISIBILITIES
from tiffin.services.image.tables import ImageRow, MemberRow

COLUMNS = [*ImageRow.__table__.columns, ImageRow.owner.label("project_id")]
"""What a view and a policy target need, without loading objects."""

SORTABLE = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
MEMBER_STATUSES = ("pending", "accepted", "rejected")
_LISTS = ("id", "name", "status", "disk_format", "container_format")  # filters that know `in:`
_EQUAL = ("checksum", "owner", "os_hash_algo", "os_hash_value")
_NUMBERS = ("size", "virtual_size", "min_disk", "min_ram")
_PAGING = frozenset(
    {"limit", "marker", "sort", "sort_key", "sort_dir", "visibility", "member_status", "tag", "os_hidden"}
)


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


def listing(actor: Actor, admin: bool, query: Mapping[str, list[str]]) -> Select[Any]:
    """The images that a list with this query string shows. Raises `BadRequest` naming the parameter."""
    visibility, member_status = _last(query, "visibility"), _last(query, "member_status") or "accepted"
    if visibility not in (None, "all", *VISIBILITIES):
        raise BadRequest(f"Invalid visibility value: {visibility!r:.80}")
    if member_status not in ("all", *MEMBER_STATUSES):
        raise BadRequest(f"Invalid status: {member_status!r:.80}. It must be all, {', '.join(MEMBER_STATUSES)}.")
    hidden = ImageRow.os_hidden == _boolean("os_hidden", _last(query, "os_hidden") or "false")
    conditions = [ImageRow.status != "deleted", _listed(actor, admin, visibility, member_status), hidden]
    for name, values in query.items():
        if name == "tag":
            conditions += [_tagged(tag) for tag in values]
        elif name not in _PAGING:
            conditions.append(_filter(name, values[-1]))
    return select(*COLUMNS).where(*conditions)


def _filter(name: str, value: str) -> ColumnElement[bool]:
    column = getattr(ImageRow, name, None)
    if name in _LISTS:
        return _among(name, value)
    if name in _EQUAL:
        return _is(column == value)
    if name in _NUMBERS:
        return _is(column == _number(name, value))
    if name in ("size_min", "size_max"):
        limit = _number(name, value)
        return _is(ImageRow.size >= limit if name == "size_min" else ImageRow.size <= limit)
    if name == "protected":
        return _is(ImageRow.protected == _boolean(name, value))
    if name in ("created_at", "updated_at"):
        return _compare(name, value)
    pairs = json_pairs(ImageRow.properties).table_valued("key", "value")
    return exists(select(1).select_from(pairs).where(pairs.c.key == name, pairs.c.value == value))


def _is(condition: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = condition
    return found


def _tagged(tag: str) -> ColumnElement[bool]:
    items = json_items(ImageRow.tags).table_valued("value")
    return exists(select(1).select_from(items).where(items.c.value == tag))


def _among(name: str, value: str) -> ColumnElement[bool]:
    column = getattr(ImageRow, name)
    operator, colon, rest = value.partition(":")
    if colon and operator == "in":
        return _is(column.in_(_words(rest)))
    if colon and operator in ("eq", "neq") and name != "name":
        return _is(column == rest if operator == "eq" else column != rest)
    return _is(column == value)


def _words(text: str) -> list[str]:
    """The values of `in:`, separated by commas; one with a comma in it stands in quotation marks."""
    try:
        words = next(csv.reader([text], strict=True), [])
    except csv.Error:
        raise BadRequest(f"Invalid filter value {text!r:.80}. There is a quotation mark without its other.") from None
    if len(words) > 1000:
        raise BadRequest("A filter may have at most 1000 values.")
    return words


def _number(name: str, value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > 18:
        raise BadRequest(f"{name} must be a whole number that is not negative, not {value!r:.80}")
    return int(value)


def _boolean(name: str, value: str) -> bool:
    try:
        return {"true": True, "false": False}[value.lower()]
    except KeyError:
        raise BadRequest(f"{name} must be true or false, not {value!r:.80}") from None


_COMPARE: dict[str, Callable[[Any, float], Any]] = {
    # stored times have fractions of a second, which clients do not see
    "gt": lambda column, at: column >= at + 1,
    "gte": lambda column, at: column >= at,
    "lt": lambda column, at: column < at,
    "lte": lambda column, at: column < at + 1,
    "eq": lambda column, at: and_(column >= at, column < at + 1),
    "neq": lambda column, at: or_(column < at, column >= at + 1),
}


def _compare(name: str, value: str) -> ColumnElement[bool]:
    operator, colon, text = value.partition(":")
    if operator not in _COMPARE or not colon:
        operator, text = "eq", value
    try:
        at = datetime.datetime.fromisoformat(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(
            f"{name} must be a time in ISO 8601 with an optional operator before it, not {value!r:.80}"
        ) from None
    return _is(_COMPARE[operator](getattr(ImageRow, name), float(int(seconds))))


def _last(query: Mapping[str, list[str]], name: str) -> str | None:
    values = query.get(name)
    return values[-1] if values else None


def sorting(query: Mapping[str, list[str]]) -> list[Key]:
    """The order that a list asks for: `sort=key:dir,...` or `sort_key` and `sort_dir`, repeated. Raises `BadRequest`."""
    if "sort" in query:
        if "sort_key" in query or "sort_dir" in query:
            raise BadRequest("Old and new sorting syntax cannot be combined")
        pairs = [(p.partition(":")[0].strip(), p.partition(":")[2] or "desc") for p in query["sort"][-1].split(",")]
    else:
        keys, directions = query.get("sort_key", []), query.get("sort_dir", [])
        if len(directions) > 1 and len(directions) != len(keys):
            raise BadRequest("Number of sort dirs does not match the number of sort keys")
        direction = directions[0] if directions else "desc"
        pairs = list(zip(keys, directions, strict=True)) if len(directions) > 1 else [(k, direction) for k in keys]
        if not keys and directions:
            pairs = [("created_at", direction)]
    if len(pairs) > len(SORTABLE):
        raise BadRequest("There are more sort keys than attributes to sort by.")
    for key, direction in pairs:
        if key not in SORTABLE:
            raise BadRequest(f"Invalid sort key: {key!r:.80}. It must be one of the following: {', '.join(SORTABLE)}.")
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Invalid sort direction: {direction!r:.80}. It must be asc or desc.")
    if not pairs:
        pairs = [("created_at", "desc")]
    return [(getattr(ImageRow, key), direction == "desc") for key, direction in dict(pairs).items()]
