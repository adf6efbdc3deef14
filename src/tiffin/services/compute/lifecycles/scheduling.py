"""Choosing a host for a server, and taking the room there."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tiffin.core.cloud import Cloud
from tiffin.core.driver import Refused
from tiffin.core.errors import Conflict, NotFound
from tiffin.services.compute.resources.availability_zones import is_up, zone_of_hosts
from tiffin.services.compute.rules import Host, NoHost, Wish, choose, short_of
from tiffin.services.compute.settings import Settings
from tiffin.services.compute.tables import ComputeHost, Server, ServerGroup
from tiffin.services.placement import public as placement


def resources(server: Server) -> dict[str, int]:
    """What the server takes of its host: CPUs, MiB, GiB (swap rounded up)."""
    disk = server.root_gb + server.ephemeral_gb + -(-server.swap_mb // 1024)
    wanted = {"VCPU": server.vcpus, "MEMORY_MB": server.memory_mb, "DISK_GB": disk}
    return {name: amount for name, amount in wanted.items() if amount}


def place(cloud: Cloud, session: Session, server: Server, *, avoid: str | None = None) -> None:
    """Choose a host, another than `avoid`, and allocate there. Raises `NoHost` with the filter that left none, `Refused`
    when it was a close race."""
    settings: Settings = cloud.service("compute").settings
    wanted = resources(server)
    found = {one.provider_id for one in placement.candidates(session, wanted)}
    if not found:
        raise NoHost(_why(session, wanted))
    hosts = _hosts(session, cloud.world.clock(), settings)
    host = choose([one for one in hosts if one.provider_id in found and one.name != avoid], _wish(session, server))
    consumer = placement.Consumer(server.id, server.project_id, server.user_id)
    try:
        placement.allocate(session, cloud.world, consumer, {host.provider_id: wanted})
    except (Conflict, NotFound) as race:
        raise Refused(f"the room on {host.name} was just taken: {race.message}") from race
    node = session.scalar(select(ComputeHost.hostname).where(ComputeHost.name == host.name))
    server.host, server.node, server.availability_zone = host.name, node, host.zone


def _why(session: Session, wanted: dict[str, int]) -> str:
    if session.scalar(select(func.count()).select_from(ComputeHost)) == 0:
        return "There is no compute host."
    return short_of({name: len(placement.candidates(session, {name: much})) for name, much in wanted.items()})


def _hosts(session: Session, now: float, settings: Settings) -> list[Host]:
    zone_of = zone_of_hosts(session, settings.default_zone)
    counting = select(Server.host, func.count()).where(Server.deleted_at.is_(None)).group_by(Server.host)
    busy: dict[str | None, int] = {host: count for host, count in session.execute(counting)}  # noqa: C416
    return [
        Host(
            name=row.name,
            provider_id=row.id,
            enabled=not row.disabled,
            up=is_up(row, now, settings),
            zone=zone_of[row.name],
            architecture=row.facts["architecture"],
            hypervisor_type=row.facts["hypervisor_type"],
            servers=busy.get(row.name, 0),
        )
        for row in session.scalars(select(ComputeHost))
    ]


def _hosts_of(session: Session, ids: Any) -> list[str]:
    listed = [ids] if isinstance(ids, str) else list(ids or [])
    if not listed:
        return []
    found = session.scalars(select(Server.host).where(Server.id.in_(listed), Server.host.is_not(None)))
    return [host for host in found if host]


def _wish(session: Session, server: Server) -> Wish:
    properties = server.image.get("properties", {})
    group = session.get(ServerGroup, server.group_id) if server.group_id else None
    beside = select(Server.host).where(
        Server.group_id == server.group_id,
        Server.id != server.id,
        Server.host.is_not(None),
        Server.deleted_at.is_(None),
    )
    there = Counter(host for host in session.scalars(beside) if host) if group else Counter[str]()
    hints = server.scheduler_hints
    return Wish(
        zone=server.pinned_zone,
        host=server.forced_host,
        architecture=properties.get("hw_architecture") or properties.get("architecture"),
        hypervisor_type=properties.get("img_hv_type"),
        policy=group.policy if group else None,
        group_hosts=list(there.elements()),
        per_host=(group.per_host if group else None) or 1,
        same_host=_hosts_of(session, hints.get("same_host")),
        different_host=_hosts_of(session, hints.get("different_host")),
    )
