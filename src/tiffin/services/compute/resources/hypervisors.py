"""Hypervisors: the hosts as machines."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Select, func, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.listing import limit_of
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema, since, until
from tiffin.core.sql import children, total
from tiffin.services.compute import rules
from tiffin.services.compute.resources.availability_zones import is_up
from tiffin.services.compute.resources.flavors import ADMIN
from tiffin.services.compute.tables import ComputeHost, Server

hypervisors = Resource("hypervisor", "hypervisors", "/v2.1/os-hypervisors")
MAX_PAGE = 1000


class ServerRef(Schema):
    name: str
    uuid: str


class ServiceRef(Schema):
    id: int | str
    host: str
    disabled_reason: str | None


class Brief(Schema, kw_only=True):
    id: int | str
    hypervisor_hostname: str
    state: str
    status: str
    servers: list[ServerRef] | UnsetType = UNSET


_Counted = Annotated[int | UnsetType | None, until(2, 88)]


class Detail(Brief, kw_only=True):
    """What is counted here is gone from 2.88 on: placement tells it better."""

    host_ip: str
    hypervisor_type: str
    hypervisor_version: int
    service: ServiceRef
    cpu_info: Annotated[str | dict[str, Any] | UnsetType, until(2, 88)] = UNSET
    vcpus: _Counted = UNSET
    vcpus_used: _Counted = UNSET
    memory_mb: _Counted = UNSET
    memory_mb_used: _Counted = UNSET
    free_ram_mb: _Counted = UNSET
    local_gb: _Counted = UNSET
    local_gb_used: _Counted = UNSET
    free_disk_gb: _Counted = UNSET
    disk_available_least: _Counted = UNSET
    current_workload: _Counted = UNSET
    running_vms: _Counted = UNSET
    uptime: Annotated[str | UnsetType | None, since(2, 88)] = UNSET


def _here() -> Any:
    return (Server.host == ComputeHost.name, Server.deleted_at.is_(None))


def _looking(*, servers: bool = False, used: bool = False) -> Select[Any]:
    """Hypervisors with what is asked for of them, by one statement: the `servers` there, how much of them is `used`."""
    columns: list[Any] = [*ComputeHost.__table__.columns]
    if servers:
        there = select(Server.id).where(*_here()).correlate(ComputeHost)
        columns.append(children(there, name=Server.number, uuid=Server.id).label("servers"))
    if used:
        amounts = {
            "vcpus_used": total(Server.vcpus),
            "memory_used": total(Server.memory_mb),
            "disk_used": total(Server.root_gb + Server.ephemeral_gb),
            "guests": func.count(),
            "busy": func.count(Server.task_state),
        }
        columns += [select(amount).where(*_here()).scalar_subquery().label(name) for name, amount in amounts.items()]
    return select(*columns).order_by(ComputeHost.number)


def _brief(call: Call, row: Any, *, servers: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": row.id if call.version >= (2, 53) else row.number,
        "hypervisor_hostname": row.hostname,
        "state": "up" if is_up(row, call.cloud.looked_at(), call.service.settings) else "down",
        "status": "disabled" if row.disabled else "enabled",
    }
    refs = [ServerRef(name=rules.instance_name(one["name"]), uuid=one["uuid"]) for one in row.servers] if servers else []
    if servers and (refs or call.version >= (2, 75)):
        found["servers"] = refs
    return found


def _detail(call: Call, row: Any, *, servers: bool, uptime: bool = True) -> Detail:
    facts = row.facts
    cpu = {"arch": facts["architecture"], "model": facts["cpu_model"], "vendor": "", "features": [],
           "topology": {"sockets": 1, "cores": facts["vcpus"], "threads": 1}}  # fmt: skip
    free_disk = facts["disk_gb"] - row.disk_used
    return Detail(
        **_brief(call, row, servers=servers),
        host_ip=call.service.settings.shown_ip,
        hypervisor_type=facts["hypervisor_type"],
        hypervisor_version=facts["hypervisor_version"],
        service=ServiceRef(
            id=row.service_id if call.version >= (2, 53) else row.number,
            host=row.name,
            disabled_reason=row.disabled_reason,
        ),
        cpu_info=cpu if call.version >= (2, 28) else msgspec.json.encode(cpu).decode(),
        vcpus=facts["vcpus"],
        vcpus_used=row.vcpus_used,
        memory_mb=facts["memory_mb"],
        memory_mb_used=row.memory_used,
        free_ram_mb=facts["memory_mb"] - row.memory_used,
        local_gb=facts["disk_gb"],
        local_gb_used=row.disk_used,
        free_disk_gb=free_disk,
        disk_available_least=free_disk,
        current_workload=row.busy,
        running_vms=row.guests,
        uptime=None if uptime else UNSET,
    )


def _list(call: Call, query: Select[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The rows of `_looking`, and the link to the next ones."""
    pattern = call.param("hypervisor_hostname_pattern") if call.version >= (2, 53) else None
    if pattern:
        if call.param("limit") or call.param("marker"):
            raise BadRequest(
                "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported."
            )
        return _named_like(call, pattern, query), {}
    limit = limit_of(call.param("limit"), MAX_PAGE) if call.version >= (2, 33) else None
    marker = call.param("marker") if call.version >= (2, 33) else None
    if marker:
        column = ComputeHost.id if call.version >= (2, 53) else ComputeHost.number
        number = call.db.scalar(select(ComputeHost.number).where(column == marker))
        if number is None:
            raise BadRequest(f"marker [{marker[:64]}] not found")
        query = query.where(ComputeHost.number > number)
    rows = list(call.db.execute(query.limit(limit + 1) if limit is not None else query))
    if limit is None or len(rows) <= limit or not limit:
        return rows, {}
    from tiffin.core.http.dialect import next_href

    last = rows[limit - 1]
    href = next_href(call, str(last.id if call.version >= (2, 53) else last.number))
    return rows[:limit], {"hypervisors_links": [{"rel": "next", "href": href}]}


