"""Which of the hosts that may have a server is best. Pure functions."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from tiffin.services.compute.scheduler.model import Aggregate, Host, Request
from tiffin.services.compute.settings import Weights

Weigh = Callable[[Host, Request], float]

WEIGHERS: dict[str, Weigh] = {
    "ram": lambda host, request: host.free.get("MEMORY_MB", 0.0),
    "cpu": lambda host, request: host.free.get("VCPU", 0.0),
    "disk": lambda host, request: host.free.get("DISK_GB", 0.0),
    "io_ops": lambda host, request: host.io_ops,
    "num_instances": lambda host, request: host.instances,
    "soft_affinity": lambda host, request: request.members.get(host.name, 0),
    "soft_anti_affinity": lambda host, request: -request.members.get(host.name, 0),
    "build_failure": lambda host, request: -host.failed_builds,
    "hypervisor_version": lambda host, request: host.hypervisor_version,
}
"""What each weighs, by the fields of `settings.Weights`; more is heavier."""

_POLICIES = {"soft_affinity": "soft-affinity", "soft_anti_affinity": "soft-anti-affinity"}


def key(weigher: str) -> str:
    """The name by which an aggregate's metadata overrides how much a weigher counts."""
    return f"{weigher}_weight_multiplier"


def overridden(aggregates: Sequence[Aggregate]) -> bool:
    """Whether some aggregate has multipliers of its own."""
    return any(name.endswith("_weight_multiplier") for one in aggregates for name in one.meta)


def best(hosts: Sequence[Host], request: Request, weights: Weights, most: int = 1) -> list[Host]:
    """The `most` heaviest hosts, the best first; of equals the first by name. A weight is the sum of what each weigher
    finds, brought to the range from 0 to 1, times its multiplier."""
    sums = [0.0] * len(hosts)
    override = overridden([one for host in hosts for one in host.aggregates])
    for name, weigh in WEIGHERS.items():
        if name in _POLICIES and request.policy != _POLICIES[name]:
            continue
        default = getattr(weights, name)
        if not default and not override:
            continue
        raw = [weigh(host, request) for host in hosts]
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
