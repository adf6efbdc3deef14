"""Limits: what one project or domain may have instead of the registered default."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Row, Select, case, or_, select

from tiffin.core import changes
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.catalog_words import ADMIN, RegionId
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.resources.registered_limits import MOST, Amount, ServiceId, check_places, find
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import AnyText, IdText, NameText
from tiffin.services.identity.tables import Limit, Project, RegisteredLimit
from tiffin.services.identity.unified_limits import MODELS, STRICT, breaks_tree

GET = (
    "rule:admin_required or (role:reader and system_scope:all) or (domain_id:%(target.limit.domain.id)s or "
    "domain_id:%(target.limit.project.domain_id)s) or (project_id:%(target.limit.project_id)s and not "
    "None:%(target.limit.project_id)s)"
)


class LimitIn(Schema, kw_only=True):
    service_id: ServiceId
    resource_name: NameText
    resource_limit: Amount
    project_id: IdText | UnsetType | None = UNSET
    domain_id: IdText | UnsetType | None = UNSET
    region_id: RegionId | None = None
    description: AnyText | None = None


class LimitsIn(Schema, kw_only=True):
    limits: Annotated[list[LimitIn], Meta(min_length=1, max_length=MOST)]


class LimitUpdate(Schema):
    resource_limit: Amount | UnsetType = UNSET
    description: AnyText | UnsetType | None = UNSET


def _everything() -> Select[Any]:
    """Limits with what their registered limit and their owner say."""
    return (
        select(
            *Limit.__table__.columns, RegisteredLimit.service_id, RegisteredLimit.region_id,
            RegisteredLimit.resource_name, Project.is_domain, Project.domain_id.label("owner_domain_id"),
        )
        .join(RegisteredLimit, RegisteredLimit.id == Limit.registered_limit_id)
        .join(Project, Project.id == Limit.owner_id)
    )  # fmt: skip


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "project_id": None if row.is_domain else row.owner_id,
        "domain_id": row.owner_id if row.is_domain else None,
        "service_id": row.service_id,
        "region_id": row.region_id,
        "resource_name": row.resource_name,
        "resource_limit": row.resource_limit,
        "description": row.description,
        "links": {"self": f"{call.base_url}/v3/limits/{row.id}"},
    }


limits = Resource("limit", "limits", "/v3/limits", view)


def _read(call: Call, id: str) -> Row[Any] | None:
    return call.db.execute(_everything().where(Limit.id == id)).first()


def about(call: Call, id: str, **_: Any) -> Target:
    row = _read(call, id)
    if row is None:
        return Target(None)
    if row.is_domain:
        return Target(row, **{"target.limit.domain.id": row.owner_id})
    return Target(
        row, **{"target.limit.project_id": row.owner_id, "target.limit.project.domain_id": row.owner_domain_id}
    )


def _found(call: Call, id: str) -> Limit:
    row = call.db.get(Limit, id)
    if row is None:
        raise targets.missing("limit", id)
    return row


@limits.operation("POST", policy=("identity:create_limits", ADMIN), body=LimitsIn, root="")
def create(call: Call, body: LimitsIn) -> Answer:
    """All of them, or none."""
    owners = [_owner(call, wanted) for wanted in body.limits]
    rows = [_make(call, wanted, owner) for wanted, owner in zip(body.limits, owners, strict=True)]
    for row in rows:  # the tree as it would be, with all of them
        _check_tree(call, row)
        call.record("create", ("identity.limit", row.id), after=changes.picture(row))
    return Answer({"limits": [view(call, _read(call, row.id)) for row in rows]}, 201)


def _make(call: Call, wanted: LimitIn, owner: Project) -> Limit:
    check_places(call, wanted.service_id, wanted.region_id)
    registered = find(call, wanted.service_id, wanted.region_id, wanted.resource_name)
    if registered is None:
        raise Forbidden("Unable to create a limit that has no corresponding registered limit.")
    if call.db.scalar(select(Limit.id).where(Limit.registered_limit_id == registered.id, Limit.owner_id == owner.id)):
        raise Conflict(
            f"Conflict occurred attempting to store limit - Duplicate entry: {owner.id} has one of {wanted.resource_name}."
        )
    row = Limit(
        id=new_id(call.cloud.world), registered_limit_id=registered.id, owner_id=owner.id,
        resource_limit=wanted.resource_limit, description=wanted.description,
    )  # fmt: skip
    call.db.add(row)
    call.db.flush()
    return row


def _check_tree(call: Call, row: Limit) -> None:
    """Raises `Forbidden` for a limit that does not fit to those above and below it, in a model that looks at them."""
    if call.part(Identity).settings.shares.enforcement_model == STRICT and breaks_tree(call.db, row):
        raise Forbidden(
            f"Invalid resource limit: {row.resource_limit} of {row.owner_id} is above the limit of its parent or below that of "
            "a child."
        )


def _owner(call: Call, wanted: LimitIn) -> Project:
    """The project or domain of a limit; a domain may also be called a project."""
    if (wanted.project_id is UNSET) == (wanted.domain_id is UNSET):
        raise BadRequest("Invalid input for field/attribute limits: each needs either a project_id or a domain_id.")
    owner = call.db.get(Project, wanted.project_id or wanted.domain_id or "")
    if owner is None or (wanted.project_id is UNSET and not owner.is_domain):
        raise BadRequest(f"Could not find the project or domain {wanted.project_id or wanted.domain_id}.")
    return owner


@limits.operation("GET", policy=("identity:list_limits", ""))
def index(call: Call) -> Page:
    """Those of the token's own project, of its own domain and the projects in it, or of the whole system."""
    statement, actor = _everything(), call.actor
    if not actor.system_scope:
        of_domain = or_(Project.domain_id == actor.domain_id, Project.id == actor.domain_id)
        statement = statement.where(of_domain if actor.domain_id else Limit.owner_id == actor.project_id)
    known = {
        "service_id": RegisteredLimit.service_id,
        "region_id": RegisteredLimit.region_id,
        "resource_name": RegisteredLimit.resource_name,
        "project_id": case((Project.is_domain.is_(False), Limit.owner_id)),
        "domain_id": case((Project.is_domain.is_(True), Limit.owner_id)),
    }
    return listing(call, narrow(call, statement, known), Limit.id)


@limits.operation("GET", "/model", policy=("identity:get_limit_model", ""))
def show_model(call: Call) -> Answer:
    name = call.part(Identity).settings.shares.enforcement_model
    return Answer({"model": {"name": name, "description": MODELS[name]}})


@limits.operation("GET", "/{id}", policy=("identity:get_limit", GET), about=about)
def show(call: Call, id: str) -> Any:
    row = call.subject.row
    if row is None:
        raise targets.missing("limit", id)
    return row


@limits.operation("PATCH", "/{id}", policy=("identity:update_limit", ADMIN), body=LimitUpdate, event="update")
def update(call: Call, id: str, body: LimitUpdate) -> Any:
    row = _found(call, id)
    row.resource_limit = row.resource_limit if body.resource_limit is UNSET else body.resource_limit
    row.description = row.description if body.description is UNSET else body.description
    call.db.flush()
    _check_tree(call, row)
    return _read(call, id)


@limits.operation("DELETE", "/{id}", policy=("identity:delete_limit", ADMIN), event="delete")
def delete(call: Call, id: str) -> None:
    call.db.delete(_found(call, id))
