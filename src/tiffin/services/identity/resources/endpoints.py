"""Endpoints: the addresses of the catalogue."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.bodies import refuse_nothing
from tiffin.services.identity.catalog_words import ADMIN, INTERFACES, READ, Interface, RegionId, Url
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.resources.regions import ensure_region
from tiffin.services.identity.rules import bad_substitution, new_id
from tiffin.services.identity.schemas import AnyText, LongString
from tiffin.services.identity.tables import CatalogService, Endpoint, Region


class EndpointIn(Keeping, kw_only=True):
    service_id: AnyText
    interface: Interface
    url: Url
    region: RegionId | UnsetType | None = UNSET
    region_id: RegionId | UnsetType | None = UNSET
    enabled: bool = True
    name: AnyText | UnsetType = UNSET
    description: LongString | UnsetType | None = UNSET


class EndpointUpdate(Keeping):
    service_id: AnyText | UnsetType = UNSET
    interface: Interface | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    region: RegionId | UnsetType | None = UNSET
    region_id: RegionId | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    name: AnyText | UnsetType = UNSET
    description: LongString | UnsetType | None = UNSET


def endpoint_view(call: Call, row: Any) -> dict[str, Any]:
    return {
        **(row.extra or {}),
        "id": row.id,
        "service_id": row.service_id,
        "interface": row.interface,
        "url": row.url,
        "region": row.region_id,
        "region_id": row.region_id,
        "enabled": row.enabled,
        "links": {"self": f"{call.base_url}/v3/endpoints/{row.id}"},
    }


endpoints = Resource("endpoint", "endpoints", "/v3/endpoints", endpoint_view)
about_endpoint = targets.about("endpoint", Endpoint)


def _check_url(url: str) -> None:
    word = bad_substitution(url)
    if word is not None:
        raise BadRequest(f"Invalid input for field/attribute url: {word} cannot be substituted.")


def _region(call: Call, body: EndpointIn | EndpointUpdate, known: str | None) -> str | None:
    """The region of an endpoint: `region_id` must exist, a `region` is made when it does not."""
    if isinstance(body.region_id, str):
        if call.db.get(Region, body.region_id) is None:
            raise BadRequest(f"Could not find region: {body.region_id}.")
        return body.region_id
    if isinstance(body.region, str):
        ensure_region(call, body.region)
        return body.region
    return known if body.region_id is UNSET else None


def _extra(body: EndpointIn | EndpointUpdate) -> dict[str, Any]:
    """What upstream stores without looking at it, a name and a description too."""
    told = {"name": body.name, "description": body.description}
    return body.extra | {word: value for word, value in told.items() if value is not UNSET}


def _check_service(call: Call, id: str) -> None:
    if call.db.get(CatalogService, id) is None:
        raise BadRequest(f"Could not find service: {id}.")


@endpoints.operation("POST", policy=("identity:create_endpoint", ADMIN), body=EndpointIn, event="create")
def create_endpoint(call: Call, body: EndpointIn) -> Endpoint:
    _check_url(body.url)
    _check_service(call, body.service_id)
    row = Endpoint(
        id=new_id(call.cloud.world), service_id=body.service_id, region_id=_region(call, body, None),
        url=body.url, interface=body.interface, enabled=body.enabled, extra=targets.clean(_extra(body)),
    )  # fmt: skip
    call.db.add(row)
    touch(call.db)
    return row


@endpoints.operation("GET", policy=("identity:list_endpoints", READ))
def list_endpoints(call: Call) -> Page:
    if call.param("interface", "public") not in INTERFACES:
        raise BadRequest(f"Invalid input for query parameter interface: one of {', '.join(INTERFACES)} is expected.")
    known = {
        "interface": Endpoint.interface,
        "service_id": Endpoint.service_id,
        "region_id": Endpoint.region_id,
    }
    return listing(call, narrow(call, select(*Endpoint.__table__.columns), known), Endpoint.id)


@endpoints.operation("GET", "/{id}", policy=("identity:get_endpoint", READ), about=about_endpoint)
def show_endpoint(call: Call, id: str) -> Endpoint:
    return targets.found(call, "endpoint", Endpoint, id)


@endpoints.operation("PATCH", "/{id}", policy=("identity:update_endpoint", ADMIN), body=EndpointUpdate,
                     about=about_endpoint, event="update")  # fmt: skip
def update_endpoint(call: Call, id: str, body: EndpointUpdate) -> Endpoint:
    refuse_nothing(body, "endpoint")
    row = targets.found(call, "endpoint", Endpoint, id)
    if body.url is not UNSET:
        _check_url(body.url)
        row.url = body.url
    if body.service_id is not UNSET:
        _check_service(call, body.service_id)
        row.service_id = body.service_id
    if body.interface is not UNSET:
        row.interface = body.interface
    row.region_id = _region(call, body, row.region_id)
    row.enabled = row.enabled if body.enabled is UNSET else body.enabled
    targets.keep_extra(row, _extra(body), "endpoint")
    touch(call.db)
    return row


@endpoints.operation(
    "DELETE", "/{id}", policy=("identity:delete_endpoint", ADMIN), about=about_endpoint, event="delete"
)
def delete_endpoint(call: Call, id: str) -> None:
    call.db.delete(targets.found(call, "endpoint", Endpoint, id))
    touch(call.db)
