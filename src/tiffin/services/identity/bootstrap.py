"""What a cloud must have before the first login. Every function may run again and then changes nothing that is right."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.world import World
from tiffin.services.identity.authorization import DOMAIN, PROJECT, SYSTEM, touch
from tiffin.services.identity.passwords import hash_password
from tiffin.services.identity.rules import grant_id, new_id
from tiffin.services.identity.tables import (
    Assignment,
    CatalogService,
    Endpoint,
    Epoch,
    ImpliedRole,
    Project,
    Region,
    RegisteredLimit,
    Role,
    User,
)

DEFAULT_DOMAIN = "default"
ROLES = ("admin", "manager", "member", "reader", "service")
IMPLIED = (("admin", "manager"), ("manager", "member"), ("member", "reader"))
INTERFACES = ("public", "internal", "admin")


class CatalogEntry(msgspec.Struct, frozen=True):
    type: str
    name: str
    path: str  # under the cloud's address


CLOUD = (
    CatalogEntry("identity", "keystone", "/identity"),
    CatalogEntry("image", "glance", "/image"),
    CatalogEntry("placement", "placement", "/placement"),
    CatalogEntry("network", "neutron", "/network"),
    CatalogEntry("compute", "nova", "/compute/v2.1"),
)


class BootstrapOptions(msgspec.Struct, frozen=True):
    services: tuple[CatalogEntry, ...] = CLOUD  # none: the catalogue stays as it is
    rounds: int = 12  # of password hashes


def bootstrap(
    session: Session, world: World, admin_password: str, region: str, url_prefix: str,
    options: BootstrapOptions | None = None,
) -> None:  # fmt: skip
    """Have the default domain, the roles, the first administrator, the service project and the catalogue.

    `url_prefix` is where the cloud is, such as http://127.0.0.1:8000; endpoints of an earlier address move to it. The
    password counts only when there is no administrator yet.
    """
    options = options or BootstrapOptions()
    if session.get(Epoch, 1) is None:
        session.add(Epoch(id=1, value=1))
    if session.get(Project, DEFAULT_DOMAIN) is None:
        session.add(_domain(DEFAULT_DOMAIN, "Default", "The default domain"))
        session.flush()
    roles = {name: _ensure_role(session, world, name) for name in ROLES}
    for prior, implied in IMPLIED:
        if session.get(ImpliedRole, (roles[prior], roles[implied])) is None:
            session.add(ImpliedRole(prior_id=roles[prior], implied_id=roles[implied]))
    admin_project = ensure_project(session, world, "admin", description="Bootstrap project for initializing the cloud.")
    ensure_project(session, world, "service", description="Users of the cloud's services.")
    admin = ensure_user(session, world, "admin", admin_password, rounds=options.rounds)
    ensure_grant(session, admin, (PROJECT, admin_project), roles["admin"])
    ensure_grant(session, admin, (SYSTEM, None), roles["admin"])
    if options.services:
        _ensure_catalog(session, world, region, url_prefix.rstrip("/"), options.services)
    touch(session)


def _domain(id: str, name: str, description: str) -> Project:
    return Project(
        id=id, name=name, domain_id=None, parent_id=None, is_domain=True, enabled=True, description=description
    )


def _ensure_role(session: Session, world: World, name: str) -> str:
    found = session.scalar(select(Role.id).where(Role.name == name, Role.domain_id.is_(None)))
    if found is not None:
        return found
    role = Role(id=new_id(world), name=name, domain_id=None, description=None, options={"immutable": True})
    session.add(role)
    session.flush()
    return role.id


def ensure_project(session: Session, world: World, name: str, *, description: str = "") -> str:
    """The id of the project of this name in the default domain; made when there is none."""
    found = session.scalar(select(Project.id).where(Project.domain_id == DEFAULT_DOMAIN, Project.name == name))
    if found is not None:
        return found
    project = Project(
        id=new_id(world), name=name, domain_id=DEFAULT_DOMAIN, parent_id=DEFAULT_DOMAIN, is_domain=False,
        enabled=True, description=description,
    )  # fmt: skip
    session.add(project)
    session.flush()
    return project.id


def ensure_user(session: Session, world: World, name: str, password: str, *, rounds: int = 12) -> str:
    """The id of the user of this name in the default domain; made, with this password, when there is none."""
    found = session.scalar(select(User.id).where(User.domain_id == DEFAULT_DOMAIN, User.name == name))
    if found is not None:
        return found
    now = world.clock()
    user = User(
        id=new_id(world), domain_id=DEFAULT_DOMAIN, name=name, enabled=True, default_project_id=None,
        password_hash=hash_password(password, rounds), password_changed_at=now, password_expires_at=None,
        created_at=now,
    )  # fmt: skip
    session.add(user)
    session.flush()
    return user.id


def ensure_role_on_project(session: Session, user_id: str, project_id: str, role: str) -> None:
    """Let a user have a global role, by its name, on a project."""
    role_id = session.scalars(select(Role.id).where(Role.name == role, Role.domain_id.is_(None))).one()
    ensure_grant(session, user_id, (PROJECT, project_id), role_id)
    touch(session)


def ensure_grant(session: Session, user_id: str, scope: tuple[str, str | None], role_id: str) -> None:
    """Let a user have a role on ("project"|"domain", id) or ("system", None)."""
    assert scope[0] in (PROJECT, DOMAIN, SYSTEM)
    id = grant_id(("user", user_id), scope, role_id, False)
    if session.get(Assignment, id) is None:
        session.add(
            Assignment(id=id, user_id=user_id, scope=scope[0], scope_id=scope[1], role_id=role_id, inherited=False)
        )
        session.flush()


def ensure_limits(session: Session, world: World, service: str, defaults: Mapping[str, int]) -> None:
    """Register these unified limits, name -> default, of the service of this type, where none of the name is registered."""
    service_id = session.scalar(select(CatalogService.id).where(CatalogService.type == service).order_by(CatalogService.id))
    if service_id is None:
        return
    known = set(
        session.scalars(select(RegisteredLimit.resource_name).where(RegisteredLimit.service_id == service_id))
    )
    for name, default in defaults.items():
        if name not in known:
            limit = {"resource_name": name, "default_limit": default, "region_id": None, "description": None}
            session.add(RegisteredLimit(id=new_id(world), service_id=service_id, **limit))


def _ensure_catalog(session: Session, world: World, region: str, url: str, services: tuple[CatalogEntry, ...]) -> None:
    if session.get(Region, region) is None:
        session.add(Region(id=region, description="", parent_region_id=None))
        session.flush()
    for entry in services:
        service = session.scalar(select(CatalogService.id).where(CatalogService.type == entry.type))
        if service is None:
            service = new_id(world)
            session.add(CatalogService(id=service, type=entry.type, name=entry.name, enabled=True))
            session.flush()
        for interface in INTERFACES:
            _ensure_endpoint(session, world, (service, region, interface), url + entry.path)


def _ensure_endpoint(session: Session, world: World, where: tuple[str, str, str], url: str) -> None:
    service, region, interface = where
    endpoint = session.scalar(
        select(Endpoint).where(
            Endpoint.service_id == service, Endpoint.region_id == region, Endpoint.interface == interface
        )
    )
    if endpoint is None:
        session.add(
            Endpoint(id=new_id(world), service_id=service, region_id=region, interface=interface, url=url, enabled=True)
        )
    elif endpoint.url != url:
        endpoint.url = url
