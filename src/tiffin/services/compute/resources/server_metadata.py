"""A server's metadata and tags."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import delete, func, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema, convert
from tiffin.services.compute.resources.finding import find, ready
from tiffin.services.compute.resources.flavors import READER
from tiffin.services.compute.resources.servers import KIND, MEMBER
from tiffin.services.compute.resources.words import Metadata, MetaKey, Tag, Text255
from tiffin.services.compute.tables import Server, ServerTag

metadata = Resource("metadata", "metadata", "/v2.1/servers/{id}/metadata")
tags = Resource("tag", "tags", "/v2.1/servers/{id}/tags")

_STATES = ("active", "paused", "suspended", "stopped", "error", "building")


class MetadataIn(Schema):
    metadata: Metadata


class MetaIn(Schema):
    meta: Annotated[dict[MetaKey, Text255], Meta(min_length=1, max_length=1)]


def _set(call: Call, new: dict[str, str]) -> dict[str, Any]:
    row: Server = call.subject
    ready(call, row, "update metadata", _STATES)
    call.reserve("metadata_items", len(new))
    before = {"metadata": row.meta}
    row.meta, row.updated_at = new, call.now
    call.record("update", (KIND, row.id), before=before, after={"metadata": new})
    return {"metadata": new}


@metadata.operation("GET", policy=("os_compute_api:server-metadata:index", READER), about=find)
def index(call: Call, id: str) -> dict[str, Any]:
    return {"metadata": call.subject.meta}


@metadata.operation(
    "POST", policy=("os_compute_api:server-metadata:create", MEMBER), body=MetadataIn, root="", about=find, ok=200
)
def add(call: Call, id: str, body: MetadataIn) -> dict[str, Any]:
    return _set(call, {**call.subject.meta, **body.metadata})


@metadata.operation(
    "PUT", policy=("os_compute_api:server-metadata:update_all", MEMBER), body=MetadataIn, root="", about=find
)
def replace(call: Call, id: str, body: MetadataIn) -> dict[str, Any]:
    return _set(call, body.metadata)


@metadata.operation("GET", "/{key}", policy=("os_compute_api:server-metadata:show", READER), about=find)
def show(call: Call, id: str, key: str) -> dict[str, Any]:
    if key not in call.subject.meta:
        raise NotFound("Metadata item was not found")
    return {"meta": {key: call.subject.meta[key]}}


@metadata.operation(
    "PUT", "/{key}", policy=("os_compute_api:server-metadata:update", MEMBER), body=MetaIn, root="", about=find
)
def update(call: Call, id: str, key: str, body: MetaIn) -> dict[str, Any]:
    if list(body.meta) != [key]:
        raise BadRequest("Request body and URI mismatch")
    _set(call, {**call.subject.meta, **body.meta})
    return {"meta": body.meta}


@metadata.operation("DELETE", "/{key}", policy=("os_compute_api:server-metadata:delete", MEMBER), about=find)
def remove(call: Call, id: str, key: str) -> None:
    if key not in call.subject.meta:
        raise NotFound("Metadata item was not found")
    _set(call, {k: v for k, v in call.subject.meta.items() if k != key})


# --- tags ---------------------------------------------------------------------------------------------------------------

MAX_TAGS = 50
_TAG_STATES = ("active", "paused", "suspended", "stopped")


class TagsIn(Schema):
    tags: Annotated[list[Tag], Meta(max_length=MAX_TAGS)]


class _TagIn(Schema):
    tag: Tag


def _tags(call: Call, id: str) -> list[str]:
    found = select(ServerTag.tag).where(ServerTag.server_id == id).order_by(ServerTag.tag)
    return list(call.db.scalars(found))


def _touch(call: Call) -> None:
    row: Server = call.subject
    ready(call, row, "update tags", _TAG_STATES, tasks=None)
    row.updated_at = call.now


@tags.operation("GET", policy=("os_compute_api:os-server-tags:index", READER), about=find, since=(2, 26))
def tag_index(call: Call, id: str) -> dict[str, Any]:
    return {"tags": _tags(call, id)}


@tags.operation(
    "PUT",
    policy=("os_compute_api:os-server-tags:update_all", MEMBER),
    body=TagsIn,
    root="",
    about=find,
    since=(2, 26),
    event="update",
)
def tag_replace(call: Call, id: str, body: TagsIn) -> dict[str, Any]:
    _touch(call)
    call.db.execute(delete(ServerTag).where(ServerTag.server_id == id))
    call.db.add_all(ServerTag(server_id=id, tag=tag) for tag in sorted(set(body.tags)))
    call.db.flush()
    return {"tags": _tags(call, id)}


@tags.operation(
    "DELETE", policy=("os_compute_api:os-server-tags:delete_all", MEMBER), about=find, since=(2, 26), event="update"
)
def tag_clear(call: Call, id: str) -> None:
    _touch(call)
    call.db.execute(delete(ServerTag).where(ServerTag.server_id == id))


@tags.operation(
    "GET", "/{tag}", policy=("os_compute_api:os-server-tags:show", READER), about=find, since=(2, 26), ok=204
)
def tag_show(call: Call, id: str, tag: str) -> None:
    if call.db.get(ServerTag, (id, tag)) is None:
        raise NotFound(f"Server {id} has no tag '{tag[:60]}'")


@tags.operation(
    "PUT", "/{tag}", policy=("os_compute_api:os-server-tags:update", MEMBER), about=find, since=(2, 26), event="update"
)
def tag_add(call: Call, id: str, tag: str) -> Answer:
    _touch(call)
    convert(_TagIn, {"tag": tag})
    location = {"Location": f"{call.base_url}/v2.1/servers/{id}/tags/{tag}"}
    if call.db.get(ServerTag, (id, tag)) is not None:
        return Answer(None, 204, location)
    count = call.db.scalar(select(func.count()).select_from(ServerTag).where(ServerTag.server_id == id))
    if (count or 0) >= MAX_TAGS:
        raise BadRequest(f"The number of tags exceeded the per-server limit {MAX_TAGS}")
    call.db.add(ServerTag(server_id=id, tag=tag))
    return Answer(None, 201, location)


@tags.operation(
    "DELETE",
    "/{tag}",
    policy=("os_compute_api:os-server-tags:delete", MEMBER),
    about=find,
    since=(2, 26),
    event="update",
)
def tag_remove(call: Call, id: str, tag: str) -> None:
    _touch(call)
    row = call.db.get(ServerTag, (id, tag))
    if row is None:
        raise NotFound(f"Server {id} has no tag '{tag[:60]}'")
    call.db.delete(row)
