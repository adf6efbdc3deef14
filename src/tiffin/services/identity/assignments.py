"""Role assignments in bulk, as granted or in effect. What many users have in common is one block, so that a hundred thousand
of them cost little more than their bytes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Select, func, literal, or_, select
from sqlalchemy.orm import Session

from tiffin.core.sql import listed
from tiffin.services.identity import authorization, hierarchy
from tiffin.services.identity.authorization import DOMAIN, PROJECT, SYSTEM, ancestors, implications, of_user
from tiffin.services.identity.rules import closure
from tiffin.services.identity.tables import Assignment, Membership, Project, Role


class Page(msgspec.Struct, frozen=True):
    """Part of the list, in the order of the grants' ids: `most` rows, from row `row` of the grant `grant` on. Each grant speaks
    for itself here: what two of them imply alike may be there twice."""

    most: int
    grant: str = ""
    row: int = 0


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
    page: Page | None = None


class Place(NamedTuple):
    scope: str
    id: str | None  # None for the system


class Block(NamedTuple):
    """One role of many users, or of a group, in one place."""

    kind: str  # user, group
    holders: Sequence[str]
    place: Place
    role_id: str
    inherited: bool
    grant: str  # on a page: the id of the assignment behind it
    group_id: str | None = None  # whose members the users are
    granted: Place | None = None  # where an inherited role was granted; None: at the place itself
    prior_id: str | None = None  # the role that implies this one
    start: int = 0  # the part of the holders that is meant
    stop: int | None = None


def find(session: Session, wanted: Wanted) -> tuple[Iterator[Block], str | None]:
    """What there is, and the marker of the next page. The rows are read now; the blocks are made one after the other."""
    rows = session.execute(_statement(session, wanted)).all()
    behind: Sequence[Any] = ()
    if wanted.page is not None:
        rows, behind = rows[: wanted.page.most], rows[wanted.page.most :]
    blocks = _in_effect(session, rows, wanted) if wanted.effective else _as_granted(rows)
    if wanted.page is None or not wanted.page.most:
        return blocks, None
    return _cut(blocks, wanted.page, f"{behind[0].grant}.0" if behind else None)


def _statement(session: Session, wanted: Wanted) -> Select[*tuple[Any, ...]]:
    """One row for all users of whom the same was granted, from the index alone; for a page, one for each grant."""
    a = Assignment
    same = (a.scope_id, a.scope, a.inherited, a.group_id, a.role_id)
    where = _effective(session, wanted) if wanted.effective else _granted(session, wanted)
    if wanted.page is not None:
        statement = select(*same, a.user_id.label("users"), a.id.label("grant")).where(*where)
        return statement.where(a.id >= wanted.page.grant).order_by(a.id).limit(wanted.page.most + 1)
    users = func.aggregate_strings(a.user_id, ",").label("users")
    return select(*same, users, literal("").label("grant")).where(*where).group_by(*same).order_by(*same)


def _as_granted(rows: Iterable[Any]) -> Iterator[Block]:
    for scope_id, scope, inherited, group_id, role_id, users, grant in rows:
        place = Place(scope, scope_id)
        if group_id is not None:
            yield Block("group", [group_id], place, role_id, inherited, grant)
        else:
            yield Block("user", users.split(","), place, role_id, inherited, grant)


def _in_effect(session: Session, rows: Sequence[Any], wanted: Wanted) -> Iterator[Block]:
    groups = {row.group_id for row in rows if row.group_id is not None}
    members = {group: [wanted.user] for group in groups} if wanted.user else _members(session, groups)
    tops = {row.scope_id for row in rows if row.inherited}
    below = _below(session, tops, wanted) if tops else {}
    roles = _roles(session, {row.role_id for row in rows}, wanted.role)
    return _expanded(rows, members, below, roles)


def _expanded(
    rows: Iterable[Any],
    members: Mapping[str, list[str]],
    below: Mapping[str, list[str]],
    roles: Mapping[str, list[tuple[str, str | None]]],
) -> Iterator[Block]:
    for (scope_id, scope, inherited, group_id, grant), same in itertools.groupby(rows, itemgetter(0, 1, 2, 3, 6)):
        held: dict[tuple[str, str | None], list[Sequence[str]]] = {}
        for row in same:
            holders: Sequence[str] = row.users.split(",") if group_id is None else members.get(group_id, ())
            for role in roles[row.role_id] if holders else ():
                held.setdefault(role, []).append(holders)
        granted = Place(scope, scope_id)
        places = [Place(PROJECT, id) for id in below.get(scope_id, ())] if inherited else [granted]
        once = [(role, parts[0] if group_id else _union(parts)) for role, parts in held.items()]
        for place, ((role_id, prior), holders) in itertools.product(places, once):
            yield Block("user", holders, place, role_id, inherited, grant, group_id, granted, prior)


def _union(parts: list[Sequence[str]]) -> Sequence[str]:
    """Who is in any of the parts. Two roles of a user may imply the same one, which is shown once."""
    return parts[0] if len(parts) == 1 else list(dict.fromkeys(itertools.chain(*parts)))


def _cut(blocks: Iterable[Block], page: Page, behind: str | None) -> tuple[Iterator[Block], str | None]:
    """The rows of a page and the marker of the next: the grant with which it begins, and how many rows of it are shown."""
    shown: list[Block] = []
    left, grant, passed = page.most, "", 0
    for block in blocks:
        if block.grant != grant:
            grant, passed = block.grant, 0
        size = len(block.holders)
        start = min(max(0, page.row - passed), size) if grant == page.grant else 0
        stop = min(start + left, size)
        if start < stop:
            shown.append(block._replace(start=start, stop=stop))
            left -= stop - start
        if stop < size:
            return iter(shown), f"{grant}.{passed + stop}"
        passed += size
    return iter(shown), behind


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


def _members(session: Session, groups: Iterable[str]) -> dict[str, list[str]]:
    m = Membership
    users = func.aggregate_strings(m.user_id, ",")
    rows = session.execute(select(m.group_id, users).where(m.group_id.in_(listed(groups))).group_by(m.group_id))
    return {group: users.split(",") for group, users in rows}


def _below(session: Session, tops: Iterable[str], wanted: Wanted) -> dict[str, list[str]]:
    """The projects that inherit from each of `tops`, as far as they are wanted."""
    if wanted.scope == PROJECT and not wanted.subtree:
        return {id: [str(wanted.scope_id)] for id in tops}
    within = authorization.below(listed(tops))
    children: dict[str, list[str]] = {}
    for id, parent in session.execute(select(within.c.id, within.c.parent_id)):
        children.setdefault(parent, []).append(id)
    asked = set(_tree(session, wanted)) if wanted.scope == PROJECT else None
    found = {id: closure(children.get(id, ()), children) for id in tops}
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
