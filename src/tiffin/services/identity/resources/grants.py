"""Granting roles: of a user or a group, on a project, a domain or the system; direct, or inherited by the projects below."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Forbidden, NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.resources.roles import view
from tiffin.services.identity.rules import grant_id
from tiffin.services.identity.tables import Assignment, Role

_SAME = (
    "(role:{role} and domain_id:%(target.user.domain_id)s and domain_id:%(target.project.domain_id)s) or "
    "(role:{role} and domain_id:%(target.user.domain_id)s and domain_id:%(target.domain.id)s) or "
    "(role:{role} and domain_id:%(target.group.domain_id)s and domain_id:%(target.project.domain_id)s) or "
    "(role:{role} and domain_id:%(target.group.domain_id)s and domain_id:%(target.domain.id)s)"
)
_OF_ROLE = "(domain_id:%(target.role.domain_id)s or None:%(target.role.domain_id)s)"
_READERS = f"(role:reader and system_scope:all) or {_SAME.format(role='reader')}"
_WRITERS = (
    f"({_SAME.format(role='admin')}) and {_OF_ROLE} "
    f"or ({_SAME.format(role='manager')}) and rule:domain_managed_target_role"
)
_CHECKERS = f"(role:reader and system_scope:all) or ({_SAME.format(role='reader')}) and {_OF_ROLE}"
CHECK = ("identity:check_grant", f"(rule:admin_required) or ({_CHECKERS})")
LIST = ("identity:list_grants", f"(rule:admin_required) or ({_READERS})")
CREATE = ("identity:create_grant", f"(rule:admin_required) or {_WRITERS}")
REVOKE = ("identity:revoke_grant", f"(rule:admin_required) or {_WRITERS}")
ADMIN = "rule:admin_required"
READ = "rule:admin_required or (role:reader and system_scope:all)"


def about(call: Call, **ids: str) -> Target:
    return targets.of_path(call, **{k: v for k, v in ids.items() if k.endswith("_id")})


class Place:
    """One family of paths: `/projects/{project_id}/users/{user_id}/roles` and its like."""

    def __init__(self, actor: str, scope: str, inherited: bool) -> None:
        self.actor, self.scope, self.inherited = actor, scope, inherited
        where = "/system" if scope == "system" else f"/{scope}s/{{{scope}_id}}"
        self.path = f"{'/OS-INHERIT' if inherited else ''}{where}/{actor}s/{{{actor}_id}}/roles"
        self.tail = "/inherited_to_projects" if inherited else ""

    def policy(self, verb: str) -> tuple[str, str]:
        if self.scope == "system":
            plural = "grants" if verb == "list" else "grant"
            return f"identity:{verb}_system_{plural}_for_{self.actor}", READ if verb in ("list", "check") else ADMIN
        return {"list": LIST, "check": CHECK, "create": CREATE, "revoke": REVOKE}[verb]

    def ids(self, call: Call, ids: dict[str, str]) -> tuple[str, str | None]:
        """The ids of the actor and the scope. Raises `NotFound` when one of them is missing."""
        actor_id = ids[f"{self.actor}_id"]
        targets.needed(call, self.actor, actor_id)
        if self.scope == "system":
            return actor_id, None
        scope_id = ids[f"{self.scope}_id"]
        targets.needed(call, self.scope, scope_id)
        return actor_id, scope_id

    def row(self, call: Call, ids: dict[str, str]) -> tuple[str, Assignment | None]:
        actor_id, scope_id = self.ids(call, ids)
        targets.needed(call, "role", ids["role_id"])
        id = grant_id((self.actor, actor_id), (self.scope, scope_id), ids["role_id"], self.inherited)
        return id, call.db.get(Assignment, id)

    def has(self, actor_id: str, scope_id: str | None) -> ColumnElement[bool]:
        column = Assignment.user_id if self.actor == "user" else Assignment.group_id
        return (
            (column == actor_id)
            & (Assignment.scope == self.scope)
            & Assignment.scope_id.is_not_distinct_from(scope_id)
            & Assignment.inherited.is_(self.inherited)
        )


def _refuse_stranger(place: Place, call: Call) -> None:
    """A role of a domain is for the projects in it, and for nothing of the system. Raises `Forbidden` or `BadRequest`."""
    role, project = call.subject.row["role"], call.subject.row.get("project")
    if role.domain_id is None:
        return
    if place.scope == "system":
        raise BadRequest(f"Role {role.id} is a domain-specific role. It cannot be assigned on the system.")
    if project is not None and project.domain_id != role.domain_id:
        raise Forbidden(f"Project {project.id} must be in the same domain as the role {role.id} being assigned.")


def _grant(place: Place, call: Call, ids: dict[str, str]) -> None:
    id, row = place.row(call, ids)
    _refuse_stranger(place, call)
    if row is not None:
        return
    actor_id, scope_id = place.ids(call, ids)
    call.db.add(Assignment(
        id=id, scope=place.scope, scope_id=scope_id, role_id=ids["role_id"], inherited=place.inherited,
        user_id=actor_id if place.actor == "user" else None, group_id=actor_id if place.actor == "group" else None,
    ))  # fmt: skip
    touch(call.db)


def _revoke(place: Place, call: Call, ids: dict[str, str]) -> None:
    _, row = place.row(call, ids)
    if row is None:
        raise NotFound(f"Could not find role assignment with role: {ids['role_id']}.")
    call.db.delete(row)
    touch(call.db)


def _check(place: Place, call: Call, ids: dict[str, str]) -> None:
    if place.row(call, ids)[1] is None:
        raise NotFound(f"Could not find role assignment with role: {ids['role_id']}.")


def _list(place: Place, call: Call, ids: dict[str, str]) -> Page:
    actor_id, scope_id = place.ids(call, ids)
    granted = select(Assignment.role_id).where(place.has(actor_id, scope_id))
    rows = call.db.execute(select(*Role.__table__.columns).where(Role.id.in_(granted)).order_by(Role.name))
    return Page(list(rows))


def _resource(place: Place) -> Resource:
    made = Resource("role", "roles", f"/v3{place.path}", view)
    one = "/{role_id}" + place.tail

    if place.scope != "project" or not place.inherited:  # upstream lists those by /role_assignments alone

        @made.operation("GET", place.tail, policy=place.policy("list"), about=about)
        def index(call: Call, **ids: Any) -> Page:
            return _list(place, call, ids)

    @made.operation("PUT", one, policy=place.policy("create"), about=about, event="grant", ok=204)
    def create(call: Call, **ids: Any) -> None:
        _grant(place, call, ids)

    @made.operation("GET", one, policy=place.policy("check"), about=about, ok=204)
    def check(call: Call, **ids: Any) -> None:
        _check(place, call, ids)

    @made.operation("DELETE", one, policy=place.policy("revoke"), about=about, event="revoke")
    def revoke(call: Call, **ids: Any) -> None:
        _revoke(place, call, ids)

    return made


PLACES = [Place(a, s, False) for s in ("project", "domain", "system") for a in ("user", "group")]
PLACES += [Place(a, s, True) for s in ("project", "domain") for a in ("user", "group")]
grants = tuple(_resource(place) for place in PLACES)
