"""Tags of metadata definitions: words that may be put on things."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import convert
from tiffin.core.world import iso
from tiffin.services.image import metadef_filling as filling
from tiffin.services.image import metadefs
from tiffin.services.image.metadef_bodies import TagIn, TagPart, TagsIn, check_settable
from tiffin.services.image.metadef_tables import NamespaceRow, TagRow
from tiffin.services.image.metadefs import ADMIN, SEEN


def view(call: Call, row: Any) -> dict[str, Any]:
    return {"name": row.name, "created_at": iso(row.created_at), "updated_at": iso(row.updated_at)}


tags = Resource("metadef_tag", "tags", "/v2/metadefs/namespaces/{namespace}/tags", view)


@tags.operation("GET", policy=("get_metadef_tags", SEEN), about=metadefs.within)
def index(call: Call, namespace: str) -> dict[str, Any]:
    return {"tags": [{"name": row.name} for row in metadefs.listing(call, TagRow, call.subject["within"]).rows]}


@tags.operation(
    "POST", policy=("add_metadef_tags", ADMIN), about=metadefs.within, body=TagsIn, root="", event="create"
)
def create_all(call: Call, namespace: str, body: TagsIn) -> Answer:
    """These tags instead of those that there are, or beside them when X-Openstack-Append says so."""
    check_settable(body)
    within: NamespaceRow = call.subject["within"]
    names = [tag.name for tag in body.tags]
    filling.check_twice("tag", names)
    if not _append(call):
        filling.empty(call.db, TagRow, within)
    filling.check_free(call.db, TagRow, within, names)
    pen = filling.pen(call, within)
    for name in names:
        filling.add_tag(pen, name)
    return Answer({"tags": [{"name": name} for name in names]})


def _append(call: Call) -> bool:
    value = (call.request.get_header("X-Openstack-Append") or "").strip().lower()
    if value in ("true", "t", "yes", "y", "on", "1"):
        return True
    if value in ("", "false", "f", "no", "n", "off", "0"):
        return False
    raise BadRequest(f"X-Openstack-Append must be True or False, not {value!r:.80}.")


@tags.operation("DELETE", policy=("delete_metadef_tags", ADMIN), about=metadefs.within, event="delete")
def delete_all(call: Call, namespace: str) -> None:
    call.enforce(metadefs.DELETE[0], call.subject)
    filling.check_deletable(call)
    filling.empty(call.db, TagRow, call.subject["within"])


@tags.operation("GET", "/{name}", policy=("get_metadef_tag", SEEN), about=metadefs.of(TagRow), answer_root="")
def show(call: Call, namespace: str, name: str) -> Any:
    return call.subject.row


@tags.operation(
    "POST", "/{name}", policy=("add_metadef_tag", ADMIN), about=metadefs.within, event="create", answer_root=""
)
def create(call: Call, namespace: str, name: str) -> TagRow:
    """The path says all; there is no body."""
    within: NamespaceRow = call.subject["within"]
    convert(TagPart, {"name": name})
    filling.check_free(call.db, TagRow, within, [name])
    return filling.add_tag(filling.pen(call, within), name)


@tags.operation(
    "PUT",
    "/{name}",
    policy=("modify_metadef_tag", ADMIN),
    about=metadefs.of(TagRow),
    body=TagIn,
    root="",
    event="update",
    answer_root="",
)
def update(call: Call, namespace: str, name: str, body: TagIn) -> TagRow:
    row: TagRow = call.subject.row
    check_settable(body)
    filling.check_renamed(call, row, body.name)
    row.name, row.updated_at = body.name, call.now
    return row


@tags.operation("DELETE", "/{name}", policy=("delete_metadef_tag", ADMIN), about=metadefs.of(TagRow), event="delete")
def delete(call: Call, namespace: str, name: str) -> None:
    filling.check_deletable(call)
    call.db.delete(call.subject.row)
