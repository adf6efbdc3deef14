"""Kinds of things that metadata definitions are about, and which namespace is about which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.resource import Page, Resource
from tiffin.core.world import iso
from tiffin.services.image import metadef_filling as filling
from tiffin.services.image import metadefs
from tiffin.services.image.metadef_bodies import AssociationIn, check_settable
from tiffin.services.image.metadef_tables import AssociationRow, NamespaceRow, ResourceTypeRow
from tiffin.services.image.metadefs import ADMIN, SEEN

_SHOWN = ("name", "prefix", "properties_target", "created_at", "updated_at")


def _type(call: Call, row: ResourceTypeRow) -> dict[str, Any]:
    return {"name": row.name, "created_at": iso(row.created_at), "updated_at": iso(row.updated_at)}


def shown(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What a namespace is about, as clients see it."""
    times = {name: iso(fields[name]) for name in ("created_at", "updated_at")}
    words = {name: fields[name] for name in ("name", "prefix", "properties_target") if fields[name] is not None}
    return {**words, **times}


def view(call: Call, row: Any) -> dict[str, Any]:
    return shown({name: getattr(row, name) for name in _SHOWN})


resource_types = Resource("metadef_resource_type", "resource_types", "/v2/metadefs/resource_types", _type)
associations = Resource(
    "metadef_association", "resource_type_associations", "/v2/metadefs/namespaces/{namespace}/resource_types", view
)


@resource_types.operation("GET", policy=("list_metadef_resource_types", SEEN))
def index(call: Call) -> Page:
    return Page(list(call.db.scalars(select(ResourceTypeRow).order_by(ResourceTypeRow.name))))


@associations.operation("GET", policy=("get_metadef_resource_type", SEEN), about=metadefs.within)
def of_namespace(call: Call, namespace: str) -> Page:
    return Page(metadefs.parts(call.db, AssociationRow, call.subject["within"]))


@associations.operation(
    "POST",
    policy=("add_metadef_resource_type_association", ADMIN),
    about=metadefs.within,
    body=AssociationIn,
    root="",
    event="create",
    answer_root="",
)
def create(call: Call, namespace: str, body: AssociationIn) -> AssociationRow:
    check_settable(body)
    within: NamespaceRow = call.subject["within"]
    filling.check_free(call.db, AssociationRow, within, [body.name])
    return filling.associate(filling.pen(call, within), [body])[0]


@associations.operation(
    "DELETE",
    "/{name}",
    policy=("remove_metadef_resource_type_association", ADMIN),
    about=metadefs.of(AssociationRow),
    event="delete",
)
def delete(call: Call, namespace: str, name: str) -> None:
    filling.check_deletable(call)
    call.db.delete(call.subject.row)
