"""What a server asks of placement: resources, traits and aggregates, from its flavor, its image and the operator's rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from tiffin.services.compute.scheduler.aggregate_filters import TENANT
from tiffin.services.compute.scheduler.model import Aggregate, NoHost
from tiffin.services.compute.settings import Settings
from tiffin.services.compute.tables import Server
from tiffin.services.placement import public as placement

_SPEC = re.compile(r"(resources|trait)([a-zA-Z0-9_-]{1,64})?:([A-Z0-9_]{1,255})")
_MOST_GROUPS, _MOST_TRAITS = 32, 50
_KNOWN = Callable[[Any, str], bool]
"""Whether a trait or resource class of this name exists."""


def own_resources(server: Server) -> dict[str, int]:
    """What the server takes by the sizes of its flavor: CPUs, MiB, GiB (swap rounded up)."""
    disk = server.root_gb + server.ephemeral_gb + -(-server.swap_mb // 1024)
    wanted = {"VCPU": server.vcpus, "MEMORY_MB": server.memory_mb, "DISK_GB": disk}
    return {name: amount for name, amount in wanted.items() if amount}


def wish_of(server: Server, known: _KNOWN) -> placement.Wish:
    """What the flavor and the image want, without regard to aggregates. Raises `NoHost` for what cannot be meant."""
    specs: Mapping[str, str] = server.flavor.get("extra_specs", {})
    resources: dict[str, dict[str, int]] = {"": own_resources(server)}
    traits: dict[str, set[tuple[str, str]]] = {}
    for key, value in specs.items():
        match = _SPEC.fullmatch(key)
        if match is None:
            continue
        kind, suffix, name = match[1], match[2] or "", match[3]
        if not known("trait" if kind == "trait" else "resource_class", name):
            raise NoHost(f"the flavor's extra spec {key} names something that placement does not know.")
        if kind == "trait":
            traits.setdefault(suffix, set()).add((name, _word(key, value)))
        else:
            resources.setdefault(suffix, {})[name] = _amount(key, value)
    for key, value in server.image.get("properties", {}).items():
        if key.startswith("trait:"):
            if not known("trait", key[6:]):
                raise NoHost(f"the image's property {key} names a trait that placement does not know.")
            traits.setdefault("", set()).add((key[6:], _word(key, str(value))))
    if sum(map(len, traits.values())) > _MOST_TRAITS:
        raise NoHost(f"the flavor and the image name more than {_MOST_TRAITS} traits.")
    if len(resources) > _MOST_GROUPS or not set(traits) <= set(resources):
        raise NoHost("the flavor has too many groups of resources, or traits for a group without any.")
    groups = tuple(
        placement.Group(suffix, {name: n for name, n in amounts.items() if n}, _traits(traits.get(suffix, set())))
        for suffix, amounts in sorted(resources.items())
    )
    return placement.Wish(groups, isolate=specs.get("group_policy") == "isolate")


def _amount(key: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 10:
        raise NoHost(f"the flavor's extra spec {key} is {value[:40]!r}, which is no amount.")
    return int(value)


def _word(key: str, value: str) -> str:
    if value not in ("required", "forbidden"):
        raise NoHost(f"{key} is {value[:40]!r}; it can be required or forbidden.")
    return value


def _traits(found: Collection[tuple[str, str]]) -> placement.Traits:
    required = tuple(frozenset((name,)) for name, word in sorted(found) if word == "required")
    return placement.Traits(required, frozenset(name for name, word in found if word == "forbidden"))


def aggregates_for(
    server: Server, aggregates: Collection[Aggregate], traits: placement.Traits, settings: Settings
) -> placement.Aggregates:
    """Where the zone, the project and the traits of the server let it go. Raises `NoHost` when that is nowhere."""
    must, never = list[frozenset[str]](), set[str]()
    if server.pinned_zone:
        inside, outside = _zone(server.pinned_zone, aggregates, settings.default_zone)
        must += inside
        never |= outside
    rules = settings.scheduler
    if rules.limit_tenants_to_placement_aggregate:
        own = frozenset(one.id for one in aggregates if server.project_id in _tenants(one))
        if own:
            must.append(own)
        elif rules.placement_aggregate_required_for_tenants:
            raise NoHost("no aggregate is for this project.")
    if rules.enable_isolated_aggregate_filtering:
        required = {name for one in traits.required for name in one}
        never |= {one.id for one in aggregates if not _isolating(one) <= required}
    return placement.Aggregates(tuple(must), frozenset(never))


def _zone(zone: str, aggregates: Iterable[Aggregate], default: str) -> tuple[list[frozenset[str]], set[str]]:
    """(the aggregates to be in one of, those to be in none of) for a zone; the default one is where no aggregate says
    otherwise."""
    if zone == default:
        return [], {one.id for one in aggregates if one.zone not in (None, default)}
    ids = frozenset(one.id for one in aggregates if one.zone == zone)
    if not ids:
        raise NoHost(f"AvailabilityZoneFilter left none: no host is in the availability zone {zone}.")
    return [ids], set()


def _tenants(aggregate: Aggregate) -> set[str]:
    return {value for key, value in aggregate.meta.items() if key.startswith(TENANT)}


def _isolating(aggregate: Aggregate) -> set[str]:
    return {key[6:] for key, value in aggregate.meta.items() if key.startswith("trait:") and value == "required"}
