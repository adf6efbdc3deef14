"""Limits: what a project may have and has, in one answer."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.resource import Resource
from tiffin.services.compute.resources.flavors import ADMIN
from tiffin.services.compute.resources.quotas import QUOTAS

OTHER = "os_compute_api:limits:other_project"
limits = Resource("limits", "limits", "/v2.1/limits", rules=[(OTHER, ADMIN)])

_MAX = {
    "maxTotalInstances": "instances",
    "maxTotalCores": "cores",
    "maxTotalRAMSize": "ram",
    "maxTotalKeypairs": "key_pairs",
    "maxServerMeta": "metadata_items",
    "maxServerGroups": "server_groups",
    "maxServerGroupMembers": "server_group_members",
}
_FILES = {"maxPersonality": "injected_files", "maxPersonalitySize": "injected_file_content_bytes"}
_NETWORK = {
    "maxTotalFloatingIps": "floating_ips",
    "maxSecurityGroups": "security_groups",
    "maxSecurityGroupRules": "security_group_rules",
}
_USED = {
    "totalInstancesUsed": "instances",
    "totalCoresUsed": "cores",
    "totalRAMUsed": "ram",
    "totalServerGroupsUsed": "server_groups",
}


@limits.operation("GET", policy=("os_compute_api:limits", "@"))
def show(call: Call) -> dict[str, Any]:
    asked = call.param("tenant_id")
    if asked and asked != call.actor.project_id:
        call.enforce(OTHER)
    project = asked or call.actor.project_id or ""
    most = call.quotas.limits(call.db, project)
    found = {name: most[resource] for name, resource in _MAX.items()}
    if call.version < (2, 57):
        found |= {name: most[resource] for name, resource in _FILES.items()}
    if call.version < (2, 39):
        found["maxImageMeta"] = most["metadata_items"]
    found |= {name: QUOTAS[resource].used(call.db, project) for name, resource in _USED.items()}
    if call.version < (2, 36):
        found |= {name: most[resource] for name, resource in _NETWORK.items()}
        found |= {"totalFloatingIpsUsed": 0, "totalSecurityGroupsUsed": 0}
    return {"limits": {"rate": [], "absolute": found}}
