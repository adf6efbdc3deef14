"""Properties of metadata definitions that belong to no object."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.errors import NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Resource
from tiffin.services.image import metadef_filling as filling
from tiffin.services.image import metadefs
from tiffin.services.image.metadef_bodies import PropertyIn, check_settable, definition
from tiffin.services.image.metadef_tables import AssociationRow, NamespaceRow, PropertyRow
from tiffin.services.image.metadefs import ADMIN, SEEN


def view(call: Call, row: Any) -> dict[str, Any]:
    return {"name": row.name, **row.definition}


properties = Resource("metadef_property", "properties", "/v2/metadefs/namespaces/{namespace}/properties", view)


@properties.operation("GET", policy=("get_metadef_properties", SEEN), about=metadefs.within)
def index(call: Call, namespace: str) -> dict[str, Any]:
    rows = metadefs.parts(call.db, PropertyRow, call.subject["within"])
    return {"properties": {row.name: row.definition for row in rows}}


@properties.operation(
    "POST",
    policy=("add_metadef_property", ADMIN),
    about=metadefs.within,
    body=PropertyIn,
    root="",
    event="create",
    answer_root="",
)
def create(call: Call, namespace: str, body: PropertyIn) -> PropertyRow:
    check_settable(body)
    within: NamespaceRow = call.subject["within"]
    filling.check_free(call.db, PropertyRow, within, [body.name])
    return filling.add_property(filling.pen(call, within), body.name, body)


@properties.operation("DELETE", policy=metadefs.DELETE, about=metadefs.within, event="delete")
def delete_all(call: Call, namespace: str) -> None:
    filling.check_deletable(call)
    filling.empty(call.db, PropertyRow, call.subject["within"])


def _look(call: Call, namespace: str, name: str, **_: Any) -> Target:
    """The property, by its name with the prefix that things of the type `?resource_type=` have for it."""
    within = metadefs.find(call, namespace)
    wanted = call.param("resource_type")
    if wanted:
        call.enforce("get_metadef_resource_type", metadefs.target(within))
        prefix = metadefs.part(call.db, AssociationRow, within, wanted).prefix
        if not prefix or not name.startswith(prefix):
            raise NotFound(f"The property {name} does not begin with the prefix {prefix!r} of {wanted}.")
        name = name.removeprefix(prefix)
    return metadefs.target(within, metadefs.part(call.db, PropertyRow, within, name))


@properties.operation("GET", "/{name}", policy=("get_metadef_property", SEEN), about=_look, answer_root="")
def show(call: Call, namespace: str, name: str) -> Any:
    return call.subject.row


@properties.operation(
    "PUT",
    "/{name}",
    policy=("modify_metadef_property", ADMIN),
    about=metadefs.of(PropertyRow),
    body=PropertyIn,
    root="",
    event="update",
    answer_root="",
)
def update(call: Call, namespace: str, name: str, body: PropertyIn) -> PropertyRow:
    row: PropertyRow = call.subject.row
    check_settable(body)
    filling.check_renamed(call, row, body.name)
    row.name, row.definition, row.updated_at = body.name, definition(body), call.now
    return row


@properties.operation(
    "DELETE", "/{name}", policy=("remove_metadef_property", ADMIN), about=metadefs.of(PropertyRow), event="delete"
)
def delete(call: Call, namespace: str, name: str) -> None:
    filling.check_deletable(call)
    call.db.delete(call.subject.row)
