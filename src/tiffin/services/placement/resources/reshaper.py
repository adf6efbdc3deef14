"""The reshaper: inventories of several providers and what consumers use of them, moved in one step."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.placement import allocating
from tiffin.services.placement.providers import Uuid, at_generation
from tiffin.services.placement.resources.allocations import MANY, ConsumerIn, store_bodies
from tiffin.services.placement.resources.inventories import InventoriesReplace, amounts, store


class ReshaperIn(Schema):
    inventories: Annotated[dict[Uuid, InventoriesReplace], Meta(min_length=1, max_length=MANY)]
    allocations: Annotated[dict[Uuid, ConsumerIn], Meta(max_length=MANY)]


reshaper = Resource("reshaper", "reshaper", "/reshaper")


@reshaper.operation(
    "POST",
    policy=("placement:reshaper:reshape", "rule:service_api"),
    body=ReshaperIn,
    root="",
    since=(1, 30),
    ok=204,
)
def reshape(call: Call, body: ReshaperIn) -> None:
    """All of it or nothing: the consumers let go, the inventories change, the consumers take their new places."""
    try:
        rows = {
            id: at_generation(call.db, id, one.resource_provider_generation) for id, one in body.inventories.items()
        }
    except NotFound as missing:
        raise BadRequest(missing.message, code=missing.code) from None
    allocating.give_back(call.db, list(body.allocations))
    for id, one in body.inventories.items():
        store(call, rows[id], amounts(call.db, one.inventories))
        call.record("reshape", ("placement.resource_provider", id))
    store_bodies(call, body.allocations)
