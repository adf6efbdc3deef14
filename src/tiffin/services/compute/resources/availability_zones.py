"""Availability zones: the zones that aggregates give to their hosts, and the default one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.resource import Resource
from tiffin.core.world import iso
from tiffin.services.compute.resources.flavors import ADMIN
from tiffin.services.compute.settings import Settings
from tiffin.services.compute.tables import Aggregate, AggregateHost, ComputeHost

zones = Resource("availabilityZoneInfo", "availabilityZoneInfo", "/v2.1/os-availability-zone")


def is_up(host: ComputeHost, looked_at: float, settings: Settings) -> bool:
    """Whether there was news of the host lately; `looked_at`: until when there could be (`Cloud.looked_at`)."""
    return not host.forced_down and looked_at - host.seen_at <= settings.host_down_after


def zone_of_hosts(session: Session, default: str) -> dict[str, str]:
    """The zone of every host."""
    zoned = (
        select(AggregateHost.host, Aggregate.availability_zone)
        .join(Aggregate, Aggregate.number == AggregateHost.aggregate)
        .where(Aggregate.availability_zone.is_not(None))
    )
    given: dict[str, str | None] = {host: zone for host, zone in session.execute(zoned)}  # noqa: C416
    return {name: given.get(name) or default for name in session.scalars(select(ComputeHost.name))}


def zone_of(session: Session, host: str, default: str) -> str:
    """The zone of one host."""
    given = (
        select(Aggregate.availability_zone)
        .join(AggregateHost, Aggregate.number == AggregateHost.aggregate)
        .where(AggregateHost.host == host, Aggregate.availability_zone.is_not(None))
    )
    return session.scalar(given.limit(1)) or default


def _zones(call: Call, *, with_hosts: bool) -> list[dict[str, Any]]:
    settings: Settings = call.service.settings
    zone_of = zone_of_hosts(call.db, settings.default_zone)
    found: dict[str, list[ComputeHost]] = {settings.default_zone: []} if not zone_of else {}
    for host in call.db.scalars(select(ComputeHost).order_by(ComputeHost.name)):
        found.setdefault(zone_of[host.name], []).append(host)
    return [_zone(call, name, hosts, with_hosts=with_hosts) for name, hosts in sorted(found.items())]


def _zone(call: Call, name: str, hosts: list[ComputeHost], *, with_hosts: bool) -> dict[str, Any]:
    up = {host.name: is_up(host, call.cloud.looked_at(), call.service.settings) for host in hosts}
    detail = {
        host.name: {
            "nova-compute": {
                "active": not host.disabled,
                "available": up[host.name],
                "updated_at": iso(host.seen_at, micro=True, zulu=False),
            }
        }
        for host in hosts
    }
    available = any(not host.disabled for host in hosts)
    return {"zoneName": name, "zoneState": {"available": available}, "hosts": detail if with_hosts else None}


@zones.operation("GET", policy=("os_compute_api:os-availability-zone:list", "@"))
def index(call: Call) -> dict[str, Any]:
    return {"availabilityZoneInfo": [zone for zone in _zones(call, with_hosts=False) if zone["zoneState"]["available"]]}


@zones.operation("GET", "/detail", policy=("os_compute_api:os-availability-zone:detail", ADMIN))
def detail(call: Call) -> dict[str, Any]:
    return {"availabilityZoneInfo": _zones(call, with_hosts=True)}
