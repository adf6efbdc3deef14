"""What hosts tell of themselves, as rows of compute and providers of placement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.orm import Session

from tiffin.core.asker import Asker
from tiffin.core.sql import listed
from tiffin.core.world import World
from tiffin.services.compute.drivers.base import HostFacts
from tiffin.services.compute.tables import Aggregate, AggregateHost, ComputeHost
from tiffin.services.placement import public as placement

CLASSES = ("VCPU", "MEMORY_MB", "DISK_GB")
DISABLED = "COMPUTE_STATUS_DISABLED"
"""The trait of a host whose service is disabled, for those who ask placement for candidates."""


def differing(session: Session, found: Mapping[str, HostFacts]) -> tuple[list[str], list[str]]:
    """(the hosts that are new, those whose rows do not say what they tell). Three statements, whatever their number."""
    known = select(ComputeHost.name, ComputeHost.id, ComputeHost.facts).where(ComputeHost.name.in_(listed(found)))
    rows = {name: (id, facts) for name, id, facts in session.execute(known)}
    ids = {id for id, _ in rows.values()}
    totals = placement.totals(session, ids, CLASSES)
    traits = placement.providers_with(session, ids, sorted({trait for facts in found.values() for trait in facts.traits}))
    changed = [
        name
        for name, facts in found.items()
        if name in rows
        and (
            rows[name][1] != _kept(facts)
            or totals.get(rows[name][0]) != dict(zip(CLASSES, (facts.vcpus, facts.memory_mb, facts.disk_gb), strict=True))
            or any(rows[name][0] not in traits[trait] for trait in facts.traits)
        )
    ]
    return [name for name in found if name not in rows], changed


def _kept(facts: HostFacts) -> dict[str, Any]:
    """The facts as they come back from a row."""
    return {**msgspec.to_builtins(facts), "traits": list(facts.traits)}


def _inventory(facts: HostFacts) -> dict[str, placement.Inventory]:
    amounts = (facts.vcpus, facts.memory_mb, facts.disk_gb)
    ratios = (facts.cpu_allocation_ratio, 1.0, 1.0)
    return {  # a single guest may not have more than the host, however many guests share it
        name: placement.Inventory(amount, max_unit=max(amount, 1), allocation_ratio=ratio)
        for name, amount, ratio in zip(CLASSES, amounts, ratios, strict=True)
    }


def add(session: Session, world: World, found: Mapping[str, HostFacts]) -> None:
    """Have rows and providers of new hosts."""
    now, ids = world.clock(), {name: world.new_id() for name in found}
    session.add_all(
        ComputeHost(
            id=ids[name],
            service_id=world.new_id(),
            name=name,
            hostname=facts.hostname,
            facts=_kept(facts),
            hypervisor_version=facts.hypervisor_version,
            created_at=now,
            seen_at=now,
        )
        for name, facts in found.items()
    )
    new = [placement.NewProvider(ids[n], facts.hostname, _inventory(facts), facts.traits) for n, facts in found.items()]
    placement.add_providers(session, world, new)


def store(session: Session, world: World, name: str, facts: HostFacts) -> None:
    """Have the host's row and its provider say this. What operators set of the provider's inventory (what is reserved,
    the allocation ratio) and other traits of it stay."""
    row = session.scalars(select(ComputeHost).where(ComputeHost.name == name)).one()
    before = row.facts.get("traits", ())
    row.hostname, row.facts, row.hypervisor_version = facts.hostname, _kept(facts), facts.hypervisor_version
    placement.ensure_provider(session, world, row.id, facts.hostname)
    placement.set_totals(session, row.id, _inventory(facts))
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


_ROWS = cast(Table, ComputeHost.__table__)
_OF_HOST = update(_ROWS).where(_ROWS.c.name == bindparam("its_name"))
_GOOD = _OF_HOST.where(_ROWS.c.failed_builds > 0).values(failed_builds=0)
_BAD = _OF_HOST.values(failed_builds=_ROWS.c.failed_builds + 1)


def build_ended(session: Session, host: str, *, well: bool) -> None:
    """Count what the build_failure weigher weighs. A good build forgets the bad ones before it."""
    session.execute(_GOOD if well else _BAD, {"its_name": host})


def enable(row: ComputeHost) -> None:
    """Have the host take servers again, and keep those that it has."""
    row.disabled, row.disabled_reason, row.maintenance = False, None, None


def status_changed(by: Asker, row: ComputeHost) -> None:
    """Tell placement whether the host takes new servers, and the change log what was said of it."""
    if row.disabled:
        placement.change_traits(by.db, row.id, [DISABLED])
    else:
        placement.change_traits(by.db, row.id, remove=[DISABLED])
    told = ("disabled", "disabled_reason", "forced_down", "maintenance")
    by.record("update", ("compute.service", row.service_id), after={name: getattr(row, name) for name in told})
