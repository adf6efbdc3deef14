"""What hosts tell of themselves, as rows of compute and providers of placement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tiffin.core.world import World
from tiffin.services.compute.drivers.base import HostFacts
from tiffin.services.compute.tables import Aggregate, AggregateHost, ComputeHost
from tiffin.services.placement import public as placement

DISABLED = "COMPUTE_STATUS_DISABLED"
"""The trait of a host whose service is disabled, for those who ask placement for candidates."""


def differing(session: Session, found: Mapping[str, HostFacts]) -> list[str]:
    """The hosts whose rows do not say what they tell: new ones, and those that have changed. Three statements, whatever
    their number."""
    rows = {name: (id, facts) for name, id, facts in session.execute(
        select(ComputeHost.name, ComputeHost.id, ComputeHost.facts))}  # fmt: skip
    totals = placement.totals(session, tuple(_amounts(0, 0, 0)))
    traits = placement.providers_with(session, sorted({trait for facts in found.values() for trait in facts.traits}))
    return [
        name
        for name, facts in found.items()
        if name not in rows
        or rows[name][1] != _kept(facts)
        or totals.get(rows[name][0]) != _amounts(facts.vcpus, facts.memory_mb, facts.disk_gb)
        or any(rows[name][0] not in traits[trait] for trait in facts.traits)
    ]


def _kept(facts: HostFacts) -> dict[str, Any]:
    """The facts as they come back from a row."""
    return {**msgspec.to_builtins(facts), "traits": list(facts.traits)}


def _amounts(vcpus: int, memory_mb: int, disk_gb: int) -> dict[str, int]:
    return {"VCPU": vcpus, "MEMORY_MB": memory_mb, "DISK_GB": disk_gb}


def store(session: Session, world: World, name: str, facts: HostFacts) -> None:
    """Have the host's row and its provider say this. What operators set of the provider's inventory (what is reserved,
    the allocation ratio) and other traits of it stay."""
    now, kept = world.clock(), _kept(facts)
    row = session.scalar(select(ComputeHost).where(ComputeHost.name == name))
    if row is None:
        row = ComputeHost(id=world.new_id(), service_id=world.new_id(), name=name, created_at=now, facts=kept)
        session.add(row)
    before = row.facts.get("traits", ())
    row.hostname, row.facts, row.seen_at = facts.hostname, kept, now
    row.hypervisor_version = facts.hypervisor_version
    session.flush()
    placement.ensure_provider(session, world, row.id, facts.hostname)
    amounts = _amounts(facts.vcpus, facts.memory_mb, facts.disk_gb)
    ratios = {"VCPU": facts.cpu_allocation_ratio}
    placement.set_totals(session, row.id, amounts, ratios)
    placement.change_traits(session, row.id, facts.traits, set(before).difference(facts.traits))


def left_out(session: Session) -> set[tuple[str, str]]:
    """(aggregate id, host id) of the hosts in aggregates that placement does not know to be there."""
    here = (
        select(Aggregate.id, ComputeHost.id)
        .join(AggregateHost, AggregateHost.aggregate == Aggregate.number)
        .join(ComputeHost, ComputeHost.name == AggregateHost.host)
    )
    promised = {(aggregate_id, host_id) for aggregate_id, host_id in session.execute(here)}
    return promised - placement.members(session, sorted({id for id, _ in promised})) if promised else promised


def build_ended(session: Session, host: str, *, well: bool) -> None:
    """Count what the build_failure weigher weighs. A good build forgets the bad ones before it."""
    row = update(ComputeHost).where(ComputeHost.name == host)
    if well:
        session.execute(row.where(ComputeHost.failed_builds > 0).values(failed_builds=0))
    else:
        session.execute(row.values(failed_builds=ComputeHost.failed_builds + 1))


def show_status(session: Session, row: ComputeHost) -> None:
    """Tell placement whether the host takes new servers."""
    if row.disabled:
        placement.change_traits(session, row.id, [DISABLED])
    else:
        placement.change_traits(session, row.id, remove=[DISABLED])
