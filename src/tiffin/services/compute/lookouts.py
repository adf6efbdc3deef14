"""What a controller that does not lead looks at: its own hosts, which others need not be told of over a wire, and hosts that the
one that leads has not heard of, which may answer here."""

from __future__ import annotations

from sqlalchemy import or_, select

from tiffin.core.cloud import Cloud
from tiffin.services.compute import reconcilers
from tiffin.services.compute.drivers.base import Hosts
from tiffin.services.compute.tables import ComputeHost, HostAgent

SILENT = 3
"""A host is silent after this part of the time after which it counts as down."""
AT_ONCE = 5
"""Silent hosts that are tried in one round: each may take seconds not to answer."""


def own_hosts(cloud: Cloud) -> None:
    """Hosts of this process, as the reconcilers look at others."""
    names = cloud.part(Hosts).own()
    for reconcile in (reconcilers.hosts, reconcilers.guests, reconcilers.plugs, reconcilers.metadata):
        reconcile(cloud, names)


def silent_hosts(cloud: Cloud) -> None:
    """Machines that have joined and that nobody has heard of for a while; of many some, and others the next time."""
    now = cloud.world.clock()
    heard_since = now - cloud.service("compute").settings.host_down_after / SILENT
    query = select(HostAgent.name).outerjoin(ComputeHost, ComputeHost.name == HostAgent.name)
    silent = or_(ComputeHost.seen_at.is_(None), ComputeHost.seen_at < heard_since)
    with cloud.database.read() as session:
        names = list(session.scalars(query.where(silent).order_by(HostAgent.name)))
    if names:
        first = int(now / AT_ONCE) % len(names)  # some further each round
        reconcilers.hosts(cloud, (names[first:] + names[:first])[:AT_ONCE])
