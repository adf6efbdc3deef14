"""Availability zones of networks and routers."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from tiffin.core.errors import NotFound
from tiffin.services.network.settings import ZONE


def check_hints(hints: list[str] | UnsetType) -> list[str]:
    """Raises `NotFound` for a zone that is not there."""
    found = [] if hints is UNSET else list(hints)
    for hint in found:
        if hint != ZONE:
            raise NotFound(f"AvailabilityZone {hint} could not be found.", code="AvailabilityZoneNotFound")
    return found
