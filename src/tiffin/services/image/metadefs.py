"""Metadata definitions in SQL: who sees which namespace, and what is in it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, bindparam, or_, select, true
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.listing import Key, limit_of, page
from tiffin.core.policy import Target
from tiffin.core.resource import Page
from tiffin.services.image.metadef_bodies import MOST
from tiffin.services.image.metadef_tables import (
    AssociationRow,
    NamespaceRow,
    ObjectRow,
    Part,
    PropertyRow,
    TagRow,
)

ADMIN = "rule:metadef_admin"
SEEN = "rule:context_is_admin or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"
RULES = (("metadef_default", ""), ("metadef_admin", "rule:context_is_admin"))
"""What the rules of operations refer to, and operators' files."""
SEE = ("get_metadef_namespace", SEEN)
DELETE = ("delete_metadef_namespace", ADMIN)
"""Also what it takes to delete all parts of a kind."""
SORTABLE = ("name", "created_at", "updated_at")

Named = ObjectRow | TagRow
Row = TypeVar("Row", bound=Part)


def visible(project: Any, admin: bool) -> ColumnElement[bool]:
    """The namespaces that a project may see: public ones, and its own. An administrator sees all."""
    if admin:
        return true()
    return or_(NamespaceRow.visibility == "public", NamespaceRow.owner == project)


@functools.cache
def _one(admin: bool) -> Select[NamespaceRow]:
    seen = visible(bindparam("project"), admin)
    return select(NamespaceRow).where(NamespaceRow.namespace == bindparam("name"), seen)


def find(call: Call, namespace: str, **_: Any) -> NamespaceRow:
    """The namespace of this name. Raises `NotFound` when the actor may not see it."""
    statement = _one(call.allows("context_is_admin"))
    row = call.db.scalar(statement, {"name": namespace, "project": call.actor.project_id or ""})
    if row is None or not call.allows(SEE[0], Target(row)):
        raise NotFound(f"Namespace {namespace} not found")
    return row


def target(namespace: NamespaceRow, row: Part | None = None) -> Target:
    """A part of a namespace as policies see it: whose the namespace is, they go by."""
    return Target(row, project_id=namespace.owner, visibility=namespace.visibility, within=namespace)


def within(call: Call, namespace: str, **_: Any) -> Target:
    """The namespace as the target of what is about all of its parts, or about a new one."""
    return target(find(call, namespace))


def of(kind: type[Row]) -> Callable[..., Target]:
    """The same for what is about one part."""

    def about(call: Call, namespace: str, name: str, **_: Any) -> Target:
        found = find(call, namespace)
        return target(found, part(call.db, kind, found, name))

    return about


def part(session: Session, kind: type[Row], namespace: NamespaceRow, name: str) -> Row:
    """Raises `NotFound`."""
    row = session.scalar(select(kind).where(kind.namespace_id == namespace.id, kind.name == name))
    if row is None:
        raise NotFound(f"There is no {WORDS[kind]} named {name} in the namespace {namespace.namespace}.")
    return row


WORDS: dict[type[Any], str] = {
    ObjectRow: "object",
    PropertyRow: "property",
    TagRow: "tag",
    AssociationRow: "resource type association",
}


@functools.cache
def _parts(kind: type[Part]) -> Select[Any]:
    return select(*kind.__table__.columns).where(kind.namespace_id == bindparam("id")).order_by(kind.name)


def parts(session: Session, kind: type[Part], namespace: NamespaceRow) -> list[Any]:
    """All parts of a kind, by name, to be shown."""
    return list(session.execute(_parts(kind), {"id": namespace.id}))


def listing(call: Call, kind: type[Named], namespace: NamespaceRow) -> Page:
    """The parts of a kind that the query string asks for. Raises `BadRequest` and, for the marker, `NotFound`."""
    marker = call.param("marker")
    return page(
        call.db,
        select(*kind.__table__.columns).where(kind.namespace_id == namespace.id),
        sorting(call, kind, SORTABLE),
        kind.id,
        limit=limit_of(call.param("limit"), MOST),
        marker=part(call.db, kind, namespace, marker).id if marker else None,
    )


def sorting(call: Call, kind: type[Named | NamespaceRow], keys: Collection[str]) -> list[Key]:
    """The order that a list asks for, and then by name; the newest first if it does not say. Raises `BadRequest`."""
    key, direction = call.param("sort_key") or "created_at", call.param("sort_dir") or "desc"
    if key not in keys:
        raise BadRequest(f"Invalid sort key: {key!r:.80}. It must be one of the following: {', '.join(keys)}.")
    if direction not in ("asc", "desc"):
        raise BadRequest(f"Invalid sort direction: {direction!r:.80}. It must be asc or desc.")
    name = "namespace" if kind is NamespaceRow else "name"
    found: list[Key] = [(getattr(kind, key), direction == "desc")]
    return found if key == name else [*found, (getattr(kind, name), False)]
