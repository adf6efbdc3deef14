"""Who may ask what of metadata definitions: of `Open`, which is public, and of `Closed`, which is p1's own."""

from __future__ import annotations

from typing import Any

from api.identity.personas import Row
from api.image.conftest import ImageCloud
from api.image.metadefs import SIZE, make

ADMIN = "admin"
OURS = "admin manager member member2 reader"
SEERS = f"{OURS} other"
ANYBODY = f"{SEERS} service nobody"
"""Whoever has a token."""
FULL: dict[str, Any] = {
    "objects": [{"name": "o"}],
    "properties": {"p": SIZE},
    "tags": [{"name": "t"}],
    "resource_type_associations": [{"name": "r"}],
}
LIST = "/v2/metadefs/namespaces"
SCHEMAS = ("namespace", "object", "tag", "resource_type", "namespaces", "objects", "tags", "resource_types")
PROPERTY_SCHEMAS = ("property", "properties")


def prepare(cloud: ImageCloud) -> None:
    """Make both namespaces, with one part of each kind."""
    make(cloud, "Open", visibility="public", **FULL)
    make(cloud, "Closed", visibility="private", owner="p1", **FULL)


def row(method: str, path: str, may: str, body: Any = None, route: str = "") -> Row:
    """Whoever does not see a namespace is told that there is none."""
    return Row(method, path, may, body, refused=(403, 404), route=route)


def _of(namespace: str, see: str) -> list[Row]:
    here, route = f"{LIST}/{namespace}", f"{LIST}/{{}}"
    part = {"name": "n"}
    reads = ("", "/objects", "/properties", "/tags", "/resource_types", "/objects/o", "/properties/p", "/tags/t")
    found = [row("GET", here + path, see, route=_route(route, path)) for path in reads]
    writes = (
        ("PUT", "", {"namespace": namespace}),
        ("DELETE", "", None),
        ("POST", "/objects", part),
        ("DELETE", "/objects", None),
        ("PUT", "/objects/o", part),
        ("DELETE", "/objects/o", None),
        ("POST", "/properties", {**part, **SIZE}),
        ("DELETE", "/properties", None),
        ("PUT", "/properties/p", {**part, **SIZE}),
        ("DELETE", "/properties/p", None),
        ("POST", "/tags", {"tags": [part]}),
        ("DELETE", "/tags", None),
        ("POST", "/tags/n", None),
        ("PUT", "/tags/t", part),
        ("DELETE", "/tags/t", None),
        ("POST", "/resource_types", part),
        ("DELETE", "/resource_types/r", None),
    )
    return found + [row(method, here + path, ADMIN, body, _route(route, path)) for method, path, body in writes]


def _route(namespace: str, path: str) -> str:
    """The path as the service declares it: a part of a namespace has a field for its name."""
    return namespace + ("/" + path.split("/")[1] if path else "") + ("/{}" if path.count("/") > 1 else "")


ROWS = [
    row("GET", LIST, SEERS),
    row("POST", LIST, ADMIN, {"namespace": "New", **FULL}),
    row("GET", "/v2/metadefs/resource_types", SEERS),
    *_of("Open", SEERS),
    *_of("Closed", OURS),
    *(row("GET", f"/v2/schemas/metadefs/{name}", ANYBODY) for name in (*SCHEMAS, *PROPERTY_SCHEMAS)),
]
