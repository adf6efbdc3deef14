"""Allocations: what a consumer uses, replaced as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, NotFound
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema, before, required_since, since
from tiffin.services.placement import allocating, names, query
from tiffin.services.placement import tables as t
from tiffin.services.placement.allocating import Consumer, Wanted
from tiffin.services.placement.dialect import fresh
from tiffin.services.placement.names import ClassName
from tiffin.services.placement.providers import ANY, CONCURRENT_UPDATE, Generation, Uuid, find
from tiffin.services.placement.rules import MAX_INT

NOBODY = "00000000-0000-0000-0000-000000000000"
"""Whose the consumers of clients older than 1.8 are, as upstream calls them by default."""
MANY = 1000

Resources = Annotated[dict[ClassName, Annotated[int, Meta(ge=1, le=MAX_INT)]], Meta(min_length=1, max_length=200)]
TypeName = Annotated[str, Meta(pattern=r"^[A-Z0-9_]+\Z", min_length=1, max_length=255)]
Owner = Annotated[str, Meta(min_length=1, max_length=255)]


class ProviderRef(Schema):
    uuid: Uuid


class ListedIn(Schema):
    resource_provider: ProviderRef
    resources: Resources


class AllocationsListIn(Schema):
    """Up to 1.11."""

    allocations: Annotated[list[ListedIn], Meta(min_length=1, max_length=MANY)]
    project_id: Annotated[Owner | UnsetType, since(1, 8), required_since(1, 8)] = UNSET
    user_id: Annotated[Owner | UnsetType, since(1, 8), required_since(1, 8)] = UNSET


class AllocationIn(Schema):
    resources: Resources
    generation: Generation | UnsetType = (
        UNSET  # accepted since what GET shows may be sent back; upstream ignores it too
    )


Suffix = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{0,64}\Z", max_length=64)]
Served = Annotated[list[Uuid], Meta(min_length=1, max_length=MANY)]
Mappings = Annotated[dict[Suffix, Served], Meta(min_length=1, max_length=MANY)]
"""Which providers serve which group, as candidates tell it. Checked for its form; nothing is kept of it."""


class ConsumerIn(Schema):
    """What one consumer shall use. None at `consumer_generation`: it must be new."""

    allocations: Annotated[dict[Uuid, AllocationIn], Meta(max_length=MANY)]
    project_id: Owner
    user_id: Owner
    consumer_generation: Annotated[Generation | UnsetType | None, since(1, 28), required_since(1, 28)] = UNSET
    mappings: Annotated[Mappings | UnsetType, since(1, 34)] = UNSET
    consumer_type: Annotated[TypeName | UnsetType, since(1, 38), required_since(1, 38)] = UNSET


class AllocationsIn(ConsumerIn, kw_only=True):
    allocations: Annotated[
        dict[Uuid, AllocationIn],
        Meta(max_length=MANY),
        before(1, 28, Meta(min_length=1, max_length=MANY)),
    ]


Consumers = Annotated[dict[Uuid, ConsumerIn], Meta(min_length=1, max_length=MANY)]


class AllocationsOut(Schema):
    allocations: dict[str, dict[str, Any]]
    project_id: Annotated[str | UnsetType, since(1, 12)] = UNSET
    user_id: Annotated[str | UnsetType, since(1, 12)] = UNSET
    consumer_generation: Annotated[int | UnsetType, since(1, 28)] = UNSET
    consumer_type: Annotated[str | UnsetType, since(1, 38)] = UNSET


class HeldOut(Schema):
    """What one consumer uses of a provider."""

    resources: dict[str, int]
    consumer_generation: Annotated[int | UnsetType, since(1, 28)] = UNSET


class HeldByOut(Schema):
    allocations: dict[str, HeldOut]
    resource_provider_generation: int


allocations = Resource("allocation", "allocations", "")
UPDATE = ("placement:allocations:update", ANY)
ONE = "/allocations/{consumer_uuid}"


@allocations.operation("GET", ONE, policy=("placement:allocations:list", ANY))
def show(call: Call, consumer_uuid: str) -> AllocationsOut:
    rows = call.db.execute(
        select(t.Allocation.provider_id, t.Allocation.resource_class, t.Allocation.used, t.ResourceProvider.generation)
        .join(t.ResourceProvider, t.ResourceProvider.id == t.Allocation.provider_id)
        .where(t.Allocation.consumer_id == consumer_uuid)
        .order_by(t.Allocation.provider_id, t.Allocation.resource_class)
    ).all()
    found: dict[str, dict[str, Any]] = {}
    for provider_id, resource_class, used, generation in rows:
        one = found.setdefault(provider_id, {"generation": generation, "resources": {}})
        one["resources"][resource_class] = used
    consumer = call.db.get(t.Consumer, consumer_uuid)
    if consumer is None:
        fresh(call)
        return AllocationsOut(allocations={})
    fresh(call, consumer.updated_at)
    return AllocationsOut(
        allocations=found,
        project_id=consumer.project_id,
        user_id=consumer.user_id,
        consumer_generation=consumer.generation,
        consumer_type=consumer.type,
    )


@allocations.operation(
    "GET", "/resource_providers/{uuid}/allocations", policy=("placement:resource_providers:allocations:list", ANY)
)
def of_provider(call: Call, uuid: str) -> HeldByOut:
    row = find(call.db, uuid)
    held = call.db.execute(
        select(t.Allocation.consumer_id, t.Allocation.resource_class, t.Allocation.used, t.Consumer.generation)
        .join(t.Consumer, t.Consumer.id == t.Allocation.consumer_id)
        .where(t.Allocation.provider_id == uuid)
        .order_by(t.Allocation.consumer_id, t.Allocation.resource_class)
    )
    found: dict[str, HeldOut] = {}
    for consumer_id, resource_class, used, generation in held:
        one = found.setdefault(consumer_id, HeldOut(resources={}, consumer_generation=generation))
        one.resources[resource_class] = used
    fresh(call)
    return HeldByOut(allocations=found, resource_provider_generation=row.generation)


def must_be_seen(call: Call, bodies: Mapping[str, ConsumerIn]) -> None:
    """Raises `Conflict` unless each consumer is as the client saw it; clients older than 1.28 do not say."""
    known = dict(call.db.execute(select(t.Consumer.id, t.Consumer.generation).where(t.Consumer.id.in_(bodies))).all())
    for id, body in bodies.items():
        if body.consumer_generation is not UNSET and body.consumer_generation != known.get(id):
            raise Conflict(
                f"Consumer {id} has generation {known.get(id)}, not {body.consumer_generation}: "
                "it was changed by another. Look at it and try again.",
                code=CONCURRENT_UPDATE,
            )


def must_exist(call: Call, wanted: Collection[Wanted]) -> None:
    """Raises `BadRequest` for a provider or a resource class that does not exist."""
    providers = {id for one in wanted for id in one}
    known = call.db.scalars(select(t.ResourceProvider.id).where(t.ResourceProvider.id.in_(providers)))
    missing = providers.difference(known)
    if missing:
        raise BadRequest(f"Allocation for resource providers that do not exist: {', '.join(sorted(missing))}.")
    names.check(call.db, "resource_class", {name for one in wanted for amounts in one.values() for name in amounts})


def store(call: Call, changes: list[tuple[Consumer, Wanted]]) -> None:
    """Replace all of them or none."""
    must_exist(call, [wanted for _, wanted in changes])
    try:
        allocating.replace(call.db, call.now, changes)
    except NotFound as nothing_there:
        raise Conflict(f"Unable to allocate inventory: {nothing_there.message}") from None
    for consumer, wanted in changes:
        call.record("update", ("placement.allocation", consumer.id), after={"allocations": wanted})


def store_bodies(call: Call, bodies: Mapping[str, ConsumerIn]) -> None:
    must_be_seen(call, bodies)
    store(call, [(_consumer(id, body), _wanted(body)) for id, body in bodies.items()])


def _consumer(id: str, body: ConsumerIn) -> Consumer:
    kind = None if body.consumer_type is UNSET else body.consumer_type
    return Consumer(id, body.project_id, body.user_id, kind)


def _wanted(body: ConsumerIn) -> Wanted:
    return {id: one.resources for id, one in body.allocations.items()}


@allocations.operation("PUT", ONE, policy=UPDATE, body=AllocationsListIn, root="", until=(1, 12), ok=204)
def replace_listed(call: Call, consumer_uuid: str, body: AllocationsListIn) -> None:
    consumer = Consumer(query.uuid("consumer", consumer_uuid), body.project_id or NOBODY, body.user_id or NOBODY, None)
    wanted: dict[str, dict[str, int]] = {}
    for one in body.allocations:
        wanted.setdefault(one.resource_provider.uuid, {}).update(one.resources)
    store(call, [(consumer, wanted)])


@allocations.operation("PUT", ONE, policy=UPDATE, body=AllocationsIn, root="", since=(1, 12), ok=204)
def replace(call: Call, consumer_uuid: str, body: AllocationsIn) -> None:
    store_bodies(call, {query.uuid("consumer", consumer_uuid): body})


@allocations.operation(
    "POST",
    "/allocations",
    policy=("placement:allocations:manage", ANY),
    body=Consumers,
    root="",
    since=(1, 13),
    ok=204,
)
def manage(call: Call, body: Mapping[str, ConsumerIn]) -> None:
    """Several consumers at once, such as a server and its migration."""
    store_bodies(call, body)


@allocations.operation("DELETE", ONE, policy=("placement:allocations:delete", ANY), event="delete")
def delete(call: Call, consumer_uuid: str) -> None:
    touched = allocating.give_back(call.db, [consumer_uuid])
    if not touched:
        raise NotFound(f"No allocations for consumer '{consumer_uuid[:255]}'")
    allocating.forget(call.db, consumer_uuid)
