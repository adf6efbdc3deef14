"""A flavor's extra specs, and the projects that may use a flavor which is not public."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, NotFound
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.compute.resources.flavors import ADMIN, READER, Flavor, FlavorAccess, find
from tiffin.services.compute.resources.words import MetaKey, Text255

_Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | Annotated[float, Meta(ge=-1e308, le=1e308)]
Specs = Annotated[dict[MetaKey, Text255 | _Number], Meta(max_length=256)]

specs = Resource("extra_specs", "extra_specs", "/v2.1/flavors/{id}/os-extra_specs")
access = Resource("flavor_access", "flavor_access", "/v2.1/flavors")


class SpecsIn(Schema):
    extra_specs: Specs


def _merge(row: Flavor, new: dict[str, Any]) -> dict[str, str]:
    row.extra_specs = {**row.extra_specs, **{k: str(v) for k, v in new.items()}}
    if len(row.extra_specs) > 1024:
        raise BadRequest("A flavor has at most 1024 extra specs.")
    return row.extra_specs


@specs.operation("GET", policy=("os_compute_api:os-flavor-extra-specs:index", READER))
def index(call: Call, id: str) -> dict[str, Any]:
    return {"extra_specs": find(call, id).extra_specs}


@specs.operation(
    "POST",
    policy=("os_compute_api:os-flavor-extra-specs:create", ADMIN),
    body=SpecsIn,
    root="",
    about=find,
    event="update",
    ok=200,
)
def create(call: Call, id: str, body: SpecsIn) -> dict[str, Any]:
    _merge(call.subject, body.extra_specs)
    return {"extra_specs": {k: str(v) for k, v in body.extra_specs.items()}}


@specs.operation("GET", "/{key}", policy=("os_compute_api:os-flavor-extra-specs:show", READER))
def show(call: Call, id: str, key: str) -> dict[str, Any]:
    found = find(call, id).extra_specs
    if key not in found:
        raise NotFound(f"Flavor {id} has no extra specs with key {key[:255]}.")
    return {key: found[key]}


@specs.operation(
    "PUT", "/{key}", policy=("os_compute_api:os-flavor-extra-specs:update", ADMIN), body=Specs, root="", about=find,
    event="update",
)  # fmt: skip
def update(call: Call, id: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    if list(body) != [key]:
        raise BadRequest("Request body and URI mismatch")
    _merge(call.subject, body)
    return {key: str(body[key])}


@specs.operation(
    "DELETE",
    "/{key}",
    policy=("os_compute_api:os-flavor-extra-specs:delete", ADMIN),
    about=find,
    event="update",
    ok=200,
)
def delete(call: Call, id: str, key: str) -> None:
    row: Flavor = call.subject
    if key not in row.extra_specs:
        raise NotFound(f"Flavor {id} has no extra specs with key {key[:255]}.")
    row.extra_specs = {k: v for k, v in row.extra_specs.items() if k != key}


# --- access -------------------------------------------------------------------------------------------------------------


class Tenant(Schema):
    tenant: Annotated[str, Meta(min_length=1, max_length=64)]


def _access(call: Call, id: str) -> dict[str, Any]:
    call.db.flush()
    projects = call.db.scalars(
        select(FlavorAccess.project_id).where(FlavorAccess.flavor_id == id).order_by(FlavorAccess.project_id)
    )
    return {"flavor_access": [{"flavor_id": id, "tenant_id": project} for project in projects]}


@access.operation("GET", "/{id}/os-flavor-access", policy=("os_compute_api:os-flavor-access", ADMIN))
def list_access(call: Call, id: str) -> dict[str, Any]:
    if find(call, id).is_public:
        raise NotFound("Access list not available for public flavors.")
    return _access(call, id)


@access.action(
    "addTenantAccess",
    policy=("os_compute_api:os-flavor-access:add_tenant_access", ADMIN),
    body=Tenant,
    about=find,
    event="update",
    ok=200,
)
def add(call: Call, id: str, body: Tenant) -> dict[str, Any]:
    if call.subject.is_public:
        raise Conflict("Can not add access to a public flavor.")
    if call.db.get(FlavorAccess, (id, body.tenant)) is not None:
        raise Conflict(f"Flavor access already exists for flavor {id} and project {body.tenant} combination.")
    call.db.add(FlavorAccess(flavor_id=id, project_id=body.tenant))
    return _access(call, id)


@access.action(
    "removeTenantAccess",
    policy=("os_compute_api:os-flavor-access:remove_tenant_access", ADMIN),
    body=Tenant,
    about=find,
    event="update",
    ok=200,
)
def remove(call: Call, id: str, body: Tenant) -> dict[str, Any]:
    row = call.db.get(FlavorAccess, (id, body.tenant))
    if row is None:
        raise NotFound(f"Flavor access not found for {id} / {body.tenant} combination.")
    call.db.delete(row)
    return _access(call, id)
