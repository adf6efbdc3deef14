"""Projects: what owns resources. They form trees inside a domain."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.authorization import ancestors, projects_of, touch
from tiffin.services.identity.filters import flag, listing, narrow
from tiffin.services.identity.resources.domains import enable, refuse_twin, remove
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import Flag, IdText, LongString, Options, ShortName, truth
from tiffin.services.identity.tables import Project, ProjectTag, User
from tiffin.services.identity.tags import Tags, set_tags, tags_column, tags_of
from tiffin.services.identity.unified_limits import most_levels

MOST_LEVELS = 5
"""Projects on the way from a domain to a leaf."""
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
    options: Options = msgspec.field(default_factory=dict)


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
    """The domain of a new project: the named one, its parent's, the token's."""
    if truth(body.is_domain, False):
        return None
    if body.domain_id:
        return body.domain_id
    if body.parent_id:
        parent = call.db.get(Project, body.parent_id)
        if parent is not None:
            return parent.id if parent.is_domain else parent.domain_id
    return call.actor.domain_id or call.actor.project_domain_id or "default"


def _check_parent(call: Call, parent_id: str, domain_id: str) -> None:
    parent = call.db.get(Project, parent_id)
    if parent is None:
        raise targets.missing("project", parent_id)
    if (parent.id if parent.is_domain else parent.domain_id) != domain_id:
        raise BadRequest("The parent of a project must be in the same domain.")
    above = [parent.id, *ancestors(call.db, parent)]
    most = most_levels(call.part(Identity).settings.shares.enforcement_model, MOST_LEVELS)
    if len(above) > most:
        raise Forbidden(f"Max hierarchy depth reached for project {parent_id}: at most {most} levels are allowed.")
    if call.db.scalar(select(Project.id).where(Project.id.in_(above), Project.enabled.is_(False))):
        raise Forbidden(f"Cannot create a project under {parent_id}: it, or one above it, is disabled.")


@projects.operation("POST", policy=("identity:create_project", WRITE), body=ProjectIn, about=_about_new, event="create")
def create(call: Call, body: ProjectIn) -> Project:
    domain_id, is_domain = _home(call, body), truth(body.is_domain, False)
    if is_domain:
        if body.parent_id or body.domain_id:
            raise BadRequest("A project that acts as a domain has no domain and no parent.")
        refuse_twin(call, body.name)
    else:
        assert domain_id is not None
        if targets.find_domain(call.db, domain_id) is None:
            raise targets.missing("domain", domain_id)
        _check_parent(call, body.parent_id or domain_id, domain_id)
        _refuse_twin(call, domain_id, body.name)
    row = Project(
        id=new_id(call.cloud.world), name=body.name, domain_id=domain_id, parent_id=body.parent_id or domain_id,
        is_domain=is_domain, enabled=truth(body.enabled, True), description=body.description or "", generation=0,
        options=targets.merge_options({}, body.options, targets.IMMUTABLE), extra=targets.clean(body.extra),
    )  # fmt: skip
    call.db.add(row)
    call.db.flush()
    set_tags(call.db, row.id, body.tags)
    return row


def _refuse_twin(call: Call, domain_id: str, name: str) -> None:
    if call.db.scalar(select(Project.id).where(Project.domain_id == domain_id, Project.name == name)):
        raise Conflict(f"It is not permitted to have two projects with the same name in the same domain: {name}.")


# --- read ------------------------------------------------------------------------------------------------------------


def _about_list(call: Call) -> dict[str, Any]:
    return {"target.domain_id": call.actor.domain_id} if call.actor.domain_id else {}


LIST = "(rule:admin_required) or (role:reader and system_scope:all) or (role:reader and domain_id:%(target.domain_id)s)"


@projects.operation("GET", policy=("identity:list_projects", LIST), about=_about_list)
def index(call: Call) -> Page:
    statement = select(*columns()).where(Project.is_domain.is_(flag(call.param("is_domain") or "false")))
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

    def tagged(names: list[str]) -> Any:
        here = (ProjectTag.project_id == Project.id) & ProjectTag.name.in_(names)
        return select(func.count()).select_from(ProjectTag).where(here).correlate(Project).scalar_subquery()

    for word in ("tags", "tags-any", "not-tags", "not-tags-any"):
        text = call.param(word)
        if not text:
            continue
        names = list(dict.fromkeys(text.split(",")))
        count, least = tagged(names), 1 if word.endswith("-any") else len(names)
        statement = statement.where(count < least if word.startswith("not-") else count >= least)
    return statement


@projects.operation("GET", "/{id}", policy=("identity:get_project", READ), about=about)
def show(call: Call, id: str) -> dict[str, Any]:
    row = targets.found(call, "project", Project, id)
    body = view(call, row)
    asked = {word for word in call.query if word.startswith(("parents_as_", "subtree_as_"))}
    for kind in ("parents", "subtree"):
        if {f"{kind}_as_list", f"{kind}_as_ids"} <= asked:
            raise BadRequest(f"Cannot use {kind}_as_list and {kind}_as_ids query params at the same time.")
    if "parents_as_list" in asked:
        body["parents"] = _as_list(call, _above(call.db, row))
    if "parents_as_ids" in asked:
        body["parents"] = _nested_parents([p.id for p in _above(call.db, row)])
    if "subtree_as_list" in asked:
        body["subtree"] = _as_list(call, _below(call.db, row))
    if "subtree_as_ids" in asked:
        body["subtree"] = _nested_children(row.id, _below(call.db, row))
    return {"project": body}


def _as_list(call: Call, rows: list[Project]) -> list[dict[str, Any]]:
    """Only those where the asking user has a role."""
    mine = set(call.db.scalars(projects_of(call.actor.user_id).with_only_columns(Project.id)))
    return [{"project": view(call, row)} for row in rows if row.id in mine]


def _above(session: Session, row: Project) -> list[Project]:
    return [session.get_one(Project, id) for id in ancestors(session, row)]


def _below(session: Session, row: Project) -> list[Project]:
    found: list[Project] = []
    level = [row.id]
    while level:
        rows = session.scalars(select(Project).where(Project.parent_id.in_(level)).order_by(Project.id)).all()
        found += rows
        level = [r.id for r in rows]
    return found


def _nested_parents(ids: list[str]) -> dict[str, Any] | None:
    nested: dict[str, Any] | None = None
    for id in reversed(ids):
        nested = {id: nested}
    return nested


def _nested_children(id: str, below: list[Project]) -> dict[str, Any] | None:
    return {row.id: _nested_children(row.id, below) for row in below if row.parent_id == id} or None


# --- change ----------------------------------------------------------------------------------------------------------


@projects.operation(
    "PATCH", "/{id}", policy=("identity:update_project", WRITE), body=ProjectUpdate, about=about, event="update"
)
def change(call: Call, id: str, body: ProjectUpdate) -> Project:
    row = targets.found(call, "project", Project, id)
    targets.refuse_immutable(row, "project", body.options)
    _refuse_moves(row, body)
    if body.name is not UNSET and body.name != row.name:
        if row.domain_id is None:
            refuse_twin(call, body.name)
        else:
            _refuse_twin(call, row.domain_id, body.name)
        row.name = body.name
    if body.description is not UNSET:
        row.description = body.description or ""
    _enable(call, row, truth(body.enabled, row.enabled))
    row.options = targets.merge_options(row.options, body.options, targets.IMMUTABLE)
    if body.tags is not UNSET:
        set_tags(call.db, row.id, body.tags)
    targets.keep_extra(row, body.extra, "project")
    touch(call.db)
    return row


def _refuse_moves(row: Project, body: ProjectUpdate) -> None:
    if body.parent_id is not UNSET and body.parent_id != row.parent_id:
        raise Forbidden("Update of `parent_id` is not allowed.")
    if body.domain_id is not UNSET and body.domain_id != row.domain_id:
        raise BadRequest("Cannot change Domain ID.")
    if body.is_domain is not UNSET and truth(body.is_domain, False) != row.is_domain:
        raise BadRequest("Update of `is_domain` is not allowed.")


def _enable(call: Call, row: Project, enabled: bool) -> None:
    if not row.is_domain and enabled and not row.enabled and not all(p.enabled for p in _above(call.db, row)):
        raise Forbidden(f"Cannot enable project {row.id}: one above it is disabled.")
    below = select(Project.id).where(Project.parent_id == row.id, Project.enabled)
    if not row.is_domain and row.enabled and not enabled and call.db.scalar(below):
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
