"""Groups of endpoints, by what the endpoints are like (OS-EP-FILTER)."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.bodies import refuse_nothing
from tiffin.services.identity.catalog_tables import EndpointGroup
from tiffin.services.identity.catalog_words import ADMIN, READ, Interface, RegionId, refuse_other_filters
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import AnyText, LongString, NameText

PATH = "/v3/OS-EP-FILTER/endpoint_groups"


class Filters(Schema):
    """What an endpoint must be like; what is not said does not matter."""

    service_id: AnyText | UnsetType = UNSET
    region_id: RegionId | UnsetType | None = UNSET
    interface: Interface | UnsetType = UNSET


class GroupIn(Schema, kw_only=True):
    name: NameText
    filters: Filters
    description: LongString | None = None


class GroupUpdate(Schema):
    """The openstack client says null of a name or filters that shall stay as they are."""

    name: NameText | UnsetType | None = UNSET
    filters: Filters | UnsetType | None = UNSET
    description: LongString | UnsetType | None = UNSET


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "filters": row.filters,
        "links": {"self": f"{call.base_url}{PATH}/{row.id}"},
    }


endpoint_groups = Resource("endpoint_group", "endpoint_groups", PATH, view)
about = targets.about("endpoint_group", EndpointGroup)


def found(call: Call, id: str) -> EndpointGroup:
    """The group that `about` found. Raises `NotFound`."""
    return targets.found(call, "Endpoint Group", EndpointGroup, id)


@endpoint_groups.operation("POST", policy=("identity:create_endpoint_group", ADMIN), body=GroupIn, event="create")
def create(call: Call, body: GroupIn) -> EndpointGroup:
    filters = msgspec.to_builtins(body.filters)
    if not filters:
        raise BadRequest("Invalid input for field/attribute filters: it is required and cannot be empty.")
    row = EndpointGroup(id=new_id(call.cloud.world), name=body.name, description=body.description, filters=filters)
    call.db.add(row)
    return row


@endpoint_groups.operation("GET", policy=("identity:list_endpoint_groups", READ))
def index(call: Call) -> Page:
    refuse_other_filters(call, "name")
    statement = narrow(call, select(*EndpointGroup.__table__.columns), {"name": EndpointGroup.name})
    return listing(call, statement, EndpointGroup.id)


@endpoint_groups.operation("GET", "/{id}", policy=("identity:get_endpoint_group", READ), about=about)
def show(call: Call, id: str) -> EndpointGroup:
    return found(call, id)


@endpoint_groups.operation("PATCH", "/{id}", policy=("identity:update_endpoint_group", ADMIN), body=GroupUpdate,
                           about=about, event="update")  # fmt: skip
def update(call: Call, id: str, body: GroupUpdate) -> EndpointGroup:
    refuse_nothing(body, "endpoint_group")
    row = found(call, id)
    row.name = body.name or row.name
    row.description = row.description if body.description is UNSET else body.description
    row.filters = msgspec.to_builtins(body.filters) if isinstance(body.filters, Filters) else row.filters
    touch(call.db)
    return row


@endpoint_groups.operation(
    "DELETE", "/{id}", policy=("identity:delete_endpoint_group", ADMIN), about=about, event="delete"
)
def delete(call: Call, id: str) -> None:
    call.db.delete(found(call, id))
    touch(call.db)
