"""Agents: the chassis of OVN, under the names that ML2/OVN gives them."""

from __future__ import annotations

import uuid
from typing import Any

from tiffin.core.call import Call
from tiffin.core.driver import Refused
from tiffin.core.errors import Unavailable
from tiffin.core.resource import Resource
from tiffin.core.world import iso
from tiffin.services.network.drivers.base import Chassis, NetworkBackend
from tiffin.services.network.faults import missing
from tiffin.services.network.policies import rule
from tiffin.services.network.settings import SETTINGS, ZONE

_NAMES = uuid.UUID("5f1c7a54-3a0f-4b61-9a83-0d1f5a6b7c20")
"""Where ids of agents come from: a chassis has a name, an agent an id."""

resource = Resource("agent", "agents", "/v2.0/agents")
zones = Resource("availability_zone", "availability_zones", "/v2.0/availability_zones")


def _view(call: Call, chassis: Chassis) -> dict[str, Any]:
    mappings = {name: f"br-{name}" for name in SETTINGS.physical_networks}
    return {
        "id": str(uuid.uuid5(_NAMES, chassis.name)),
        "agent_type": "OVN Controller agent",
        "binary": "ovn-controller",
        "host": chassis.hostname,
        "topic": "n/a",
        "alive": chassis.alive,
        "admin_state_up": True,
        "availability_zone": ZONE,
        "description": "",
        "configurations": {"chassis_name": chassis.name, "bridge-mappings": mappings},
        "created_at": None,
        "started_at": None,
        "heartbeat_timestamp": iso(call.now, zulu=False) if chassis.alive else None,
        "resources_synced": None,
    }


def _agents(call: Call) -> list[dict[str, Any]]:
    try:
        return [_view(call, chassis) for chassis in call.part(NetworkBackend).chassis()]
    except Refused as no:
        raise Unavailable(f"The cloud's network does not answer: {no}") from no


@resource.operation("GET", policy=None, transaction="none")
def listed(call: Call) -> dict[str, Any]:
    """Those who may not see agents see none."""
    found = _agents(call) if call.allows("get_agent") else []
    for name in ("id", "host", "binary", "agent_type"):
        wanted = call.query.get(name)
        found = [a for a in found if not wanted or a[name] in wanted]
    alive = call.param("alive")
    if alive is not None:
        found = [a for a in found if a["alive"] == (alive.lower() in ("true", "1"))]
    return {"agents": found}


@resource.operation("GET", "/{id}", policy=rule("get_agent"), transaction="none")
def show(call: Call, id: str) -> dict[str, Any]:
    for agent in _agents(call):
        if agent["id"] == id:
            return {"agent": agent}
    raise missing("agent", id)


@zones.operation("GET", policy=rule("get_availability_zone"))
def all_zones(call: Call) -> dict[str, Any]:
    kinds = ("network", "router")
    return {"availability_zones": [{"name": ZONE, "resource": kind, "state": "available"} for kind in kinds]}
