"""Compare what is promised with what is real, and wake lifecycles; nothing is repaired here.

Those that ask hosts ask the ones that whoever leads looks after, or those of these `names`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import structlog
from sqlalchemy import Select, false, or_, select, update
from sqlalchemy.orm import Session

from tiffin.core import lifecycle
from tiffin.core.asker import Itself
from tiffin.core.cloud import Cloud
from tiffin.core.driver import Refused
from tiffin.core.sql import listed
from tiffin.core.tables import LifecycleRow
from tiffin.services.compute import host_rows, rules
from tiffin.services.compute.drivers.base import GuestState, HostFacts, HostPorts, Hosts
from tiffin.services.compute.lifecycles.live import TIDY
from tiffin.services.compute.lifecycles.metadata import METADATA, coming
from tiffin.services.compute.lifecycles.moving import LIVE, confirm, servers_promised_on
from tiffin.services.compute.lifecycles.orphan import unclaimed_ports
from tiffin.services.compute.lifecycles.parts import KIND
from tiffin.services.compute.resources.availability_zones import is_up
from tiffin.services.compute.tables import ComputeHost, Migration, Server, ServerNic
from tiffin.services.placement import public as placement

AT_ONCE = 200
"""Hosts whose guests are compared in one statement."""
log = structlog.get_logger("compute")
ORPHAN = "compute.orphan"


def hosts(cloud: Cloud, names: Sequence[str] | None = None) -> None:
    """What hosts are and have, into rows and placement; a host that does not answer is not seen. Hosts of which nothing
    changed cost one statement together."""
    found = _facts(cloud, names)
    with cloud.database.read() as session:
        new, changed = host_rows.differing(session, found)
        left_out = host_rows.left_out(session)
    now = cloud.world.clock()
    with cloud.database.write() as session:
        session.execute(update(ComputeHost).where(ComputeHost.name.in_(listed(found))).values(seen_at=now))
        if new:  # another controller may have looked at the same moment
            known = set(session.scalars(select(ComputeHost.name).where(ComputeHost.name.in_(new))))
            host_rows.add(session, cloud.world, {name: found[name] for name in new if name not in known})
        for name in changed:
            host_rows.store(session, cloud.world, name, found[name])
        for aggregate_id, host_id in sorted(left_out):
            placement.change_aggregate(session, aggregate_id, host_id, member=True)


def _facts(cloud: Cloud, names: Sequence[str] | None) -> dict[str, HostFacts]:
    found: dict[str, HostFacts] = {}
    hosts = cloud.part(Hosts)
    for name in hosts.looked_after() if names is None else names:
        try:
            found[name] = hosts.hypervisor(name).facts()
        except Refused as no:
            log.warning("host.silent", host=name, why=str(no))
    return found


def guests(cloud: Cloud, names: Sequence[str] | None = None) -> None:
    """Guests that are real against servers that should be."""
    hosts = cloud.part(Hosts)
    names = hosts.looked_after() if names is None else names
    for first in range(0, len(names), AT_ONCE):
        real: dict[str, dict[str, GuestState]] = {}
        for name in names[first : first + AT_ONCE]:
            try:
                real[name] = {state.id: state for state in hosts.hypervisor(name).guests()}
            except Refused as no:
                log.warning("host.silent", host=name, why=str(no))
        _compare(cloud, real)


def _compare(cloud: Cloud, real: dict[str, dict[str, GuestState]]) -> None:
    """`real`: the guests by host."""
    ids = {id for states in real.values() for id in states}
    with cloud.database.read() as session:
        rows = session.execute(
            select(Server.id, Server.host, Server.power_state, Server.vm_state, Server.task_state).where(
                Server.host.in_(listed(real)), Server.deleted_at.is_(None)
            )
        ).all()
        known = {row.id: row for row in rows}
        unknown = ids - known.keys()
        away = select(Server.id, Server.host, Server.task_state).where(
            Server.id.in_(listed(unknown)), Server.deleted_at.is_(None)
        )
        known |= {row.id: row for row in session.execute(away)} if unknown else {}
        resting = {id: row.host for id, row in known.items() if row.task_state is None}
        strays = _strays(session, real, resting)
    differing = [
        row.id
        for row in rows
        if row.task_state is None
        and row.vm_state in ("active", "paused", "stopped")
        and not rules.as_promised(row.vm_state, row.power_state, _power(real[row.host].get(row.id)))
    ]
    orphans = [(id, host) for host, states in real.items() for id in states if id not in known]
    if not differing and not orphans and not strays:
        return
    now = cloud.world.clock()
    with cloud.database.write() as session:
        for id in differing:
            lifecycle.ask(session, now, (KIND, id), "sync", request_id=_request_id(cloud))
        for id, host in strays:
            log.warning("guest.stray", guest=id, host=host)
            lifecycle.ask(session, now, (KIND, id), "leave", request_id=_request_id(cloud), args={"host": host})
        for id, host in orphans:
            _remove(cloud, session, id, host)


def _strays(session: Session, real: dict[str, dict[str, GuestState]], at: dict[str, str]) -> list[tuple[str, str]]:
    """(server, host) for each host that has something of a server which is `at` another one and does not come back."""
    found = []
    for host, states in real.items():
        if suspects := {id for id in states if at.get(id, host) != host}:
            found += [(id, host) for id in sorted(suspects - servers_promised_on(session, host, suspects))]
    return found


def _request_id(cloud: Cloud) -> str:
    return f"req-{cloud.world.new_id()}"


def moves(cloud: Cloud) -> None:
    """Moves that nobody confirmed for as long as the operator lets them, or will; and those whose way back was cut off."""
    window, now = cloud.service("compute").settings.resize_confirm_window, cloud.world.clock()
    resting = select(Migration, Server).join(Server, Server.id == Migration.server_id).where(
        Migration.settled.is_(False), Server.task_state.is_(None), Server.deleted_at.is_(None)
    )  # fmt: skip
    finished = resting.where(Migration.status == "finished")
    late = Migration.updated_at <= now - window if window else false()
    given_up = Server.vm_state.in_(("active", "stopped", "error"))  # an admin has reset it
    emptied = Migration.emptying.is_(True) & Migration.source.in_(_up(cloud))  # when it was silent
    with cloud.database.write() as session:
        for move, server in session.execute(finished.where(or_(late, given_up, emptied))).all():
            confirm(Itself(cloud.world, session), server, move)
        for move, _ in session.execute(resting.where(or_(Migration.status == "error", Migration.kind == LIVE))).all():
            _bring_back(cloud, session, move)


def _up(cloud: Cloud) -> Select[str]:
    """The hosts that count as up, as `is_up` says of one."""
    earliest = cloud.looked_at() - cloud.service("compute").settings.host_down_after
    return select(ComputeHost.name).where(ComputeHost.seen_at >= earliest, ComputeHost.forced_down.is_(False))


def _bring_back(cloud: Cloud, session: Session, move: Migration) -> None:
    """Go on with the way back when the hosts are there that it needs; until that has ended nobody asks again."""
    settings, now = cloud.service("compute").settings, cloud.world.clock()
    live, tidy = move.kind == LIVE, move.wish == TIDY
    names = (move.source,) if live and not tidy else (move.source, str(move.dest))
    needed = session.scalars(select(ComputeHost).where(ComputeHost.name.in_(names)))
    if all(is_up(host, cloud.looked_at(), settings) for host in needed):
        server = session.scalars(select(Server).where(Server.id == move.server_id)).one()
        if not tidy:
            server.task_state = "migrating" if live else "resize_reverting"
        request = "recall" if live else "revert"
        lifecycle.ask(session, now, (KIND, move.server_id), request, request_id=_request_id(cloud))


def _power(state: GuestState | None) -> int:
    return rules.POWER[state.power] if state else rules.SHUTDOWN


def _remove(cloud: Cloud, session: Session, id: str, host: str, **more: bool) -> None:
    """Begin the removal of an orphan, unless it is being removed, or a teardown is on its way."""
    busy = select(LifecycleRow.id).where(LifecycleRow.resource_id == id, LifecycleRow.kind.in_((KIND, ORPHAN)))
    if session.scalar(busy) is None:
        log.warning("host.orphan", id=id, host=host, **more)
        lifecycle.begin(session, cloud.world, ORPHAN, id, request_id=_request_id(cloud), frame={"host": host, **more})


def plugs(cloud: Cloud, names: Sequence[str] | None = None) -> None:
    """Ports that hosts have plugged against the servers that are there."""
    plugged = {host: ports for host, ports in _asked(cloud, names, lambda host: host.plugged()) if ports}
    ids = {id for ports in plugged.values() for id in ports}
    at = select(ServerNic.port_id, Server.host).join(Server, Server.id == ServerNic.server_id)
    with cloud.database.read() as session:
        claimed = {(host, id) for id, host in session.execute(at.where(ServerNic.port_id.in_(listed(ids))))}
        suspects = {host: {id for id in ports if (host, id) not in claimed} for host, ports in plugged.items()}
        unclaimed = [(h, id) for h, those in suspects.items() if those for id in unclaimed_ports(session, h, those)]
    if unclaimed:
        with cloud.database.write() as session:
            for host, id in sorted(unclaimed):
                _remove(cloud, session, id, host, port=True)



def metadata(cloud: Cloud, names: Sequence[str] | None = None) -> None:
    """Metadata addresses that hosts answer on, against the networks that their servers are on."""
    real = dict(_asked(cloud, names, lambda host: host.metadata_networks()))
    if not any(real.values()):
        return
    with cloud.database.read() as session:
        on_it = select(Server.host, ServerNic.network_id).join(ServerNic, Server.id == ServerNic.server_id)
        needed = {(host, id) for host, id in session.execute(on_it.where(Server.deleted_at.is_(None)).distinct())}
        to_it = coming(Migration.dest, ServerNic.network_id).join(ServerNic, ServerNic.server_id == Migration.server_id)
        needed |= {(host, id) for host, id in session.execute(to_it)}
        frames = session.scalars(select(LifecycleRow.frame).where(LifecycleRow.kind == METADATA))
        ending = {frame["network"] for frame in frames}
    for name, networks in real.items():
        unused = sorted(id for id in networks if (name, id) not in needed and id not in ending)
        if not unused:
            continue
        with cloud.database.write() as session:
            for network_id in unused:
                world, frame = cloud.world, {"host": name, "network": network_id}
                request_id = f"req-{world.new_id()}"
                lifecycle.begin(session, world, METADATA, world.new_id(), request_id=request_id, frame=frame)


def _asked(
    cloud: Cloud, names: Sequence[str] | None, what: Callable[[HostPorts], frozenset[str]]
) -> Iterator[tuple[str, frozenset[str]]]:
    """(host, its answer), of those that answer."""
    hosts = cloud.part(Hosts)
    for name in hosts.looked_after() if names is None else names:
        try:
            answer = what(hosts.network(name))
        except Refused as no:
            log.warning("host.silent", host=name, why=str(no))
            continue
        yield name, answer
