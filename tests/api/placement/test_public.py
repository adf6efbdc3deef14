"""Placement as the truth of scheduling."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from support import MemoryDatabase
from tiffin.core.errors import Conflict, NotFound
from tiffin.core.world import World
from tiffin.services.placement import public as p

WORLD = World(clock=lambda: 1.0)


@pytest.fixture
def session() -> Iterator[Session]:
    database = MemoryDatabase.take()
    with database.write() as open_session:
        for n in (1, 2):
            p.ensure_provider(open_session, WORLD, f"h{n}", f"host-{n}")
            p.set_inventory(
                open_session,
                f"h{n}",
                {"VCPU": p.Inventory(2, allocation_ratio=2.0), "MEMORY_MB": p.Inventory(1000, 100)},
            )
        p.set_traits(open_session, "h2", ["HW_CPU_X86_AVX"])
        yield open_session
    database.close()


def names(session: Session, **more: object) -> list[str]:
    return [c.name for c in p.candidates(session, {"VCPU": 2, "MEMORY_MB": 500}, **more)]  # type: ignore[arg-type]


def test_candidates_have_room_for_all_at_once(session: Session) -> None:
    assert names(session) == ["host-1", "host-2"]
    p.allocate(session, WORLD, p.Consumer("c1", "proj", "user"), {"h1": {"VCPU": 1, "MEMORY_MB": 500}})
    assert names(session) == ["host-2"]
    assert p.usage_of_project(session, "proj") == {"VCPU": 1, "MEMORY_MB": 500}
    p.release(session, "c1")
    assert names(session) == ["host-1", "host-2"]
    assert p.allocations(session, "c1") == {}


def test_traits_choose(session: Session) -> None:
    assert names(session, required=["HW_CPU_X86_AVX"]) == ["host-2"]
    assert names(session, forbidden=["HW_CPU_X86_AVX"]) == ["host-1"]
    assert names(session, only=["h1"]) == ["host-1"]


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
