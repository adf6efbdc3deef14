"""How much a project's servers used over a period."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import or_, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.listing import limit_of
from tiffin.core.resource import Resource
from tiffin.core.world import iso
from tiffin.services.compute.resources.flavors import ADMIN, READER
from tiffin.services.compute.tables import Server

usages = Resource("tenant_usage", "tenant_usages", "/v2.1/os-simple-tenant-usage")
MONTH = 28 * 24 * 3600.0


def _time(call: Call, name: str, default: float) -> float:
    text = call.param(name)
    if not text:
        return default
    try:
        when = datetime.datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(f"Invalid input for query parameters {name}: {text[:60]!r} is not a date-time.") from None


def _period(call: Call) -> tuple[float, float]:
    end = _time(call, "end", call.now)
    start = _time(call, "start", end - MONTH)
    if start > end:
        raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
    return start, end


def _rows(call: Call, period: tuple[float, float], project_id: str | None) -> list[Any]:
    start, end = period
    columns = (Server.id, Server.name, Server.project_id, Server.flavor, Server.vcpus, Server.memory_mb, Server.root_gb,
               Server.ephemeral_gb, Server.vm_state, Server.launched_at, Server.terminated_at)  # fmt: skip
    query = select(*columns).where(
        Server.launched_at.is_not(None),
        Server.launched_at < end,
        or_(Server.terminated_at.is_(None), Server.terminated_at > start),
    )
    if project_id is not None:
        query = query.where(Server.project_id == project_id)
    query = query.order_by(Server.project_id, Server.id)
    if call.version >= (2, 40):
        if call.param("marker"):
            query = query.where(Server.id > call.param("marker"))
        query = query.limit(limit_of(call.param("limit"), 1000))
    return list(call.db.execute(query))


def _server(call: Call, row: Any, period: tuple[float, float]) -> dict[str, Any]:
    start, end = period
    ended = row.terminated_at if row.terminated_at and row.terminated_at < end else None
    seconds = max((ended or end) - max(row.launched_at, start), 0.0)
    return {
        "instance_id": row.id,
        "name": row.name,
        "hours": seconds / 3600,
        "flavor": row.flavor["name"],
        "tenant_id": row.project_id,
        "started_at": iso(row.launched_at, micro=True, zulu=False),
        "ended_at": iso(row.terminated_at, micro=True, zulu=False),
        "memory_mb": row.memory_mb,
        "vcpus": row.vcpus,
        "local_gb": row.root_gb + row.ephemeral_gb,
        "state": "terminated" if row.terminated_at else row.vm_state,
        "uptime": int((row.terminated_at or call.now) - row.launched_at),
    }


def _sum(rows: list[dict[str, Any]], period: tuple[float, float], project_id: str, *, detailed: bool) -> dict[str, Any]:
    def total(name: str) -> float:
        return float(sum(row["hours"] * row[name] for row in rows))

    found: dict[str, Any] = {
        "tenant_id": project_id,
        "start": iso(period[0], micro=True, zulu=False),
        "stop": iso(period[1], micro=True, zulu=False),
        "total_hours": sum(row["hours"] for row in rows),
        "total_vcpus_usage": total("vcpus"),
        "total_memory_mb_usage": total("memory_mb"),
        "total_local_gb_usage": total("local_gb"),
    }
    if detailed:
        found["server_usages"] = rows
    return found


@usages.operation("GET", policy=("os_compute_api:os-simple-tenant-usage:list", ADMIN))
def index(call: Call) -> dict[str, Any]:
    period = _period(call)
    by_project: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(call, period, None):
        by_project.setdefault(row.project_id, []).append(_server(call, row, period))
    detailed = call.param("detailed") == "1"
    return {"tenant_usages": [_sum(rows, period, id, detailed=detailed) for id, rows in by_project.items()]}


def whose(call: Call, id: str, **_: Any) -> dict[str, Any]:
    return {"project_id": id}


@usages.operation("GET", "/{id}", policy=("os_compute_api:os-simple-tenant-usage:show", READER), about=whose)
def show(call: Call, id: str) -> dict[str, Any]:
    period = _period(call)
    rows = [_server(call, row, period) for row in _rows(call, period, id)]
    return {"tenant_usage": _sum(rows, period, id, detailed=True) if rows else {}}
