"""Role assignments in bulk, as granted or in effect. What many users have in common is one block, so that a hundred thousand
of them cost little more than their bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from tiffin.services.identity import hierarchy
from tiffin.services.identity.authorization import DOMAIN, PROJECT, SYSTEM, ancestors, implications, of_user
from tiffin.services.identity.rules import closure
from tiffin.services.identity.tables import Assignment, Membership, Project, Role


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which assignments are asked for. `effective`: groups become their users, inherited ones the projects below, and
    roles all that they imply."""

    user: str | None = None
    group: str | None = None
    role: str | None = None
    scope: str | None = None  # project, domain, system
    scope_id: str | None = None
    subtree: bool = False  # the projects below the scope, too
    inherited: bool | None = None
    effective: bool = False
    domain: str | None = None  # only what concerns this domain and the projects in it


class Place(NamedTuple):
    scope: str
    id: str | None  # None for the system


class Block(NamedTuple):
    """One role of many users, or of many groups, in one place."""

    kind: str  # user, group
    holders: list[str]
    place: Place
    role_id: str
    inherited: bool
    group_id: str | None = None  # whose members the users are
    granted: Place | None = None  # where an inherited role was granted; None: at the place itself
    prior_id: str | None = None  # the role that implies this one


def find(session: Session, wanted: Wanted) -> Iterator[Block]:
    """What there is; the rows are read now, the blocks are made one after the other."""
    a = Assignment
    where = _effective(session, wanted) if wanted.effective else _granted(session, wanted)
    same = (a.scope_id, a.scope, a.inherited, a.role_id, a.group_id)
    rows = session.execute(
        select(*same, func.aggregate_strings(a.user_id, ",")).where(*where).group_by(*same).order_by(*same)
    ).all()
    if not wanted.effective:
        return _direct(rows)
    groups = select(a.group_id).where(*where, a.group_id.is_not(None))
    members = {row.group_id: [wanted.user] for row in rows} if wanted.user else _members(session, groups)
    tops = select(a.scope_id).where(*where, a.inherited)
    places = _below(session, tops, wanted) if any(row.inherited for row in rows) else {}
    roles = _roles(session, {row.role_id for row in rows}, wanted.role)
    return _expanded(rows, members, places, roles)


def _direct(rows: Iterable[Any]) -> Iterator[Block]:
    for scope_id, scope, inherited, role_id, group_id, users in rows:
        place = Place(scope, scope_id)
        if group_id is not None:
            yield Block("group", [group_id], place, role_id, inherited)
        else:
            yield Block("user", users.split(","), place, role_id, inherited)


def _expanded(
    rows: Iterable[Any],
    members: Mapping[str | None, list[str]],
    below: Mapping[str, list[str]],
    roles: Mapping[str, list[tuple[str, str | None]]],
) -> Iterator[Block]:
    for scope_id, scope, inherited, role_id, group_id, users in rows:
        holders = members.get(group_id, []) if group_id is not None else users.split(",")
        granted = Place(scope, scope_id)
        places = [Place(PROJECT, id) for id in below.get(scope_id, ())] if inherited else [granted]
        for place in places if holders else ():
            for role, prior in roles[role_id]:
                yield Block("user", holders, place, role, inherited, group_id, granted, prior)


# --- which rows matter -------------------------------------------------------------------------------------------------


def _common(wanted: Wanted) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if wanted.inherited is not None:
        where.append(Assignment.inherited.is_(wanted.inherited))
    if wanted.domain is not None:
        inside = select(Project.id).where(Project.domain_id == wanted.domain)
        where.append(or_(Assignment.scope_id.in_(inside), Assignment.scope_id == wanted.domain))
    return where


