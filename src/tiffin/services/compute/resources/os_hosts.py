"""Hosts in the words before 2.43: where they are, what they have, and whether they take servers."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound, NotImplementedHere
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.core.sql import total
from tiffin.services.compute import host_rows
from tiffin.services.compute.resources.availability_zones import zone_of_hosts
from tiffin.services.compute.resources.flavors import ADMIN
from tiffin.services.compute.tables import ComputeHost, Server

hosts = Resource("host", "hosts", "/v2.1/os-hosts")
UNTIL = (2, 43)
_RULE = "os_compute_api:os-hosts:"


@hosts.operation("GET", policy=(f"{_RULE}list", ADMIN), until=UNTIL)
def index(call: Call) -> dict[str, Any]:
    zones, zone = zone_of_hosts(call.db, call.service.settings.default_zone), call.param("zone")
    names = call.db.scalars(select(ComputeHost.name).order_by(ComputeHost.number))
    shown = [{"host_name": name, "service": "compute", "zone": zones[name]} for name in names]
    return {"hosts": [one for one in shown if not zone or one["zone"] == zone]}


def _find(call: Call, id: str) -> ComputeHost:
    row = call.db.scalar(select(ComputeHost).where(ComputeHost.name == id))
    if row is None:
        raise NotFound(f"Compute host {id[:64]} could not be found.")
    return row


@hosts.operation("GET", "/{id}", policy=(f"{_RULE}show", ADMIN), until=UNTIL)
def show(call: Call, id: str) -> dict[str, Any]:
    """What it has, and what servers use there, all together and by project."""
    row = _find(call, id)
    amounts = (total(Server.vcpus), total(Server.memory_mb), total(Server.root_gb + Server.ephemeral_gb))
    here = (Server.host == row.name, Server.deleted_at.is_(None))
    by_project = call.db.execute(
        select(Server.project_id, *amounts).where(*here).group_by(Server.project_id).order_by(Server.project_id)
    ).all()
    used = [sum(int(one[n]) for one in by_project) for n in (1, 2, 3)]
    facts = row.facts
    lines = [("(total)", facts["vcpus"], facts["memory_mb"], facts["disk_gb"]), ("(used_now)", *used), ("(used_max)", *used)]
    words = ("project", "cpu", "memory_mb", "disk_gb")
    return {
        "host": [{"resource": {"host": row.name, **dict(zip(words, line, strict=True))}} for line in [*lines, *by_project]]
    }


Switch = Literal["enable", "Enable", "ENABLE", "disable", "Disable", "DISABLE"]


class HostUpdate(Schema):
    status: Switch | UnsetType = UNSET
    maintenance_mode: Switch | UnsetType = UNSET


@hosts.operation("PUT", "/{id}", policy=(f"{_RULE}update", ADMIN), body=HostUpdate, root="", until=UNTIL)
def update(call: Call, id: str, body: HostUpdate) -> dict[str, Any]:
    if body.status is UNSET and body.maintenance_mode is UNSET:
        raise BadRequest("Invalid input for a host: 'status' or 'maintenance_mode' is a required property.")
    row = _find(call, id)
    if body.maintenance_mode is not UNSET:
        raise NotImplementedHere(f"A host is emptied from its controller: `tiffin host maintenance {row.name}`.")
    if str(body.status).lower() == "enable":
        host_rows.enable(row)
    else:
        row.disabled, row.disabled_reason = True, None
    host_rows.status_changed(call, row)
    return {"host": row.name, "status": "disabled" if row.disabled else "enabled"}


def _power(call: Call, id: str) -> None:
    """Raises `NotFound`, or else says that machines are not switched from here."""
    _find(call, id)
    raise NotImplementedHere("Hosts are not switched on and off from here.")


@hosts.operation("GET", "/{id}/startup", policy=(f"{_RULE}start", ADMIN), until=UNTIL)
def startup(call: Call, id: str) -> None:
    _power(call, id)


@hosts.operation("GET", "/{id}/shutdown", policy=(f"{_RULE}shutdown", ADMIN), until=UNTIL)
def shutdown(call: Call, id: str) -> None:
    _power(call, id)


@hosts.operation("GET", "/{id}/reboot", policy=(f"{_RULE}reboot", ADMIN), until=UNTIL)
def reboot(call: Call, id: str) -> None:
    _power(call, id)
