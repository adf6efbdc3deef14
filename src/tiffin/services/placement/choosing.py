"""The candidates for one consumer, for those who schedule in the same process: in one statement where a request is plain."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from sqlalchemy import Select, and_, bindparam, exists, select
from sqlalchemy.orm import Session, aliased

from tiffin.services.placement import tables as t
from tiffin.services.placement.names import SHARES
from tiffin.services.placement.picture import forest
from tiffin.services.placement.rules import fits, free, has_trait, is_member
from tiffin.services.placement.searching import Allocation, Group, Wish, search

HOST_CLASSES = frozenset(("VCPU", "MEMORY_MB", "DISK_GB"))
"""What a host has of itself; other classes may lie with providers below it."""


class Candidate(msgspec.Struct, frozen=True):
    """A tree of providers that can serve a request. `free`: what its root has left, by class, in the order asked."""

    root_id: str
    free: tuple[float, ...]
    allocation: Allocation


def candidates(session: Session, wish: Wish) -> list[Candidate]:
    """One candidate of each tree that can serve the request now, in no order."""
    if _is_plain(session, wish):
        return _on_roots(session, wish.groups[0])
    classes = {name for group in wish.groups for name in group.resources}
    picture = forest(session, classes, wish.root.names.union(*(group.traits.names for group in wish.groups)))
    found: dict[str, Candidate] = {}
    order = list(wish.groups[0].resources)
    for one in search(picture, wish):
        root = next(picture.providers[id].root_id for ids in one.mappings.values() for id in ids)
        if root not in found:
            rooms = picture.providers[root].rooms
            free_there = tuple(float(rooms[n].capacity - rooms[n].used) if n in rooms else 0.0 for n in order)
            found[root] = Candidate(root, free_there, one.allocation)
    return list(found.values())


_SHARED = select(exists().where(t.ProviderTrait.trait == SHARES))


def _is_plain(session: Session, wish: Wish) -> bool:
    """Whether all comes from the root of a tree, whatever else there is."""
    if len(wish.groups) != 1 or wish.groups[0].suffix or wish.root.names or wish.same_subtree:
        return False
    return HOST_CLASSES.issuperset(wish.groups[0].resources) and not session.scalar(_SHARED)


def _on_roots(session: Session, group: Group) -> list[Candidate]:
    resources = group.resources
    query = _with_room(tuple(resources))
    for any_of in group.traits.required:
        query = query.where(has_trait(any_of))
    if group.traits.forbidden:
        query = query.where(~has_trait(group.traits.forbidden))
    for ids in group.aggregates.member_of:
        query = query.where(is_member(ids))
    if group.aggregates.forbidden:
        query = query.where(~is_member(group.aggregates.forbidden))
    if group.in_tree is not None:
        query = query.where(t.ResourceProvider.id == group.in_tree)
    amounts = {f"amount_{n}": amount for n, amount in enumerate(resources.values())}
    return [Candidate(id, tuple(left), {id: resources}) for id, *left in session.execute(query, amounts)]


@functools.lru_cache(maxsize=32)
def _with_room(classes: tuple[str, ...]) -> Select[*tuple[Any, ...]]:
    """The statement for these classes; building it costs as much as running it."""
    rows = [aliased(t.Inventory) for _ in classes]
    query = select(t.ResourceProvider.id, *(free(row) for row in rows)).where(t.ResourceProvider.parent_id.is_(None))
    for n, (row, name) in enumerate(zip(rows, classes, strict=True)):
        mine = and_(row.provider_id == t.ResourceProvider.id, row.resource_class == name)
        query = query.join(row, mine).where(fits(row, bindparam(f"amount_{n}", type_=t.Inventory.used.type)))
    return query
