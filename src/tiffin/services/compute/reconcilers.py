"""Compare what is promised with what is real, and wake lifecycles; nothing is repaired here."""

from __future__ import annotations

import msgspec
import structlog
from sqlalchemy import false, or_, select
from sqlalchemy.orm import Session

from tiffin.core import lifecycle
from tiffin.core.cloud import Cloud
from tiffin.core.driver import Refused
from tiffin.core.tables import LifecycleRow
from tiffin.services.compute import rules
from tiffin.services.compute.drivers.base import GuestState, HostFacts, Hosts
from tiffin.services.compute.lifecycles.metadata import METADATA
from tiffin.services.compute.lifecycles.moving import servers_promised_on
from tiffin.services.compute.lifecycles.parts import KIND
from tiffin.services.compute.resources.availability_zones import is_up
from tiffin.services.compute.tables import ComputeHost, Migration, Server, ServerNic
from tiffin.services.placement import public as placement

log = structlog.get_logger("compute")
ORPHAN = "compute.orphan"


def hosts(cloud: Cloud) -> None:
    """What hosts are and have, into rows and placement; a host that does not answer is not seen."""
    found: dict[str, HostFacts] = {}
    for name in cloud.part(Hosts).names():
        try:
            found[name] = cloud.part(Hosts).hypervisor(name).facts()
        except Refused as no:
            log.warning("host.silent", host=name, why=str(no))
    with cloud.database.write() as session:
        for name, facts in found.items():
            _see(cloud, session, name, facts)


def _see(cloud: Cloud, session: Session, name: str, facts: HostFacts) -> None:
    now, kept = cloud.world.clock(), msgspec.to_builtins(facts)
    row = session.scalar(select(ComputeHost).where(ComputeHost.name == name))
    if row is None:
        new_id = cloud.world.new_id
        row = ComputeHost(id=new_id(), service_id=new_id(), name=name, created_at=now)
        session.add(row)
    row.hostname, row.facts, row.seen_at = facts.hostname, kept, now
    session.flush()
    placement.ensure_provider(session, cloud.world, row.id, facts.hostname)
    placement.set_inventory(
        session,
        row.id,
        {
            "VCPU": _amount(facts.vcpus, ratio=facts.cpu_allocation_ratio),
            "MEMORY_MB": _amount(facts.memory_mb),
            "DISK_GB": _amount(facts.disk_gb),
        },
    )
    placement.set_traits(session, row.id, facts.traits)


def _amount(total: int, *, ratio: float = 1.0) -> placement.Inventory:
    # A single guest may not have more CPUs than the host, however many guests share them.
    return placement.Inventory(
        total=total, reserved=0, min_unit=1, max_unit=max(total, 1), step_size=1, allocation_ratio=ratio
    )


def guests(cloud: Cloud) -> None:
    """Guests that are real against servers that should be."""
    for name in cloud.part(Hosts).names():
        try:
            real = {state.id: state for state in cloud.part(Hosts).hypervisor(name).guests()}
        except Refused as no:
            log.warning("host.silent", host=name, why=str(no))
            continue
        _compare(cloud, name, real)


def _compare(cloud: Cloud, host: str, real: dict[str, GuestState]) -> None:
    with cloud.database.read() as session:
        rows = session.execute(
            select(Server.id, Server.power_state, Server.vm_state, Server.task_state).where(
                Server.host == host, Server.deleted_at.is_(None)
            )
        ).all()
        living = select(Server.id).where(Server.id.in_(real), Server.deleted_at.is_(None))
        known = set(session.scalars(living))
        resting = set(session.scalars(living.where(Server.task_state.is_(None))))
        strays = resting - servers_promised_on(session, host, known)
    differing = [
        row.id
        for row in rows
        if row.task_state is None
        and row.vm_state in ("active", "paused", "stopped")
        and _power(real.get(row.id)) != row.power_state
    ]
    orphans = [id for id in real if id not in known]
    if not differing and not orphans and not strays:
        return
    now = cloud.world.clock()
    with cloud.database.write() as session:
        for id in differing:
            lifecycle.ask(session, now, (KIND, id), "sync", request_id=_request_id(cloud))
        for id in sorted(strays):
            log.warning("guest.stray", guest=id, host=host)
            lifecycle.ask(session, now, (KIND, id), "leave", request_id=_request_id(cloud), args={"host": host})
        for id in orphans:
            _remove(cloud, session, id, host)


