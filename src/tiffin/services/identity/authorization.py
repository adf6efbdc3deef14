"""Who has which roles where: direct ones, those of groups, inherited ones, and all that these imply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import CTE, ColumnElement, CompoundSelect, Select, and_, or_, select, update
from sqlalchemy.orm import Session

from tiffin.services.identity.rules import closure
from tiffin.services.identity.tables import Assignment, Epoch, ImpliedRole, Membership, Project, Role

PROJECT, DOMAIN, SYSTEM = "project", "domain", "system"


class RoleName(msgspec.Struct, frozen=True, order=True):
    name: str
    id: str


_EPOCH = select(Epoch.__table__.c.value)  # of the table, not of the class: this runs for every request
_KNOWN, _TOUCHED = "identity.epoch", "identity.touched"


def touch(session: Session) -> None:
    """Tell every process that who is allowed what has changed. To be called by whatever changes it."""
    session.info[_TOUCHED] = True
    if session.execute(update(Epoch).values(value=Epoch.value + 1)).rowcount == 0:  # type: ignore[attr-defined]
        session.add(Epoch(id=1, value=1))


def touched(session: Session) -> bool:
    """Whether this transaction changes who is allowed what."""
    return _TOUCHED in session.info


def epoch(session: Session) -> int:
    """The number that `touch` moves, as this transaction found it."""
    known: int | None = session.info.get(_KNOWN)
    if known is None:
        known = session.info[_KNOWN] = session.execute(_EPOCH).scalar() or 0
    return known


def ancestors(session: Session, project: Project) -> list[str]:
    """The ids above a project, nearest first; the last one is its domain."""
    above: list[str] = []
    parent = project.parent_id
    while parent is not None:
        above.append(parent)
        if parent == project.domain_id:
            break
        parent = session.execute(select(Project.parent_id).where(Project.id == parent)).scalar()
    return above


def below(tops: Any) -> CTE:
    """(id, parent_id) of every project below those whose ids are `tops`: a list, or a statement of one column."""
    columns = select(Project.id, Project.parent_id)
    first = columns.where(Project.parent_id.in_(tops)).cte(recursive=True)  # without a name: a statement may hold two
    return first.union(columns.join(first, Project.parent_id == first.c.id))


def of_user(user_id: str) -> ColumnElement[bool]:
    """The condition that an assignment is the user's own, or of one of the user's groups."""
    groups = select(Membership.group_id).where(Membership.user_id == user_id)
    return or_(Assignment.user_id == user_id, Assignment.group_id.in_(groups))


def implications(session: Session) -> dict[str, list[str]]:
    """Role id -> the ids of the roles that it implies."""
    found: dict[str, list[str]] = {}
    for prior, implied in session.execute(select(ImpliedRole.prior_id, ImpliedRole.implied_id)):
        found.setdefault(prior, []).append(implied)
    return found


def expand(session: Session, role_ids: Iterable[str]) -> list[RoleName]:
    """The roles as a token shows them: with all that they imply, without those of a domain, by name."""
    given = set(role_ids)
    if not given:
        return []
    every = closure(given, implications(session))
    rows = session.execute(select(Role.name, Role.id).where(Role.id.in_(every), Role.domain_id.is_(None)))
    return sorted(RoleName(name, id) for name, id in rows)


def _granted(session: Session, user_id: str, where: ColumnElement[bool]) -> list[str]:
    return list(session.scalars(select(Assignment.role_id).where(of_user(user_id), where)))


def project_roles(session: Session, user_id: str, project: Project) -> list[RoleName]:
    """The effective roles of a user on a project, as a token shows them."""
    return expand(session, _on_project(session, user_id, project))


def project_role_ids(session: Session, user_id: str, project: Project) -> set[str]:
    """The effective roles of a user on a project, those of domains too."""
    return closure(_on_project(session, user_id, project), implications(session))


def _on_project(session: Session, user_id: str, project: Project) -> list[str]:
    here = and_(Assignment.scope_id == project.id, Assignment.scope == PROJECT, Assignment.inherited.is_(False))
    above = ancestors(session, project)
    if above:
        here = or_(here, and_(Assignment.scope_id.in_(above), Assignment.inherited.is_(True)))
    return _granted(session, user_id, here)


def domain_roles(session: Session, user_id: str, domain_id: str) -> list[RoleName]:
    """The effective roles of a user on a domain itself."""
    here = and_(
        Assignment.scope == DOMAIN, Assignment.scope_id == domain_id, Assignment.inherited.is_(False)
    )  # fmt: skip
    return expand(session, _granted(session, user_id, here))


def system_roles(session: Session, user_id: str) -> list[RoleName]:
    return expand(session, _granted(session, user_id, Assignment.scope == SYSTEM))


def project_ids_of(user_id: str) -> CompoundSelect[Any]:
    """The ids of all projects on which a user has a role: direct ones, and those below an inherited one."""
    mine = select(Assignment.scope_id.label("id"), Assignment.inherited, Assignment.scope).where(
        of_user(user_id), Assignment.scope_id.is_not(None)
    )
    held = mine.subquery()
    direct = select(held.c.id).where(held.c.scope == PROJECT, held.c.inherited.is_(False))
    tops = select(held.c.id).where(held.c.inherited.is_(True))
    return direct.union(select(below(tops).c.id))


def projects_of(user_id: str) -> Select[Any]:
    """The enabled projects on which a user has a role."""
    return select(*Project.__table__.columns).where(Project.id.in_(project_ids_of(user_id)), Project.enabled)


def domains_of(user_id: str) -> Select[Any]:
    """The enabled domains on which a user has a role."""
    held = select(Assignment.scope_id).where(
        of_user(user_id), Assignment.scope == DOMAIN, Assignment.inherited.is_(False)
    )
    return select(*Project.__table__.columns).where(Project.id.in_(held), Project.enabled, Project.is_domain)