def _granted(session: Session, wanted: Wanted) -> list[ColumnElement[bool]]:
    where = _common(wanted)
    if wanted.user is not None:
        where.append(Assignment.user_id == wanted.user)
    if wanted.group is not None:
        where.append(Assignment.group_id == wanted.group)
    if wanted.role is not None:
        where.append(Assignment.role_id == wanted.role)
    if wanted.scope is not None:
        where.append(Assignment.scope == wanted.scope)
    if wanted.scope_id is not None:
        where.append(Assignment.scope_id.in_(_tree(session, wanted)))
    return where


def _effective(session: Session, wanted: Wanted) -> list[ColumnElement[bool]]:
    where, inherited = _common(wanted), Assignment.inherited
    if wanted.user is not None:
        where.append(of_user(wanted.user))
    if wanted.role is not None:
        where.append(Assignment.role_id.in_(_leading_to(session, wanted.role)))
    if wanted.scope == PROJECT:
        ids = _tree(session, wanted)
        above = ancestors(session, session.get_one(Project, wanted.scope_id))
        here = (Assignment.scope == PROJECT) & Assignment.scope_id.in_(ids) & inherited.is_(False)
        sources = above + ids if wanted.subtree else above
        where.append(or_(here, Assignment.scope_id.in_(sources) & inherited))
    elif wanted.scope == DOMAIN:
        where += [Assignment.scope == DOMAIN, Assignment.scope_id == wanted.scope_id, inherited.is_(False)]
    elif wanted.scope == SYSTEM:
        where.append(Assignment.scope == SYSTEM)
    return where


def _tree(session: Session, wanted: Wanted) -> list[str]:
    """The ids of the scope and, where that is wanted, of the projects below it."""
    assert wanted.scope_id is not None
    below = hierarchy.subtree(session, wanted.scope_id) if wanted.subtree else []
    return [wanted.scope_id, *(id for id, _ in below)]


def _leading_to(session: Session, role_id: str) -> list[str]:
    """A role and all that imply it."""
    priors: dict[str, list[str]] = {}
    for prior, implied in implications(session).items():
        for one in implied:
            priors.setdefault(one, []).append(prior)
    return sorted(closure([role_id], priors))


# --- what they turn into -----------------------------------------------------------------------------------------------


def _members(session: Session, groups: Any) -> dict[str | None, list[str]]:
    m = Membership
    rows = session.execute(
        select(m.group_id, func.aggregate_strings(m.user_id, ",")).where(m.group_id.in_(groups)).group_by(m.group_id)
    )
    return {group: users.split(",") for group, users in rows}


def _below(session: Session, tops: Any, wanted: Wanted) -> dict[str, list[str]]:
    """The projects that inherit from each of `tops`, as far as they are wanted."""
    ids = list(session.scalars(tops.distinct()))
    if wanted.scope == PROJECT and not wanted.subtree:
        return {id: [str(wanted.scope_id)] for id in ids}
    within = hierarchy.below(tops)
    children: dict[str, list[str]] = {}
    for id, parent in session.execute(select(within.c.id, within.c.parent_id)):
        children.setdefault(parent, []).append(id)
    asked = set(_tree(session, wanted)) if wanted.scope == PROJECT else None
    found = {id: closure(children.get(id, ()), children) for id in ids}
    return {id: sorted(inside if asked is None else inside & asked) for id, inside in found.items()}


def _roles(session: Session, granted: Iterable[str], wanted: str | None) -> dict[str, list[tuple[str, str | None]]]:
    """Each granted role -> what it amounts to: itself, and once for each implication the role that is implied, with the one
    that implies it. Roles of a domain do their work here and are not shown."""
    implied = implications(session)
    hidden = set(session.scalars(select(Role.id).where(Role.domain_id.is_not(None))))
    found: dict[str, list[tuple[str, str | None]]] = {}
    for role_id in granted:
        every: list[tuple[str, str | None]] = [(role_id, None)]
        for prior in sorted(closure([role_id], implied)):
            every += [(one, prior) for one in sorted(implied.get(prior, ()))]
        found[role_id] = [(r, prior) for r, prior in every if r not in hidden and wanted in (None, r)]
    return found
