"""Projects: what owns resources. They form trees inside a domain."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import and_, not_, or_, select, update
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import authorization, hierarchy, targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.authorization import ancestors, project_ids_of, touch
from tiffin.services.identity.bodies import given
from tiffin.services.identity.bootstrap import DEFAULT_DOMAIN
from tiffin.services.identity.filters import asked, flag, listing, narrow
from tiffin.services.identity.resources.domains import enable, refuse_twin, remove
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import Flag, IdText, LongString, Options, ShortName, truth
from tiffin.services.identity.settings import HierarchySettings
from tiffin.services.identity.tables import Limit, Project, ProjectTag, RegisteredLimit, User
from tiffin.services.identity.tags import Tags, set_tags, tags_column, tags_of
from tiffin.services.identity.unified_limits import most_levels

READ = (
    "(rule:admin_required) or (role:reader and system_scope:all) or (role:reader and "
    "domain_id:%(target.project.domain_id)s and not None:%(target.project.domain_id)s) or project_id:%(target.project.id)s"
)
WRITE = (
    "(rule:admin_required) or (role:manager and domain_id:%(target.project.domain_id)s "
    "and not None:%(target.project.domain_id)s)"
)


class ProjectIn(Keeping, kw_only=True):
    name: ShortName
    description: LongString | UnsetType | None = UNSET
    enabled: Flag | UnsetType = UNSET
    domain_id: IdText | UnsetType | None = UNSET
    parent_id: IdText | UnsetType | None = UNSET
    is_domain: Flag | UnsetType = UNSET
    tags: Tags = msgspec.field(default_factory=list)
    options: Options = msgspec.field(default_factory=dict)


class ProjectUpdate(Keeping):
    name: ShortName | UnsetType = UNSET
    description: LongString | UnsetType | None = UNSET
    enabled: Flag | UnsetType = UNSET
    domain_id: IdText | UnsetType | None = UNSET
    parent_id: IdText | UnsetType | None = UNSET
    is_domain: Flag | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    options: Options | UnsetType = UNSET


def view(call: Call, row: Any) -> dict[str, Any]:
    tags = tags_of(call.db, row.id) if isinstance(row, Project) else sorted(tag["name"] for tag in row.tags)
    return {
        **(row.extra or {}),
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "description": row.description,
        "enabled": row.enabled,
        "parent_id": row.parent_id,
        "is_domain": row.is_domain,
        "tags": tags,
        "options": row.options,
        "links": {"self": f"{call.base_url}/v3/projects/{row.id}"},
    }


projects = Resource("project", "projects", "/v3/projects", view)
about = targets.about("project", Project)


def columns() -> list[Any]:
    return [*Project.__table__.columns, tags_column]


# --- create ----------------------------------------------------------------------------------------------------------


def _about_new(call: Call, body: ProjectIn) -> Target:
    return Target(None, **{"target.project.domain_id": _home(call, body)})


def _home(call: Call, body: ProjectIn) -> str | None:
    """The domain of a new project: the named one, its parent's, the token's, the default one."""
    if truth(body.is_domain, False):
        return None
    if body.domain_id:
        return body.domain_id
    parent = call.db.get(Project, body.parent_id) if body.parent_id else None
    if parent is not None:
        return parent.id if parent.is_domain else parent.domain_id
    return call.actor.domain_id or DEFAULT_DOMAIN


@projects.operation("POST", policy=("identity:create_project", WRITE), body=ProjectIn, about=_about_new, event="create")
def create(call: Call, body: ProjectIn) -> Project:
    domain_id, is_domain = _home(call, body), truth(body.is_domain, False)
    name, settings = body.name.strip(), call.part(Identity).settings.hierarchy
    hierarchy.check_name("Project", name, settings.project_name_url_safe)
    if domain_id is None:
        if body.parent_id or body.domain_id:
            raise BadRequest("Only a root project can act as a domain: it has no domain and no parent.")
        refuse_twin(call, name)
    else:
        _check_place(call, domain_id, body.parent_id or domain_id, settings)
        _refuse_twin(call, domain_id, name)
    row = Project(
        id=new_id(call.cloud.world), name=name, domain_id=domain_id, parent_id=body.parent_id or domain_id,
        is_domain=is_domain, enabled=truth(body.enabled, True), description=body.description or "", generation=0,
        options=targets.merge_options({}, body.options, targets.IMMUTABLE), extra=targets.clean(body.extra),
    )  # fmt: skip
    call.db.add(row)
    call.db.flush()
    set_tags(call.db, row.id, body.tags)
    return row


def _check_place(call: Call, domain_id: str, parent_id: str, settings: HierarchySettings) -> None:
    """Raises `BadRequest` for a domain or parent that is missing, too: the body is wrong, not the path."""
    parent, model = call.db.get(Project, parent_id), call.part(Identity).settings.shares.enforcement_model
    if targets.find_domain(call.db, domain_id) is None:
        raise BadRequest(f"Could not find domain: {domain_id}.")
    if parent is None:
        raise BadRequest(f"Could not find project: {parent_id}.")
    hierarchy.check_parent(call.db, parent, domain_id, most_levels(model, settings.max_project_tree_depth))


def _refuse_twin(call: Call, domain_id: str, name: str) -> None:
    """Raises `Conflict` when the domain has a project of this name."""
    if call.db.scalar(select(Project.id).where(Project.domain_id == domain_id, Project.name == name)):
        raise Conflict(f"It is not permitted to have two projects with the same name in the same domain: {name}.")


# --- read ------------------------------------------------------------------------------------------------------------


def _about_list(call: Call) -> dict[str, Any]:
    return {"target.domain_id": call.actor.domain_id} if call.actor.domain_id else {}


LIST = "(rule:admin_required) or (role:reader and system_scope:all) or (role:reader and domain_id:%(target.domain_id)s)"


@projects.operation("GET", policy=("identity:list_projects", LIST), about=_about_list)
def index(call: Call) -> Page:
    domains = flag(call.param("is_domain", "false") or "")
    statement = select(*columns()).where(Project.is_domain if domains else not_(Project.is_domain))
    if call.actor.domain_id:
        statement = statement.where(Project.domain_id == call.actor.domain_id)
    known = {
        "name": Project.name,
        "enabled": Project.enabled,
        "domain_id": Project.domain_id,
        "parent_id": Project.parent_id,
    }
    return listing(call, _by_tags(call, narrow(call, statement, known)), Project.id, sort=Project.name)


def _by_tags(call: Call, statement: Any) -> Any:
    """The filters tags, tags-any, not-tags, not-tags-any; each is a list with commas."""
    for word in ("tags", "tags-any", "not-tags", "not-tags-any"):
        text = call.param(word)
        if not text:
            continue
        tagged = [Project.id.in_(select(ProjectTag.project_id).where(ProjectTag.name == tag)) for tag in text.split(",")]
        holds = or_(*tagged) if word.endswith("-any") else and_(*tagged)
        statement = statement.where(not_(holds) if word.startswith("not-") else holds)
    return statement


@projects.operation("GET", "/{id}", policy=("identity:get_project", READ), about=about)
def show(call: Call, id: str) -> dict[str, Any]:
    row = targets.found(call, "project", Project, id)
    body = view(call, row)
    for kind in ("parents", "subtree"):
        as_list, as_ids = asked(call, f"{kind}_as_list"), asked(call, f"{kind}_as_ids")
        if as_list and as_ids:
            raise BadRequest(f"Cannot use {kind}_as_list and {kind}_as_ids query params at the same time.")
        if as_list:
            body[kind] = _parents_list(call, row) if kind == "parents" else _subtree_list(call, row)
        elif as_ids:
            body[kind] = _parents_ids(call, row) if kind == "parents" else _subtree_ids(call, row)
    return {"project": body}


def _parents_list(call: Call, row: Project) -> list[dict[str, Any]]:
    ids = ancestors(call.db, row)
    return _as_list(call, ids, {id: n for n, id in enumerate(ids)})


def _subtree_list(call: Call, row: Project) -> list[dict[str, Any]]:
    places = {id: n for n, (id, _) in enumerate(hierarchy.subtree(call.db, row.id))}
    return _as_list(call, select(authorization.below([row.id]).c.id), places)


def _as_list(call: Call, ids: Any, places: dict[str, int]) -> list[dict[str, Any]]:
    """Those of the projects in which the asking user has a role; with their limits where the query says so."""
    mine = Project.id.in_(project_ids_of(call.actor.user_id))
    rows = call.db.execute(select(*columns()).where(Project.id.in_(ids), mine)).all()
    shown = [view(call, row) for row in sorted(rows, key=lambda row: places[row.id])]
    if asked(call, "include_limits"):
        limits = _limits(call.db, [one["id"] for one in shown])
        for one in shown:
            one["limits"] = limits.get(one["id"], [])
    return [{"project": one} for one in shown]


def _limits(session: Session, project_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The limits of each project, without links, as upstream."""
    found: dict[str, list[dict[str, Any]]] = {}
    for limit, registered in session.execute(
        select(Limit, RegisteredLimit)
        .join(RegisteredLimit, RegisteredLimit.id == Limit.registered_limit_id)
        .where(Limit.owner_id.in_(project_ids))
        .order_by(Limit.id)
    ):
        found.setdefault(limit.owner_id, []).append({
            "id": limit.id,
            "project_id": limit.owner_id,
            "domain_id": None,
            "service_id": registered.service_id,
            "region_id": registered.region_id,
            "resource_name": registered.resource_name,
            "resource_limit": limit.resource_limit,
            "description": limit.description,
        })  # fmt: skip
    return found


