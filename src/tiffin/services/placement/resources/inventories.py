"""Inventories: how much of each resource class a provider has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, NotFound
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.placement import names
from tiffin.services.placement import tables as t
from tiffin.services.placement.dialect import fresh, located
from tiffin.services.placement.names import ClassName
from tiffin.services.placement.providers import ANY, CONCURRENT_UPDATE, Generation, at_generation, find
from tiffin.services.placement.public import set_inventory
from tiffin.services.placement.rules import MAX_INT, Amount

IN_USE = "placement.inventory.inuse"
WHOLE = "/inventories"
ONE = "/inventories/{resource_class}"

Units = Annotated[int, Meta(ge=1, le=MAX_INT)]


class InventoryIn(Schema):
    total: Units
    reserved: Annotated[int, Meta(ge=0, le=MAX_INT)] = 0
    min_unit: Units = 1
    max_unit: Units = MAX_INT
    step_size: Units = 1
    allocation_ratio: Annotated[float, Meta(ge=0, le=3.40282e38)] = 1.0
    resource_provider_generation: Generation | UnsetType = UNSET


class InventoryCreate(InventoryIn, kw_only=True):
    resource_class: ClassName


class InventoryReplace(InventoryIn, kw_only=True):
    resource_provider_generation: Generation


Inventories = Annotated[dict[ClassName, InventoryIn], Meta(max_length=200)]


class InventoriesReplace(Schema):
    resource_provider_generation: Generation
    inventories: Inventories


inventories = Resource("inventory", "inventories", "/resource_providers/{uuid}")
LIST = ("placement:resource_providers:inventories:list", ANY)
CREATE = ("placement:resource_providers:inventories:create", ANY)
SHOW = ("placement:resource_providers:inventories:show", ANY)
UPDATE = ("placement:resource_providers:inventories:update", ANY)
DELETE = ("placement:resource_providers:inventories:delete", ANY)


def amount(resource_class: str, body: InventoryIn, *, all_reserved: bool = True) -> Amount:
    """What the body says. Raises `BadRequest` when more is reserved than there is; `all_reserved`: whether everything
    may be."""
    if body.reserved > body.total or (body.reserved == body.total and not all_reserved):
        raise BadRequest(
            f"Invalid inventory of {resource_class}: {body.reserved} reserved leaves nothing of a total of {body.total}."
        )
    return Amount(**{f: getattr(body, f) for f in Amount.__struct_fields__})


def amounts(session: Session, body: Mapping[str, InventoryIn], *, all_reserved: bool = True) -> dict[str, Amount]:
    names.check(session, "resource_class", body)
    return {name: amount(name, one, all_reserved=all_reserved) for name, one in body.items()}


def known(session: Session, provider_id: str) -> dict[str, Amount]:
    """What the provider has, by class."""
    columns = [getattr(t.Inventory, name) for name in Amount.__struct_fields__]
    rows = session.execute(
        select(t.Inventory.resource_class, *columns)
        .where(t.Inventory.provider_id == provider_id)
        .order_by(t.Inventory.resource_class)
    )
    return {row[0]: Amount(*row[1:]) for row in rows}


def refuse_in_use(session: Session, provider_id: str, gone: set[str]) -> None:
    """Raises `Conflict` when something of these classes is allocated there."""
    held = select(t.Allocation.resource_class).where(
        t.Allocation.provider_id == provider_id, t.Allocation.resource_class.in_(gone)
    )
    used = sorted(set(session.scalars(held))) if gone else []
    if used:
        raise Conflict(f"Inventory of {', '.join(used)} on resource provider {provider_id} is in use.", code=IN_USE)


def store(call: Call, row: t.ResourceProvider, new: Mapping[str, Amount]) -> None:
    """Let this be all that the provider has."""
    refuse_in_use(call.db, row.id, set(known(call.db, row.id)) - set(new))
    set_inventory(call.db, row.id, new)


def answer(call: Call, row: t.ResourceProvider) -> dict[str, Any]:
    fresh(call)
    kept = {name: msgspec.structs.asdict(one) for name, one in known(call.db, row.id).items()}
    return {"inventories": kept, "resource_provider_generation": row.generation}


def answer_one(call: Call, row: t.ResourceProvider, resource_class: str) -> dict[str, Any]:
    fresh(call)
    found = known(call.db, row.id).get(resource_class)
    if found is None:
        raise NotFound(f"Resource provider {row.id} has no inventory of {resource_class}.")
    return {**msgspec.structs.asdict(found), "resource_provider_generation": row.generation}


@inventories.operation("GET", WHOLE, policy=LIST)
def index(call: Call, uuid: str) -> dict[str, Any]:
    return answer(call, find(call.db, uuid))


@inventories.operation("GET", ONE, policy=SHOW)
def show(call: Call, uuid: str, resource_class: str) -> dict[str, Any]:
    return answer_one(call, find(call.db, uuid), resource_class)


def _all_reserved(call: Call) -> bool:
    """From 1.26 on everything may be reserved."""
    return call.version >= (1, 26)


@inventories.operation("POST", WHOLE, policy=CREATE, body=InventoryCreate, root="", event="create")
def create(call: Call, uuid: str, body: InventoryCreate) -> dict[str, Any]:
    seen = body.resource_provider_generation
    row = at_generation(call.db, uuid, None if seen is UNSET else seen)
    names.check(call.db, "resource_class", [body.resource_class])
    new = amount(body.resource_class, body, all_reserved=_all_reserved(call))
    here = known(call.db, uuid)
    if body.resource_class in here:
        raise Conflict(
            f"Resource provider {uuid} has an inventory of {body.resource_class} already.", code=CONCURRENT_UPDATE
        )
    store(call, row, {**here, body.resource_class: new})
    located(call, f"/resource_providers/{uuid}/inventories/{body.resource_class}")
    return answer_one(call, row, body.resource_class)


@inventories.operation("PUT", WHOLE, policy=UPDATE, body=InventoriesReplace, root="", event="update")
def replace(call: Call, uuid: str, body: InventoriesReplace) -> dict[str, Any]:
    row = at_generation(call.db, uuid, body.resource_provider_generation)
    store(call, row, amounts(call.db, body.inventories, all_reserved=_all_reserved(call)))
    return answer(call, row)


@inventories.operation("PUT", ONE, policy=UPDATE, body=InventoryReplace, root="", event="update")
def replace_one(call: Call, uuid: str, resource_class: str, body: InventoryReplace) -> dict[str, Any]:
    row = at_generation(call.db, uuid, body.resource_provider_generation)
    here = known(call.db, uuid)
    if resource_class not in here:
        raise BadRequest(f"Resource provider {uuid} has no inventory of {resource_class[:255]}.")
    store(call, row, {**here, resource_class: amount(resource_class, body, all_reserved=_all_reserved(call))})
    return answer_one(call, row, resource_class)


@inventories.operation("DELETE", WHOLE, policy=DELETE, event="delete", since=(1, 5))
def delete(call: Call, uuid: str) -> None:
    store(call, find(call.db, uuid), {})


@inventories.operation("DELETE", ONE, policy=DELETE, event="delete")
def delete_one(call: Call, uuid: str, resource_class: str) -> None:
    row = find(call.db, uuid)
    here = known(call.db, uuid)
    if resource_class not in here:
        raise NotFound(f"Resource provider {uuid} has no inventory of {resource_class[:255]}.")
    store(call, row, {name: one for name, one in here.items() if name != resource_class})
