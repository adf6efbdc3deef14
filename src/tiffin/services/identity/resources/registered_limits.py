"""Registered limits: the defaults of the unified limits."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core import changes
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import targets
from tiffin.services.identity.catalog_words import ADMIN, RegionId
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import AnyText, NameText
from tiffin.services.identity.tables import CatalogService, Limit, Region, RegisteredLimit

Amount = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
ServiceId = Annotated[str, Meta(min_length=1, max_length=64)]
MOST = 512
"""Limits that one request may make."""


class RegisteredLimitIn(Schema, kw_only=True):
    service_id: ServiceId
    resource_name: NameText
    default_limit: Amount
    region_id: RegionId | None = None
    description: AnyText | None = None


class RegisteredLimitUpdate(Schema):
    service_id: ServiceId | UnsetType = UNSET
    resource_name: NameText | UnsetType = UNSET
    default_limit: Amount | UnsetType = UNSET
    region_id: RegionId | UnsetType | None = UNSET
    description: AnyText | UnsetType | None = UNSET


class RegisteredLimitsIn(Schema, kw_only=True):
    registered_limits: Annotated[list[RegisteredLimitIn], Meta(min_length=1, max_length=MOST)]


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "service_id": row.service_id,
        "region_id": row.region_id,
        "resource_name": row.resource_name,
        "default_limit": row.default_limit,
        "description": row.description,
        "links": {"self": f"{call.base_url}/v3/registered_limits/{row.id}"},
    }


registered_limits = Resource("registered_limit", "registered_limits", "/v3/registered_limits", view)
about = targets.about("registered_limit", RegisteredLimit)


def find(call: Call, service_id: str, region_id: str | None, resource_name: str) -> RegisteredLimit | None:
    """The registered limit of a resource of a service in a region (None: in every region)."""
    return call.db.scalar(
        select(RegisteredLimit).where(
            RegisteredLimit.service_id == service_id,
            RegisteredLimit.region_id.is_not_distinct_from(region_id),
            RegisteredLimit.resource_name == resource_name,
        )
    )


def check_places(call: Call, service_id: str, region_id: str | None) -> None:
    """Raises `BadRequest` for a service or a region that is not there."""
    if call.db.get(CatalogService, service_id) is None:
        raise BadRequest(f"Could not find service: {service_id}.")
    if region_id is not None and call.db.get(Region, region_id) is None:
        raise BadRequest(f"Could not find region: {region_id}.")


def _check(call: Call, row: RegisteredLimit) -> None:
    """Raises `BadRequest` for a place that is not there, `Conflict` for a second one of its kind."""
    check_places(call, row.service_id, row.region_id)
    twin = find(call, row.service_id, row.region_id, row.resource_name)
    if twin is not None and twin.id != row.id:
        raise Conflict(
            f"Conflict occurred attempting to store registered_limit - Duplicate entry: there is one of {row.resource_name}."
        )


@registered_limits.operation(
    "POST", policy=("identity:create_registered_limits", ADMIN), body=RegisteredLimitsIn, root=""
)
def create(call: Call, body: RegisteredLimitsIn) -> Answer:
    made: list[dict[str, Any]] = []
    for wanted in body.registered_limits:
        row = RegisteredLimit(
            id=new_id(call.cloud.world), service_id=wanted.service_id, region_id=wanted.region_id,
            resource_name=wanted.resource_name, default_limit=wanted.default_limit, description=wanted.description,
        )  # fmt: skip
        _check(call, row)
        call.db.add(row)
        call.db.flush()
        call.record("create", ("identity.registered_limit", row.id), after=changes.picture(row))
        made.append(view(call, row))
    return Answer({"registered_limits": made}, 201)


@registered_limits.operation("GET", policy=("identity:list_registered_limits", ""))
def index(call: Call) -> Page:
    known = {
        "service_id": RegisteredLimit.service_id,
        "region_id": RegisteredLimit.region_id,
        "resource_name": RegisteredLimit.resource_name,
    }
    return listing(call, narrow(call, select(*RegisteredLimit.__table__.columns), known), RegisteredLimit.id)


@registered_limits.operation("GET", "/{id}", policy=("identity:get_registered_limit", ""), about=about)
def show(call: Call, id: str) -> RegisteredLimit:
    return targets.found(call, "registered_limit", RegisteredLimit, id)


def _refuse_used(call: Call, row: RegisteredLimit) -> None:
    if call.db.scalar(select(Limit.id).where(Limit.registered_limit_id == row.id).limit(1)):
        raise Forbidden(
            f"Unable to update or delete registered limit {row.id} because there are project limits associated with it."
        )


@registered_limits.operation("PATCH", "/{id}", policy=("identity:update_registered_limit", ADMIN),
                             body=RegisteredLimitUpdate, about=about, event="update")  # fmt: skip
def update(call: Call, id: str, body: RegisteredLimitUpdate) -> RegisteredLimit:
    row = targets.found(call, "registered_limit", RegisteredLimit, id)
    _refuse_used(call, row)
    with call.db.no_autoflush:
        row.service_id = row.service_id if body.service_id is UNSET else body.service_id
        row.region_id = row.region_id if body.region_id is UNSET else body.region_id
        row.resource_name = row.resource_name if body.resource_name is UNSET else body.resource_name
        row.default_limit = row.default_limit if body.default_limit is UNSET else body.default_limit
        row.description = row.description if body.description is UNSET else body.description
        _check(call, row)
    return row


@registered_limits.operation("DELETE", "/{id}", policy=("identity:delete_registered_limit", ADMIN), about=about,
                             event="delete")  # fmt: skip
def delete(call: Call, id: str) -> None:
    row = targets.found(call, "registered_limit", RegisteredLimit, id)
    _refuse_used(call, row)
    call.db.delete(row)
