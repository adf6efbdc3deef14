"""What is promised against what is real. They repair nothing: they wake the lifecycles, which do."""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy import select

from tiffin.core import lifecycle
from tiffin.core.cloud import Cloud
from tiffin.services.network import ports
from tiffin.services.network import tables as t
from tiffin.services.network.drivers.base import NetworkBackend
from tiffin.services.network.work import FLOATING_IP, NETWORK, PORT, ROUTER, SECURITY_GROUP, Work

log = structlog.get_logger("network.reconcilers")
_WITH_STATUS: dict[str, type[t.NetworkRow | t.RouterRow | t.FloatingIPRow]] = {
    NETWORK: t.NetworkRow,
    ROUTER: t.RouterRow,
    FLOATING_IP: t.FloatingIPRow,
}


def watch(cloud: Cloud) -> None:
    """Listen to the backend: a port that went up or down is looked at soon. Called once, at start-up."""

    def heard(port_id: str, up: bool) -> None:
        with cloud.database.read() as session:
            status = session.scalar(select(t.PortRow.status).where(t.PortRow.id == port_id))
        if status is None or (status == "ACTIVE") == up:
            return
        with cloud.database.write() as session:
            request_id = f"req-{cloud.world.new_id()}"
            lifecycle.ask(session, cloud.world.clock(), (PORT, port_id), "look", request_id=request_id)

    cloud.part(NetworkBackend).on_port_change(heard)


def reconcile(cloud: Cloud) -> None:
    """Wake what the backend lacks, what it has too much, ports whose status is not what it says, and what has failed."""
    real = cloud.part(NetworkBackend).inventory()
    with cloud.database.read() as session:
        rows: dict[str, set[str]] = {
            NETWORK: set(session.scalars(select(t.NetworkRow.id))),
            ROUTER: set(session.scalars(select(t.RouterRow.id))),
            SECURITY_GROUP: set(session.scalars(select(t.SecurityGroupRow.id))),
            FLOATING_IP: set(session.scalars(select(t.FloatingIPRow.id).where(t.FloatingIPRow.port_id.is_not(None)))),
            PORT: set(session.scalars(select(t.PortRow.id).where(_a_guests()))),
        }
        up = set(session.scalars(select(t.PortRow.id).where(_a_guests(), t.PortRow.status == "ACTIVE")))
        failed = [
            (kind, id)
            for kind, table in _WITH_STATUS.items()
            for id in session.scalars(select(table.id).where(table.status == "ERROR"))
        ]
    there = {
        NETWORK: real.networks,
        ROUTER: real.routers,
        SECURITY_GROUP: real.security_groups,
        FLOATING_IP: real.floating_ips,
        PORT: real.ports,
    }
    differing = [(kind, id) for kind, ids in rows.items() for id in sorted(ids ^ there[kind])]
    stale = [(PORT, id) for id in sorted(rows[PORT] & real.ports) if (id in real.up) != (id in up)]
    for kind, id in dict.fromkeys(differing + stale + failed):
        _wake(cloud, kind, id)


def _a_guests() -> Any:
    return t.PortRow.device_owner.not_in((*ports.OWNERS, ports.FLOATING))


def _wake(cloud: Cloud, kind: str, id: str) -> None:
    with cloud.database.write() as session:
        Work(session, cloud.world.clock(), f"req-{cloud.world.new_id()}", cloud).realise(kind, id)
    log.info("network.woken", kind=kind, id=id)
