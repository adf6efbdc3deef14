"""The controllers of one cloud: each says where the others and the agents of hosts reach it, and which hosts are its own."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.cloud import Cloud
from tiffin.core.peers import can_share, lives
from tiffin.core.settings import SettingsError
from tiffin.services.compute.settings import Machines
from tiffin.services.compute.tables import Controller, HostAgent

TABLE = "[compute.machines]"


class Directory(msgspec.Struct, frozen=True):
    """Whom an agent may ask, and where its chassis belongs."""

    controllers: tuple[str, ...]  # HOST:PORT of their doors
    network: str  # that of the controller that runs the networks


class Mine(msgspec.Struct, frozen=True):
    """This controller, as the others shall know it."""

    name: str
    node: str
    machines: Machines
    hosts: tuple[str, ...]


def take_place(cloud: Cloud, mine: Mine) -> None:
    """Let the others know of this controller. Raises `SettingsError` when it cannot be beside them. A cloud of one process
    that lets nobody in has nobody to tell."""
    shared = can_share(cloud.database)
    if not (mine.machines.listen or shared):
        return
    with cloud.database.write() as session:
        others = list(_others(session, mine, shared=shared))
        for other in others:
            _check(mine, other)
        network = mine.machines.network
        if network and network not in {other.address for other in others if not other.network}:
            raise SettingsError(f"{TABLE}: network: there is no controller at {network} yet; start that one first.")
        joined = session.scalar(select(HostAgent.name).where(HostAgent.name.in_(mine.hosts)).limit(1))
        if joined is not None:
            raise SettingsError(f"{TABLE}: the host {joined} is a machine that has joined; set another `name`.")
        row = {"name": mine.name, "node": mine.node, "address": mine.machines.listen}
        session.merge(Controller(**row, network=network, hosts=list(mine.hosts)))


def _others(session: Session, mine: Mine, *, shared: bool) -> Iterator[Controller]:
    """Those that are there now, and those with a door of their own, which may come back."""
    for row in session.scalars(select(Controller)):
        alive = shared and row.node != mine.node and lives(session, row.node)
        if alive or (shared and row.name != mine.name and row.address not in ("", mine.machines.listen)):
            yield row
        elif row.name != mine.name:  # what this one was called before
            session.delete(row)


def _check(mine: Mine, other: Controller) -> None:
    """Raises `SettingsError`."""
    if other.name == mine.name or not set(mine.hosts).isdisjoint(other.hosts):
        raise SettingsError(f"{TABLE}: name: another controller is {other.name} already; set another name here.")
    if not mine.machines.listen or not other.address:
        raise SettingsError(f"{TABLE}: the controller {other.name} serves this cloud, too: set `listen` of both.")
    if mine.machines.listen == other.address:
        raise SettingsError(f"{TABLE}: listen: the controller {other.name} is answered at {other.address}.")
    if not mine.machines.network and not other.network:
        raise SettingsError(
            f'{TABLE}: the controller {other.name} runs the networks: set `network = "{other.address}"` here, or'
            f" `tiffin host remove {other.name}` if it is gone for good."
        )


def directory(cloud: Cloud, machines: Machines) -> Directory:
    """What an agent should know now."""
    with cloud.database.read() as session:
        doors = session.scalars(select(Controller.address).where(Controller.address != "").order_by(Controller.name))
        return Directory(tuple(doors), machines.network or machines.listen)


def hosts_elsewhere(session: Session, own: frozenset[str]) -> dict[str, str]:
    """Where the hosts of other controllers are reached, by name."""
    rows = session.execute(select(Controller.address, Controller.hosts).where(Controller.address != "")).all()
    return {host: address for address, hosts in rows for host in hosts if host not in own}
