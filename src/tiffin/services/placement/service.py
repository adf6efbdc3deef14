"""Placement: who has how much of what, and who uses it (Placement's API 1.0 to 1.39)."""

from __future__ import annotations

from tiffin.core.service import Service
from tiffin.services.placement.dialect import PlacementDialect
from tiffin.services.placement.resources.aggregates import aggregates
from tiffin.services.placement.resources.allocation_candidates import allocation_candidates
from tiffin.services.placement.resources.allocations import allocations
from tiffin.services.placement.resources.inventories import inventories
from tiffin.services.placement.resources.provider_traits import provider_traits
from tiffin.services.placement.resources.reshaper import reshaper
from tiffin.services.placement.resources.resource_classes import resource_classes
from tiffin.services.placement.resources.resource_providers import resource_providers
from tiffin.services.placement.resources.traits import traits
from tiffin.services.placement.resources.usages import provider_usages, usages
from tiffin.services.placement.resources.versions import versions

RULES = (
    ("admin_api", "role:admin"),
    ("service_api", "role:service"),
    ("admin_or_service_api", "role:admin or role:service"),
    ("project_reader_api", "role:reader and project_id:%(project_id)s"),
    ("admin_or_project_reader_or_service_api", "role:admin or rule:project_reader_api or role:service"),
)

service = Service(
    type="placement",
    name="placement",
    prefix="/placement",
    api="",
    dialect=PlacementDialect(),
    resources=(
        versions,
        resource_providers,
        inventories,
        aggregates,
        provider_traits,
        provider_usages,
        traits,
        resource_classes,
        usages,
        allocations,
        allocation_candidates,
        reshaper,
    ),
    rules=RULES,
)
