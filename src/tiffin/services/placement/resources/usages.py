"""Usages: how much is allocated, of a provider and of a project."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import and_, func, select

from tiffin.core.call import Call
from tiffin.core.resource import Resource
from tiffin.core.schema import Version
from tiffin.core.sql import total
from tiffin.services.placement import query
from tiffin.services.placement.dialect import fresh
from tiffin.services.placement.providers import ANY, find
from tiffin.services.placement.tables import Allocation, Consumer, Inventory

provider_usages = Resource("usage", "usages", "/resource_providers/{uuid}/usages")
usages = Resource("usage", "usages", "/usages")

OF_PROJECT = ("placement:usages", "rule:admin_or_project_reader_or_service_api")
PARAMETERS: dict[str, Version] = {"project_id": (1, 9), "user_id": (1, 9), "consumer_type": (1, 38)}


@provider_usages.operation("GET", policy=("placement:resource_providers:usages", ANY))
def of_provider(call: Call, uuid: str) -> dict[str, Any]:
    row = find(call.db, uuid)
    held = and_(Allocation.provider_id == Inventory.provider_id, Allocation.resource_class == Inventory.resource_class)
    statement = (
        select(Inventory.resource_class, total(Allocation.used))
        .outerjoin(Allocation, held)
        .where(Inventory.provider_id == uuid)
        .group_by(Inventory.resource_class)
        .order_by(Inventory.resource_class)
    )
    fresh(call)
    return {"usages": dict(call.db.execute(statement).all()), "resource_provider_generation": row.generation}


def asked(call: Call, **_: Any) -> dict[str, Any]:
    """Whose usage it is about: the project of the query string."""
    query.check_keys(call, PARAMETERS)
    found: dict[str, Any] = {name: call.param(name) for name in PARAMETERS}
    if not found["project_id"]:
        raise query.bad("project_id is required.")
    for name, value in found.items():
        if value is not None and not 1 <= len(value) <= 255:
            raise query.bad(f"{name} has 1 to 255 characters.")
    wanted = found["consumer_type"]
    if wanted is not None and not re.fullmatch(r"[A-Z0-9_]+|all|unknown", wanted):
        raise query.bad("consumer_type is A to Z, 0 to 9 or _, or all, or unknown.")
    return found


def _conditions(subject: dict[str, Any]) -> list[Any]:
    conditions: list[Any] = [Consumer.project_id == subject["project_id"]]
    if subject["user_id"] is not None:
        conditions.append(Consumer.user_id == subject["user_id"])
    if subject["consumer_type"] not in (None, "all"):
        conditions.append(Consumer.type == subject["consumer_type"])
    return conditions


@usages.operation("GET", policy=OF_PROJECT, about=asked, since=(1, 9), until=(1, 38))
def of_project(call: Call) -> dict[str, Any]:
    statement = (
        select(Allocation.resource_class, total(Allocation.used))
        .join(Consumer, Consumer.id == Allocation.consumer_id)
        .where(*_conditions(call.subject))
        .group_by(Allocation.resource_class)
    )
    fresh(call)
    return {"usages": dict(call.db.execute(statement).all())}


@usages.operation("GET", policy=OF_PROJECT, about=asked, since=(1, 38))
def by_consumer_type(call: Call) -> dict[str, Any]:
    kind = func.max("all") if call.subject["consumer_type"] == "all" else func.max(Consumer.type)
    group = [] if call.subject["consumer_type"] == "all" else [Consumer.type]
    mine = _conditions(call.subject)
    amounts = (
        select(kind, Allocation.resource_class, total(Allocation.used))
        .join(Consumer, Consumer.id == Allocation.consumer_id)
        .where(*mine)
        .group_by(*group, Allocation.resource_class)
    )
    counts = select(kind, func.count()).select_from(Consumer).where(*mine).group_by(*group)
    found: dict[str, dict[str, int]] = {}
    for name, resource_class, used in call.db.execute(amounts):
        found.setdefault(name, {})[resource_class] = used
    for name, count in call.db.execute(counts):
        if name in found:
            found[name]["consumer_count"] = count
    fresh(call)
    return {"usages": found}
