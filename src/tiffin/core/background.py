"""What a server does by itself, again and again: reconcile, forget old answers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import OperationalError

from tiffin.core import changes, idempotency

if TYPE_CHECKING:
    from tiffin.core.cloud import Cloud
    from tiffin.core.peers import Peers

EVERY = 10.0
"""Seconds between two rounds of reconcilers."""
HOUSEKEEPING_EVERY = 360
"""Rounds between two of housekeeping: an hour."""

log = structlog.get_logger("background")


def reconcile(cloud: Cloud, *, leads: bool = True) -> None:
    """Run every service's reconcilers once, or the lookouts of one that does not lead. One that fails is logged and does not
    keep the others from running."""
    for service in cloud.services():
        for reconciler in service.reconcilers if leads else service.lookouts:
            try:
                reconciler(cloud)
            except Exception:
                log.exception("reconciler.failed", service=service.type, reconciler=reconciler.__name__)


def keep_house(cloud: Cloud) -> None:
    """Remove what has served its time."""
    now = cloud.world.clock()
    with cloud.database.write() as session:
        idempotency.forget_old(session, now)
    with cloud.database.read() as session:
        end, more = changes.end_of_logins(session, now - cloud.login_seconds), True
    while more:
        with cloud.database.write() as session:
            more = changes.forget_logins(session, end)


def run(cloud: Cloud, stopping: threading.Event, peers: Peers) -> None:
    """Until `stopping` is set. Of several controllers the one that leads does for all what one is enough for."""
    rounds = 0
    cloud.last_round = cloud.world.clock()  # the first was before
    while not stopping.wait(EVERY):
        leads, began = peers.leads, cloud.world.clock()
        reconcile(cloud, leads=leads)
        cloud.last_round = began
        if not leads:
            continue
        rounds += 1
        if rounds % HOUSEKEEPING_EVERY == 0:
            try:
                keep_house(cloud)
            except OperationalError as away:
                log.warning("housekeeping.no_database", why=str(away.orig))
