"""What the scheduler knows of hosts, aggregates and groups: one statement each, and only what a request needs."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import Integer, Select, and_, bindparam, cast, func, select
from sqlalchemy.orm import Session

from tiffin.services.compute.scheduler.filters import AGGREGATES, FACTS, INSTANCES
from tiffin.services.compute.scheduler.model import Aggregate, Host
from tiffin.services.compute.tables import Aggregate as AggregateRow
from tiffin.services.compute.tables import AggregateHost, ComputeHost, Server
from tiffin.services.placement import public as placement

IO_TASKS = (
    "spawning", "rebuilding", "rebuild_spawning", "image_snapshot", "image_uploading", "image_backup", "resize_prep",
    "resize_migrating", "migrating", "rescuing", "shelving", "unshelving",
)  # fmt: skip
"""What keeps the disks of a host busy."""

_READY = cast(
    and_(~ComputeHost.disabled, ~ComputeHost.forced_down, ComputeHost.seen_at >= bindparam("heard_since")), Integer
)
_AGGREGATES = select(AggregateRow.number, AggregateRow.id, AggregateRow.availability_zone, AggregateRow.meta)
_MEMBERS = select(AggregateHost.host, AggregateHost.aggregate)
_IO_OPS = (
    select(Server.host, func.count())
    .where(Server.task_state.in_(IO_TASKS), Server.host.is_not(None), Server.deleted_at.is_(None))
    .group_by(Server.host)
)
_INSTANCES = (
    select(Server.host, func.count()).where(Server.host.is_not(None), Server.deleted_at.is_(None)).group_by(Server.host)
)


@functools.cache
def _hosts(with_facts: bool) -> Select[Any]:
    more = (ComputeHost.facts,) if with_facts else ()
    return select(
        ComputeHost.name,
        ComputeHost.id,
        ComputeHost.hostname,
        _READY,
        ComputeHost.failed_builds,
        ComputeHost.hypervisor_version,
        *more,
    )


def aggregates(session: Session) -> list[Aggregate]:
    return [Aggregate(*row) for row in session.execute(_AGGREGATES)]


def hosts(
    session: Session,
    candidates: Mapping[str, tuple[Iterable[str], placement.Candidate]],
    heard_since: float,
    needs: Collection[str],
    known: Collection[Aggregate],
) -> list[Host]:
    """The hosts among the candidates, with what is needed of them. `candidates`: by provider, with the names of the
    classes that its `free` counts; `known`: all aggregates."""
    io_ops = _counts(session, _IO_OPS)
    instances = _counts(session, _INSTANCES) if INSTANCES in needs else {}
    of_host = _aggregates_of_hosts(session, known) if AGGREGATES in needs and known else {}
    found = []
    rows = session.execute(_hosts(FACTS in needs), {"heard_since": heard_since})
    for name, id, node, ready, failed, version, *facts in rows:
        candidate = candidates.get(id)
        if candidate is None:
            continue
        classes, room = candidate
        host = Host(name, id, node, bool(ready), failed, version, dict(zip(classes, room.free, strict=True)))
        host.io_ops, host.instances = io_ops.get(name, 0), instances.get(name, 0)
        if facts:
            host.facts = facts[0]
        if of_host:
            host.aggregates = tuple(of_host.get(name, ()))
        found.append(host)
    return found


def _counts(session: Session, statement: Select[tuple[Any, int]]) -> dict[str, int]:
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
