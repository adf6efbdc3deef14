"""The rows of federation: who outside may say who somebody is, in which words, and what that means here."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from tiffin.core.tables import Id, LongText, Name, Table


class IdentityProvider(Table):
    """Who outside vouches for users. They live in its domain, and it goes with that domain.

    `authorization_ttl`: minutes for which a user keeps the groups of its last login; None: not beyond its token.
    """

    __tablename__ = "identity_identity_provider"
    id: Mapped[Id] = mapped_column(primary_key=True)
    domain_id: Mapped[Id] = mapped_column(ForeignKey("identity_project.id", ondelete="CASCADE"), index=True)
    enabled: Mapped[bool]
    description: Mapped[LongText | None]
    authorization_ttl: Mapped[int | None]


class RemoteId(Table):
    """A name under which an identity provider presents itself. It belongs to one provider only."""

    __tablename__ = "identity_remote_id"
    remote_id: Mapped[Name] = mapped_column(primary_key=True)
    idp_id: Mapped[Id] = mapped_column(ForeignKey("identity_identity_provider.id", ondelete="CASCADE"), index=True)


class FederationProtocol(Table):
    """How an identity provider speaks, and the mapping for what it says. The mapping may be gone meanwhile."""

    __tablename__ = "identity_federation_protocol"
    id: Mapped[Id] = mapped_column(primary_key=True)
    idp_id: Mapped[Id] = mapped_column(
        ForeignKey("identity_identity_provider.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    mapping_id: Mapped[Id]
    remote_id_attribute: Mapped[Id | None]


class Mapping(Table):
    """Rules that make users, groups and projects here out of what an identity provider says of somebody."""

    __tablename__ = "identity_mapping"
    id: Mapped[Id] = mapped_column(primary_key=True)
    rules: Mapped[list[Any]]
    schema_version: Mapped[str] = mapped_column(String(8))


class ServiceProvider(Table):
    """Another cloud that trusts what this one says of its users."""

    __tablename__ = "identity_service_provider"
    id: Mapped[Id] = mapped_column(primary_key=True)
    enabled: Mapped[bool]
    description: Mapped[LongText | None]
    auth_url: Mapped[Name]
    sp_url: Mapped[Name]
    relay_state_prefix: Mapped[Name]
