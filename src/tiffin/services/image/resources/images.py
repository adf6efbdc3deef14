"""Images: their records. Their bytes are in data.py, who shares them in members.py."""

from __future__ import annotations

import urllib.parse
from typing import Any

from msgspec import UNSET

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden, NotFound, UnsupportedMediaType
from tiffin.core.listing import limit_of, page
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.schema import decode_json
from tiffin.core.world import iso
from tiffin.services.image import content, importing, rules, search
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.tables import ImageRow

OWNER = "rule:context_is_admin or (role:member and project_id:%(project_id)s)"
ADMIN = "rule:context_is_admin"
_SEEN = "project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s"
SHOW = f"rule:context_is_admin or (role:reader and ({_SEEN} or 'shared':%(visibility)s))"
ADD = "rule:context_is_admin or (role:member and project_id:%(project_id)s and project_id:%(owner)s)"
MODIFY = ("modify_image", OWNER)
VIEWED = (
    "name",
    "status",
    "visibility",
    "disk_format",
    "container_format",
    "size",
    "virtual_size",
    "min_disk",
    "min_ram",
    "protected",
    "os_hidden",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
    "owner",
    "id",
    "tags",
)


def view(call: Call, row: Any) -> dict[str, Any]:
    """An image as clients see it; its own properties stand beside the rest."""
    found: dict[str, Any] = dict(row.properties)
    for name in VIEWED:
        found[name] = getattr(row, name)
    here = f"/v2/images/{row.id}"
    found |= {
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "self": here,
        "file": f"{here}/file",
        "schema": "/v2/schemas/image",
    }
    if row.stores:
        found["stores"] = ",".join(row.stores)
    return found


images = Resource(
    "image", "images", "/v2/images", view, rules=[("publicize_image", ADMIN), ("communitize_image", OWNER)]
)


def is_admin(call: Call) -> bool:
    return call.allows("context_is_admin")


def missing(id: str) -> NotFound:
    return NotFound(f"No image found with ID {id}")


def find(call: Call, id: str, **_: Any) -> ImageRow:
    """The image, for changing it. Raises `NotFound` when the actor may not see it."""
    row = search.loaded(call.db, call.actor, is_admin(call), id)
    if row is None:
        raise missing(id)
    return row


def look(call: Call, id: str, **_: Any) -> Any:
    """The image, for showing it."""
    row = search.one(call.db, call.actor, is_admin(call), id)
    if row is None:
        raise missing(id)
    return row


def _new(call: Call, **_: Any) -> Target:
    """Whose a new image is to be, which is the body's to say."""
    body = decode_json(call.raw) if call.raw else None
    owner = body.get("owner", call.actor.project_id) if isinstance(body, dict) else call.actor.project_id
    return Target(None, project_id=call.actor.project_id, owner=owner)


@images.operation(
    "POST", policy=("add_image", ADD), about=_new, quota="image_count_total", event="create", answer_root=""
)
def create(call: Call) -> ImageRow:
    row = make(call, decode_json(call.raw) if call.raw else None)
    call.response_headers["Location"] = f"{call.base_url}/v2/images/{row.id}"
    methods = call.service.settings.imports.enabled_import_methods
    if methods:
        call.response_headers["OpenStack-image-import-methods"] = ",".join(methods)
    call.response_headers["OpenStack-image-store-ids"] = ",".join(call.part(ImageStores).names())
    return row


def make(call: Call, body: Any) -> ImageRow:
    """A new image as a client describes it. Raises `BadRequest`, `Forbidden`, `Conflict`, `TooLarge`."""
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")
    given: dict[str, Any] = {}
    properties: dict[str, str | None] = {}
    for name, value in body.items():
        rules.check_settable(name)
        if name in rules.KEPT:
            given[name] = value
        else:
            rules.check_property(name, value)
            properties[name] = value
    values = rules.check_attributes(given)
    rules.check_amounts(properties, values.get("tags", []), call.service.settings)
    _check_visibility(call, values.get("visibility"), values.get("owner", call.actor.project_id))
    return add(call, values, properties)


def add(call: Call, values: dict[str, Any], properties: dict[str, str | None]) -> ImageRow:
    id = values.pop("id", UNSET)
    id = call.new_id() if id is UNSET else id.lower()
    if call.db.get(ImageRow, id) is not None:
        raise Conflict(f"Image ID {id} already exists!")
    attributes = {"owner": call.actor.project_id, "visibility": "shared", "tags": [], **values}
    row = ImageRow(
        id=id, status="queued", created_at=call.now, updated_at=call.now, properties=properties, **attributes
    )
    call.db.add(row)
    call.begin("image.image", id)
    return row


def _check_visibility(call: Call, visibility: str | None, owner: str | None) -> None:
    rule = {"public": "publicize_image", "community": "communitize_image"}.get(visibility or "")
    if rule:
        call.enforce(rule, Target(None, project_id=owner, owner=owner, visibility=visibility))


