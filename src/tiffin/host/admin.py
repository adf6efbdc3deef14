"""What an operator does about hosts at the controller, whether the cloud runs or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.asker import Itself
from tiffin.core.database import Database
from tiffin.core.settings import Settings
from tiffin.core.world import World
from tiffin.host import tunnels
from tiffin.host.door import Keys
from tiffin.main import ahead, open_database
from tiffin.services.compute import joining, maintenance
from tiffin.services.compute.controllers import hosts_elsewhere
from tiffin.services.compute.settings import Settings as ComputeSettings
from tiffin.services.compute.tables import ComputeHost, HostAgent


class Host(msgspec.Struct, frozen=True):
    """A machine that runs guests, as `host list` shows it."""

    name: str
    address: str  # HOST:PORT of its agent or its controller; empty for the machine of this controller
    seen_at: float  # seconds since the epoch; 0: never
    disabled: bool
    forced_down: bool
    maintenance: str | None  # it is emptied and kept empty: live, or cold where that does not do


def token(settings: Settings, host: str | None, seconds: float) -> str:
    """Words that let one machine join. Raises `Fault`."""
    now, keys = World().clock(), Keys(settings.home / "keys")
    keys.ensure(now)
    with _open(settings) as database, database.write() as session:
        return joining.make_token(session, now, keys.controllers, host, seconds).text()


def hosts(settings: Settings) -> list[Host]:
    with _open(settings) as database, database.read() as session:
        own = tunnels.machines(settings).listen
        addresses = {name: at for name, at in hosts_elsewhere(session, frozenset()).items() if at != own}
        addresses |= {row.name: row.address for row in session.scalars(select(HostAgent))}
        seen = {row.name: row for row in session.scalars(select(ComputeHost))}
        return [_host(session, name, addresses.get(name, ""), seen.get(name)) for name in sorted({*addresses, *seen})]


def _host(session: Session, name: str, address: str, row: ComputeHost | None) -> Host:
    if row is None:
        return Host(name, address, 0.0, False, False, None)
    return Host(name, address, row.seen_at, row.disabled, row.forced_down, row.maintenance)


def remove(settings: Settings, host: str) -> bool:
    """Let a machine take part no more; False when it did not. Raises `Conflict` while servers are on it."""
    with _open(settings) as database, database.write() as session:
        return joining.remove(session, World().clock(), host)


def begin_maintenance(settings: Settings, host: str, cold: bool) -> None:
    """Have the cloud move all servers away from a host; `cold`: also by stopping them. Raises `NotFound`."""
    with _open(settings) as database, database.write() as session:
        maintenance.begin(Itself(_world(session), session), host, cold=cold)


def end_maintenance(settings: Settings, host: str) -> None:
    """Have a host take servers again. Raises `NotFound`."""
    with _open(settings) as database, database.write() as session:
        maintenance.end(Itself(_world(session), session), host)


@contextmanager
def watching(settings: Settings, host: str) -> Iterator[Callable[[], maintenance.Emptying]]:
    """A function that tells what is left on a host. Raises `NotFound`."""
    compute = settings.section("compute", ComputeSettings)

    def look() -> maintenance.Emptying:
        with database.read() as session:
            return maintenance.look(session, host, _world(session).clock(), compute)

    with _open(settings) as database:
        yield look


def _world(session: Session) -> World:
    """The time of this cloud, which may be a simulated one."""
    moved = ahead(session)
    return World(clock=lambda: time.time() + moved)


@contextmanager
def _open(settings: Settings) -> Iterator[Database]:
    database = open_database(settings)
    try:
        yield database
    finally:
        database.close()
