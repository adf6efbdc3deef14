"""Which combinations of providers can serve a request. Pure functions over a picture of the providers."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from tiffin.services.placement.names import SHARES
from tiffin.services.placement.query import Aggregates, Traits
from tiffin.services.placement.rules import Room

MOST_OF_A_TREE = 1000
"""Combinations that are looked at in one tree for a group, and again for all groups together."""
MOST = 20_000
"""Combinations that are looked at for one request: a bound for what a question may cost."""

Allocation = dict[str, dict[str, int]]
"""{provider id: {class: amount}}"""


class Provider(msgspec.Struct):
    id: str
    name: str
    parent_id: str | None
    root_id: str
    rooms: dict[str, Room] = {}
    traits: set[str] = set()
    aggregates: set[str] = set()


class Group(msgspec.Struct, frozen=True):
    """What one provider must offer together; without a suffix, what the providers of a tree offer together."""

    suffix: str
    resources: dict[str, int] = {}
    traits: Traits = Traits()
    aggregates: Aggregates = Aggregates()
    in_tree: str | None = None


class Wish(msgspec.Struct, frozen=True):
    groups: tuple[Group, ...]
    isolate: bool = False
    root: Traits = Traits()
    same_subtree: tuple[frozenset[str], ...] = ()


class Candidate(msgspec.Struct, frozen=True):
    allocation: Allocation
    mappings: dict[str, list[str]]


class Placed(msgspec.Struct, frozen=True):
    """One group on its providers."""

    suffix: str
    where: Allocation


def has_traits(have: Collection[str], wanted: Traits) -> bool:
    return not wanted.forbidden.intersection(have) and all(one.intersection(have) for one in wanted.required)


def in_aggregates(have: Collection[str], wanted: Aggregates) -> bool:
    return not wanted.forbidden.intersection(have) and all(one.intersection(have) for one in wanted.member_of)


class Forest:
    """All providers that matter for a request, with who shares with whom."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self.providers = {p.id: p for p in providers}
        self.trees: dict[str, list[Provider]] = {}
        self.sharing = [p for p in providers if SHARES in p.traits]
        for provider in providers:
            self.trees.setdefault(provider.root_id, []).append(provider)

    def reachable(self, root_id: str) -> list[Provider]:
        """The tree, and those who share with one of it."""
        tree = self.trees[root_id]
        aggregates = {a for p in tree for a in p.aggregates}
        return tree + [s for s in self.sharing if s.root_id != root_id and s.aggregates & aggregates]

    def ancestors(self, id: str) -> set[str]:
        """The provider and all above it."""
        found: set[str] = set()
        at: str | None = id
        while at in self.providers and at not in found:
            found.add(at)
            at = self.providers[at].parent_id
        return found

    def tree_of(self, id: str) -> str | None:
        return self.providers[id].root_id if id in self.providers else None


def search(forest: Forest, wish: Wish) -> Iterator[Candidate]:
    """The candidates, tree by tree in the order of the providers; none comes twice."""
    seen: set[bytes] = set()
    every = itertools.chain.from_iterable(_combinations(forest, root, wish) for root in forest.trees)
    for placed in itertools.islice(every, MOST):
        candidate = _joined(forest, placed, wish)
        if candidate is None:
            continue
        key = msgspec.msgpack.encode(candidate, order="deterministic")
        if key not in seen:
            seen.add(key)
            yield candidate


def _combinations(forest: Forest, root_id: str, wish: Wish) -> Iterator[tuple[Placed, ...]]:
    root = forest.providers.get(root_id)
    if root is None or not has_traits(root.traits, wish.root):
        return
    near = forest.reachable(root_id)
    choices: list[list[Placed]] = []
    for group in wish.groups:
        place = _on_one if group.suffix else _over_a_tree
        choices.append(list(itertools.islice(place(forest, near, group), MOST_OF_A_TREE)))
        if not choices[-1]:
            return
    yield from itertools.islice(itertools.product(*choices), MOST_OF_A_TREE)


def _allowed(forest: Forest, near: list[Provider], group: Group) -> list[Provider]:
    if group.in_tree is None:
        return near
    tree = forest.tree_of(group.in_tree)
    return [p for p in near if p.root_id == tree]


def _on_one(forest: Forest, near: list[Provider], group: Group) -> Iterator[Placed]:
    """A group with a suffix comes whole from one provider."""
    for provider in _allowed(forest, near, group):
        if not has_traits(provider.traits, group.traits) or not in_aggregates(provider.aggregates, group.aggregates):
            continue
        if all(c in provider.rooms and provider.rooms[c].fits(n) for c, n in group.resources.items()):
            yield Placed(group.suffix, {provider.id: dict(group.resources)})


def _over_a_tree(forest: Forest, near: list[Provider], group: Group) -> Iterator[Placed]:
    """The group without a suffix may be spread over a tree; its providers have the traits between them."""
    able = [p for p in _allowed(forest, near, group) if _member(forest, p, group.aggregates)]
    options = [
        [p for p in able if name in p.rooms and p.rooms[name].fits(amount)] for name, amount in group.resources.items()
    ]
    for chosen in itertools.product(*options):
        traits = {t for p in chosen for t in p.traits}
        if not has_traits(traits, group.traits):
            continue
        where: Allocation = {}
        for provider, (name, amount) in zip(chosen, group.resources.items(), strict=True):
            where.setdefault(provider.id, {})[name] = amount
        yield Placed(group.suffix, where)


def _member(forest: Forest, provider: Provider, wanted: Aggregates) -> bool:
    """A tree is in the aggregates of its root."""
    root = forest.providers.get(provider.root_id)
    return in_aggregates(provider.aggregates | (root.aggregates if root else set()), wanted)


def _joined(forest: Forest, placed: tuple[Placed, ...], wish: Wish) -> Candidate | None:
    """The groups together, if they may stand and fit together."""
    own = [next(iter(one.where)) for one in placed if one.suffix and any(one.where.values())]
    if wish.isolate and len(set(own)) < len(own):
        return None
    allocation: Allocation = {}
    for one in placed:
        for id, resources in one.where.items():
            for name, amount in resources.items():
                held = allocation.setdefault(id, {})
                held[name] = held.get(name, 0) + amount
    mappings = {one.suffix: list(one.where) for one in placed}
    if not _together_fits(forest, allocation) or not _near(forest, mappings, wish.same_subtree):
        return None
    return Candidate(allocation, mappings)


def _together_fits(forest: Forest, allocation: Allocation) -> bool:
    """Groups may meet on one provider; each fits, but do all?"""
    for id, resources in allocation.items():
        for name, amount in resources.items():
            room = forest.providers[id].rooms[name]
            if amount > room.max_unit or room.used + amount > room.capacity:
                return False
    return True


def _near(forest: Forest, mappings: Mapping[str, list[str]], wanted: tuple[frozenset[str], ...]) -> bool:
    """For each set of suffixes: one of their providers is above, or is, all the others."""
    for suffixes in wanted:
        ids = {id for suffix in suffixes for id in mappings.get(suffix, ())}
        common = set.intersection(*(forest.ancestors(id) for id in ids)) if ids else set()
        if not common & ids:
            return False
    return True
