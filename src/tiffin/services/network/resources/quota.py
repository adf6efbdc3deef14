"""Quotas of projects."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta
from sqlalchemy import delete, select

from tiffin.core.call import Call
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.core.tables import QuotaLimit
from tiffin.services.network.faults import bad_request
from tiffin.services.network.policies import rule
from tiffin.services.network.quotas import QUOTAS

Limit = Annotated[int, Meta(ge=-1, le=2147483647)]
QuotaIn = msgspec.defstruct(
    "QuotaIn",
    [
        *((name, Limit | msgspec.UnsetType, UNSET) for name in QUOTAS),
        ("check_limit", bool, False),  # refuse a limit below what is used (extension quota-check-limit)
    ],
    bases=(Schema,),
    kw_only=True,
    module=__name__,
)
MINE = QuotaLimit.service == "network"
resource = Resource("quota", "quotas", "/v2.0/quotas")


def of_project(call: Call, id: str, **_: Any) -> dict[str, Any]:
    return {"project_id": id, "tenant_id": id}


def _limits(call: Call, id: str) -> dict[str, int]:
    return call.quotas.limits(call.db, id)


@resource.operation("GET", policy=None)
def listed(call: Call) -> dict[str, Any]:
    """The projects that have limits of their own."""
    own = call.db.scalars(select(QuotaLimit.project_id).where(MINE).distinct().order_by(QuotaLimit.project_id))
    seen = [id for id in own if call.allows("get_quota", of_project(call, id))]
    return {"quotas": [{"project_id": id, "tenant_id": id, **_limits(call, id)} for id in seen]}


@resource.operation("GET", "/tenant", policy=None)
def tenant(call: Call) -> dict[str, Any]:
    return {"tenant": {"tenant_id": call.actor.project_id, "project_id": call.actor.project_id}}


@resource.operation("GET", "/project", policy=None)
def project(call: Call) -> dict[str, Any]:
    return {"project": {"tenant_id": call.actor.project_id, "project_id": call.actor.project_id}}


@resource.operation("GET", "/{id}", policy=rule("get_quota"), about=of_project)
def show(call: Call, id: str) -> dict[str, Any]:
    return {"quota": _limits(call, id)}


@resource.operation("GET", "/{id}/default", policy=rule("get_quota"), about=of_project)
def defaults(call: Call, id: str) -> dict[str, Any]:
    return {"quota": call.quotas.defaults(call.db)}


@resource.operation("GET", "/{id}/details", policy=rule("get_quota"), about=of_project)
def details(call: Call, id: str) -> dict[str, Any]:
    found = _limits(call, id)
    used = {name: q.used(call.db, id) for name, q in QUOTAS.items()}
    return {"quota": {name: {"limit": found[name], "used": used[name], "reserved": 0} for name in QUOTAS}}


@resource.operation("PUT", "/{id}", policy=rule("update_quota"), about=of_project, body=QuotaIn, event="update")
def update(call: Call, id: str, body: Schema) -> dict[str, Any]:
    wanted = msgspec.to_builtins(body)
    if wanted.pop("check_limit"):
        _check_used(call, id, wanted)
    for name, limit in {} if call.quotas.unified else wanted.items():  # those are set in the identity service only
        row = call.db.get(QuotaLimit, (id, "network", name))
        if row is None:
            call.db.add(QuotaLimit(project_id=id, service="network", resource=name, hard_limit=limit))
        else:
            row.hard_limit = limit
    call.db.flush()
    return {"quota": _limits(call, id)}


def _check_used(call: Call, id: str, wanted: dict[str, int]) -> None:
    """Raises `BadRequest` for a limit that is used up already, and more."""
    for name, limit in wanted.items():
        used = QUOTAS[name].used(call.db, id)
        if 0 <= limit < used:
            raise bad_request("quotas", f"Quota limit {limit} of {name} is below the {used} that are in use")


@resource.operation("DELETE", "/{id}", policy=rule("delete_quota"), about=of_project, event="delete")
def reset(call: Call, id: str) -> None:
    call.db.execute(delete(QuotaLimit).where(MINE, QuotaLimit.project_id == id))
