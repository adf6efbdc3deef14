"""Who gets what: the one place that writes allocations, and with them how much of each inventory is used.

It runs in the caller's write transaction, and first lets the generations of all providers that it touches grow: SQLite has one
writer anyhow, and on PostgreSQL that holds their rows, in the order of their ids, until the end. So what is looked at next stays
true, and no two take the same room."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import Table, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.util import identity_key

from tiffin.core.errors import Conflict, NotFound
from tiffin.services.placement import tables as t
from tiffin.services.placement.rules import Room

Wanted = Mapping[str, Mapping[str, int]]
"""{provider id: {class: amount}}"""


class Consumer(msgspec.Struct, frozen=True):
    """Who uses resources. Without a `type` a known consumer keeps its own."""

    id: str
    project_id: str
    user_id: str
    type: str | None = "INSTANCE"


_PROVIDERS, _CONSUMERS = cast(Table, t.ResourceProvider.__table__), cast(Table, t.Consumer.__table__)
_ALLOCATIONS, _INVENTORIES = cast(Table, t.Allocation.__table__), cast(Table, t.Inventory.__table__)
_BUMP = (
    update(_PROVIDERS).where(_PROVIDERS.c.id == bindparam("its_id")).values(generation=_PROVIDERS.c.generation + 1)
)


def bump(session: Session, provider_ids: Collection[str]) -> None:
    """A provider's generation grows with each change of what it has or gives."""
    session.flush()
    for id in sorted(provider_ids):
        session.execute(_BUMP, {"its_id": id})
        _is_stale(session, t.ResourceProvider, id)


def replace(session: Session, now: float, changes: Sequence[tuple[Consumer, Wanted]]) -> None:
    """Replace what each consumer uses, all of them or none: what one gives back another may take. A consumer that uses
    nothing any more is forgotten. Raises `Conflict` when it does not fit, `NotFound` for a class that a provider does
    not have; what a single consumer without allocations asked for in vain leaves nothing behind."""
    consumers = [consumer.id for consumer, _ in changes]
    held_before = _held_by(session, consumers)
    bump(session, held_before | {p for _, wanted in changes for p, resources in wanted.items() if any(resources.values())})
    if held_before:
        _let_go(session, consumers)
    for consumer, wanted in changes:
        held = {p: {c: n for c, n in r.items() if n > 0} for p, r in wanted.items()}
        held = {p: r for p, r in held.items() if r}
        if not held:
            forget(session, consumer.id)
            continue
        for provider_id, resources in held.items():
            _check_room(session, provider_id, resources)
        _keep(session, now, consumer)
        _take(session, consumer.id, held)


def give_back(session: Session, consumer_ids: Collection[str]) -> set[str]:
    """Remove what these consumers use; gives the providers that it was taken from."""
    touched = _held_by(session, consumer_ids)
    bump(session, touched)
    _let_go(session, consumer_ids)
    return touched


_FORGET = delete(t.Consumer).where(t.Consumer.id == bindparam("consumer_id"))


def forget(session: Session, consumer_id: str) -> None:
    session.execute(_FORGET, {"consumer_id": consumer_id}, execution_options={"synchronize_session": "fetch"})


_MINE = _ALLOCATIONS.c.consumer_id.in_(bindparam("consumers", expanding=True))
_HELD = select(_ALLOCATIONS.c.provider_id).where(_MINE).distinct()
_LET_GO = (
    delete(_ALLOCATIONS).where(_MINE).returning(*(_ALLOCATIONS.c[n] for n in ("provider_id", "resource_class", "used")))
)


def _held_by(session: Session, consumer_ids: Collection[str]) -> set[str]:
    session.flush()
    return set(session.scalars(_HELD, {"consumers": list(consumer_ids)}))


_CHANGE_USED = (
    update(_INVENTORIES)
    .where(
        _INVENTORIES.c.provider_id == bindparam("at_provider"), _INVENTORIES.c.resource_class == bindparam("of_class")
    )
    .values(used=_INVENTORIES.c.used + bindparam("more"))
)


def _let_go(session: Session, consumer_ids: Collection[str]) -> None:
    given = session.execute(_LET_GO, {"consumers": list(consumer_ids)}).all()
    _change_used(session, [(provider_id, name, -used) for provider_id, name, used in given])


def _change_used(session: Session, changes: Sequence[tuple[str, str, int]]) -> None:
    if changes:
        session.execute(_CHANGE_USED, [{"at_provider": p, "of_class": c, "more": n} for p, c, n in changes])


_GIVE = insert(_ALLOCATIONS)


def _take(session: Session, consumer_id: str, held: Wanted) -> None:
    rows = [(provider_id, name, used) for provider_id, resources in held.items() for name, used in resources.items()]
    columns = ("consumer_id", "provider_id", "resource_class", "used")
    session.execute(_GIVE, [dict(zip(columns, (consumer_id, *row), strict=True)) for row in rows])
    _change_used(session, rows)


_KNOWN = (
    update(_CONSUMERS)
    .where(_CONSUMERS.c.id == bindparam("consumer_id"))
    .values(
        generation=_CONSUMERS.c.generation + 1,
        type=func.coalesce(bindparam("new_type", type_=_CONSUMERS.c.type.type), _CONSUMERS.c.type),
        **{name: bindparam(name) for name in ("project_id", "user_id", "updated_at")},
    )
    .returning(_CONSUMERS.c.id)
)
_NEW = insert(_CONSUMERS)


def _keep(session: Session, now: float, consumer: Consumer) -> None:
    values = {"project_id": consumer.project_id, "user_id": consumer.user_id, "updated_at": now}
    known = session.execute(_KNOWN, {"consumer_id": consumer.id, "new_type": consumer.type, **values}).first()
    if known is None:
        new = {"id": consumer.id, "type": consumer.type or "unknown", "generation": 1, "created_at": now, **values}
        session.execute(_NEW, [new])
    else:
        _is_stale(session, t.Consumer, consumer.id)


def _is_stale(session: Session, kind: type[Any], id: str) -> None:
    """Have the row looked at again where it was loaded: statements on tables are faster, and do not tell."""
    if (loaded := session.identity_map.get(identity_key(kind, id))) is not None:
        session.expire(loaded)


_ROOMS = select(_INVENTORIES.c.resource_class, *Room.columns(_INVENTORIES.c)).where(
    _INVENTORIES.c.provider_id == bindparam("provider_id")
)


def _check_room(session: Session, provider_id: str, resources: Mapping[str, int]) -> None:
    rooms = {name: Room.of(*row) for name, *row in session.execute(_ROOMS, {"provider_id": provider_id})}
    for resource_class, amount in resources.items():
        if resource_class not in rooms:
            raise NotFound(f"Resource provider {provider_id} has no inventory of {resource_class}.")
        if not rooms[resource_class].fits(amount):
            raise Conflict(
                f"Unable to allocate {amount} {resource_class} on resource provider {provider_id}: "
                "it would exceed the capacity, or the unit rules."
            )
