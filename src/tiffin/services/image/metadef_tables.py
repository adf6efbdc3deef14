"""The rows of the metadata definitions: which properties things may have, for people and programs that choose among them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tiffin.core.tables import Id, LongText, Name, Table, Time


class NamespaceRow(Table):
    """A group of definitions, with an owner and a visibility that hold for all of it."""

    __tablename__ = "metadef_namespace"
    __table_args__ = (
        Index("metadef_namespace_owner", "owner", "created_at"),
        Index("metadef_namespace_visibility", "visibility", "created_at"),
        Index("metadef_namespace_created", "created_at", "namespace"),
    )
    id: Mapped[Id] = mapped_column(primary_key=True)
    namespace: Mapped[Name] = mapped_column(unique=True)
    display_name: Mapped[Name | None]
    description: Mapped[LongText | None]
    visibility: Mapped[str] = mapped_column(default="private")
    protected: Mapped[bool] = mapped_column(default=False)
    owner: Mapped[Name | None]  # a project id, or any word an administrator chose
    created_at: Mapped[Time]
    updated_at: Mapped[Time]

    @property
    def project_id(self) -> str | None:
        """The owner, as policy rules call it."""
        return self.owner


class ObjectRow(Table):
    """Properties that belong together."""

    __tablename__ = "metadef_object"
    __table_args__ = (UniqueConstraint("namespace_id", "name"),)
    id: Mapped[Id] = mapped_column(primary_key=True)
    namespace_id: Mapped[Id] = mapped_column(ForeignKey("metadef_namespace.id"))
    name: Mapped[Name]
    description: Mapped[LongText | None]
    required: Mapped[list[str]]  # names of properties
    properties: Mapped[dict[str, Any]]  # definitions by name
    created_at: Mapped[Time]
    updated_at: Mapped[Time]


class PropertyRow(Table):
    """A property that belongs to no object."""

    __tablename__ = "metadef_property"
    __table_args__ = (UniqueConstraint("namespace_id", "name"),)
    id: Mapped[Id] = mapped_column(primary_key=True)
    namespace_id: Mapped[Id] = mapped_column(ForeignKey("metadef_namespace.id"))
    name: Mapped[Name]
    definition: Mapped[dict[str, Any]]  # a JSON schema, in the few words that `bodies.Definition` knows
    created_at: Mapped[Time]
    updated_at: Mapped[Time]


class TagRow(Table):
    """A word that may be put on things."""

    __tablename__ = "metadef_tag"
    __table_args__ = (UniqueConstraint("namespace_id", "name"),)
    id: Mapped[Id] = mapped_column(primary_key=True)
    namespace_id: Mapped[Id] = mapped_column(ForeignKey("metadef_namespace.id"))
    name: Mapped[Name]
    created_at: Mapped[Time]
    updated_at: Mapped[Time]


class ResourceTypeRow(Table):
    """A kind of thing that definitions may be about. It stays when the last namespace about it is gone."""

    __tablename__ = "metadef_resource_type"
    name: Mapped[Name] = mapped_column(primary_key=True)
    created_at: Mapped[Time]
    updated_at: Mapped[Time]


class AssociationRow(Table):
    """That a namespace is about things of a type, whose properties it then names with a prefix."""

    __tablename__ = "metadef_association"
    namespace_id: Mapped[Id] = mapped_column(ForeignKey("metadef_namespace.id"), primary_key=True)
    name: Mapped[Name] = mapped_column(ForeignKey("metadef_resource_type.name"), primary_key=True, index=True)
    prefix: Mapped[Name | None]
    properties_target: Mapped[Name | None]  # which of the several properties that a type has
    created_at: Mapped[Time]
    updated_at: Mapped[Time]


Part = ObjectRow | PropertyRow | TagRow | AssociationRow
PARTS: tuple[type[Part], ...] = (ObjectRow, PropertyRow, TagRow, AssociationRow)
"""All that goes with its namespace."""
