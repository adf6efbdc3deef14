"""The arithmetic of placement, as SQL conditions and as plain functions."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, and_, exists, select
from sqlalchemy.orm import aliased

from tiffin.core.sql import total
from tiffin.services.placement.tables import (
    Allocation,
    Inventory,
    ProviderAggregate,
    ProviderTrait,
    ResourceProvider,
)

MAX_INT = 2**31 - 1


class Amount(msgspec.Struct, frozen=True):
    """An inventory, as `set_inventory` takes it."""

    total: int
    reserved: int = 0
    min_unit: int = 1
    max_unit: int = MAX_INT
    step_size: int = 1
    allocation_ratio: float = 1.0


def used_of(provider_id: Any, resource_class: Any) -> ColumnElement[int]:
    """How much of a class is allocated at a provider."""
    return (
        select(total(Allocation.used))
        .where(Allocation.provider_id == provider_id, Allocation.resource_class == resource_class)
        .scalar_subquery()
    )


def fits(inventory: Any, amount: Any) -> ColumnElement[bool]:
    """That `amount` (a number or a bound parameter) more fits into an inventory row."""
    capacity = (inventory.total - inventory.reserved) * inventory.allocation_ratio
    return and_(
        capacity >= used_of(inventory.provider_id, inventory.resource_class) + amount,
        inventory.min_unit <= amount,
        inventory.max_unit >= amount,
        amount % inventory.step_size == 0,
    )


def candidates_query(
    resources: Mapping[str, int], required: Iterable[Collection[str]] = (), forbidden: Collection[str] = ()
) -> Select[*tuple[Any, ...]]:
    """The providers that have room for all of the resources at once, of each set in `required` at least one trait and of
    `forbidden` none, in one statement."""
    query = _with_room(tuple(sorted((name, amount) for name, amount in resources.items() if amount > 0)))
    for any_of in required:
        query = query.where(_has_trait(any_of))
    if forbidden:
        query = query.where(~_has_trait(forbidden))
    return query.order_by(ResourceProvider.name)


@functools.lru_cache(maxsize=32)
def _with_room(resources: tuple[tuple[str, int], ...]) -> Select[*tuple[Any, ...]]:
    """Remembered, since a cloud has few flavors, and building the statement costs more than running it."""
    query = select(ResourceProvider.id, ResourceProvider.name)
    for resource_class, amount in resources:
        row = aliased(Inventory)
        query = query.join(
            row, and_(row.provider_id == ResourceProvider.id, row.resource_class == resource_class)
        ).where(fits(row, amount))
    return query


def _has_trait(any_of: Collection[str]) -> ColumnElement[bool]:
    return exists().where(ProviderTrait.provider_id == ResourceProvider.id, ProviderTrait.trait.in_(any_of))


def is_member(aggregates: Collection[str]) -> ColumnElement[bool]:
    """That a provider is in one of the aggregates."""
    return exists().where(
        ProviderAggregate.provider_id == ResourceProvider.id, ProviderAggregate.aggregate_id.in_(aggregates)
    )
