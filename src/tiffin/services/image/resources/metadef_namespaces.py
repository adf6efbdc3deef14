"""Namespaces of metadata definitions."""

from __future__ import annotations

import urllib.parse
from typing import Any

from sqlalchemy import exists, select

from tiffin.core import changes
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.listing import limit_of, page
from tiffin.core.resource import Page, Resource
from tiffin.core.sql import children
from tiffin.core.world import iso
from tiffin.services.image import metadef_filling as filling
from tiffin.services.image import metadefs
from tiffin.services.image.metadef_bodies import NamespaceIn, check_settable
from tiffin.services.image.metadef_filling import given
from tiffin.services.image.metadef_tables import AssociationRow, NamespaceRow, ObjectRow, PropertyRow, TagRow
from tiffin.services.image.metadefs import ADMIN
from tiffin.services.image.resources import metadef_objects, metadef_resource_types

LIST = "rule:context_is_admin or (role:reader and project_id:%(project_id)s)"
SHOWN_RULES = ("list_metadef_resource_types", "get_metadef_objects", "get_metadef_properties", "get_metadef_tags")
SORTABLE = ("namespace", "display_name", "visibility", "protected", "owner", "created_at", "updated_at")
MOST_TYPES = 1000  # in one filter

_of_namespace = AssociationRow.namespace_id == NamespaceRow.id
COLUMNS = (
    *NamespaceRow.__table__.columns,
    children(
        select(AssociationRow).where(_of_namespace),
        order=AssociationRow.name,
        name=AssociationRow.name,
        prefix=AssociationRow.prefix,
        properties_target=AssociationRow.properties_target,
        created_at=AssociationRow.created_at,
        updated_at=AssociationRow.updated_at,
    ).label("associations"),
)


def view(call: Call, row: Any) -> dict[str, Any]:
    """A namespace without what is in it, but with what it is about where the row says that."""
    found = {
        "namespace": row.namespace,
        "visibility": row.visibility,
        "protected": row.protected,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "self": path(row.namespace),
        "schema": "/v2/schemas/metadefs/namespace",
    }
    optional = {"display_name": row.display_name, "description": row.description, "owner": row.owner}
    found |= {name: value for name, value in optional.items() if value is not None}
    associations = getattr(row, "associations", None)
    if associations:
        found["resource_type_associations"] = [metadef_resource_types.shown(a) for a in associations]
    return found


def path(namespace: str) -> str:
    return f"/v2/metadefs/namespaces/{namespace}"


namespaces = Resource("metadef_namespace", "namespaces", "/v2/metadefs/namespaces", view)


@namespaces.operation("GET", policy=("get_metadef_namespaces", LIST))
def index(call: Call) -> Page:
    call.enforce("list_metadef_resource_types")
    statement = select(*COLUMNS).where(metadefs.visible(call.actor.project_id or "", call.allows("context_is_admin")))
    visibility, types = call.param("visibility"), call.param("resource_types")
    if visibility:
        if visibility not in ("public", "private"):
            raise BadRequest(f"Invalid visibility value: {visibility!r:.80}")
        statement = statement.where(NamespaceRow.visibility == visibility)
    if types:
        names = types.split(",")
        if len(names) > MOST_TYPES:
            raise BadRequest(f"A filter may have at most {MOST_TYPES} values.")
        statement = statement.where(exists().where(_of_namespace, AssociationRow.name.in_(names)))
    marker = call.param("marker")
    found = page(
        call.db,
        statement,
        metadefs.sorting(call, NamespaceRow, SORTABLE),
        NamespaceRow.id,
        limit=limit_of(call.param("limit"), 1000, 25),
        marker=metadefs.find(call, marker).id if marker else None,
    )
    found.links = False
    found.extra = {"schema": "/v2/schemas/metadefs/namespaces", "first": _href(call, None)}
    if found.more and found.rows:
        found.extra["next"] = _href(call, found.rows[-1].namespace)
    return found


