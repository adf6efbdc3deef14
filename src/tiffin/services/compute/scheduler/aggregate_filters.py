"""Filters that look at the metadata of the aggregates that a host is in. Pure functions, as in filters.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tiffin.services.compute.scheduler.expressions import matches
from tiffin.services.compute.scheduler.model import Host, Request
from tiffin.services.compute.settings import Settings

Passes = Callable[[Host], bool]
SCOPE = "aggregate_instance_extra_specs"
TENANT = "filter_tenant_id"
"""Metadata of this name, or with more after it, names the projects that an aggregate is for."""


def _items(values: Iterable[str]) -> set[str]:
    return {item.strip() for value in values for item in value.split(",")}


def _least(host: Host, key: str, default: int) -> int:
    """The lowest number that the host's aggregates give; what is no number does not count."""
    return min((int(value) for value in host.values_of(key) if value.strip().isdecimal()), default=default)


def io_ops(request: Request, settings: Settings) -> Passes:
    most = settings.scheduler.max_io_ops_per_host
    return lambda host: host.io_ops < _least(host, "max_io_ops_per_host", most)


def instances(request: Request, settings: Settings) -> Passes:
    most = settings.scheduler.max_instances_per_host
    return lambda host: host.instances < _least(host, "max_instances_per_host", most)


def extra_specs(request: Request, settings: Settings) -> Passes | None:
    wanted = {
        key.removeprefix(f"{SCOPE}:"): value
        for key, value in request.extra_specs.items()
        if ":" not in key or key.startswith(f"{SCOPE}:")
    }
    if not wanted:
        return None

    def passes(host: Host) -> bool:
        return all(any(matches(v, value) for v in _items(host.values_of(key))) for key, value in wanted.items())

    return passes


def image(request: Request, settings: Settings) -> Passes:
    isolation = settings.scheduler.isolation
    prefix = isolation.property_namespace + isolation.property_separator if isolation.property_namespace else ""

    def passes(host: Host) -> bool:
        for one in host.aggregates:
            for key, value in one.meta.items():
                wanted = request.image.get(key) if key.startswith(prefix) else None
                if wanted is not None and str(wanted) not in _items([value]):
                    return False
        return True

    return passes


def tenancy(request: Request, settings: Settings) -> Passes:
    def passes(host: Host) -> bool:
        allowed = [value for one in host.aggregates for key, value in one.meta.items() if key.startswith(TENANT)]
        return not allowed or request.project_id in _items(allowed)

    return passes


def flavor(request: Request, settings: Settings) -> Passes:
    def passes(host: Host) -> bool:
        allowed = host.values_of("instance_type")
        return not allowed or request.flavor in _items(allowed)

    return passes