def _parents_ids(call: Call, row: Project) -> dict[str, Any] | None:
    nested: dict[str, Any] | None = None
    for id in reversed(ancestors(call.db, row)):
        nested = {id: nested}
    return nested


def _subtree_ids(call: Call, row: Project) -> dict[str, Any] | None:
    inside: dict[str, dict[str, Any]] = {}
    for id, parent in reversed(hierarchy.subtree(call.db, row.id)):  # the deepest first: what is inside it is known
        inside.setdefault(parent, {})[id] = inside.get(id)
    return inside.get(row.id)


# --- change ----------------------------------------------------------------------------------------------------------


@projects.operation(
    "PATCH", "/{id}", policy=("identity:update_project", WRITE), body=ProjectUpdate, about=about, event="update"
)
def change(call: Call, id: str, body: ProjectUpdate) -> Project:
    row = targets.found(call, "project", Project, id)
    targets.refuse_immutable(row, "project", targets.only_options(body))
    _refuse_moves(row, body)
    if body.name is not UNSET and body.name.strip() != row.name:
        _rename(call, row, body.name.strip())
    if body.description is not UNSET:
        row.description = body.description or ""
    _enable(call, row, truth(body.enabled, row.enabled))
    row.options = targets.merge_options(row.options, given(body.options) or {}, targets.IMMUTABLE)
    if body.tags is not UNSET:
        set_tags(call.db, row.id, body.tags)
    targets.keep_extra(row, body.extra, "project")
    touch(call.db)
    return row


