"""Which hosts may have a server. Pure functions: each makes, from a request, the question that every host must answer yes
to; None when the request asks nothing of the kind, so that nothing is fetched for it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from tiffin.services.compute.scheduler import aggregate_filters as by_aggregate
from tiffin.services.compute.scheduler.expressions import check, holds, matches
from tiffin.services.compute.scheduler.model import Host, NoHost, Request
from tiffin.services.compute.settings import FilterName, Settings

Passes = Callable[[Host], bool]
FACTS, AGGREGATES, INSTANCES = "facts", "aggregates", "instances"
"""What a filter may need of hosts beyond what is always there."""


class Filter(msgspec.Struct, frozen=True):
    says: str  # completes "no host ..."
    make: Callable[[Request, Settings], Passes | None]
    needs: frozenset[str] = frozenset()


class Question(msgspec.Struct, frozen=True):
    name: str
    says: str
    passes: Passes


def values_of(host: Host) -> dict[str, Any]:
    """What flavors (`capabilities:NAME`) and queries (`$NAME`) may ask of a host."""
    facts = host.facts
    total_mb, total_gb = facts.get("memory_mb", 0), facts.get("disk_gb", 0)
    return {
        **facts,
        "host": host.name,
        "hypervisor_hostname": host.node,
        "host_name": host.name,
        "cpu_info": {"arch": facts.get("architecture"), "model": facts.get("cpu_model")},
        "vcpus_total": facts.get("vcpus", 0),
        "total_usable_ram_mb": total_mb,
        "total_usable_disk_gb": total_gb,
        "free_ram_mb": host.free_memory_mb,
        "free_disk_mb": host.free_disk_gb * 1024,
        "vcpus_free": host.free_vcpus,
        "num_io_ops": host.io_ops,
        "num_instances": host.instances,
    }


def _compute(request: Request, settings: Settings) -> Passes:
    return lambda host: bool(host.ready)


def _capabilities(request: Request, settings: Settings) -> Passes | None:
    wanted = []
    for key, value in request.extra_specs.items():
        path = key.split(":")
        if len(path) > 1 and path.pop(0) != "capabilities":
            continue
        if path != ["hide_hypervisor_id"]:  # the driver's business
            wanted.append((path, value))
    if not wanted:
        return None

    def passes(host: Host) -> bool:
        for path, value in wanted:
            found: Any = values_of(host)
            for part in path:
                found = found.get(part) if isinstance(found, dict) else None
            if found is None or not matches(found, value):
                return False
        return True

    return passes


_ARCHITECTURES = {"amd64": "x86_64", "x64": "x86_64", "i386": "i686", "i486": "i686", "i586": "i686", "arm64": "aarch64"}
_VERSION = re.compile(r"(==|!=|>=|<=|>|<)?\s*(\d{1,4}(?:\.\d{1,3}){0,2})")


def _image(request: Request, settings: Settings) -> Passes | None:
    properties = request.image
    architecture = str(properties.get("hw_architecture") or properties.get("architecture") or "").lower()
    architecture = _ARCHITECTURES.get(architecture, architecture)
    kind = str(properties.get("img_hv_type") or properties.get("hypervisor_type") or "").lower()
    mode = str(properties.get("hw_vm_mode") or properties.get("vm_mode") or "").lower()
    versions = str(properties.get("img_hv_requested_version") or properties.get("hypervisor_version_requires") or "")
    if not (architecture or kind or mode or versions):
        return None

    def passes(host: Host) -> bool:
        runs = str(host.facts.get("hypervisor_type", "")).lower()
        return (
            architecture in ("", str(host.facts.get("architecture", "")).lower())
            and (kind in ("", runs) or (kind == "kvm" and runs == "qemu"))
            and mode in ("", "hvm")
            and version_fits(host.hypervisor_version, versions)
        )

    return passes


def version_fits(version: int, wanted: str) -> bool:
    """Whether a hypervisor's version (7002022 is 7.2.22) fulfils all of `>=6.0, <8`. What cannot be read, none fulfils."""
    for part in filter(None, (one.strip() for one in wanted.split(","))):
        found = _VERSION.fullmatch(part)
        if found is None:
            return False
        numbers = [int(n) for n in found[2].split(".")] + [0, 0]
        other = numbers[0] * 1_000_000 + numbers[1] * 1000 + numbers[2]
        if not matches(version, f"{found[1] or '=='} {other}"):
            return False
    return True


def _apart(request: Request, settings: Settings) -> Passes | None:
    if request.policy != "anti-affinity":
        return None
    return lambda host: request.members.get(host.name, 0) < request.per_host


def _together(request: Request, settings: Settings) -> Passes | None:
    if request.policy != "affinity" or not request.members:
        return None
    return lambda host: host.name in request.members


def _same_host(request: Request, settings: Settings) -> Passes | None:
    wanted = request.same_host
    return None if wanted is None else lambda host: host.name in wanted


def _different_host(request: Request, settings: Settings) -> Passes | None:
    avoided = request.different_host
    return (lambda host: host.name not in avoided) if avoided else None


