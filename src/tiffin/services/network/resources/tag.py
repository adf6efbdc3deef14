"""Tags of resources with standard attributes."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import delete, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema
from tiffin.services.network import tables as t
from tiffin.services.network import work
from tiffin.services.network.policies import rule
from tiffin.services.network.resources import floatingip, network, port, router, security_group, subnet, subnetpool
from tiffin.services.network.standard import Kind, find, touch

MOST = 50
Tag = Annotated[str, Meta(min_length=1, max_length=255)]


class TagsIn(Schema, kw_only=True):
    tags: Annotated[list[Tag], Meta(max_length=MOST)]


def _tags(call: Call, id: str) -> list[str]:
    return list(call.db.scalars(select(t.TagRow.tag).where(t.TagRow.resource_id == id).order_by(t.TagRow.tag)))


def _touched(call: Call, kind: Kind, id: str) -> None:
    row: Any = call.db.get_one(kind.table, id)
    touch(row, call.now)
    call.db.flush()
    work.of(call).record("update", (kind.change, id), row.project_id, after={"tags": _tags(call, id)})


def tags_of(kind: Kind, collection: str) -> Resource:
    """The tag operations of one resource."""
    resource = Resource("tag", "tags", f"/v2.0/{collection}/{{id}}/tags")
    _all_tags(resource, kind)
    _one_tag(resource, kind)
    return resource


def _may(kind: Kind, action: str) -> dict[str, Any]:
    return {"policy": rule(f"{action}_{kind.name}:tags"), "about": find(kind)}


def _all_tags(resource: Resource, kind: Kind) -> None:
    @resource.operation("GET", **_may(kind, "get"))
    def listed(call: Call, id: str) -> dict[str, Any]:
        return {"tags": _tags(call, id)}

    @resource.operation("PUT", **_may(kind, "update"), body=TagsIn, root="")
    def replace(call: Call, id: str, body: TagsIn) -> dict[str, Any]:
        call.db.execute(delete(t.TagRow).where(t.TagRow.resource_id == id))
        call.db.add_all([t.TagRow(resource_id=id, tag=tag) for tag in set(body.tags)])
        _touched(call, kind, id)
        return {"tags": _tags(call, id)}

    @resource.operation("DELETE", **_may(kind, "delete"))
    def clear(call: Call, id: str) -> None:
        call.db.execute(delete(t.TagRow).where(t.TagRow.resource_id == id))
        _touched(call, kind, id)


def _one_tag(resource: Resource, kind: Kind) -> None:
    @resource.operation("GET", "/{tag}", **_may(kind, "get"), ok=204)
    def show(call: Call, id: str, tag: str) -> None:
        _existing(call, id, tag)

    @resource.operation("PUT", "/{tag}", **_may(kind, "update"), ok=201)
    def add(call: Call, id: str, tag: str) -> Answer:
        if len(tag) > 255:
            raise BadRequest("A tag has at most 255 characters.")
        if call.db.get(t.TagRow, (id, tag)) is None:
            if len(_tags(call, id)) >= MOST:
                raise BadRequest(f"A resource has at most {MOST} tags.")
            call.db.add(t.TagRow(resource_id=id, tag=tag))
            _touched(call, kind, id)
        return Answer()

    @resource.operation("DELETE", "/{tag}", **_may(kind, "delete"))
    def remove(call: Call, id: str, tag: str) -> None:
        call.db.delete(_existing(call, id, tag))
        _touched(call, kind, id)


def _existing(call: Call, id: str, tag: str) -> t.TagRow:
    row = call.db.get(t.TagRow, (id, tag))
    if row is None:
        raise NotFound(f"Tag {tag[:255]} could not be found.", code="TagNotFound")
    return row


resources = tuple(
    tags_of(kind, collection)
    for kind, collection in (
        (network.KIND, "networks"),
        (subnet.KIND, "subnets"),
        (port.KIND, "ports"),
        (router.KIND, "routers"),
        (floatingip.KIND, "floatingips"),
        (security_group.KIND, "security-groups"),
        (subnetpool.KIND, "subnetpools"),
    )
)