def _href(call: Call, marker: str | None) -> str:
    query = [(k, v) for k, values in call.query.items() if k != "marker" for v in values]
    query += [("marker", marker)] if marker else []
    return "/v2/metadefs/namespaces" + (f"?{urllib.parse.urlencode(query)}" if query else "")


@namespaces.operation("POST", policy=("add_metadef_namespace", ADMIN), body=NamespaceIn, root="")
def create(call: Call, body: NamespaceIn) -> dict[str, Any]:
    """A namespace with all that the body has for it."""
    check_settable(body)
    parts = {
        "add_metadef_resource_type_association": body.resource_type_associations,
        "add_metadef_object": body.objects,
        "add_metadef_property": body.properties,
        "add_metadef_tag": body.tags,
    }
    for rule, wanted in parts.items():
        if given(wanted):
            call.enforce(rule)
    _check_name(call, body.namespace)
    row = NamespaceRow(id=call.new_id(), created_at=call.now)
    _set(call, row, body)
    call.db.add(row)
    filling.fill(filling.pen(call, row), body)
    call.db.flush()
    call.record("create", ("image.metadef_namespace", row.id), after=changes.picture(row))
    call.response_headers["Location"] = f"{call.base_url}{urllib.parse.quote(path(row.namespace))}"
    return _whole(call, row)


def _check_name(call: Call, name: str) -> None:
    if call.db.scalar(select(NamespaceRow.id).where(NamespaceRow.namespace == name)) is not None:
        raise Conflict(f"The metadata definition namespace {name} exists already.")


def _set(call: Call, row: NamespaceRow, body: NamespaceIn) -> None:
    """What the body says, and the defaults of what it does not say, as a new namespace has them."""
    row.namespace, row.updated_at = body.namespace, call.now
    row.display_name, row.description = given(body.display_name), given(body.description)
    row.visibility = given(body.visibility) or "private"
    row.protected = given(body.protected) or False
    row.owner = given(body.owner) or call.actor.project_id


@namespaces.operation("GET", "/{namespace}", policy=metadefs.SEE, about=metadefs.find)
def show(call: Call, namespace: str) -> dict[str, Any]:
    row: NamespaceRow = call.subject
    for rule in SHOWN_RULES:
        call.enforce(rule, metadefs.target(row))
    return _whole(call, row, call.param("resource_type"))


def _whole(call: Call, row: NamespaceRow, wanted: str | None = None) -> dict[str, Any]:
    """A namespace with all that is in it, as it is called on things of the type `wanted`."""
    objects = metadefs.parts(call.db, ObjectRow, row)
    associations = metadefs.parts(call.db, AssociationRow, row)
    properties = metadefs.parts(call.db, PropertyRow, row)
    tags = metadefs.parts(call.db, TagRow, row)
    prefix = next((a.prefix for a in associations if a.name == wanted), None) or ""
    parts = {
        "objects": [metadef_objects.shown(row.namespace, each, prefix) for each in objects],
        "resource_type_associations": [metadef_resource_types.view(call, a) for a in associations],
        "properties": {prefix + each.name: each.definition for each in properties},
        "tags": [{"name": tag.name} for tag in tags],
    }
    return {**view(call, row), **{name: found for name, found in parts.items() if found}}


@namespaces.operation(
    "PUT",
    "/{namespace}",
    policy=("modify_metadef_namespace", ADMIN),
    about=metadefs.find,
    body=NamespaceIn,
    root="",
    event="update",
    answer_root="",
)
def update(call: Call, namespace: str, body: NamespaceIn) -> NamespaceRow:
    row: NamespaceRow = call.subject
    check_settable(body)
    if body.namespace != row.namespace:
        _check_name(call, body.namespace)
    _set(call, row, body)
    return row


@namespaces.operation("DELETE", "/{namespace}", policy=metadefs.DELETE, about=metadefs.find, event="delete")
def delete(call: Call, namespace: str) -> None:
    filling.check_deletable(call)
    filling.remove(call.db, call.subject)
