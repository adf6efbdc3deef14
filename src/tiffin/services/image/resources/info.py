"""What the service can do: versions, import methods, stores, usage."""

from __future__ import annotations

import re
from typing import Any

from tiffin.core.call import Call
from tiffin.core.driver import Refused
from tiffin.core.resource import Answer, Resource
from tiffin.services.image.drivers.base import ImageStore, ImageStores

MINOR = tuple(range(18, -1, -1))
BROUGHT = {
    18: "POST /v2/cache/prune",
    17: "POST /v2/images/{}/locations",
    16: "GET /v2/cache",
    14: "GET /v2/cache",
    12: "GET /v2/images/{}/tasks",
    10: "DELETE /v2/stores/{}/{}",
}
"""By which operation a minor version of upstream's is known: one that lacks it is not told. The others are in the rest."""

versions = Resource("version", "versions", "")
info = Resource("info", "info", "/v2/info")


def _versions(call: Call) -> dict[str, Any]:
    there = {f"{o.method} {re.sub('{[^}]*}', '{}', o.path)}" for o in call.service.operations()}
    minor = [n for n in MINOR if BROUGHT.get(n) in (None, *there)]
    links = [{"rel": "self", "href": f"{call.base_url}/v2/"}]
    return {
        "versions": [
            {"id": f"v2.{n}", "status": "CURRENT" if n == minor[0] else "SUPPORTED", "links": links} for n in minor
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
    found: dict[str, Any] = {"id": store.name}
    if store.description:
        found["description"] = store.description
    if store.name == call.part(ImageStores).default:
        found["default"] = "true"
    if not store.writable:
        found["read-only"] = "true"
    return found


@info.operation("GET", "/stores", policy=None)
def stores(call: Call) -> dict[str, Any]:
    return {"stores": [_store(call, store) for store in call.part(ImageStores)]}


@info.operation(
    "GET",
    "/stores/detail",
    policy=("stores_info_detail", "rule:context_is_admin or rule:service_api"),
    transaction="none",  # a store may be far away
)
def stores_detail(call: Call) -> dict[str, Any]:
    stores = call.part(ImageStores)
    return {
        "stores": [
            {**_store(call, s), "type": s.kind, "weight": stores.weight(s.name), "properties": _facts(s)} for s in stores
        ]
    }


def _facts(store: ImageStore) -> dict[str, Any]:
    """What the store tells of itself; that it does not answer, when it does not: the others are shown all the same."""
    try:
        return store.facts()
    except Refused as no:
        return {"problem": f"{no}"}


@info.operation("GET", "/usage", policy=None)
def usage(call: Call) -> dict[str, Any]:
    project, known = call.actor.project_id or "", call.service.quotas
    limits = call.quotas.limits(call.db, project)
    return {"usage": {name: {"limit": limits[name], "usage": known[name].used(call.db, project)} for name in known}}
