"""Every row of identity. They stand together because authorisation joins them all, and because what only checks tokens
must not import the API's operations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, UniqueConstraint, false, text, true
from sqlalchemy.orm import Mapped, mapped_column

from tiffin.core.tables import ENCRYPTED, SECRET, Big, Id, LongText, Name, Table, Time


def _owned(table: str, **more: Any) -> Any:
    """A foreign key: the row dies with the one it belongs to."""
    return mapped_column(ForeignKey(f"{table}.id", ondelete="CASCADE"), **more)


class Epoch(Table):
    """One row that counts the changes which may alter who is allowed what. Each process drops what it remembers of tokens
    when the number moves, so that a revocation holds everywhere at once."""

    __tablename__ = "identity_epoch"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[Big]


class Project(Table):
    """A project, or a domain (`is_domain`): upstream shows domains as projects too.

    `generation` counts the times it was disabled: tokens of an earlier generation are dead for good.
    """

    __tablename__ = "identity_project"
    __table_args__ = (
        UniqueConstraint("domain_id", "name"),
        # SQLite uses it for a query only if that says the same in the same words
        Index("identity_domain_by_name", "name", unique=True, sqlite_where=text("is_domain = 1"),
              postgresql_where=text("is_domain")),
        Index("identity_project_parent", "parent_id", "name"),
    )  # fmt: skip
    id: Mapped[Id] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    domain_id: Mapped[Id | None] = _owned("identity_project")
    parent_id: Mapped[Id | None] = mapped_column(ForeignKey("identity_project.id"))
    is_domain: Mapped[bool]
    enabled: Mapped[bool]
    description: Mapped[LongText]
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)
    generation: Mapped[Big] = mapped_column(default=0)


class ProjectTag(Table):
    __tablename__ = "identity_project_tag"
    __table_args__ = (Index("identity_project_tag_name", "name", "project_id"),)
    project_id: Mapped[Id] = _owned("identity_project", primary_key=True)
    name: Mapped[Name] = mapped_column(primary_key=True)


class User(Table):
    """`generation` counts what kills all tokens of the user: a changed password, a disabled account."""

    __tablename__ = "identity_user"
    __table_args__ = (
        UniqueConstraint("domain_id", "name"),
        Index("identity_user_enabled", "enabled", "name"),
        Index("identity_user_password_expires", "password_expires_at", "id"),
    )
    id: Mapped[Id] = mapped_column(primary_key=True)
    domain_id: Mapped[Id] = _owned("identity_project")
    name: Mapped[str] = mapped_column(index=True)
    enabled: Mapped[bool]
    default_project_id: Mapped[Id | None] = mapped_column(index=True)
    password_hash: Mapped[str | None] = mapped_column(info=SECRET)
    password_changed_at: Mapped[Time | None]
    password_expires_at: Mapped[Time | None]
    password_self_service: Mapped[bool] = mapped_column(  # the user chose it
        default=False, server_default=false(), info={"secret": False}
    )
    failed_logins: Mapped[int] = mapped_column(default=0, server_default="0")  # wrong passwords since the last right one
    failed_at: Mapped[Time | None]  # when the last of these came
    last_active_at: Mapped[Time | None]  # the day's first login by password, where inactivity matters
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[Time]
    generation: Mapped[Big] = mapped_column(default=0)


class Group(Table):
    __tablename__ = "identity_group"
    __table_args__ = (UniqueConstraint("domain_id", "name"),)
    id: Mapped[Id] = mapped_column(primary_key=True)
    domain_id: Mapped[Id] = _owned("identity_project")
    name: Mapped[str] = mapped_column(index=True)
    description: Mapped[LongText]
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Membership(Table):
    __tablename__ = "identity_membership"
    __table_args__ = (Index("identity_membership_group", "group_id", "user_id"),)
    user_id: Mapped[Id] = _owned("identity_user", primary_key=True)
    group_id: Mapped[Id] = _owned("identity_group", primary_key=True)


class Role(Table):
    """`domain_id` is set on a role that belongs to one domain; such a role is never in a token, only what it implies."""

    __tablename__ = "identity_role"
    __table_args__ = (
        UniqueConstraint("domain_id", "name"),
        Index("identity_global_role_name", "name", unique=True, sqlite_where=text("domain_id IS NULL"),
              postgresql_where=text("domain_id IS NULL")),
    )  # fmt: skip
    id: Mapped[Id] = mapped_column(primary_key=True)
    domain_id: Mapped[Id | None] = _owned("identity_project")
    name: Mapped[str]
    description: Mapped[LongText | None]
    options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)


class ImpliedRole(Table):
    __tablename__ = "identity_implied_role"
    prior_id: Mapped[Id] = _owned("identity_role", primary_key=True)
    implied_id: Mapped[Id] = _owned("identity_role", primary_key=True, index=True)


class Assignment(Table):
    """A role of a user or a group on a project, a domain or the system. `scope_id` is None for the system."""

    __tablename__ = "identity_assignment"
    # everything that the list of assignments shows, so that it is read from the index alone, in order
    __table_args__ = (
        Index("identity_assignment_scope", "scope_id", "scope", "inherited", "group_id", "role_id", "user_id"),
    )
    id: Mapped[Id] = mapped_column(primary_key=True)  # digest of all that follows: the same grant is the same row
    user_id: Mapped[Id | None] = _owned("identity_user", index=True)
    group_id: Mapped[Id | None] = _owned("identity_group", index=True)
    scope: Mapped[Id]  # project, domain, system
    scope_id: Mapped[Id | None] = _owned("identity_project")
    role_id: Mapped[Id] = _owned("identity_role", index=True)
    inherited: Mapped[bool]  # holds on the projects below the scope, and not on the scope itself


class RevokedToken(Table):
    """A token that was given back before its time, by its audit id; with `cascade` also all that were made from it."""

    __tablename__ = "identity_revoked_token"
    audit_id: Mapped[Id] = mapped_column(primary_key=True)
    cascade: Mapped[bool] = mapped_column(default=True, server_default=true())
    revoked_at: Mapped[Time] = mapped_column(default=0.0, server_default="0")
    expires_at: Mapped[Time] = mapped_column(index=True)  # some time from then on the row is of no use


class ApplicationCredential(Table):
    __tablename__ = "identity_application_credential"
    __table_args__ = (UniqueConstraint("user_id", "name"),)
    id: Mapped[Id] = mapped_column(primary_key=True)
    user_id: Mapped[Id] = _owned("identity_user")
    project_id: Mapped[Id] = _owned("identity_project", index=True)
    name: Mapped[Name]
    description: Mapped[LongText | None]
    secret_hash: Mapped[str] = mapped_column(info=SECRET)
    expires_at: Mapped[Time | None]
    unrestricted: Mapped[bool]


class ApplicationCredentialRole(Table):
    __tablename__ = "identity_application_credential_role"
    application_credential_id: Mapped[Id] = _owned("identity_application_credential", primary_key=True)
    role_id: Mapped[Id] = _owned("identity_role", primary_key=True)


class AccessRule(Table):
    """What an application credential may be used for, where that is narrower than its roles."""

    __tablename__ = "identity_access_rule"
    __table_args__ = (UniqueConstraint("user_id", "service", "path", "method"),)
    id: Mapped[Id] = mapped_column(primary_key=True)
    user_id: Mapped[Id] = _owned("identity_user")
    service: Mapped[Name]
    path: Mapped[Name]
    method: Mapped[Id]


class ApplicationCredentialAccessRule(Table):
    __tablename__ = "identity_application_credential_access_rule"
    application_credential_id: Mapped[Id] = _owned("identity_application_credential", primary_key=True)
    access_rule_id: Mapped[Id] = mapped_column(ForeignKey("identity_access_rule.id"), primary_key=True, index=True)


class Trust(Table):
    __tablename__ = "identity_trust"
    __table_args__ = (
        UniqueConstraint("trustor_user_id", "trustee_user_id", "project_id", "impersonation", "expires_at",
                         name="identity_trust_once"),
    )  # fmt: skip
    id: Mapped[Id] = mapped_column(primary_key=True)
    trustor_user_id: Mapped[Id] = _owned("identity_user", index=True)
    trustee_user_id: Mapped[Id] = _owned("identity_user", index=True)
    project_id: Mapped[Id | None] = _owned("identity_project")
    impersonation: Mapped[bool]
    expires_at: Mapped[Time | None]
    remaining_uses: Mapped[int | None]
    redelegated_trust_id: Mapped[Id | None] = _owned("identity_trust", index=True)
    redelegation_count: Mapped[int]
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)


class TrustRole(Table):
    __tablename__ = "identity_trust_role"
    trust_id: Mapped[Id] = _owned("identity_trust", primary_key=True)
    role_id: Mapped[Id] = _owned("identity_role", primary_key=True)


class Credential(Table):
    """A secret of another kind that the user keeps here, such as an EC2 key pair. `blob` is encrypted."""

    __tablename__ = "identity_credential"
    id: Mapped[Id] = mapped_column(primary_key=True)
    user_id: Mapped[Id] = _owned("identity_user", index=True)
    project_id: Mapped[Id | None] = _owned("identity_project")
    type: Mapped[Name]
    blob: Mapped[bytes] = mapped_column(LargeBinary, info=ENCRYPTED)
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Region(Table):
    __tablename__ = "identity_region"
    id: Mapped[Name] = mapped_column(primary_key=True)
    description: Mapped[LongText]
    parent_region_id: Mapped[Name | None] = mapped_column(ForeignKey("identity_region.id"), index=True)
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)


class CatalogService(Table):
    __tablename__ = "identity_service"
    id: Mapped[Id] = mapped_column(primary_key=True)
    type: Mapped[Name] = mapped_column(index=True)
    name: Mapped[Name]
    enabled: Mapped[bool]
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Endpoint(Table):
    __tablename__ = "identity_endpoint"
    id: Mapped[Id] = mapped_column(primary_key=True)
    service_id: Mapped[Id] = _owned("identity_service", index=True)
    region_id: Mapped[Name | None] = mapped_column(ForeignKey("identity_region.id"), index=True)
    interface: Mapped[Id]  # public, internal, admin
    url: Mapped[LongText]
    enabled: Mapped[bool]
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)


class PolicyBlob(Table):
    """A policy document that an operator keeps here; nothing of ours reads it."""

    __tablename__ = "identity_policy"
    id: Mapped[Id] = mapped_column(primary_key=True)
    type: Mapped[Name]
    blob: Mapped[LongText] = mapped_column(info={"secret": False})
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)


class RegisteredLimit(Table):
    """The default of a limit of a service, for all projects and domains that have no own one."""

    __tablename__ = "identity_registered_limit"
    id: Mapped[Id] = mapped_column(primary_key=True)
    service_id: Mapped[Id] = _owned("identity_service")
    region_id: Mapped[Name | None] = mapped_column(ForeignKey("identity_region.id"), index=True)
    resource_name: Mapped[Name]
    default_limit: Mapped[Big]
    description: Mapped[LongText | None]


class Limit(Table):
    """A project's or a domain's own limit, instead of the registered default."""

    __tablename__ = "identity_limit"
    __table_args__ = (UniqueConstraint("registered_limit_id", "owner_id"),)
    id: Mapped[Id] = mapped_column(primary_key=True)
    registered_limit_id: Mapped[Id] = mapped_column(ForeignKey("identity_registered_limit.id"))
    owner_id: Mapped[Id] = _owned("identity_project", index=True)
    resource_limit: Mapped[Big]
    description: Mapped[LongText | None]
