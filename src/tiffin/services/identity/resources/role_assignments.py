"""Role assignments: who has which role where, as granted or in effect."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.resource import Answer, Resource
from tiffin.services.identity.authorization import DOMAIN, PROJECT, SYSTEM, implications
from tiffin.services.identity.filters import flag
from tiffin.services.identity.rules import closure
from tiffin.services.identity.tables import Assignment, Group, Membership, Project, Role, User

RULE = "(rule:admin_required) or (role:reader and system_scope:all) or (role:reader and domain_id:%(target.domain_id)s)"

role_assignments = Resource(
    "role_assignment", "role_assignments", "/v3/role_assignments",
    rules=(("identity:list_role_assignments_for_tree", RULE),),
)  # fmt: skip


class Held(msgspec.Struct, frozen=True):
    """One role of one user or group in one place. The last fields say why, where it is an effect of something else."""

    user_id: str | None
    group_id: str | None
    scope: str
    scope_id: str | None
    role_id: str
    inherited: bool
    membership: str | None = None
    prior_role: str | None = None
    assigned_on: str | None = None


class Wanted(msgspec.Struct):
    """The query's filters."""

    user: str | None
    group: str | None
    role: str | None
    scope: tuple[str, str | None] | None
    inherited: bool
    effective: bool
    names: bool
    subtree: bool


def _wanted(call: Call) -> Wanted:
    project, domain = call.param("scope.project.id"), call.param("scope.domain.id")
    system = call.param("scope.system")
    scopes: list[tuple[str, str | None]] = []
    if project is not None:
        scopes.append((PROJECT, project))
    if domain is not None:
        scopes.append((DOMAIN, domain))
    if system is not None and flag(system):
        scopes.append((SYSTEM, None))
    if len(scopes) > 1:
        raise BadRequest("Specify a domain or project or system, not more than one of them.")
    given = {word: word in call.query and flag(call.param(word) or "1") for word in
             ("effective", "include_names", "include_subtree")}  # fmt: skip
    wanted = Wanted(
        user=call.param("user.id"), group=call.param("group.id"), role=call.param("role.id"),
        scope=scopes[0] if scopes else None, inherited="scope.OS-INHERIT:inherited_to" in call.query,
        effective=given["effective"], names=given["include_names"], subtree=given["include_subtree"],
    )  # fmt: skip
    if wanted.user is not None and wanted.group is not None:
        raise BadRequest("Specify a user or group, not both.")
    if wanted.effective and wanted.group is not None:
        raise BadRequest("Combining effective and group filter will always result in an empty list.")
    if wanted.effective and wanted.inherited and wanted.scope is not None and wanted.scope[0] == DOMAIN:
        raise BadRequest("Combining effective, domain and inherited filters will always result in an empty list.")
    if wanted.subtree and (wanted.scope is None or wanted.scope[0] != PROJECT):
        raise BadRequest("scope.project.id must be specified if include_subtree is also specified.")
    return wanted


def about(call: Call) -> dict[str, Any]:
    """A token of a domain speaks for that domain; a tree's is that of its root."""
    if call.actor.domain_id is None:
        return {}
    project_id = call.param("scope.project.id")
    if project_id is not None:
        found = call.db.scalar(select(Project.domain_id).where(Project.id == project_id))
        return {"target.domain_id": found} if found else {}
    return {"target.domain_id": call.actor.domain_id}


@role_assignments.operation("GET", policy=("identity:list_role_assignments", RULE), about=about)
def index(call: Call) -> Answer:
    wanted = _wanted(call)
    if wanted.subtree:
        call.enforce("identity:list_role_assignments_for_tree", call.subject)
    held = _effective(call.db, wanted) if wanted.effective else _direct(call.db, wanted)
    if call.actor.domain_id is not None:
        held = _within(call.db, held, call.actor.domain_id)
    names = _Names(call.db, held) if wanted.names else None
    query = f"?{call.request.query_string}" if call.request.query_string else ""
    links = {"self": f"{call.base_url}/v3/role_assignments{query}", "previous": None, "next": None}
    return Answer({"role_assignments": [_view(call, h, names) for h in held], "links": links})


# --- what there is -----------------------------------------------------------------------------------------------------


def _load(session: Session, *where: ColumnElement[bool]) -> list[Held]:
    a = Assignment
    rows = session.execute(
        select(a.user_id, a.group_id, a.scope, a.scope_id, a.role_id, a.inherited).where(*where).order_by(a.id)
    )
    return [Held(*row) for row in rows]


def _direct(session: Session, wanted: Wanted) -> list[Held]:
    where: list[ColumnElement[bool]] = []
    if wanted.user is not None:
        where.append(Assignment.user_id == wanted.user)
    if wanted.group is not None:
        where.append(Assignment.group_id == wanted.group)
    if wanted.role is not None:
        where.append(Assignment.role_id == wanted.role)
    if wanted.inherited:
        where.append(Assignment.inherited.is_(True))
    if wanted.scope is not None:
        kind, id = wanted.scope
        where.append(Assignment.scope == kind)
        if kind != SYSTEM:
            ids = _tree(session, id or "") if wanted.subtree else [id]
            where.append(Assignment.scope_id.in_(ids))
    return _load(session, *where)


def _tree(session: Session, project_id: str) -> list[str]:
    """A project and all below it."""
    found, level = [project_id], [project_id]
    while level:
        level = list(session.scalars(select(Project.id).where(Project.parent_id.in_(level))))
        found += level
    return found


