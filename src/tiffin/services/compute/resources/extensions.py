"""The list of extensions that clients of 2.1 look for. What they once added is part of the API now."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.errors import NotFound
from tiffin.core.resource import Resource

RULE = ("os_compute_api:extensions", "@")
extensions = Resource("extension", "extensions", "/v2.1/extensions")

_ALIASES = {
    "os-admin-actions": "AdminActions", "os-aggregates": "Aggregates", "os-attach-interfaces": "AttachInterfaces",
    "os-availability-zone": "AvailabilityZone", "os-config-drive": "ConfigDrive", "os-console-output": "ConsoleOutput",
    "os-extended-availability-zone": "ExtendedAvailabilityZone", "os-extended-server-attributes": "ExtendedServerAttributes",
    "os-extended-status": "ExtendedStatus", "os-extended-volumes": "ExtendedVolumes", "os-flavor-access": "FlavorAccess",
    "os-flavor-extra-specs": "FlavorExtraSpecs", "os-flavor-manage": "FlavorManage", "os-hypervisors": "Hypervisors",
    "os-instance-actions": "InstanceActions", "os-keypairs": "Keypairs", "os-lock-server": "LockServer",
    "os-multiple-create": "MultipleCreate", "os-pause-server": "PauseServer", "os-quota-sets": "Quotas",
    "os-quota-class-sets": "QuotaClasses", "os-scheduler-hints": "SchedulerHints", "os-security-groups": "SecurityGroups",
    "os-server-groups": "ServerGroups", "os-server-password": "ServerPassword", "os-server-usage": "ServerUsage",
    "os-services": "Services", "os-simple-tenant-usage": "SimpleTenantUsage", "os-user-data": "UserData",
    "OS-DCF": "DiskConfig", "OS-EXT-IPS": "ExtendedIps", "OS-EXT-IPS-MAC": "ExtendedIpsMac", "OS-SRV-USG": "ServerUsage",
}  # fmt: skip


def _view(alias: str) -> dict[str, Any]:
    return {
        "alias": alias,
        "name": _ALIASES[alias],
        "description": f"{_ALIASES[alias]} is part of the API.",
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
        "links": [],
    }


@extensions.operation("GET", policy=RULE)
def index(call: Call) -> dict[str, Any]:
    return {"extensions": [_view(alias) for alias in sorted(_ALIASES)]}


@extensions.operation("GET", "/{alias}", policy=RULE)
def show(call: Call, alias: str) -> dict[str, Any]:
    if alias not in _ALIASES:
        raise NotFound(f"The extension {alias[:80]} could not be found.")
    return {"extension": _view(alias)}
