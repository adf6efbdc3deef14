"""What the scheduler knows of hosts, aggregates and groups: one statement each, and only what a request needs."""

from __future__ import annotations

import functools
import typing
from collections import Counter
from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Integer, Select, Table, and_, bindparam, cast, func, literal, select
from sqlalchemy.orm import Session

from tiffin.core.sql import json_rows, listed
from tiffin.services.compute.scheduler.filters import AGGREGATES, FACTS, INSTANCES
from tiffin.services.compute.scheduler.model import Aggregate, Host
from tiffin.services.compute.tables import Aggregate as AggregateRow
from tiffin.services.compute.tables import AggregateHost, ComputeHost, Server
from tiffin.services.placement import public as placement

OWN = ("VCPU", "MEMORY_MB", "DISK_GB")
"""The resource classes of hosts themselves, in the order of `Host`."""
IO_TASKS = (
    "spawning", "rebuilding", "rebuild_spawning", "image_snapshot", "image_uploading", "image_backup", "resize_prep",
    "resize_migrating", "migrating", "rescuing", "shelving", "unshelving",
)  # fmt: skip
"""What keeps the disks of a host busy."""

_HOSTS = typing.cast(Table, ComputeHost.__table__)
"""Tables give rows faster than classes do."""
_READY = cast(
    and_(~_HOSTS.c.disabled, ~_HOSTS.c.forced_down, _HOSTS.c.seen_at >= bindparam("heard_since")), Integer
)
_COLUMNS = (
    _HOSTS.c.name,
    _HOSTS.c.id,
    _HOSTS.c.hostname,
    _READY,
    _HOSTS.c.failed_builds,
    _HOSTS.c.hypervisor_version,
)
"""What `Host` begins with; what is free of `OWN` follows, then the facts."""
_decode = msgspec.json.Decoder(list[Host]).decode
_AGGREGATES = select(AggregateRow.number, AggregateRow.id, AggregateRow.availability_zone, AggregateRow.meta)
_MEMBERS = select(AggregateHost.host, AggregateHost.aggregate)
_IO_OPS = (
    select(Server.host, func.count())
    .where(Server.task_state.in_(IO_TASKS), Server.host.is_not(None))  # nothing is done with deleted ones
    .group_by(Server.host)
)
_INSTANCES = (
    select(Server.host, func.count()).where(Server.host.is_not(None), Server.deleted_at.is_(None)).group_by(Server.host)
)


def aggregates(session: Session) -> list[Aggregate]:
    return [Aggregate(*row) for row in session.execute(_AGGREGATES)]


def hosts(
    session: Session, wish: placement.Wish, heard_since: float, needs: Collection[str], known: Collection[Aggregate]
) -> list[Host]:
    """The hosts on which placement would let the server be, with what is needed of them. `known`: all aggregates."""
    io_ops = _counts(session, _IO_OPS)
    instances = _counts(session, _INSTANCES) if INSTANCES in needs else {}
    of_host = _aggregates_of_hosts(session, known) if AGGREGATES in needs and known else {}
    candidates = _on_themselves if placement.is_plain(session, wish) else _over_trees
    found = candidates(session, wish, heard_since, with_facts=FACTS in needs)
    if io_ops or instances or of_host:
        for host in found:
            host.io_ops, host.instances = io_ops.get(host.name, 0), instances.get(host.name, 0)
            host.aggregates = tuple(of_host.get(host.name, ()))
    return found


def _on_themselves(session: Session, wish: placement.Wish, heard_since: float, *, with_facts: bool) -> list[Host]:
    """Where all comes from the host itself: one statement."""
    group = wish.groups[0]
    query = _hosts_with_room(tuple(group.resources), with_facts)
    if conditions := placement.conditions(group, _HOSTS.c.id):
        query = query.where(*conditions)
    return _decode(session.scalar(query, {"heard_since": heard_since, **placement.amounts(group)}))


@functools.lru_cache(maxsize=32)
def _hosts_with_room(classes: tuple[str, ...], with_facts: bool) -> Select[Any]:
    room = placement.with_room(classes).subquery()
    of_class = dict(zip(classes, list(room.c)[1:], strict=True))
    free = [of_class.get(name, literal(0.0)) for name in OWN]
    facts = [_HOSTS.c.facts] if with_facts else []
    return select(json_rows(*_COLUMNS, *free, *facts)).join_from(room, _HOSTS, room.c.id == _HOSTS.c.id)


def _over_trees(session: Session, wish: placement.Wish, heard_since: float, *, with_facts: bool) -> list[Host]:
    """Where some may come from providers below or beside the host."""
    candidates = {one.root_id: one for one in placement.candidates(session, wish)}
    order = list(wish.groups[0].resources)
    facts = [_HOSTS.c.facts] if with_facts else []
    query = select(*_COLUMNS, *facts).where(_HOSTS.c.id.in_(listed(candidates)))
    made = []
    for row in session.execute(query, {"heard_since": heard_since}).all():
        one = candidates[row.id]
        free = [one.free[order.index(name)] if name in order else 0.0 for name in OWN]
        host = Host(*row[: len(_COLUMNS)], *free, *row[len(_COLUMNS) :])
        host.allocation = one.allocation
        made.append(host)
    return made


def _counts(session: Session, statement: Select[*tuple[Any, ...]]) -> dict[str, int]:
    return {host: count for host, count in session.execute(statement)}  # noqa: C416  (rows are no pairs to mypy)


def _aggregates_of_hosts(session: Session, known: Collection[Aggregate]) -> dict[str, list[Aggregate]]:
    by_number = {one.number: one for one in known}
    found: dict[str, list[Aggregate]] = {}
    for host, number in session.execute(_MEMBERS):
        found.setdefault(host, []).append(by_number[number])
    return found


_BESIDE = select(Server.host).where(
    Server.group_id == bindparam("group_id"),
    Server.id != bindparam("but"),
    Server.host.is_not(None),
    Server.deleted_at.is_(None),
)


def members(session: Session, group_id: str, but: str) -> Counter[str]:
    """How many other members of a server group are on which host."""
    return Counter(host for host in session.scalars(_BESIDE, {"group_id": group_id, "but": but}) if host)


def hosts_of(session: Session, project_id: str, ids: Any) -> frozenset[str]:
    """Where these servers of the project are; `ids` as a hint says them."""
    listed = [ids] if isinstance(ids, str) else list(ids or [])
    if not listed:
        return frozenset()
    mine = select(Server.host).where(
        Server.id.in_(listed), Server.project_id == project_id, Server.host.is_not(None), Server.deleted_at.is_(None)
    )
    return frozenset(host for host in session.scalars(mine) if host)
