"""Who gets what: the one place that writes allocations. It runs in the caller's write transaction, so that no two take the
same room."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import msgspec
from sqlalchemy import Integer, Table, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from tiffin.core.errors import Conflict, NotFound
from tiffin.services.placement import tables as t
from tiffin.services.placement.rules import fits

Wanted = Mapping[str, Mapping[str, int]]
"""{provider id: {class: amount}}"""


class Consumer(msgspec.Struct, frozen=True):
    """Who uses resources. Without a `type` a known consumer keeps its own."""

    id: str
    project_id: str
    user_id: str
    type: str | None = "INSTANCE"


def bump(session: Session, provider_ids: Collection[str]) -> None:
    """A provider's generation grows with each change of what it has or gives."""
    session.flush()
    if provider_ids:
        session.execute(
            update(t.ResourceProvider)
            .where(t.ResourceProvider.id.in_(provider_ids))
            .values(generation=t.ResourceProvider.generation + 1),
            execution_options={"synchronize_session": "fetch"},
        )


def replace(session: Session, now: float, changes: Sequence[tuple[Consumer, Wanted]]) -> None:
    """Replace what each consumer uses, all of them or none: what one gives back another may take. A consumer that uses
    nothing any more is forgotten. Raises `Conflict` when it does not fit, `NotFound` for a class that a provider does
    not have."""
    touched = give_back(session, [consumer.id for consumer, _ in changes])
    for consumer, wanted in changes:
        held = {p: {c: n for c, n in r.items() if n > 0} for p, r in wanted.items()}
        held = {p: r for p, r in held.items() if r}
        if not held:
            forget(session, consumer.id)
            continue
        _keep(session, now, consumer)
        for provider_id, resources in held.items():
            touched.add(provider_id)
            for resource_class, amount in resources.items():
                _check_room(session, provider_id, resource_class, amount)
            taken = {"consumer_id": consumer.id, "provider_id": provider_id}
            session.execute(_TAKE, [{**taken, "resource_class": c, "used": n} for c, n in resources.items()])
    bump(session, touched)


def give_back(session: Session, consumer_ids: Collection[str]) -> set[str]:
    """Remove what these consumers use; gives the providers that it was taken from."""
    session.flush()
    mine = t.Allocation.consumer_id.in_(consumer_ids)
    touched = set(session.scalars(select(t.Allocation.provider_id).where(mine).distinct()))
    if touched:
        session.execute(delete(t.Allocation).where(mine))
    return touched


def forget(session: Session, consumer_id: str) -> None:
    session.execute(
        delete(t.Consumer).where(t.Consumer.id == consumer_id), execution_options={"synchronize_session": "fetch"}
    )


def _keep(session: Session, now: float, consumer: Consumer) -> None:
    values = {"project_id": consumer.project_id, "user_id": consumer.user_id, "updated_at": now}
    if consumer.type is not None:
        values["type"] = consumer.type
    known = session.execute(
        update(t.Consumer)
        .where(t.Consumer.id == consumer.id)
        .values(generation=t.Consumer.generation + 1, **values)
        .returning(t.Consumer.id),
        execution_options={"synchronize_session": "fetch"},
    ).first()
    if known is None:
        values.setdefault("type", "unknown")
        session.execute(insert(t.Consumer).values(id=consumer.id, generation=1, created_at=now, **values))


_ROOM = select(fits(t.Inventory, bindparam("amount", type_=Integer))).where(
    t.Inventory.provider_id == bindparam("provider_id"), t.Inventory.resource_class == bindparam("resource_class")
)


_TAKE = insert(cast(Table, t.Allocation.__table__))


def _check_room(session: Session, provider_id: str, resource_class: str, amount: int) -> None:
    room = session.scalar(_ROOM, {"provider_id": provider_id, "resource_class": resource_class, "amount": amount})
    if room is None:
        raise NotFound(f"Resource provider {provider_id} has no inventory of {resource_class}.")
    if not room:
        raise Conflict(
            f"Unable to allocate {amount} {resource_class} on resource provider {provider_id}: "
            "it would exceed the capacity, or the unit rules."
        )
