"""Service providers: other clouds that trust what this one says of its users. Tokens list the enabled ones."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import Conflict
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.bodies import check_chosen_id, given, in_url, refuse_nothing
from tiffin.services.identity.federation_tables import ServiceProvider
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.resources.identity_providers import ADMIN, READ
from tiffin.services.identity.schemas import AnyText, Flag, LongString, truth

RELAY_STATE = "ss:mem:"
"""What the RelayState of a SAML message begins with where nothing else is said: Shibboleth's word for its memory."""
Url = Annotated[str, Meta(max_length=225, pattern="^[a-zA-Z0-9+.-]+:.+")]


class ProviderIn(Schema, kw_only=True):
    auth_url: Url
    sp_url: Url
    description: LongString | UnsetType | None = UNSET
    enabled: Flag | UnsetType = UNSET
    relay_state_prefix: AnyText | UnsetType | None = UNSET


class ProviderUpdate(Schema):
    auth_url: Url | UnsetType = UNSET
    sp_url: Url | UnsetType = UNSET
    description: LongString | UnsetType | None = UNSET
    enabled: Flag | UnsetType = UNSET
    relay_state_prefix: AnyText | UnsetType | None = UNSET


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "auth_url": row.auth_url,
        "sp_url": row.sp_url,
        "enabled": row.enabled,
        "description": row.description,
        "relay_state_prefix": row.relay_state_prefix,
        "links": {"self": f"{call.base_url}/v3/OS-FEDERATION/service_providers/{in_url(row.id)}"},
    }


service_providers = Resource("service_provider", "service_providers", "/v3/OS-FEDERATION/service_providers", view)
about = targets.about("service_provider", ServiceProvider)


@service_providers.operation(
    "PUT", "/{id}", policy=("identity:create_service_provider", ADMIN), body=ProviderIn, event="create", ok=201
)
def create(call: Call, id: str, body: ProviderIn) -> ServiceProvider:
    check_chosen_id(id, "service_provider")
    if call.db.get(ServiceProvider, id) is not None:
        raise Conflict(f"Conflict occurred attempting to store service_provider - Duplicate entry: {id}.")
    prefix = given(body.relay_state_prefix)
    row = ServiceProvider(
        id=id, auth_url=body.auth_url, sp_url=body.sp_url, enabled=truth(body.enabled, False),
        description=given(body.description), relay_state_prefix=RELAY_STATE if prefix is None else prefix,
    )  # fmt: skip
    call.db.add(row)
    touch(call.db)
    return row


@service_providers.operation("GET", policy=("identity:list_service_providers", READ))
def index(call: Call) -> Page:
    known = {"id": ServiceProvider.id, "enabled": ServiceProvider.enabled}
    return listing(call, narrow(call, select(*ServiceProvider.__table__.columns), known), ServiceProvider.id)


@service_providers.operation("GET", "/{id}", policy=("identity:get_service_provider", READ), about=about)
def show(call: Call, id: str) -> ServiceProvider:
    return targets.found(call, "service_provider", ServiceProvider, id)


@service_providers.operation(
    "PATCH", "/{id}", policy=("identity:update_service_provider", ADMIN), body=ProviderUpdate, about=about,
    event="update",
)  # fmt: skip
def update(call: Call, id: str, body: ProviderUpdate) -> ServiceProvider:
    refuse_nothing(body, "service_provider")
    row = targets.found(call, "service_provider", ServiceProvider, id)
    row.auth_url = row.auth_url if body.auth_url is UNSET else body.auth_url
    row.sp_url = row.sp_url if body.sp_url is UNSET else body.sp_url
    row.enabled = truth(body.enabled, row.enabled)
    if body.description is not UNSET:
        row.description = body.description
    if body.relay_state_prefix is not UNSET:
        row.relay_state_prefix = RELAY_STATE if body.relay_state_prefix is None else body.relay_state_prefix
    touch(call.db)
    return row


@service_providers.operation(
    "DELETE", "/{id}", policy=("identity:delete_service_provider", ADMIN), about=about, event="delete"
)
def delete(call: Call, id: str) -> None:
    call.db.delete(targets.found(call, "service_provider", ServiceProvider, id))
    touch(call.db)
