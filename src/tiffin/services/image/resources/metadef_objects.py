"""Objects of metadata definitions: properties that belong together."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.resource import Resource
from tiffin.core.world import iso
from tiffin.services.image import metadef_filling as filling
from tiffin.services.image import metadefs
from tiffin.services.image.metadef_bodies import ObjectIn, check_settable, definitions
from tiffin.services.image.metadef_filling import given
from tiffin.services.image.metadef_tables import NamespaceRow, ObjectRow
from tiffin.services.image.metadefs import ADMIN, SEEN


def shown(namespace: str, row: Any, prefix: str = "") -> dict[str, Any]:
    """An object as clients see it; `prefix` stands before the names of its properties."""
    found = {
        "name": row.name,
        "required": [prefix + name for name in row.required],
        "properties": {prefix + name: definition for name, definition in row.properties.items()},
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "self": f"/v2/metadefs/namespaces/{namespace}/objects/{row.name}",
        "schema": "/v2/schemas/metadefs/object",
    }
    return found if row.description is None else {**found, "description": row.description}


def view(call: Call, row: Any) -> dict[str, Any]:
    within: NamespaceRow = call.subject["within"]
    return shown(within.namespace, row)


objects = Resource("metadef_object", "objects", "/v2/metadefs/namespaces/{namespace}/objects", view)


@objects.operation("GET", policy=("get_metadef_objects", SEEN), about=metadefs.within)
def index(call: Call, namespace: str) -> dict[str, Any]:
    found = metadefs.listing(call, ObjectRow, call.subject["within"])
    return {"objects": [view(call, row) for row in found.rows], "schema": "v2/schemas/metadefs/objects"}


@objects.operation(
    "POST",
    policy=("add_metadef_object", ADMIN),
    about=metadefs.within,
    body=ObjectIn,
    root="",
    event="create",
    answer_root="",
)
def create(call: Call, namespace: str, body: ObjectIn) -> ObjectRow:
    check_settable(body)
    within: NamespaceRow = call.subject["within"]
    filling.check_free(call.db, ObjectRow, within, [body.name])
    return filling.add_object(filling.pen(call, within), body)


@objects.operation("DELETE", policy=metadefs.DELETE, about=metadefs.within, event="delete")
def delete_all(call: Call, namespace: str) -> None:
    filling.check_deletable(call)
    filling.empty(call.db, ObjectRow, call.subject["within"])


@objects.operation("GET", "/{name}", policy=("get_metadef_object", SEEN), about=metadefs.of(ObjectRow), answer_root="")
def show(call: Call, namespace: str, name: str) -> Any:
    return call.subject.row


@objects.operation(
    "PUT",
    "/{name}",
    policy=("modify_metadef_object", ADMIN),
    about=metadefs.of(ObjectRow),
    body=ObjectIn,
    root="",
    event="update",
    answer_root="",
)
def update(call: Call, namespace: str, name: str, body: ObjectIn) -> ObjectRow:
    row: ObjectRow = call.subject.row
    check_settable(body)
    filling.check_renamed(call, row, body.name)
    row.name, row.updated_at, row.description = body.name, call.now, given(body.description)
    row.required, row.properties = given(body.required) or [], definitions(body.name, body.properties)
    return row


@objects.operation(
    "DELETE", "/{name}", policy=("delete_metadef_object", ADMIN), about=metadefs.of(ObjectRow), event="delete"
)
def delete(call: Call, namespace: str, name: str) -> None:
    filling.check_deletable(call)
    call.db.delete(call.subject.row)