@images.operation("GET", policy=("get_images", "rule:context_is_admin or (role:reader and project_id:%(project_id)s)"))
def index(call: Call) -> Page:
    statement = search.listing(call.actor, is_admin(call), call.query)
    limit = limit_of(call.param("limit"), 1000, 25)
    found = page(call.db, statement, search.sorting(call.query), ImageRow.id, limit=limit, marker=call.param("marker"))
    found.links = False
    found.extra = {"schema": "/v2/schemas/images", "first": _href(call, None)}
    if found.more and found.rows:
        found.extra["next"] = _href(call, found.rows[-1].id)
    return found


def _href(call: Call, marker: str | None) -> str:
    query = [(k, v) for k, values in call.query.items() if k != "marker" for v in values]
    query += [("marker", marker)] if marker else []
    return "/v2/images" + (f"?{urllib.parse.urlencode(query)}" if query else "")


@images.operation("GET", "/{id}", policy=("get_image", SHOW), about=look, answer_root="")
def show(call: Call, id: str) -> Any:
    return Answer(view(call, call.subject))


@images.operation("PATCH", "/{id}", policy=MODIFY, about=find, event="update", answer_root="")
def update(call: Call, id: str) -> ImageRow:
    media_type = (call.request.content_type or "").partition(";")[0].strip().lower()
    if media_type not in (rules.PATCH_V21, rules.PATCH_V20):
        accepted = f"{rules.PATCH_V21}, {rules.PATCH_V20}"
        raise UnsupportedMediaType(f"A patch must be one of: {accepted}.", headers={"Accept-Patch": accepted})
    row: ImageRow = call.subject
    changed: dict[str, Any] = {}
    properties = dict(row.properties)
    for edit in rules.parse_patch(decode_json(call.raw), media_type):
        rules.check_edit(edit, properties, row.status)
        if edit.name in rules.KEPT:
            changed[edit.name] = edit.value
        elif edit.op == "remove":
            del properties[edit.name]
        else:
            properties[edit.name] = edit.value
    _change(call, row, rules.check_attributes(changed), properties)
    return row


def _change(call: Call, row: ImageRow, values: dict[str, Any], properties: dict[str, str | None]) -> None:
    if values.get("owner", row.owner) != row.owner and not is_admin(call):
        raise Forbidden("Only an administrator may give an image to another owner.")
    if values.get("visibility", row.visibility) != row.visibility:
        _check_visibility(call, values["visibility"], row.owner)
    rules.check_amounts(properties, values.get("tags", row.tags), call.service.settings)
    for name, value in values.items():
        setattr(row, name, value)
    row.properties = properties
    row.updated_at = call.now


@images.operation("DELETE", "/{id}", policy=("delete_image", OWNER), about=find, event="delete")
def delete(call: Call, id: str) -> None:
    row: ImageRow = call.subject
    if row.protected:
        raise Forbidden(f"Image {id} is protected and cannot be deleted.")
    content.unlink_all(call.db, row)
    if importing.is_taken(row):
        call.ask("image.task", str(row.properties[importing.TASK]), "delete")
    row.status, row.updated_at = "deleted", call.now  # nobody sees it from here on; its lifecycle removes the rest
    call.ask("image.image", id, "delete")


@images.operation(
    "POST", "/{id}/actions/deactivate", policy=("deactivate", OWNER), about=find, event="deactivate", ok=204
)
def deactivate(call: Call, id: str) -> None:
    _switch(call, "active", "deactivated")


@images.operation(
    "POST", "/{id}/actions/reactivate", policy=("reactivate", OWNER), about=find, event="reactivate", ok=204
)
def reactivate(call: Call, id: str) -> None:
    _switch(call, "deactivated", "active")


def _switch(call: Call, before: str, after: str) -> None:
    row: ImageRow = call.subject
    if row.status not in (before, after):
        raise Forbidden(f"Not allowed to make an image {after} that is in status '{row.status}'.")
    row.status, row.updated_at = after, call.now


@images.operation("PUT", "/{id}/tags/{tag}", policy=MODIFY, about=find, event="update", ok=204)
def add_tag(call: Call, id: str, tag: str) -> None:
    row: ImageRow = call.subject
    if len(tag) > 255:
        raise BadRequest("A tag may have at most 255 characters.")
    tags = sorted({*row.tags, tag})
    rules.check_amounts(row.properties, tags, call.service.settings)
    row.tags, row.updated_at = tags, call.now


@images.operation("DELETE", "/{id}/tags/{tag}", policy=MODIFY, about=find, event="update")
def remove_tag(call: Call, id: str, tag: str) -> None:
    row: ImageRow = call.subject
    if tag not in row.tags:
        raise NotFound(f"Image {id} has no tag {tag}.")
    row.tags, row.updated_at = [t for t in row.tags if t != tag], call.now
