"""What an operator may set about compute."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tiffin.core.quota import Kept
from tiffin.core.settings import ADDRESS

FilterName = Literal[
    "AggregateImagePropertiesIsolation",
    "AggregateInstanceExtraSpecsFilter",
    "AggregateIoOpsFilter",
    "AggregateMultiTenancyIsolation",
    "AggregateNumInstancesFilter",
    "AggregateTypeAffinityFilter",
    "AllHostsFilter",
    "ComputeCapabilitiesFilter",
    "ComputeFilter",
    "DifferentHostFilter",
    "ImagePropertiesFilter",
    "IoOpsFilter",
    "IsolatedHostsFilter",
    "JsonFilter",
    "NumInstancesFilter",
    "SameHostFilter",
    "ServerGroupAffinityFilter",
    "ServerGroupAntiAffinityFilter",
    "SimpleCIDRAffinityFilter",
]
Many = Annotated[int, Meta(ge=1)]
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


class Weights(msgspec.Struct, frozen=True):
    """What makes one host better than another: how much each weigher counts. Positive prefers more of what it weighs,
    negative less, 0 leaves it out. Metadata of an aggregate of the same name, `ram_weight_multiplier` and so on, counts
    for the hosts in it."""

    ram: float = 1.0  # sites that would rather fill hosts than spread over them: -1.0
    cpu: float = 1.0  # sites whose guests are short of CPUs first
    disk: float = 1.0  # sites whose guests are short of disk first
    io_ops: float = -1.0  # sites where builds or copies disturb guests: further below zero
    num_instances: float = 0.0  # sites that count guests rather than what they use
    soft_affinity: float = 1.0  # sites whose groups shall stay together more than they shall spread: above the others
    soft_anti_affinity: float = 1.0  # the same for groups that shall be apart
    build_failure: float = 1_000_000.0  # sites where a host that failed to build is not to blame: 0.0
    hypervisor_version: float = 1.0  # sites in the middle of an upgrade that want the older hosts first: -1.0


class Isolation(msgspec.Struct, frozen=True):
    """Which images and hosts are for each other (IsolatedHostsFilter, AggregateImagePropertiesIsolation)."""

    hosts: tuple[str, ...] = ()  # sites with hosts for certain images, by name
    images: tuple[str, ...] = ()  # those images, by id
    restrict_hosts: bool = True  # sites that let these hosts take other images, too: false
    property_namespace: str = ""  # sites whose aggregates have other metadata: which properties of images isolate
    property_separator: str = "."  # the same: what stands between that namespace and the name


class Scheduler(msgspec.Struct, frozen=True):
    """How a server finds its host. Filters have the names of upstream's."""

    enabled_filters: tuple[FilterName, ...] = (  # sites with rules of their own: which filters hosts must pass, in this order
        "ComputeFilter",
        "ComputeCapabilitiesFilter",
        "ImagePropertiesFilter",
        "ServerGroupAntiAffinityFilter",
        "ServerGroupAffinityFilter",
        "SameHostFilter",
        "DifferentHostFilter",
    )
    weights: Weights = Weights()  # sites that fill hosts, or spread otherwise
    isolation: Isolation = Isolation()  # sites with hosts for certain images
    host_subset_size: Many = 1  # sites with several schedulers: among how many of the best hosts chance decides
    max_io_ops_per_host: Many = 8  # sites with slow disks, with IoOpsFilter: builds and copies at a time on a host
    max_instances_per_host: Many = 50  # sites that bound what one host's end takes along, with NumInstancesFilter
    max_attempts: Many = 3  # sites with hosts that often refuse: on how many a server is tried before it is ERROR
    limit_tenants_to_placement_aggregate: bool = False  # sites whose projects have aggregates (filter_tenant_id) of their own
    placement_aggregate_required_for_tenants: bool = False  # the same: a project without one finds no host
    enable_isolated_aggregate_filtering: bool = False  # sites whose aggregates take only flavors that require their traits


class Machines(msgspec.Struct, frozen=True):
    """`[compute.machines]`: others that run guests for this cloud, and other controllers (docs/guides/hosts.md)."""

    listen: str = ""  # operators with more than one box: HOST:PORT where other machines are answered, by TLS
    underlay: str = ""  # the same: INTERFACE=ADDRESS/PREFIX of the wire to them, which the cloud takes; OVN answers at 6642
    network: str = ""  # operators of several controllers: `listen` of the one that runs the networks; empty in that one
    name: str = ""  # operators whose machine's host name is not its alone: its name among the hosts and controllers

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be meant."""
        if self.listen and not ADDRESS.fullmatch(self.listen):
            raise ValueError(f"listen: {self.listen!r} is not HOST:PORT, as in 192.0.2.1:8443")
        if self.listen.rpartition(":")[0] in ("0.0.0.0", "[::]"):  # noqa: S104  # compared with, not bound to
            raise ValueError("listen: write the address at which the other machines reach this one, not a wildcard")
        if self.network and not (self.listen and ADDRESS.fullmatch(self.network)):
            raise ValueError("network: write HOST:PORT, what `listen` is on that controller, and set `listen` here, too")
        if self.name and not HOST_NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name[:80]!r} is no name for a host: letters, digits, dots and hyphens, at most 63")
        if self.underlay and not self.listen:
            raise ValueError("underlay: set listen, too, where the machines at its other end are answered")


class Settings(msgspec.Struct, frozen=True):
    shutdown_seconds: float = (
        60.0  # operators of guests that stop slowly: how long a stop asks before it pulls the plug
    )
    default_zone: str = "nova"  # sites with a name of their own: the zone of hosts in no zoned aggregate
    host_down_after: float = 60.0  # seconds without news after which a host counts as down
    shown_ip: str = "127.0.0.1"  # what `hypervisor show` tells as the host's address
    resize_to_same_host: bool = True  # operators of several hosts: whether a resize may stay where it is, as DevStack lets it
    resize_confirm_window: float = 0.0  # seconds after which a resize that nobody has confirmed is confirmed; 0: never
    maintenance_moves: Many = 2  # operators with fast wires: servers at a time that leave a host which is being emptied
    quotas: Kept = "own"  # sites with one place for all limits: "unified" reads the identity service's (UnifiedLimitsDriver)
    machines: Machines = Machines()  # operators with more than one box
    scheduler: Scheduler = Scheduler()  # sites with rules of their own for where servers go


SETTINGS = Settings()
