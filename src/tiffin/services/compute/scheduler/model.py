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


class Host(msgspec.Struct):
    """A host with room, as filters and weighers see it. What none of them needs is not fetched."""

    name: str
    provider_id: str
    node: str
    ready: bool  # enabled, and heard of lately
    failed_builds: int  # since the last good one
    hypervisor_version: int
    free: Mapping[str, float]  # by resource class, as placement counts
    io_ops: int = 0  # servers being built, copied or moved there
    instances: int = 0  # servers there
    facts: Mapping[str, Any] = {}  # drivers.base.HostFacts
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
