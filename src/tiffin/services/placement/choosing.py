"""The candidates for one consumer, for those who schedule in the same process: in one statement where a request is plain."""

from __future__ import annotations

import functools
from typing import Any, cast

import msgspec
from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, exists, select
from sqlalchemy.orm import Session

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
    if is_plain(session, wish):
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


def is_plain(session: Session, wish: Wish) -> bool:
    """Whether all comes from the root of a tree, whatever else there is: then `with_room`, its `amounts` and `conditions`
    say the same as `candidates`, as parts of a larger statement."""
    if len(wish.groups) != 1 or wish.groups[0].suffix or wish.root.names or wish.same_subtree:
        return False
    resources = wish.groups[0].resources
    return bool(resources) and HOST_CLASSES.issuperset(resources) and not session.scalar(_SHARED)


def _on_roots(session: Session, group: Group) -> list[Candidate]:
    room = with_room(tuple(group.resources)).subquery()
    query = select(*room.c).join_from(room, _ROOTS, and_(room.c.id == _ROOTS.c.id, _ROOTS.c.parent_id.is_(None)))
    query = query.where(*conditions(group, _ROOTS.c.id))
    found = session.execute(query, amounts(group)).all()
    return [Candidate(row[0], tuple(row[1:]), {row[0]: group.resources}) for row in found]


_ROOTS, _INVENTORIES = cast(Table, t.ResourceProvider.__table__), cast(Table, t.Inventory.__table__)
"""Tables give rows faster than classes do."""


@functools.lru_cache(maxsize=32)
def with_room(classes: tuple[str, ...]) -> Select[*tuple[Any, ...]]:
    """The ids (as `id`) of providers with room for these classes at once, and what is free there of each. Remembered,
    since building the statement costs as much as running it."""
    rows = [_INVENTORIES.alias() for _ in classes]
    first = rows[0]
    left = (free(row.c).label(f"free_{n}") for n, row in enumerate(rows))
    query = select(first.c.provider_id.label("id"), *left).select_from(first)
    for n, (row, name) in enumerate(zip(rows, classes, strict=True)):
        if n:
            query = query.join(row, row.c.provider_id == first.c.provider_id)
        query = query.where(row.c.resource_class == name, fits(row.c, bindparam(f"amount_{n}", type_=row.c.used.type)))
    return query


def amounts(group: Group) -> dict[str, int]:
    """The parameters of `with_room` for the resources of a group, in their order."""
    return {f"amount_{n}": amount for n, amount in enumerate(group.resources.values())}


def conditions(group: Group, provider_id: ColumnElement[str]) -> list[ColumnElement[bool]]:
    """That a provider has the group's traits, is in its aggregates and in its tree."""
    found = [has_trait(any_of, provider_id) for any_of in group.traits.required]
    if group.traits.forbidden:
        found.append(~has_trait(group.traits.forbidden, provider_id))
    found += [is_member(ids, provider_id) for ids in group.aggregates.member_of]
    if group.aggregates.forbidden:
        found.append(~is_member(group.aggregates.forbidden, provider_id))
    if group.in_tree is not None:
        found.append(provider_id == group.in_tree)
    return found
