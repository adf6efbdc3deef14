"""What an operator does about hosts at the controller, whether the cloud runs or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.database import Database
from tiffin.core.settings import Settings
from tiffin.core.world import World
from tiffin.host import tunnels
from tiffin.host.door import Keys
from tiffin.main import open_database
from tiffin.services.compute import joining
from tiffin.services.compute.controllers import hosts_elsewhere
from tiffin.services.compute.tables import ComputeHost, HostAgent


class Host(msgspec.Struct, frozen=True):
    """A machine that runs guests, as `host list` shows it."""

    name: str
    address: str  # HOST:PORT of its agent or its controller; empty for the machine of this controller
    seen_at: float  # seconds since the epoch; 0: never
    disabled: bool
    forced_down: bool


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
        return Host(name, address, 0.0, False, False)
    return Host(name, address, row.seen_at, row.disabled, row.forced_down)


def remove(settings: Settings, host: str) -> bool:
    """Let a machine take part no more; False when it did not. Raises `Conflict` while servers are on it."""
    with _open(settings) as database, database.write() as session:
        return joining.remove(session, World().clock(), host)


@contextmanager
def _open(settings: Settings) -> Iterator[Database]:
    database = open_database(settings)
    try:
        yield database
    finally:
        database.close()
