"""What other services and `main.py` may ask of identity."""

from __future__ import annotations

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.actor import Actor
from tiffin.services.identity.authentication import Identity, secret_keys
from tiffin.services.identity.bootstrap import (
    CLOUD,
    BootstrapOptions,
    CatalogEntry,
    bootstrap,
    ensure_limits,
    ensure_project,
    ensure_role_on_project,
    ensure_user,
)
from tiffin.services.identity.keys import Keys
from tiffin.services.identity.recovery import let_in
from tiffin.services.identity.settings import IdentitySettings
from tiffin.services.identity.tables import Project
from tiffin.services.identity.unified_limits import KeptLimits

__all__ = [
    "CLOUD",
    "BootstrapOptions",
    "CatalogEntry",
    "Identity",
    "IdentitySettings",
    "KeptLimits",
    "Keys",
    "bootstrap",
    "endpoint_url",
    "ensure_limits",
    "ensure_project",
    "ensure_role_on_project",
    "ensure_user",
    "let_in",
    "project_exists",
    "secret_keys",
]


def project_exists(session: Session, project_id: str) -> bool:
    """Whether there is a project (or a domain) of this id."""
    return session.scalar(select(Project.id).where(Project.id == project_id)) is not None


class _Endpoint(msgspec.Struct):
    interface: str
    region_id: str | None
    url: str


class _Service(msgspec.Struct):
    type: str
    endpoints: list[_Endpoint] = []


def endpoint_url(identity: Identity, session: Session, actor: Actor, service: str, where: tuple[str, str]) -> str | None:
    """The address of a service of this type as the actor's own catalogue tells it; `where`: region and interface."""
    shown = msgspec.json.decode(identity.shown_catalog(session, actor.project_id, actor.user_id), type=list[_Service])
    found = (end for one in shown if one.type == service for end in one.endpoints)
    return next((end.url for end in found if (end.region_id, end.interface) == where), None)
