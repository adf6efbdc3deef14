"""Which of the hosts that may have a server is best. Pure functions."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from operator import attrgetter

from tiffin.services.compute.scheduler.model import Aggregate, Host, Request
from tiffin.services.compute.settings import Weights

Weigh = Callable[[Host], float]

WEIGHERS: dict[str, Weigh] = {
    "ram": attrgetter("free_memory_mb"),
    "cpu": attrgetter("free_vcpus"),
    "disk": attrgetter("free_disk_gb"),
    "io_ops": attrgetter("io_ops"),
    "num_instances": attrgetter("instances"),
    "build_failure": lambda host: -host.failed_builds,
    "hypervisor_version": attrgetter("hypervisor_version"),
}
"""What each weighs, by the fields of `settings.Weights`; more is heavier."""


def _weighers(request: Request) -> dict[str, Weigh]:
    members = request.members
    if request.policy == "soft-affinity":
        return {**WEIGHERS, "soft_affinity": lambda host: members.get(host.name, 0)}
    if request.policy == "soft-anti-affinity":
        return {**WEIGHERS, "soft_anti_affinity": lambda host: -members.get(host.name, 0)}
    return WEIGHERS


def key(weigher: str) -> str:
    """The name by which an aggregate's metadata overrides how much a weigher counts."""
    return f"{weigher}_weight_multiplier"


def overridden(aggregates: Sequence[Aggregate]) -> bool:
    """Whether some aggregate has multipliers of its own."""
    return any(name.endswith("_weight_multiplier") for one in aggregates for name in one.meta)


def best(
    hosts: Sequence[Host], request: Request, weights: Weights, most: int = 1, *, override: bool = False
) -> list[Host]:
    """The `most` heaviest hosts, the best first; of equals the first by name. A weight is the sum of what each weigher
    finds, brought to the range from 0 to 1, times its multiplier; `override`: aggregates may have their own."""
    sums = [0.0] * len(hosts)
    for name, weigh in _weighers(request).items():
        default = getattr(weights, name)
        if not default and not override:
            continue
        raw = list(map(weigh, hosts))
        low, high = min(raw), max(raw)
        if low == high:
            continue
        span = high - low
        if override:
            factors = [_multiplier(host, key(name), default) for host in hosts]
            sums = [s + f * (x - low) / span for s, f, x in zip(sums, factors, raw, strict=True)]
        else:
            factor = default / span
            sums = [s + factor * (x - low) for s, x in zip(sums, raw, strict=True)]
    order = zip(sums, hosts, strict=True)
    if most == 1:
        heaviest = max(sums)
        return [min((host for weight, host in order if weight == heaviest), key=lambda host: host.name)]
    return [host for _, host in heapq.nsmallest(most, order, key=lambda pair: (-pair[0], pair[1].name))]


def _multiplier(host: Host, name: str, default: float) -> float:
    """The lowest that the host's aggregates give; what is no number does not count."""
    given = []
    for value in host.values_of(name):
        try:
            given.append(float(value))
        except ValueError:
            continue
    return min(given, default=default)
