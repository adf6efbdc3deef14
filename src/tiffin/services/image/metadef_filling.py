"""Filling namespaces of metadata definitions, and emptying them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple, TypeVar

from msgspec import UnsetType
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import Conflict, Forbidden, TooLarge
from tiffin.core.policy import Target
from tiffin.core.sql import listed
from tiffin.services.image.metadef_bodies import (
    MOST,
    AssociationPart,
    Definition,
    NamespaceIn,
    ObjectPart,
    definition,
    definitions,
)
from tiffin.services.image.metadef_tables import (
    PARTS,
    AssociationRow,
    NamespaceRow,
    ObjectRow,
    Part,
    PropertyRow,
    ResourceTypeRow,
    TagRow,
)
from tiffin.services.image.metadefs import WORDS

T = TypeVar("T")



class Pen(NamedTuple):
    """What it takes to write parts into a namespace."""

    session: Session
    new_id: Callable[[], str]
    now: float
    namespace: NamespaceRow

    def common(self, name: str) -> dict[str, Any]:
        """What all parts have."""
        return {"namespace_id": self.namespace.id, "name": name, "created_at": self.now, "updated_at": self.now}


def pen(call: Call, namespace: NamespaceRow) -> Pen:
    """What a request writes with."""
    return Pen(call.db, call.new_id, call.now, namespace)


def given(value: T | UnsetType) -> T | None:
    """What a body says, or None where it says nothing."""
    return None if isinstance(value, UnsetType) else value


def add_object(pen: Pen, body: ObjectPart) -> ObjectRow:
    """A new object. Raises `BadRequest` when its definitions are too long."""
    row = ObjectRow(
        id=pen.new_id(),
        description=given(body.description),
        required=given(body.required) or [],
        properties=definitions(body.name, body.properties),
        **pen.common(body.name),
    )
    pen.session.add(row)
    return row


def add_property(pen: Pen, name: str, body: Definition) -> PropertyRow:
    """A new property. Raises `BadRequest` when its definition is too long."""
    row = PropertyRow(id=pen.new_id(), definition=definition(body), **pen.common(name))
    pen.session.add(row)
    return row


def add_tag(pen: Pen, name: str) -> TagRow:
    """A new tag."""
    row = TagRow(id=pen.new_id(), **pen.common(name))
    pen.session.add(row)
    return row


def associate(pen: Pen, bodies: Collection[AssociationPart]) -> list[AssociationRow]:
    """Say what a namespace is about; a type that nobody spoke of before is made."""
    names = {body.name for body in bodies}
    known = set(pen.session.scalars(select(ResourceTypeRow.name).where(ResourceTypeRow.name.in_(listed(names)))))
    pen.session.add_all(
        ResourceTypeRow(name=name, created_at=pen.now, updated_at=pen.now) for name in sorted(names - known)
    )
    pen.session.flush()  # what refers to a type comes after it
    rows = [
        AssociationRow(
            prefix=given(body.prefix), properties_target=given(body.properties_target), **pen.common(body.name)
        )
        for body in bodies
    ]
    pen.session.add_all(rows)
    return rows


def fill(pen: Pen, body: NamespaceIn) -> None:
    """Put all that a body has into a new namespace. Raises `Conflict` for what it has twice."""
    found = given(body.resource_type_associations) or []
    objects, tags = given(body.objects) or [], given(body.tags) or []
    check_twice("resource type association", [association.name for association in found])
    check_twice("object", [each.name for each in objects])
    check_twice("tag", [tag.name for tag in tags])
    pen.session.flush()  # parts refer to the namespace
    if found:
        associate(pen, found)
    for each in objects:
        add_object(pen, each)
    for tag in tags:
        add_tag(pen, tag.name)
    for name, each_property in (given(body.properties) or {}).items():
        add_property(pen, name, each_property)


def check_twice(word: str, names: list[str]) -> None:
    """Raises `Conflict` when a body has two parts of one name."""
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise Conflict(f"The {word} {twice} is there more than once.")


def check_free(session: Session, kind: type[Part], namespace: NamespaceRow, names: Collection[str]) -> None:
    """Raises `Conflict` when one of the names is taken, and `TooLarge` when that many more do not fit."""
    mine = kind.namespace_id == namespace.id
    taken = session.scalar(select(kind.name).where(mine, kind.name.in_(listed(names))).limit(1))
    if taken is not None:
        raise Conflict(f"There is a {WORDS[kind]} named {taken} in the namespace {namespace.namespace} already.")
    if (session.scalar(select(func.count()).select_from(kind).where(mine)) or 0) + len(names) > MOST:
        raise TooLarge(f"A namespace may have at most {MOST} of a kind. Delete some, or make another namespace.")


def check_renamed(call: Call, row: ObjectRow | PropertyRow | TagRow, name: str) -> None:
    """Raises `Conflict` when a part is to have the name of another one."""
    kind = type(row)
    if name != row.name:
        taken = select(kind.id).where(kind.namespace_id == row.namespace_id, kind.name == name)
        if call.db.scalar(taken) is not None:
            raise Conflict(f"There is a {WORDS[kind]} named {name} in the namespace already.")


def check_deletable(call: Call) -> None:
    """Raises `Forbidden` when the namespace of the subject is protected: nothing of it may be deleted then."""
    subject = call.subject
    namespace: NamespaceRow = subject["within"] if isinstance(subject, Target) else subject
    if namespace.protected:
        raise Forbidden(f"The namespace {namespace.namespace} is protected: neither it nor its parts can be deleted.")


def empty(session: Session, kind: type[Part], namespace: NamespaceRow) -> None:
    """Delete all parts of a kind."""
    session.execute(delete(kind).where(kind.namespace_id == namespace.id))


def remove(session: Session, namespace: NamespaceRow) -> None:
    """Delete a namespace with all that is in it."""
    for kind in PARTS:
        empty(session, kind, namespace)
    session.delete(namespace)
