"""The arithmetic of placement, as SQL conditions and as plain functions."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, and_, exists, select
from sqlalchemy.orm import aliased

from tiffin.services.placement.tables import (
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


class Room(msgspec.Struct, frozen=True):
    """What a provider has of one class, and what of it is used."""

    capacity: int
    used: int
    min_unit: int
    max_unit: int
    step_size: int

    @staticmethod
    def columns(inventory: Any) -> tuple[Any, ...]:
        """What `of` takes, from an inventory's row."""
        return (
            inventory.total - inventory.reserved,
            inventory.allocation_ratio,
            inventory.used,
            inventory.min_unit,
            inventory.max_unit,
            inventory.step_size,
        )

    @classmethod
    def of(cls, total: int, ratio: float, *rest: int) -> Room:
        return cls(int(total * ratio), *rest)

    def fits(self, amount: int) -> bool:
        return (
            self.min_unit <= amount <= self.max_unit
            and amount % self.step_size == 0
            and self.used + amount <= self.capacity
        )


def free(inventory: Any) -> ColumnElement[float]:
    """What an inventory row has left."""
    left: ColumnElement[float] = (inventory.total - inventory.reserved) * inventory.allocation_ratio - inventory.used
    return left


def fits(inventory: Any, amount: Any) -> ColumnElement[bool]:
    """That `amount` (a number or a bound parameter) more fits into an inventory row."""
    return and_(
        free(inventory) >= amount,
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
        query = query.where(has_trait(any_of))
    if forbidden:
        query = query.where(~has_trait(forbidden))
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


def has_trait(any_of: Collection[str], provider_id: Any = ResourceProvider.id) -> ColumnElement[bool]:
    """That a provider has one of the traits."""
    return exists().where(ProviderTrait.provider_id == provider_id, ProviderTrait.trait.in_(any_of))


def is_member(aggregates: Collection[str], provider_id: Any = ResourceProvider.id) -> ColumnElement[bool]:
    """That a provider is in one of the aggregates."""
    return exists().where(
        ProviderAggregate.provider_id == provider_id, ProviderAggregate.aggregate_id.in_(aggregates)
    )
