"""The traits of a provider: what it is good at."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.placement import names
from tiffin.services.placement.dialect import fresh
from tiffin.services.placement.names import TraitName
from tiffin.services.placement.providers import ANY, Generation, at_generation, find
from tiffin.services.placement.public import set_traits
from tiffin.services.placement.tables import ProviderTrait, ResourceProvider


class ProviderTraitsIn(Schema):
    traits: Annotated[list[TraitName], Meta(max_length=1000)]
    resource_provider_generation: Generation


provider_traits = Resource("provider_trait", "traits", "/resource_providers/{uuid}/traits")


def answer(call: Call, row: ResourceProvider) -> dict[str, Any]:
    fresh(call)
    mine = select(ProviderTrait.trait).where(ProviderTrait.provider_id == row.id).order_by(ProviderTrait.trait)
    return {"traits": list(call.db.scalars(mine)), "resource_provider_generation": row.generation}


@provider_traits.operation("GET", policy=("placement:resource_providers:traits:list", ANY), since=(1, 6))
def index(call: Call, uuid: str) -> dict[str, Any]:
    return answer(call, find(call.db, uuid))


@provider_traits.operation(
    "PUT",
    policy=("placement:resource_providers:traits:update", ANY),
    body=ProviderTraitsIn,
    root="",
    event="update",
    since=(1, 6),
)
def replace(call: Call, uuid: str, body: ProviderTraitsIn) -> dict[str, Any]:
    row = at_generation(call.db, uuid, body.resource_provider_generation)
    names.check(call.db, "trait", body.traits)
    set_traits(call.db, uuid, body.traits)
    return answer(call, row)


@provider_traits.operation(
    "DELETE", policy=("placement:resource_providers:traits:delete", ANY), event="delete", since=(1, 6)
)
def delete(call: Call, uuid: str) -> None:
    find(call.db, uuid)
    set_traits(call.db, uuid, [])
