"""Rows that say who sees which endpoint, and which policy document holds for which."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from tiffin.core.tables import Id, LongText, Name, Table


def _of(table: str, **more: Any) -> Any:
    """A foreign key: an association ends with either side."""
    return mapped_column(ForeignKey(f"{table}.id", ondelete="CASCADE"), **more)


class EndpointGroup(Table):
    """The endpoints that have all the attributes of `filters`: service_id, region_id, interface, as far as they are given."""

    __tablename__ = "identity_endpoint_group"
    id: Mapped[Id] = mapped_column(primary_key=True)
    name: Mapped[Name]
    description: Mapped[LongText | None]
    filters: Mapped[dict[str, Any]]


class ProjectEndpoint(Table):
    """An endpoint that a project sees. A project without any, and without groups, sees all."""

    __tablename__ = "identity_project_endpoint"
    project_id: Mapped[Id] = _of("identity_project", primary_key=True)
    endpoint_id: Mapped[Id] = _of("identity_endpoint", primary_key=True, index=True)


class ProjectEndpointGroup(Table):
    """A group of endpoints that a project sees."""

    __tablename__ = "identity_project_endpoint_group"
    project_id: Mapped[Id] = _of("identity_project", primary_key=True)
    endpoint_group_id: Mapped[Id] = _of("identity_endpoint_group", primary_key=True, index=True)


class PolicyAssociation(Table):
    """The policy document of an endpoint, or of all endpoints of a service, in a region or in all of them."""

    __tablename__ = "identity_policy_association"
    id: Mapped[Id] = mapped_column(primary_key=True)  # digest of what follows: each has one policy at most
    endpoint_id: Mapped[Id | None] = _of("identity_endpoint", index=True)
    service_id: Mapped[Id | None] = _of("identity_service", index=True)
    region_id: Mapped[Name | None] = _of("identity_region", index=True)
    policy_id: Mapped[Id] = _of("identity_policy", index=True)