def _near(request: Request, settings: Settings) -> Passes | None:
    """All hosts show one address (`shown_ip`), so all are near it or none."""
    wanted = request.hints.get("build_near_host_ip")
    if not wanted:
        return None
    try:
        near = ipaddress.ip_network(f"{wanted}{request.hints.get('cidr', '/24')}", strict=False)
        here = ipaddress.ip_address(settings.shown_ip) in near
    except ValueError as bad:
        raise NoHost(f"SimpleCIDRAffinityFilter: {bad}.") from None
    return lambda host: here


def _query(request: Request, settings: Settings) -> Passes | None:
    text = request.hints.get("query")
    if not text:
        return None
    try:
        query = msgspec.json.decode(text) if isinstance(text, str) else text
        check(query)  # a tenant's; every host is asked
    except (ValueError, RecursionError) as bad:
        raise NoHost(f"JsonFilter: the hint `query` cannot be meant: {bad}") from None
    return lambda host: holds(query, values_of(host))


def _io_ops(request: Request, settings: Settings) -> Passes:
    most = settings.scheduler.max_io_ops_per_host
    return lambda host: host.io_ops < most


def _instances(request: Request, settings: Settings) -> Passes:
    most = settings.scheduler.max_instances_per_host
    return lambda host: host.instances < most


def _isolated(request: Request, settings: Settings) -> Passes | None:
    isolation = settings.scheduler.isolation
    hosts = frozenset(isolation.hosts)
    if not hosts and not isolation.images:
        return None
    if request.image_id in isolation.images:
        return lambda host: host.name in hosts
    return (lambda host: host.name not in hosts) if isolation.restrict_hosts else None


_FACTS, _AGGREGATES, _INSTANCES = frozenset((FACTS,)), frozenset((AGGREGATES,)), frozenset((INSTANCES,))
FILTERS: dict[FilterName, Filter] = {
    "AllHostsFilter": Filter("is there", lambda request, settings: None),
    "ComputeFilter": Filter("is enabled and up", _compute),
    "ComputeCapabilitiesFilter": Filter("has the capabilities that the flavor wants", _capabilities, _FACTS | _INSTANCES),
    "ImagePropertiesFilter": Filter("has the image's hw_architecture, img_hv_type, hw_vm_mode and version", _image, _FACTS),
    "ServerGroupAntiAffinityFilter": Filter("is free of the server group's members", _apart),
    "ServerGroupAffinityFilter": Filter("has the server group's members", _together),
    "SameHostFilter": Filter("runs the servers of same_host", _same_host),
    "DifferentHostFilter": Filter("is free of different_host", _different_host),
    "SimpleCIDRAffinityFilter": Filter("is near build_near_host_ip", _near),
    "JsonFilter": Filter("is as the hint `query` wants it", _query, _FACTS | _INSTANCES),
    "IoOpsFilter": Filter("has fewer builds and copies going on than max_io_ops_per_host", _io_ops),
    "NumInstancesFilter": Filter("has fewer servers than max_instances_per_host", _instances, _INSTANCES),
    "IsolatedHostsFilter": Filter("is for this image", _isolated),
    "AggregateIoOpsFilter": Filter(
        "has fewer builds and copies going on than its aggregates allow", by_aggregate.io_ops, _AGGREGATES
    ),
    "AggregateNumInstancesFilter": Filter(
        "has fewer servers than its aggregates allow", by_aggregate.instances, _AGGREGATES | _INSTANCES
    ),
    "AggregateInstanceExtraSpecsFilter": Filter(
        "is in an aggregate as the flavor wants it", by_aggregate.extra_specs, _AGGREGATES
    ),
    "AggregateImagePropertiesIsolation": Filter("is in aggregates that take this image", by_aggregate.image, _AGGREGATES),
    "AggregateMultiTenancyIsolation": Filter("is in aggregates that take this project", by_aggregate.tenancy, _AGGREGATES),
    "AggregateTypeAffinityFilter": Filter("is in aggregates that take this flavor", by_aggregate.flavor, _AGGREGATES),
}


def questions(request: Request, settings: Settings) -> tuple[list[Question], frozenset[str]]:
    """What the enabled filters ask of hosts for this request, and what must be fetched for that. Raises `NoHost` for a
    request that none can fulfil."""
    found, needs = [], set[str]()
    for name in settings.scheduler.enabled_filters:
        known = FILTERS[name]
        passes = known.make(request, settings)
        if passes is not None:
            found.append(Question(name, known.says, passes))
            needs |= known.needs
    return found, frozenset(needs)


def passing(hosts: Collection[Host], asked: Iterable[Question]) -> list[Host]:
    """The hosts that pass all. Raises `NoHost` with the filter that left none."""
    left = list(hosts)
    for one in asked:
        kept = [host for host in left if one.passes(host)]
        if not kept:
            raise NoHost(f"{one.name} left none of {len(left)}: no host {one.says}.")
        left = kept
    return left
