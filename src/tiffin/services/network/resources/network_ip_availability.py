"""How many addresses networks have, and how many of them are in use."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from tiffin.core.call import Call
from tiffin.core.resource import Resource
from tiffin.services.network import tables as t
from tiffin.services.network.faults import missing
from tiffin.services.network.policies import rule

RULE = rule("get_network_ip_availability")
resource = Resource("network_ip_availability", "network_ip_availabilities", "/v2.0/network-ip-availabilities")


def _total(pools: Sequence[Any]) -> int:
    return sum(int(ipaddress.ip_address(p["end"])) - int(ipaddress.ip_address(p["start"])) + 1 for p in pools)


def _views(call: Call, *conditions: Any) -> list[dict[str, Any]]:
    counted = select(t.FixedIPRow.subnet_id, func.count().label("used")).group_by(t.FixedIPRow.subnet_id)
    used: dict[str, int] = {row.subnet_id: row.used for row in call.db.execute(counted)}
    by_network: dict[str, list[dict[str, Any]]] = {}
    for subnet in call.db.scalars(select(t.SubnetRow).order_by(t.SubnetRow.id)):
        one = {
            "subnet_id": subnet.id,
            "subnet_name": subnet.name,
            "ip_version": subnet.ip_version,
            "cidr": subnet.cidr,
            "total_ips": _total(subnet.allocation_pools),
            "used_ips": used.get(subnet.id, 0),
        }
        by_network.setdefault(subnet.network_id, []).append(one)
    networks = call.db.scalars(select(t.NetworkRow).where(*conditions).order_by(t.NetworkRow.id))
    return [_view(n, by_network.get(n.id, [])) for n in networks]


def _view(row: t.NetworkRow, subnets: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "network_id": row.id,
        "network_name": row.name,
        "tenant_id": row.project_id,
        "project_id": row.project_id,
        "total_ips": sum(s["total_ips"] for s in subnets),
        "used_ips": sum(s["used_ips"] for s in subnets),
        "subnet_ip_availability": subnets,
    }


@resource.operation("GET", policy=RULE)
def listed(call: Call) -> dict[str, Any]:
    columns = {
        "network_id": t.NetworkRow.id,
        "network_name": t.NetworkRow.name,
        "tenant_id": t.NetworkRow.project_id,
        "project_id": t.NetworkRow.project_id,
    }
    wanted = [column.in_(call.query[name]) for name, column in columns.items() if name in call.query]
    version = call.param("ip_version")
    found = _views(call, *wanted)
    if version is not None:
        found = [n for n in found if any(str(s["ip_version"]) == version for s in n["subnet_ip_availability"])]
    return {"network_ip_availabilities": found}


@resource.operation("GET", "/{id}", policy=RULE)
def show(call: Call, id: str) -> dict[str, Any]:
    for found in _views(call, t.NetworkRow.id == id):
        return {"network_ip_availability": found}
    raise missing("network", id)