def _effective(session: Session, wanted: Wanted) -> list[Held]:
    """Groups become their users, inherited ones the projects below, and roles all that they imply."""
    held = _load(session)
    held = _spread_groups(session, held)
    if wanted.user is not None:
        held = [h for h in held if h.user_id == wanted.user]
    if wanted.inherited:
        held = [h for h in held if h.inherited]
    held = _in_scope(session, _spread_inherited(session, held), wanted)
    held = _spread_implied(session, held)
    if wanted.role is not None:
        held = [h for h in held if h.role_id == wanted.role]
    return list(dict.fromkeys(held))


def _in_scope(session: Session, held: list[Held], wanted: Wanted) -> list[Held]:
    if wanted.scope is None:
        return held
    kind, id = wanted.scope
    ids = set(_tree(session, id or "")) if wanted.subtree else {id}
    return [h for h in held if h.scope == kind and h.scope_id in ids]


def _spread_groups(session: Session, held: list[Held]) -> list[Held]:
    members: dict[str, list[str]] = {}
    for group_id, user_id in session.execute(select(Membership.group_id, Membership.user_id)):
        members.setdefault(group_id, []).append(user_id)
    found = [h for h in held if h.user_id is not None]
    for h in held:
        if h.group_id is not None:
            found += [
                msgspec.structs.replace(h, user_id=user, group_id=None, membership=h.group_id)
                for user in members.get(h.group_id, ())
            ]
    return found


def _spread_inherited(session: Session, held: list[Held]) -> list[Held]:
    if not any(h.inherited for h in held):
        return held
    below: dict[str, list[str]] = {}
    for id, parent in session.execute(select(Project.id, Project.parent_id).where(Project.parent_id.is_not(None))):
        below.setdefault(str(parent), []).append(id)
    found = [h for h in held if not h.inherited]
    for h in held:
        if h.inherited:
            for project_id in sorted(closure(below.get(h.scope_id or "", ()), below)):
                found.append(
                    msgspec.structs.replace(
                        h, scope=PROJECT, scope_id=project_id, assigned_on=f"{h.scope}s/{h.scope_id}"
                    )
                )
    return found


def _spread_implied(session: Session, held: list[Held]) -> list[Held]:
    implied = implications(session)
    of_domain = set(session.scalars(select(Role.id).where(Role.domain_id.is_not(None))))
    every = {role: sorted(closure([role], implied) - {role}) for role in {h.role_id for h in held}}
    found = [h for h in held if h.role_id not in of_domain]
    for h in held:
        found += [
            msgspec.structs.replace(h, role_id=role, prior_role=h.role_id)
            for role in every[h.role_id]
            if role not in of_domain
        ]
    return found


def _within(session: Session, held: list[Held], domain_id: str) -> list[Held]:
    """Only what concerns a domain and the projects in it."""
    projects = {*session.scalars(select(Project.id).where(Project.domain_id == domain_id)), domain_id}
    return [h for h in held if h.scope_id in projects]


# --- how it is shown ---------------------------------------------------------------------------------------------------


class _Names:
    """The names of everything that the listed assignments speak of, in one query for each kind."""

    def __init__(self, session: Session, held: list[Held]) -> None:
        self.users = self._of(session, User, {h.user_id for h in held})
        self.groups = self._of(session, Group, {h.group_id for h in held})
        self.roles = self._of(session, Role, {h.role_id for h in held})
        self.scopes = self._of(session, Project, {h.scope_id for h in held})
        domains = {d for kind in (self.users, self.groups, self.roles, self.scopes) for _, d in kind.values()}
        self.domains = self._of(session, Project, domains)

    @staticmethod
    def _of(session: Session, table: Any, ids: set[Any]) -> dict[str, tuple[str, str | None]]:
        found: dict[str, tuple[str, str | None]] = {}
        wanted = sorted(id for id in ids if id is not None)
        for at in range(0, len(wanted), 500):
            part = wanted[at : at + 500]
            rows = session.execute(select(table.id, table.name, table.domain_id).where(table.id.in_(part)))
            found |= {id: (name, domain) for id, name, domain in rows}
        return found

    def named(self, kind: dict[str, tuple[str, str | None]], id: str) -> dict[str, Any]:
        name, domain = kind.get(id, ("", None))
        body: dict[str, Any] = {"id": id, "name": name}
        if domain is not None:
            body["domain"] = {"id": domain, "name": self.domains[domain][0]}
        return body


def _view(call: Call, held: Held, names: _Names | None) -> dict[str, Any]:
    def named(kind: str, id: str) -> dict[str, Any]:
        return {"id": id} if names is None else names.named(getattr(names, kind), id)

    base = f"{call.base_url}/v3"
    body: dict[str, Any] = {"role": named("roles", held.role_id)}
    if held.user_id is not None:
        body["user"] = named("users", held.user_id)
    if held.group_id is not None:
        body["group"] = named("groups", held.group_id)
    body["scope"] = {"system": {"all": True}} if held.scope_id is None else {held.scope: named("scopes", held.scope_id)}
    if held.inherited:
        body["scope"]["OS-INHERIT:inherited_to"] = "projects"
    where = held.assigned_on or ("system" if held.scope_id is None else f"{held.scope}s/{held.scope_id}")
    who = f"groups/{held.membership or held.group_id}" if held.membership or held.group_id else f"users/{held.user_id}"
    tail = f"{where}/{who}/roles/{held.prior_role or held.role_id}"
    inherit = held.inherited
    body["links"] = {"assignment": f"{base}/OS-INHERIT/{tail}/inherited_to_projects" if inherit else f"{base}/{tail}"}
    if held.membership:
        body["links"]["membership"] = f"{base}/groups/{held.membership}/users/{held.user_id}"
    if held.prior_role:
        body["links"]["prior_role"] = f"{base}/roles/{held.prior_role}/implies/{held.role_id}"
    return body
