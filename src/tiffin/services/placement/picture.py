"""The picture of the providers that a search for candidates looks at: four statements, whatever the size."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session, aliased

from tiffin.services.placement import tables as t
from tiffin.services.placement.names import SHARES
from tiffin.services.placement.rules import Room
from tiffin.services.placement.searching import Forest, Provider


def forest(session: Session, classes: Collection[str], traits: Collection[str]) -> Forest:
    """The trees that have some of these classes or traits; of their providers what a search must know, no more."""
    owners = or_(
        t.ResourceProvider.id.in_(select(t.Inventory.provider_id).where(t.Inventory.resource_class.in_(classes))),
        t.ResourceProvider.id.in_(select(t.ProviderTrait.provider_id).where(t.ProviderTrait.trait.in_(traits))),
    )
    member = aliased(t.ResourceProvider)
    ids = select(member.id).where(member.root_id.in_(select(t.ResourceProvider.root_id).where(owners)))
    return Forest(providers(session, ids, classes=classes, traits={*traits, SHARES}))


def trees(session: Session, root_ids: Collection[str]) -> list[Provider]:
    """Everything about these trees."""
    return providers(session, select(t.ResourceProvider.id).where(t.ResourceProvider.root_id.in_(root_ids)))


def providers(
    session: Session,
    ids: Select[*tuple[Any, ...]],
    *,
    classes: Collection[str] | None = None,
    traits: Collection[str] | None = None,
) -> list[Provider]:
    """The providers by name, with their rooms of `classes` and their `traits` (None: all)."""
    columns = (
        t.ResourceProvider.id,
        t.ResourceProvider.name,
        t.ResourceProvider.parent_id,
        t.ResourceProvider.root_id,
    )
    rows = session.execute(select(*columns).where(t.ResourceProvider.id.in_(ids)).order_by(t.ResourceProvider.name))
    found = {row.id: Provider(row.id, row.name, row.parent_id, row.root_id, {}, set(), set()) for row in rows}
    for provider_id, name, room in _rooms(session, ids, classes):
        found[provider_id].rooms[name] = room
    wanted: ColumnElement[bool] = t.ProviderTrait.provider_id.in_(ids)
    if traits is not None:
        wanted = and_(wanted, t.ProviderTrait.trait.in_(traits))
    for provider_id, trait in session.execute(select(t.ProviderTrait.provider_id, t.ProviderTrait.trait).where(wanted)):
        found[provider_id].traits.add(trait)
    memberships = select(t.ProviderAggregate.provider_id, t.ProviderAggregate.aggregate_id)
    for provider_id, aggregate_id in session.execute(memberships.where(t.ProviderAggregate.provider_id.in_(ids))):
        found[provider_id].aggregates.add(aggregate_id)
    return list(found.values())


def _rooms(
    session: Session, ids: Select[*tuple[Any, ...]], classes: Collection[str] | None
) -> list[tuple[str, str, Room]]:
    row = t.Inventory
    statement = select(row.provider_id, row.resource_class, *Room.columns(row)).where(row.provider_id.in_(ids))
    if classes is not None:
        statement = statement.where(row.resource_class.in_(classes))
    ordered = statement.order_by(row.provider_id, row.resource_class)
    return [(provider_id, name, Room.of(*rest)) for provider_id, name, *rest in session.execute(ordered)]
