"""What other services may ask of placement. `session` is the caller's open write transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from tiffin.core.errors import Conflict
from tiffin.core.sql import listed, total
from tiffin.core.world import World
from tiffin.services.placement import tables as t
from tiffin.services.placement.allocating import Consumer, Wanted, bump, forget, give_back, replace
from tiffin.services.placement.choosing import Candidate, amounts, candidates, conditions, is_plain, with_room
from tiffin.services.placement.names import exists
from tiffin.services.placement.query import Aggregates, Traits
from tiffin.services.placement.rules import Amount as Inventory
from tiffin.services.placement.searching import Group, Wish

__all__ = [
    "Aggregates",
    "Candidate",
    "Consumer",
    "Group",
    "Inventory",
    "NewProvider",
    "Traits",
    "Wish",
    "add_providers",
    "allocate",
    "allocations",
    "amounts",
    "candidates",
    "change_aggregate",
    "change_traits",
    "conditions",
    "ensure_provider",
    "exists",
    "forget_provider",
    "hand_over",
    "is_plain",
    "members",
    "providers_with",
    "release",
    "set_inventory",
    "set_totals",
    "set_traits",
    "totals",
    "usage_of_project",
    "with_room",
]


def ensure_provider(session: Session, world: World, id: str, name: str) -> None:
    """Have a root provider of this id and name."""
    row = session.get(t.ResourceProvider, id)
    if row is None:
        add_providers(session, world, [NewProvider(id, name, {})])
    elif row.name != name:
        row.name, row.updated_at = name, world.clock()


class NewProvider(msgspec.Struct, frozen=True):
    id: str
    name: str
    inventory: Mapping[str, Inventory]
    traits: Collection[str] = ()


def add_providers(session: Session, world: World, new: Collection[NewProvider]) -> None:
    """Have these root providers, which were not there before: in three statements, however many they are."""
    at, common = world.clock(), {"generation": 0, "parent_id": None}
    rows = [{"id": p.id, "name": p.name, "root_id": p.id, "created_at": at, "updated_at": at, **common} for p in new]
    inventories = [
        {"provider_id": p.id, "resource_class": name, "used": 0, **msgspec.structs.asdict(amount)}
        for p in new
        for name, amount in p.inventory.items()
    ]
    traits = [{"provider_id": p.id, "trait": name} for p in new for name in p.traits]
    for table, made in ((t.ResourceProvider, rows), (t.Inventory, inventories), (t.ProviderTrait, traits)):
        if made:
            session.execute(insert(table), made)


def forget_provider(session: Session, id: str) -> None:
    """Remove a provider. Raises `Conflict` while something is allocated there or below it there are others."""
    if session.scalar(select(t.ResourceProvider.id).where(t.ResourceProvider.parent_id == id).limit(1)):
        raise Conflict(
            f"Unable to delete resource provider {id}: it is the parent of others.",
            code="placement.resource_provider.cannot_delete_parent",
        )
    if session.scalar(select(t.Allocation.consumer_id).where(t.Allocation.provider_id == id).limit(1)):
        raise Conflict(
            f"Unable to delete resource provider {id}: it has allocations.",
            code="placement.resource_provider.inuse",
        )
    session.execute(delete(t.ResourceProvider).where(t.ResourceProvider.id == id))


def set_inventory(session: Session, provider_id: str, inventory: Mapping[str, Inventory]) -> bool:
    """Replace what the provider has. True when that changed something (the generation then grows)."""
    known = {
        row.resource_class: row
        for row in session.scalars(select(t.Inventory).where(t.Inventory.provider_id == provider_id))
    }
    changed = set(known) != set(inventory)
    for gone in set(known) - set(inventory):
        session.delete(known[gone])
    for name, amount in inventory.items():
        values = msgspec.structs.asdict(amount)
        row = known.get(name)
        if row is None:
            used = session.scalar(
                select(total(t.Allocation.used)).where(
                    t.Allocation.provider_id == provider_id, t.Allocation.resource_class == name
                )
            )
            session.add(t.Inventory(provider_id=provider_id, resource_class=name, used=used or 0, **values))
            changed = True
        elif any(getattr(row, key) != value for key, value in values.items()):
            for key, value in values.items():
                setattr(row, key, value)
            changed = True
    if changed:
        bump(session, [provider_id])
    return changed


def set_totals(session: Session, provider_id: str, totals: Mapping[str, Inventory]) -> None:
    """Have the provider have this much of these classes. Of a class that it has already, what is reserved and the
    allocation ratio stay."""
    rows = session.scalars(select(t.Inventory).where(t.Inventory.provider_id == provider_id))
    known = {row.resource_class: _amount(row) for row in rows}
    for name, new in totals.items():
        row = known.get(name)
        kept = {"reserved": row.reserved, "allocation_ratio": row.allocation_ratio} if row else {}
        known[name] = msgspec.structs.replace(new, **kept)
    set_inventory(session, provider_id, known)


def _amount(row: t.Inventory) -> Inventory:
    return Inventory(**{field: getattr(row, field) for field in Inventory.__struct_fields__})


def totals(session: Session, providers: Collection[str], classes: Collection[str]) -> dict[str, dict[str, int]]:
    """How much of these classes each of the providers has: {provider id: {class: total}}."""
    found: dict[str, dict[str, int]] = {}
    columns = t.Inventory.provider_id, t.Inventory.resource_class, t.Inventory.total
    mine = t.Inventory.provider_id.in_(listed(providers))
    for provider_id, name, amount in session.execute(select(*columns).where(mine, t.Inventory.resource_class.in_(classes))):
        found.setdefault(provider_id, {})[name] = amount
    return found


def providers_with(session: Session, providers: Collection[str], traits: Collection[str]) -> dict[str, set[str]]:
    """Those of the providers that have each of the traits: {trait: provider ids}."""
    found: dict[str, set[str]] = {name: set() for name in traits}
    columns = t.ProviderTrait.trait, t.ProviderTrait.provider_id
    mine = t.ProviderTrait.provider_id.in_(listed(providers))
    for name, provider_id in session.execute(select(*columns).where(mine, t.ProviderTrait.trait.in_(traits))):
        found[name].add(provider_id)
    return found


def change_traits(session: Session, provider_id: str, add: Collection[str] = (), remove: Collection[str] = ()) -> None:
    """Have these traits, and those not; what others have given the provider stays."""
    known = set(session.scalars(select(t.ProviderTrait.trait).where(t.ProviderTrait.provider_id == provider_id)))
    new, gone = set(add) - known, known & set(remove)
    if gone:
        mine = t.ProviderTrait.provider_id == provider_id
        session.execute(delete(t.ProviderTrait).where(mine, t.ProviderTrait.trait.in_(gone)))
    session.add_all(t.ProviderTrait(provider_id=provider_id, trait=name) for name in sorted(new))
    if new or gone:
        bump(session, [provider_id])


def set_traits(session: Session, provider_id: str, traits: Collection[str]) -> None:
    """Have just these traits."""
    known = session.scalars(select(t.ProviderTrait.trait).where(t.ProviderTrait.provider_id == provider_id))
    change_traits(session, provider_id, traits, set(known).difference(traits))


def change_aggregate(session: Session, aggregate_id: str, provider_id: str, *, member: bool) -> None:
    """Have the provider in the aggregate, or not."""
    row = session.get(t.ProviderAggregate, (provider_id, aggregate_id))
    if (row is not None) == member:
        return
    if row is None:
        session.add(t.ProviderAggregate(provider_id=provider_id, aggregate_id=aggregate_id))
    else:
        session.delete(row)
    bump(session, [provider_id])


def members(session: Session, aggregate_ids: Collection[str]) -> set[tuple[str, str]]:
    """Who is in these aggregates: (aggregate id, provider id)."""
    columns = t.ProviderAggregate.aggregate_id, t.ProviderAggregate.provider_id
    found = session.execute(select(*columns).where(t.ProviderAggregate.aggregate_id.in_(aggregate_ids)))
    return {(aggregate_id, provider_id) for aggregate_id, provider_id in found}


def allocate(session: Session, world: World, consumer: Consumer, wanted: Wanted) -> None:
    """Replace what the consumer uses by {provider id: {class: amount}}. Raises `Conflict` when it does not fit, `NotFound`
    for an unknown provider or class there. The open write transaction keeps two from taking the same room."""
    replace(session, world.clock(), [(consumer, wanted)])


def release(session: Session, consumer_id: str) -> None:
    """Give back all that the consumer uses; fine when that is nothing."""
    give_back(session, [consumer_id])
    forget(session, consumer_id)


def hand_over(session: Session, world: World, from_id: str, to: Consumer) -> bool:
    """Let another consumer hold what this one uses, where it uses it; whether it used anything."""
    if session.get(t.Consumer, from_id) is None:
        return False
    now = world.clock()
    about = {"project_id": to.project_id, "user_id": to.user_id, "type": to.type or "unknown"}
    session.add(t.Consumer(id=to.id, generation=1, created_at=now, updated_at=now, **about))
    session.flush()
    mine = t.Allocation.consumer_id == from_id
    session.execute(update(t.Allocation).where(mine).values(consumer_id=to.id))
    forget(session, from_id)
    return True


def allocations(session: Session, consumer_id: str) -> dict[str, dict[str, int]]:
    """What the consumer uses: {provider id: {class: amount}}."""
    found: dict[str, dict[str, int]] = {}
    for row in session.execute(
        select(t.Allocation.provider_id, t.Allocation.resource_class, t.Allocation.used).where(
            t.Allocation.consumer_id == consumer_id
        )
    ):
        found.setdefault(row[0], {})[row[1]] = row[2]
    return found


def usage_of_project(session: Session, project_id: str) -> dict[str, int]:
    """How much of each class the project's consumers use."""
    query = (
        select(t.Allocation.resource_class, total(t.Allocation.used))
        .join(t.Consumer, t.Consumer.id == t.Allocation.consumer_id)
        .where(t.Consumer.project_id == project_id)
        .group_by(t.Allocation.resource_class)
    )
    return dict(session.execute(query).all())
