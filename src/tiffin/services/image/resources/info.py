"""What the service can do: versions, import methods, stores, usage."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.resource import Answer, Resource
from tiffin.services.image.drivers.base import ImageStore, ImageStores

CURRENT = "v2.16"
SUPPORTED = ("v2.15", "v2.9", "v2.8", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")
"""Upstream's minor versions whose additions are here: 2.10-2.13 belong to several stores and tasks, 2.14 to the cache."""

versions = Resource("version", "versions", "")
info = Resource("info", "info", "/v2/info")


def _versions(call: Call) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{call.base_url}/v2/"}]
    return {
        "versions": [
            {"id": id, "status": "CURRENT" if id == CURRENT else "SUPPORTED", "links": links}
            for id in (CURRENT, *SUPPORTED)
        ]
    }


@versions.operation("GET", "/", policy=None, auth=False)
def choices(call: Call) -> Answer:
    return Answer(_versions(call), 300)


@versions.operation("GET", "/versions", policy=None, auth=False)
def index(call: Call) -> dict[str, Any]:
    return _versions(call)


@versions.operation("GET", "/v2", policy=None, auth=False)
def version(call: Call) -> Answer:
    """Upstream has no document here; clients that look for one take the list."""
    return Answer(_versions(call), 300)


@info.operation("GET", "/import", policy=None)
def import_methods(call: Call) -> dict[str, Any]:
    methods = list(call.service.settings.imports.enabled_import_methods)
    return {"import-methods": {"description": "Import methods available.", "type": "array", "value": methods}}


def _store(call: Call, store: ImageStore) -> dict[str, Any]:
    found: dict[str, Any] = {"id": store.name, "description": store.description}
    if store.name == call.part(ImageStores).default:
        found["default"] = "true"
    if not store.writable:
        found["read-only"] = "true"
    return found


@info.operation("GET", "/stores", policy=None)
def stores(call: Call) -> dict[str, Any]:
    return {"stores": [_store(call, store) for store in call.part(ImageStores)]}


@info.operation("GET", "/stores/detail", policy=("stores_info_detail", "rule:context_is_admin or rule:service_api"))
def stores_detail(call: Call) -> dict[str, Any]:
    more = [{**_store(call, s), "type": s.kind, "weight": 0, "properties": {}} for s in call.part(ImageStores)]
    return {"stores": more}


@info.operation("GET", "/usage", policy=None)
def usage(call: Call) -> dict[str, Any]:
    project, known = call.actor.project_id or "", call.service.quotas
    limits = call.quotas.limits(call.db, project)
    return {"usage": {name: {"limit": limits[name], "usage": known[name].used(call.db, project)} for name in known}}
