"""Choosing a host for a server, and taking the room there."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from tiffin.core.cloud import Cloud
from tiffin.core.driver import Refused
from tiffin.core.errors import Conflict, NotFound
from tiffin.core.world import World
from tiffin.services.compute.resources.availability_zones import zone_of
from tiffin.services.compute.scheduler import facts, filters, weighers
from tiffin.services.compute.scheduler.model import Aggregate, Host, NoHost, Request
from tiffin.services.compute.scheduler.request import aggregates_for, wish_of
from tiffin.services.compute.settings import Settings
from tiffin.services.compute.tables import ComputeHost, Server, ServerGroup
from tiffin.services.placement import public as placement

TRIES = 5
"""Hosts that are tried, best first, when others take the room at this moment."""


def place(cloud: Cloud, session: Session, server: Server, *, avoid: Collection[str] = ()) -> None:
    """Choose a host, none of those to `avoid`, and allocate there. Raises `NoHost` with what left none, `Refused` when it was a
    close race."""
    settings: Settings = cloud.service("compute").settings
    request = _request(session, server)
    asked, needs = filters.questions(request, settings)
    known = facts.aggregates(session)
    override = weighers.overridden(known)
    if override:
        needs |= {filters.AGGREGATES}
    if settings.scheduler.weights.num_instances:
        needs |= {filters.INSTANCES}
    wish = _wish(session, server, known, settings)
    heard_since = cloud.looked_at() - settings.host_down_after
    found = facts.hosts(session, wish, heard_since, needs, known)
    if not found:
        raise NoHost(_why(session, wish))
    hosts = filters.passing([host for host in found if host.name not in avoid], asked)
    if not hosts:
        raise NoHost("There is no other host with room.")
    rules = settings.scheduler
    best = weighers.best(hosts, request, rules.weights, max(TRIES, rules.host_subset_size), override=override)
    chosen = _take(cloud, session, server, _shuffled(cloud.world, best, rules.host_subset_size), wish)
    server.host, server.node = chosen.name, chosen.node
    zoned = any(one.zone for one in known)
    server.availability_zone = zone_of(session, chosen.name, settings.default_zone) if zoned else settings.default_zone


def claim(cloud: Cloud, session: Session, server: Server) -> None:
    """Allocate on the host that the server is forced to, and ask nobody whether it should go there. Raises `NoHost` when it
    has no room."""
    forced = or_(ComputeHost.name == server.forced_host, ComputeHost.hostname == server.forced_host)
    host = session.scalars(select(ComputeHost).where(forced).limit(1)).first()
    if host is None:
        raise NoHost(f"There is no host {server.forced_host}.")
    (group, *more) = wish_of(server, lambda kind, name: placement.exists(session, kind, name)).groups
    if more:
        raise NoHost("A flavor with groups of resources needs the scheduler.")
    consumer = placement.Consumer(server.id, server.project_id, server.user_id)
    try:
        placement.allocate(session, cloud.world, consumer, {host.id: group.resources})
    except (Conflict, NotFound) as no:
        raise NoHost(f"{host.name} has no room: {no.message}") from no
    server.host, server.node = host.name, host.hostname
    server.availability_zone = zone_of(session, host.name, cloud.service("compute").settings.default_zone)


def _take(cloud: Cloud, session: Session, server: Server, hosts: list[Host], wish: placement.Wish) -> Host:
    """Allocate on the first of the hosts that still has the room."""
    consumer = placement.Consumer(server.id, server.project_id, server.user_id)
    for host in hosts[:TRIES]:
        try:
            wanted = host.allocation or {host.provider_id: wish.groups[0].resources}
            placement.allocate(session, cloud.world, consumer, wanted)
        except (Conflict, NotFound):
            continue
        return host
    raise Refused(f"the room on {', '.join(host.name for host in hosts[:TRIES])} was just taken")


def _shuffled(world: World, best: list[Host], among: int) -> list[Host]:
    """Let chance decide among the best few."""
    if among <= 1 or not best:
        return best
    first = int.from_bytes(world.random_bytes(4), "big") % min(among, len(best))
    return [best[first], *best[:first], *best[first + 1 :]]


def _request(session: Session, server: Server) -> Request:
    hints, group = server.scheduler_hints, None
    if server.group_id:
        group = session.get(ServerGroup, server.group_id)
    same = hints.get("same_host")
    return Request(
        project_id=server.project_id,
        flavor=server.flavor.get("name", ""),
        extra_specs=server.flavor.get("extra_specs", {}),
        image_id=server.image_id,
        image=server.image.get("properties", {}),
        policy=group.policy if group else None,
        members=facts.members(session, group.id, server.id) if group else {},
        per_host=(group.per_host if group else None) or 1,
        same_host=facts.hosts_of(session, server.project_id, same) if same else None,
        different_host=facts.hosts_of(session, server.project_id, hints.get("different_host")),
        hints=hints,
    )


def _wish(session: Session, server: Server, known: list[Aggregate], settings: Settings) -> placement.Wish:
    wish = wish_of(server, lambda kind, name: placement.exists(session, kind, name))
    first = wish.groups[0]
    where = aggregates_for(server, known, first.traits, settings)
    tree = _forced(session, server.forced_host) if server.forced_host else None
    groups = [msgspec.structs.replace(first, aggregates=where, in_tree=tree)]
    return msgspec.structs.replace(wish, groups=(*groups, *wish.groups[1:]))


def _forced(session: Session, name: str) -> str:
    found = select(ComputeHost.id).where(or_(ComputeHost.name == name, ComputeHost.hostname == name))
    id = session.scalar(found.limit(1))
    if id is None:
        raise NoHost(f"ForcedHost left none: there is no host {name}.")
    return id


def _why(session: Session, wish: placement.Wish) -> str:
    """What it was that placement had no candidate for, found by asking for less."""
    if session.scalar(select(func.count()).select_from(ComputeHost)) == 0:
        return "There is no compute host."
    first = wish.groups[0]
    for left_out, words in (
        ({"in_tree": None}, "the host that was asked for has no room, or not what the server needs"),
        ({"aggregates": placement.Aggregates()}, "AvailabilityZoneFilter: no host with room is in the zone and aggregates"),
        ({"traits": placement.Traits()}, "no host with room has the traits that the flavor and the image want"),
    ):
        first = msgspec.structs.replace(first, **left_out)
        if placement.candidates(session, msgspec.structs.replace(wish, groups=(first, *wish.groups[1:]))):
            return f"Placement left none: {words}."
    everything = [(group, name, n) for group in wish.groups for name, n in group.resources.items()]
    short = [
        name
        for group, name, n in everything
        if not placement.candidates(session, placement.Wish((placement.Group(group.suffix, {name: n}),)))
    ]
    return short_of(list(dict.fromkeys(short)), [name for _, name, _ in everything])


def short_of(short: list[str], asked: list[str]) -> str:
    """The words for resource classes that no host has enough of, or which no host has enough of together."""
    words = {"VCPU": "CPU", "MEMORY_MB": "RAM", "DISK_GB": "disk"}
    if short:
        return f"Placement left none: no host has enough free {' and '.join(words.get(n, n) for n in short)}."
    return f"Placement left none: no single host has enough free {', '.join(words.get(n, n) for n in asked)}."