def _named_like(call: Call, pattern: str, query: Select[Any]) -> list[Any]:
    """The rows of hypervisors with this in their name. Raises `NotFound`."""
    rows = list(call.db.execute(query.where(ComputeHost.hostname.contains(pattern, autoescape=True))))
    if not rows:
        raise NotFound(f"No hypervisor matching '{pattern[:64]}' could be found.")
    return rows


def _wants_servers(call: Call) -> bool:
    return call.version >= (2, 53) and (call.param("with_servers") or "").lower() in ("true", "1", "yes", "on")


@hypervisors.operation("GET", policy=("os_compute_api:os-hypervisors:list", ADMIN))
def index(call: Call) -> dict[str, Any]:
    wanted = _wants_servers(call)
    rows, more = _list(call, _looking(servers=wanted))
    return {"hypervisors": [_brief(call, row, servers=wanted) for row in rows], **more}


@hypervisors.operation("GET", "/detail", policy=("os_compute_api:os-hypervisors:list-detail", ADMIN))
def detail(call: Call) -> dict[str, Any]:
    wanted = _wants_servers(call)
    rows, more = _list(call, _looking(servers=wanted, used=True))
    return {"hypervisors": [_detail(call, row, servers=wanted) for row in rows], **more}


@hypervisors.operation("GET", "/statistics", policy=("os_compute_api:os-hypervisors:statistics", ADMIN), until=(2, 88))
def statistics(call: Call) -> dict[str, Any]:
    rows = [_detail(call, row, servers=False) for row in call.db.execute(_looking(used=True)) if not row.disabled]
    names = ("vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb", "local_gb_used",
             "free_disk_gb", "disk_available_least", "current_workload", "running_vms")  # fmt: skip
    totals = {name: sum(getattr(row, name) for row in rows) for name in names}
    return {"hypervisor_statistics": {"count": len(rows), **totals}}


def _one(call: Call, id: str, query: Select[Any]) -> Any:
    column: Any = ComputeHost.id if call.version >= (2, 53) else ComputeHost.number
    known = call.version >= (2, 53) or (id.isdecimal() and len(id) < 19)
    key = id if call.version >= (2, 53) else int(id) if known else 0
    row = call.db.execute(query.where(column == key)).first() if known else None
    if row is None:
        raise NotFound(f"Compute host {id[:64]} could not be found.")
    return row


@hypervisors.operation("GET", "/{id}", policy=("os_compute_api:os-hypervisors:show", ADMIN))
def show(call: Call, id: str) -> dict[str, Any]:
    wanted = _wants_servers(call)
    return {"hypervisor": _detail(call, _one(call, id, _looking(servers=wanted, used=True)), servers=wanted)}


@hypervisors.operation("GET", "/{id}/uptime", policy=("os_compute_api:os-hypervisors:uptime", ADMIN), until=(2, 88))
def uptime(call: Call, id: str) -> dict[str, Any]:
    row = _one(call, id, _looking())
    days = max(0, int(call.now - row.created_at)) // 86400
    return {"hypervisor": {**_brief(call, row, servers=False), "uptime": f"up {days} days"}}


@hypervisors.operation(
    "GET", "/{pattern}/search", policy=("os_compute_api:os-hypervisors:search", ADMIN), until=(2, 53)
)
def search(call: Call, pattern: str) -> dict[str, Any]:
    return {"hypervisors": [_brief(call, row, servers=False) for row in _named_like(call, pattern, _looking())]}


@hypervisors.operation(
    "GET", "/{pattern}/servers", policy=("os_compute_api:os-hypervisors:servers", ADMIN), until=(2, 53)
)
def servers(call: Call, pattern: str) -> dict[str, Any]:
    return {"hypervisors": [_brief(call, row, servers=True) for row in _named_like(call, pattern, _looking(servers=True))]}
