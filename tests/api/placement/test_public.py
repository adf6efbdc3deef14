"""Placement as the truth of scheduling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from databases import MemoryDatabase
from tiffin.core.errors import Conflict, NotFound
from tiffin.core.world import World
from tiffin.services.placement import public as p
from tiffin.services.placement import tables as t

WORLD = World(clock=lambda: 1.0)


@pytest.fixture
def session() -> Iterator[Session]:
    database = MemoryDatabase.take()
    with database.write() as open_session:
        has = {"VCPU": p.Inventory(2, allocation_ratio=2.0), "MEMORY_MB": p.Inventory(1000, 100)}
        p.add_providers(open_session, WORLD, [p.NewProvider(f"h{n}", f"host-{n}", has) for n in (1, 2)])
        p.set_traits(open_session, "h2", ["HW_CPU_X86_AVX"])
        yield open_session
    database.close()


def names(session: Session, traits: p.Traits = p.Traits(), **more: Any) -> list[str]:  # noqa: B008 (frozen)
    group = p.Group("", {"VCPU": 2, "MEMORY_MB": 500}, traits, **more)
    return sorted(found.root_id for found in p.candidates(session, p.Wish((group,))))


def test_candidates_have_room_for_all_at_once(session: Session) -> None:
    assert names(session) == ["h1", "h2"]
    p.allocate(session, WORLD, p.Consumer("c1", "proj", "user"), {"h1": {"VCPU": 1, "MEMORY_MB": 500}})
    assert names(session) == ["h2"]
    assert p.usage_of_project(session, "proj") == {"VCPU": 1, "MEMORY_MB": 500}
    p.release(session, "c1")
    assert names(session) == ["h1", "h2"]
    assert p.allocations(session, "c1") == {}


def test_traits_choose(session: Session) -> None:
    assert names(session, p.Traits((frozenset(["HW_CPU_X86_AVX"]),))) == ["h2"]
    assert names(session, p.Traits(forbidden=frozenset(["HW_CPU_X86_AVX"]))) == ["h1"]
    assert names(session, in_tree="h1") == ["h1"]


def test_aggregates_choose(session: Session) -> None:
    p.change_aggregate(session, "a1", "h1", member=True)
    p.change_aggregate(session, "a1", "h1", member=True)
    session.flush()
    assert names(session, aggregates=p.Aggregates((frozenset(["a1"]),))) == ["h1"]
    assert names(session, aggregates=p.Aggregates(forbidden=frozenset(["a1"]))) == ["h2"]
    p.change_aggregate(session, "a1", "h1", member=False)
    session.flush()
    assert names(session, aggregates=p.Aggregates((frozenset(["a1"]),))) == []


def test_traits_of_others_stay(session: Session) -> None:
    p.change_traits(session, "h2", ["COMPUTE_NODE"], ["HW_CPU_X86_SSE"])
    session.flush()
    assert names(session, p.Traits((frozenset(["HW_CPU_X86_AVX"]), frozenset(["COMPUTE_NODE"])))) == ["h2"]
    p.change_traits(session, "h2", [], ["HW_CPU_X86_AVX"])
    assert names(session, p.Traits((frozenset(["HW_CPU_X86_AVX"]),))) == []


def test_candidates_tell_what_is_left(session: Session) -> None:
    p.allocate(session, WORLD, p.Consumer("c1", "proj", "user"), {"h1": {"VCPU": 1, "MEMORY_MB": 100}})
    found = p.candidates(session, p.Wish((p.Group("", {"VCPU": 1, "MEMORY_MB": 1}),)))
    assert {one.root_id: one.free for one in found} == {"h1": (3.0, 800.0), "h2": (4.0, 900.0)}


def test_a_group_may_come_from_below_the_host(session: Session) -> None:
    now = WORLD.clock()
    session.add(t.ResourceProvider(id="g1", name="gpu", generation=0, parent_id="h1", root_id="h1", created_at=now,
                                   updated_at=now))  # fmt: skip
    session.flush()
    p.set_inventory(session, "g1", {"VGPU": p.Inventory(1)})
    wish = p.Wish((p.Group("", {"VCPU": 1}), p.Group("1", {"VGPU": 1})))
    (found,) = p.candidates(session, wish)
    assert (found.root_id, found.free) == ("h1", (4.0,))
    assert found.allocation == {"h1": {"VCPU": 1}, "g1": {"VGPU": 1}}
    p.allocate(session, WORLD, p.Consumer("c1", "proj", "user"), found.allocation)
    assert p.candidates(session, wish) == []


def test_a_class_that_went_and_came_is_as_used_as_before(session: Session) -> None:
    p.allocate(session, WORLD, p.Consumer("c1", "proj", "user"), {"h1": {"VCPU": 3}})
    p.set_inventory(session, "h1", {"MEMORY_MB": p.Inventory(1000, 100)})
    p.set_inventory(session, "h1", {"VCPU": p.Inventory(4), "MEMORY_MB": p.Inventory(1000, 100)})
    with pytest.raises(Conflict):
        p.allocate(session, WORLD, p.Consumer("c2", "proj", "user"), {"h1": {"VCPU": 2}})
    p.release(session, "c1")
    p.allocate(session, WORLD, p.Consumer("c2", "proj", "user"), {"h1": {"VCPU": 4}})


def test_what_was_asked_in_vain_leaves_nothing(session: Session) -> None:
    with pytest.raises(Conflict):
        p.allocate(session, WORLD, p.Consumer("c", "proj", "user"), {"h1": {"VCPU": 1, "MEMORY_MB": 901}})
    assert p.allocations(session, "c") == {}
    p.allocate(session, WORLD, p.Consumer("c", "proj", "user"), {"h1": {"VCPU": 4}})


def test_nothing_is_overbooked(session: Session) -> None:
    with pytest.raises(Conflict):
        p.allocate(session, WORLD, p.Consumer("c", "proj", "user"), {"h1": {"MEMORY_MB": 901}})
    with pytest.raises(NotFound):
        p.allocate(session, WORLD, p.Consumer("c2", "proj", "user"), {"h1": {"DISK_GB": 1}})


def test_allocating_again_replaces(session: Session) -> None:
    for amount in (1, 3):
        p.allocate(session, WORLD, p.Consumer("c", "proj", "user"), {"h1": {"VCPU": amount}})
    assert p.allocations(session, "c") == {"h1": {"VCPU": 3}}


def test_an_inventory_that_did_not_change_keeps_its_generation(session: Session) -> None:
    assert (
        p.set_inventory(
            session, "h1", {"VCPU": p.Inventory(2, allocation_ratio=2.0), "MEMORY_MB": p.Inventory(1000, 100)}
        )
        is False
    )
    assert p.set_inventory(session, "h1", {"VCPU": p.Inventory(3)}) is True
