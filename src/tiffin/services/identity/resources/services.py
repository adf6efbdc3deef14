"""Services, as the catalogue knows them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import Forbidden
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.bodies import refuse_nothing
from tiffin.services.identity.catalog_words import ADMIN, READ
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.tables import CatalogService, Limit, RegisteredLimit

Text = Annotated[str, Meta(min_length=1, max_length=255)]


class ServiceIn(Keeping, kw_only=True):
    type: Text
    name: Text | UnsetType = UNSET
    enabled: bool = True


class ServiceUpdate(Keeping):
    type: Text | UnsetType = UNSET
    name: Text | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


def service_view(call: Call, row: Any) -> dict[str, Any]:
    return {
        **(row.extra or {}),
        "id": row.id,
        "type": row.type,
        "name": row.name,
        "enabled": row.enabled,
        "links": {"self": f"{call.base_url}/v3/services/{row.id}"},
    }


services = Resource("service", "services", "/v3/services", service_view)
about_service = targets.about("service", CatalogService)


@services.operation("POST", policy=("identity:create_service", ADMIN), body=ServiceIn, event="create")
def create_service(call: Call, body: ServiceIn) -> CatalogService:
    row = CatalogService(
        id=new_id(call.cloud.world), type=body.type, name=body.name or "", enabled=body.enabled,
        extra=targets.clean(body.extra),
    )  # fmt: skip
    call.db.add(row)
    touch(call.db)
    return row


@services.operation("GET", policy=("identity:list_services", READ))
def list_services(call: Call) -> Page:
    statement = select(*CatalogService.__table__.columns)
    known = {"type": CatalogService.type, "name": CatalogService.name}
    return listing(call, narrow(call, statement, known), CatalogService.id, sort=CatalogService.type)


@services.operation("GET", "/{id}", policy=("identity:get_service", READ), about=about_service)
def show_service(call: Call, id: str) -> CatalogService:
    return targets.found(call, "service", CatalogService, id)


@services.operation("PATCH", "/{id}", policy=("identity:update_service", ADMIN), body=ServiceUpdate,
                    about=about_service, event="update")  # fmt: skip
def update_service(call: Call, id: str, body: ServiceUpdate) -> CatalogService:
    refuse_nothing(body, "service")
    row = targets.found(call, "service", CatalogService, id)
    row.type = row.type if body.type is UNSET else body.type
    row.name = row.name if body.name is UNSET else body.name
    row.enabled = row.enabled if body.enabled is UNSET else body.enabled
    targets.keep_extra(row, body.extra, "service")
    touch(call.db)
    return row


@services.operation("DELETE", "/{id}", policy=("identity:delete_service", ADMIN), about=about_service, event="delete")
def delete_service(call: Call, id: str) -> None:
    row = targets.found(call, "service", CatalogService, id)
    limits = select(RegisteredLimit.id).where(RegisteredLimit.service_id == id)
    if call.db.scalar(select(Limit.id).where(Limit.registered_limit_id.in_(limits))):
        raise Forbidden(f"Unable to delete service {id} because there are limits for it.")
    call.db.delete(row)
    touch(call.db)
