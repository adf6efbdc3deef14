"""The aggregates that a provider is in: ids that somebody else gives a meaning to."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import delete, insert, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema, since
from tiffin.services.placement.allocating import bump
from tiffin.services.placement.dialect import fresh
from tiffin.services.placement.providers import ANY, Generation, Uuid, at_generation, find
from tiffin.services.placement.tables import ProviderAggregate, ResourceProvider

AggregateIds = Annotated[list[Uuid], Meta(max_length=1000)]


class AggregatesIn(Schema):
    aggregates: AggregateIds
    resource_provider_generation: Generation


class AggregatesOut(Schema):
    aggregates: list[str]
    resource_provider_generation: Annotated[Any, since(1, 19)]


aggregates = Resource("aggregate", "aggregates", "/resource_providers/{uuid}/aggregates")
UPDATE = ("placement:resource_providers:aggregates:update", ANY)


def answer(call: Call, row: ResourceProvider) -> AggregatesOut:
    fresh(call)
    ids = call.db.scalars(
        select(ProviderAggregate.aggregate_id)
        .where(ProviderAggregate.provider_id == row.id)
        .order_by(ProviderAggregate.aggregate_id)
    )
    return AggregatesOut(aggregates=list(ids), resource_provider_generation=row.generation)


@aggregates.operation("GET", policy=("placement:resource_providers:aggregates:list", ANY), since=(1, 1))
def index(call: Call, uuid: str) -> AggregatesOut:
    return answer(call, find(call.db, uuid))


def store(call: Call, row: ResourceProvider, ids: list[str]) -> AggregatesOut:
    if len(set(ids)) < len(ids):
        raise BadRequest("Invalid input for field/attribute aggregates: an aggregate comes twice.")
    call.db.execute(delete(ProviderAggregate).where(ProviderAggregate.provider_id == row.id))
    if ids:
        call.db.execute(insert(ProviderAggregate), [{"provider_id": row.id, "aggregate_id": id} for id in ids])
    return answer(call, row)


@aggregates.operation("PUT", policy=UPDATE, body=AggregateIds, root="", event="update", since=(1, 1), until=(1, 19))
def replace_unguarded(call: Call, uuid: str, body: list[str]) -> AggregatesOut:
    return store(call, find(call.db, uuid), body)


@aggregates.operation("PUT", policy=UPDATE, body=AggregatesIn, root="", event="update", since=(1, 19))
def replace(call: Call, uuid: str, body: AggregatesIn) -> AggregatesOut:
    row = at_generation(call.db, uuid, body.resource_provider_generation)
    bump(call.db, [uuid])
    return store(call, row, body.aggregates)
