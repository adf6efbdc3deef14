"""What a scheduler looks at: hosts, the aggregates that they are in, and what a server asks of its host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class NoHost(Exception):
    """Why no host is left, for the user."""


class Aggregate(msgspec.Struct, frozen=True):
    number: int
    id: str
    zone: str | None
    meta: dict[str, str]


class Host(msgspec.Struct, array_like=True):
    """A host with room, as filters and weighers see it. What none of them needs is not fetched."""

    name: str
    provider_id: str
    node: str
    ready: int  # whether it is enabled, and heard of lately
    failed_builds: int  # since the last good one
    hypervisor_version: int
    free_vcpus: float = 0.0  # as placement counts; 0 where the server asks for none
    free_memory_mb: float = 0.0
    free_disk_gb: float = 0.0
    facts: Mapping[str, Any] = {}  # drivers.base.HostFacts
    allocation: Mapping[str, Mapping[str, int]] | None = None  # by provider, where not all comes from the host itself
    io_ops: int = 0  # servers being built, copied or moved there
    instances: int = 0  # servers there
    aggregates: tuple[Aggregate, ...] = ()

    def values_of(self, key: str) -> list[str]:
        """What the host's aggregates say by this name in their metadata."""
        return [one.meta[key] for one in self.aggregates if key in one.meta]


class Request(msgspec.Struct, frozen=True):
    """What a server asks of its host."""

    project_id: str = ""
    flavor: str = ""  # its name
    extra_specs: Mapping[str, str] = {}
    image_id: str | None = None
    image: Mapping[str, Any] = {}  # the image's properties
    policy: str | None = None  # of its server group
    members: Mapping[str, int] = {}  # host -> other members of the group there
    per_host: int = 1  # members of an anti-affinity group that may share a host
    same_host: frozenset[str] | None = None  # hosts to be on
    different_host: frozenset[str] = frozenset()  # hosts not to be on
    hints: Mapping[str, Any] = {}
