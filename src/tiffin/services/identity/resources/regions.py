"""Regions: where endpoints are. They form trees."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Select, delete, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import targets
from tiffin.services.identity.bodies import in_url, refuse_nothing
from tiffin.services.identity.catalog_words import ADMIN, RegionId, refuse_other_filters
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import AnyText
from tiffin.services.identity.tables import Endpoint, Region, RegisteredLimit


class RegionIn(Keeping):
    id: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    description: AnyText | UnsetType | None = UNSET
    parent_region_id: RegionId | UnsetType | None = UNSET


def region_view(call: Call, row: Any) -> dict[str, Any]:
    return {
        **(row.extra or {}),
        "id": row.id,
        "description": row.description,
        "parent_region_id": row.parent_region_id,
        "links": {"self": f"{call.base_url}/v3/regions/{in_url(row.id)}"},
    }


regions = Resource("region", "regions", "/v3/regions", region_view)
about_region = targets.about("region", Region)


def within(region_id: str) -> Select[Any]:
    """The ids of a region and of all that are in it."""
    inner = select(Region.id).where(Region.id == region_id).cte("inner_regions", recursive=True)
    inner = inner.union(select(Region.id).join(inner, Region.parent_region_id == inner.c.id))
    return select(inner.c.id)


def ensure_region(call: Call, id: str) -> None:
    """Have a region of this id, as for endpoints that name one that is not there yet."""
    if call.db.get(Region, id) is None:
        call.db.add(Region(id=id, description="", parent_region_id=None, extra={}))
        call.db.flush()
        call.record("create", ("identity.region", id))


def _parent(call: Call, row: Region, parent_id: str | None) -> str | None:
    """The id of a region's parent. Raises `NotFound`, or `BadRequest` when the region would be above itself."""
    above = parent_id
    while above is not None:
        if above == row.id:
            raise BadRequest(f"The specified parent region {parent_id} would create a circular region hierarchy.")
        parent = call.db.get(Region, above)
        if parent is None:
            raise targets.missing("region", above)
        above = parent.parent_region_id
    return parent_id


def _make_region(call: Call, id: str, body: RegionIn) -> Region:
    if call.db.get(Region, id) is not None:
        raise Conflict(f"Conflict occurred attempting to store region - Duplicate ID, {id}.")
    row = Region(id=id, description=body.description or "", parent_region_id=None, extra=targets.clean(body.extra))
    row.parent_region_id = _parent(call, row, body.parent_region_id or None)
    call.db.add(row)
    return row


@regions.operation("POST", policy=("identity:create_region", ADMIN), body=RegionIn, event="create")
def create_region(call: Call, body: RegionIn) -> Region:
    return _make_region(call, body.id or new_id(call.cloud.world), body)


@regions.operation("PUT", "/{id}", policy=("identity:create_region", ADMIN), body=RegionIn, event="create", ok=201)
def put_region(call: Call, id: str, body: RegionIn) -> Region:
    if body.id is not UNSET and body.id != id:
        raise BadRequest("Conflicting region IDs specified: the body and the URL differ.")
    if len(id) > 255:
        raise BadRequest("Invalid input for field/attribute id: at most 255 characters.")
    return _make_region(call, id, body)


@regions.operation("GET", policy=("identity:list_regions", ""))
def list_regions(call: Call) -> Page:
    refuse_other_filters(call, "parent_region_id")
    statement = select(*Region.__table__.columns)
    return listing(call, narrow(call, statement, {"parent_region_id": Region.parent_region_id}), Region.id)


@regions.operation("GET", "/{id}", policy=("identity:get_region", ""), about=about_region)
def show_region(call: Call, id: str) -> Region:
    return targets.found(call, "region", Region, id)


@regions.operation("PATCH", "/{id}", policy=("identity:update_region", ADMIN), body=RegionIn, about=about_region,
                   event="update")  # fmt: skip
def update_region(call: Call, id: str, body: RegionIn) -> Region:
    refuse_nothing(body, "region")
    row = targets.found(call, "region", Region, id)
    if body.id is not UNSET and body.id != id:
        raise BadRequest("Cannot change region ID")
    if body.description is not UNSET:
        row.description = body.description or ""
    if body.parent_region_id is not UNSET:
        row.parent_region_id = _parent(call, row, body.parent_region_id)
    targets.keep_extra(row, body.extra, "region")
    return row


@regions.operation("DELETE", "/{id}", policy=("identity:delete_region", ADMIN), about=about_region, event="delete")
def delete_region(call: Call, id: str) -> None:
    """With all regions in it."""
    targets.found(call, "region", Region, id)
    ids = call.db.scalars(within(id)).all()
    if call.db.scalar(select(Endpoint.id).where(Endpoint.region_id.in_(ids)).limit(1)):
        raise Forbidden(f"Unable to delete region {id} because it or its child regions have associated endpoints.")
    if call.db.scalar(select(RegisteredLimit.id).where(RegisteredLimit.region_id.in_(ids)).limit(1)):
        raise Forbidden(f"Unable to delete region {id} because there are registered limits for it or a child region.")
    for inner in ids:
        if inner != id:
            call.record("delete", ("identity.region", inner))
    call.db.execute(delete(Region).where(Region.id.in_(ids)))