def _request_id(cloud: Cloud) -> str:
    return f"req-{cloud.world.new_id()}"


def moves(cloud: Cloud) -> None:
    """Moves that nobody confirmed for as long as the operator lets them, or will; and those whose way back was cut off."""
    window, now = cloud.service("compute").settings.resize_confirm_window, cloud.world.clock()
    resting = select(Migration).join(Server, Server.id == Migration.server_id).where(
        Migration.settled.is_(False), Server.task_state.is_(None), Server.deleted_at.is_(None)
    )  # fmt: skip
    finished = resting.where(Migration.status == "finished")
    late = Migration.updated_at <= now - window if window else false()
    given_up = Server.vm_state.in_(("active", "stopped", "error"))  # an admin has reset it
    with cloud.database.write() as session:
        for move in list(session.scalars(finished.where(or_(late, given_up)))):
            move.status, move.updated_at = "confirming", now
            lifecycle.ask(session, now, (KIND, move.server_id), "confirm", request_id=_request_id(cloud))
        for move in session.scalars(resting.where(Migration.status == "error")):
            _bring_back(cloud, session, move)


def _bring_back(cloud: Cloud, session: Session, move: Migration) -> None:
    """Go on with the way back when both hosts are there; until that has ended nobody asks again."""
    settings, now = cloud.service("compute").settings, cloud.world.clock()
    both = session.scalars(select(ComputeHost).where(ComputeHost.name.in_((move.source, str(move.dest)))))
    if all(is_up(host, now, settings) for host in both):
        server = session.scalars(select(Server).where(Server.id == move.server_id)).one()
        server.task_state = "resize_reverting"
        lifecycle.ask(session, now, (KIND, move.server_id), "revert", request_id=_request_id(cloud))


def _power(state: GuestState | None) -> int:
    return rules.POWER[state.power] if state else rules.SHUTDOWN


def _remove(cloud: Cloud, session: Session, id: str, host: str) -> None:
    """Begin the removal of an orphan, unless it is being removed, or a teardown is on its way."""
    busy = select(LifecycleRow.id).where(LifecycleRow.resource_id == id, LifecycleRow.kind.in_((KIND, ORPHAN)))
    if session.scalar(busy) is None:
        log.warning("guest.orphan", guest=id, host=host)
        lifecycle.begin(
            session, cloud.world, ORPHAN, id, request_id=f"req-{cloud.world.new_id()}", frame={"host": host}
        )


def metadata(cloud: Cloud) -> None:
    """Metadata addresses that hosts answer on, against the networks that their servers are on."""
    for name in cloud.part(Hosts).names():
        real = cloud.part(Hosts).network(name).metadata_networks()
        with cloud.database.read() as session:
            on_it = select(ServerNic.network_id).join(Server, Server.id == ServerNic.server_id)
            needed = set(session.scalars(on_it.where(Server.host == name, Server.deleted_at.is_(None))))
            ending = {frame["network"] for frame in session.scalars(
                select(LifecycleRow.frame).where(LifecycleRow.kind == METADATA))}  # fmt: skip
        if not (unused := real - needed - ending):
            continue
        with cloud.database.write() as session:
            for network_id in sorted(unused):
                world, frame = cloud.world, {"host": name, "network": network_id}
                request_id = f"req-{world.new_id()}"
                lifecycle.begin(session, world, METADATA, world.new_id(), request_id=request_id, frame=frame)


def images(cloud: Cloud) -> None:
    """Let hosts drop cached images that no server stands on."""
    with cloud.database.read() as session:
        used = frozenset(
            id for id in session.scalars(select(Server.image_id).where(Server.deleted_at.is_(None)).distinct()) if id
        )
    for name in cloud.part(Hosts).names():
        try:
            cloud.part(Hosts).hypervisor(name).prune_images(used)
        except Refused as no:
            log.warning("host.silent", host=name, why=str(no))
