"""The front door of a service."""

from __future__ import annotations

import builtins
import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tiffin.core.audit import Taxonomy
from tiffin.core.policy import Rule
from tiffin.core.quota import Quota
from tiffin.core.resource import Operation, Resource

if TYPE_CHECKING:
    from tiffin.core.cloud import Cloud
    from tiffin.core.http.dialect import Dialect
    from tiffin.core.lifecycle import Lifecycle

Reconciler = Callable[["Cloud"], None]
"""Compares what is promised with what is real, and wakes lifecycles. Takes no input and repairs nothing itself."""


@dataclasses.dataclass(frozen=True)
class Service:
    type: str  # official service type: compute
    name: str  # the project's name, as the catalogue tells it: nova
    prefix: str  # /compute
    api: str  # what the catalogue adds to the prefix: /v2.1
    dialect: Dialect
    resources: tuple[Resource, ...]
    lifecycles: tuple[builtins.type[Lifecycle], ...] = ()
    reconcilers: tuple[Reconciler, ...] = ()  # of the one controller that leads
    lookouts: tuple[Reconciler, ...] = ()  # of each other: for what it alone is near to
    rules: tuple[Rule, ...] = ()  # base rules that others refer to
    scopes: Callable[[str], tuple[str, ...] | None] | None = None  # rule -> the scopes of tokens that it is for
    quotas: dict[str, Quota] = dataclasses.field(default_factory=dict)
    settings: Any = None
    audit: Taxonomy | None = None  # how its changes are called in audit events

    @property
    def unified_limits(self) -> bool:
        """Whether its operator chose the unified limits, by `quotas` of its settings."""
        return getattr(self.settings, "quotas", "own") == "unified"

    def operations(self) -> Iterable[Operation]:
        for resource in self.resources:
            yield from resource.operations

    def all_rules(self) -> Iterable[Rule]:
        yield from self.rules
        for resource in self.resources:
            yield from resource.rules
            for operation in resource.operations:
                if operation.policy:
                    yield operation.policy

    def taxonomy(self) -> Taxonomy:
        return self.audit or Taxonomy(f"service/{self.type}")
