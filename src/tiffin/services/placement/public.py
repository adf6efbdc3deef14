"""What other services may ask of placement. `session` is the caller's open write transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from tiffin.core.errors import Conflict
from tiffin.core.sql import total
from tiffin.core.world import World
from tiffin.services.placement import tables as t
from tiffin.services.placement.allocating import Consumer, Wanted, bump, forget, give_back, replace
from tiffin.services.placement.rules import Amount as Inventory
from tiffin.services.placement.rules import candidates_query

__all__ = [
    "Candidate",
    "Consumer",
    "Inventory",
    "allocate",
    "allocations",
    "candidates",
    "ensure_provider",
    "forget_provider",
    "hand_over",
    "release",
    "set_inventory",
    "set_traits",
    "usage_of_project",
]


class Candidate(msgspec.Struct, frozen=True):
    provider_id: str
    name: str


def ensure_provider(session: Session, world: World, id: str, name: str) -> None:
    """Have a root provider of this id and name."""
    row = session.get(t.ResourceProvider, id)
    now = world.clock()
    if row is None:
        session.add(
            t.ResourceProvider(
                id=id, name=name, generation=0, parent_id=None, root_id=id, created_at=now, updated_at=now
            )
        )
    elif row.name != name:
        row.name, row.updated_at = name, now
    session.flush()


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
            session.add(t.Inventory(provider_id=provider_id, resource_class=name, **values))
            changed = True
        elif any(getattr(row, key) != value for key, value in values.items()):
            for key, value in values.items():
                setattr(row, key, value)
            changed = True
    if changed:
        bump(session, [provider_id])
    return changed


def set_traits(session: Session, provider_id: str, traits: Collection[str]) -> None:
    known = set(session.scalars(select(t.ProviderTrait.trait).where(t.ProviderTrait.provider_id == provider_id)))
    if known == set(traits):
        return
    session.execute(
        delete(t.ProviderTrait).where(
            t.ProviderTrait.provider_id == provider_id, t.ProviderTrait.trait.in_(known - set(traits))
        )
    )
    session.add_all(t.ProviderTrait(provider_id=provider_id, trait=name) for name in sorted(set(traits) - known))
    bump(session, [provider_id])


def candidates(
    session: Session,
    resources: Mapping[str, int],
    *,
    required: Collection[str] = (),
    forbidden: Collection[str] = (),
    limit: int | None = None,
    only: Collection[str] | None = None,
) -> list[Candidate]:
    """The providers with room for `resources`, by name; `only` restricts them to these ids. One SQL statement."""
    query = candidates_query(resources, [(trait,) for trait in required], forbidden)
    if only is not None:
        query = query.where(t.ResourceProvider.id.in_(only))
    if limit is not None:
        query = query.limit(limit)
    return [Candidate(id, name) for id, name in session.execute(query)]


def allocate(session: Session, world: World, consumer: Consumer, wanted: Wanted) -> None:
    """Replace what the consumer uses by {provider id: {class: amount}}. Raises `Conflict` when it does not fit, `NotFound`
    for an unknown provider or class there. The open write transaction keeps two from taking the same room."""
    replace(session, world.clock(), [(consumer, wanted)])


def release(session: Session, consumer_id: str) -> None:
    """Give back all that the consumer uses; fine when that is nothing."""
    bump(session, give_back(session, [consumer_id]))
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
