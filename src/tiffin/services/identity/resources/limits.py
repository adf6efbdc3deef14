"""Limits: what one project or domain may have instead of the registered default (the flat model)."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Row, Select, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import targets
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.resources.registered_limits import ADMIN, MOST, Amount, ServiceId, find
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import IdText, LongString, NameText
from tiffin.services.identity.tables import Limit, Project, RegisteredLimit

MODEL = {
    "name": "flat",
    "description": "Limit enforcement and validation does not take project hierarchy into consideration.",
}
GET = (
    "rule:admin_required or (role:reader and system_scope:all) or (domain_id:%(target.limit.domain.id)s or "
    "domain_id:%(target.limit.project.domain_id)s) or (project_id:%(target.limit.project_id)s and not "
    "None:%(target.limit.project_id)s)"
)


class LimitIn(Schema, kw_only=True):
    service_id: ServiceId
    resource_name: NameText
    resource_limit: Amount
    project_id: IdText | None = None
    domain_id: IdText | None = None
    region_id: NameText | None = None
    description: LongString | None = None


class LimitsIn(Schema, kw_only=True):
    limits: Annotated[list[LimitIn], Meta(min_length=1, max_length=MOST)]


class LimitUpdate(Schema):
    resource_limit: Amount | UnsetType = UNSET
    description: LongString | UnsetType | None = UNSET


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
    made: list[dict[str, Any]] = []
    for wanted in body.limits:
        registered = find(call, wanted.service_id, wanted.region_id, wanted.resource_name)
        if registered is None:
            raise Forbidden(
                f"Unable to create a limit that has no corresponding registered limit: {wanted.resource_name}."
            )
        owner = _owner(call, wanted)
        if call.db.scalar(
            select(Limit.id).where(Limit.registered_limit_id == registered.id, Limit.owner_id == owner.id)
        ):
            raise Conflict(f"Duplicate entry: {owner.id} has a limit of {wanted.resource_name} already.")
        row = Limit(
            id=new_id(call.cloud.world), registered_limit_id=registered.id, owner_id=owner.id,
            resource_limit=wanted.resource_limit, description=wanted.description,
        )  # fmt: skip
        call.db.add(row)
        call.db.flush()
        call.record("create", ("identity.limit", row.id))
        made.append(view(call, _read(call, row.id)))
    links = {"self": f"{call.base_url}/v3/limits", "next": None, "previous": None}
    return Answer({"limits": made, "links": links}, 201)


def _owner(call: Call, wanted: LimitIn) -> Project:
    if (wanted.project_id is None) == (wanted.domain_id is None):
        raise BadRequest("Invalid input for field/attribute limits: each needs either a project_id or a domain_id.")
    id = wanted.project_id or wanted.domain_id or ""
    owner = call.db.get(Project, id)
    if owner is None or owner.is_domain != (wanted.domain_id is not None):
        raise BadRequest(f"Could not find the project or domain {id}.")
    return owner


@limits.operation("GET", policy=("identity:list_limits", ""))
def index(call: Call) -> Page:
    statement = _everything()
    if not (call.actor.is_admin or call.actor.system_scope):
        # those of the token's own project, or of its own domain and the projects in it
        domain = call.actor.domain_id
        mine = (Project.domain_id == domain) | (Project.id == domain) if domain else Project.id == call.actor.project_id
        statement = statement.where(mine)
    known = {
        "service_id": RegisteredLimit.service_id,
        "region_id": RegisteredLimit.region_id,
        "resource_name": RegisteredLimit.resource_name,
        "project_id": Limit.owner_id,
        "domain_id": Limit.owner_id,
    }
    return listing(call, narrow(call, statement, known), Limit.id)


@limits.operation("GET", "/model", policy=("identity:get_limit_model", ""))
def show_model(call: Call) -> Answer:
    return Answer({"model": MODEL, "links": {"self": f"{call.base_url}/v3/limits/model"}})


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
    return _read(call, id)


@limits.operation("DELETE", "/{id}", policy=("identity:delete_limit", ADMIN), event="delete")
def delete(call: Call, id: str) -> None:
    call.db.delete(_found(call, id))