def _rename(call: Call, row: Project, name: str) -> None:
    settings = call.part(Identity).settings.hierarchy
    if row.domain_id is None:
        hierarchy.check_name("Domain", name, settings.domain_name_url_safe)
        refuse_twin(call, name)
    else:
        hierarchy.check_name("Project", name, settings.project_name_url_safe)
        _refuse_twin(call, row.domain_id, name)
    row.name = name


def _refuse_moves(row: Project, body: ProjectUpdate) -> None:
    if body.parent_id is not UNSET and body.parent_id != row.parent_id:
        raise Forbidden("Update of `parent_id` is not allowed.")
    if body.domain_id is not UNSET and body.domain_id != row.domain_id:
        raise BadRequest("Cannot change Domain ID.")
    if body.is_domain is not UNSET and truth(body.is_domain, False) != row.is_domain:
        raise BadRequest("Update of `is_domain` is not allowed.")


def _enable(call: Call, row: Project, enabled: bool) -> None:
    if enabled and not row.enabled and not all(p.enabled for p in hierarchy.above(call.db, row)):
        raise Forbidden(f"Cannot enable project {row.id} since it has disabled parents.")
    if row.enabled and not enabled and not row.is_domain:
        below = authorization.below([row.id])
        if call.db.scalar(select(Project.id).join(below, Project.id == below.c.id).where(Project.enabled).limit(1)):
            raise Forbidden(f"Cannot disable project {row.id} since its subtree contains enabled projects.")
    enable(row, enabled)


@projects.operation("DELETE", "/{id}", policy=("identity:delete_project", WRITE), about=about, event="delete")
def delete(call: Call, id: str) -> None:
    row = targets.found(call, "project", Project, id)
    targets.refuse_immutable(row, "project")
    if row.is_domain:
        remove(call, row)
        return
    if call.db.scalar(select(Project.id).where(Project.parent_id == row.id)):
        raise Forbidden(f"Cannot delete the project {id} since it is not a leaf in the hierarchy.")
    call.db.execute(update(User).where(User.default_project_id == id).values(default_project_id=None))
    call.db.delete(row)
    touch(call.db)
