"""Images: their records. Their bytes are in data.py, who shares them in members.py."""

from __future__ import annotations

import urllib.parse
from typing import Any

from msgspec import UNSET

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden, NotFound, UnsupportedMediaType
from tiffin.core.listing import limit_of, page
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import decode_json
from tiffin.services.image import content, importing, locations, rules, search
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.patch import PATCH_V20, PATCH_V21, Edit, check_edit, parse_patch
from tiffin.services.image.protections import Guard
from tiffin.services.image.shown import shown, view
from tiffin.services.image.tables import ImageRow

OWNER = "rule:context_is_admin or (role:member and project_id:%(project_id)s)"
ADMIN = "rule:context_is_admin"
_SEEN = "project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s or 'public':%(visibility)s"
SHOW = f"rule:context_is_admin or (role:reader and ({_SEEN} or 'shared':%(visibility)s))"
ADD = "rule:context_is_admin or (role:member and project_id:%(project_id)s and project_id:%(owner)s)"
MODIFY = ("modify_image", OWNER)

images = Resource(
    "image",
    "images",
    "/v2/images",
    view,
    rules=[
        ("publicize_image", ADMIN),
        ("communitize_image", OWNER),
        ("get_image_location", "rule:context_is_admin or (role:reader and project_id:%(project_id)s)"),
        ("set_image_location", OWNER),
        ("delete_image_location", ADMIN),
    ],
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


def hold(call: Call, id: str) -> ImageRow:
    """The image as it is now, for changing what another request may be changing at this moment."""
    row = search.held(call.db, id)
    if row is None:
        raise missing(id)
    return row


def look(call: Call, id: str, **_: Any) -> Target:
    """The image, for showing it."""
    row = search.one(call.db, call.actor, is_admin(call), id)
    if row is None:
        raise missing(id)
    return search.target(row, call.actor)


def _new(call: Call, **_: Any) -> Target:
    """Whose a new image is to be, which is the body's to say. Raises `Forbidden` when it is to be somebody else's."""
    body = decode_json(call.raw) if call.raw else None
    owner = body.get("owner", call.actor.project_id) if isinstance(body, dict) else call.actor.project_id
    visibility = body.get("visibility", "private") if isinstance(body, dict) else "private"
    target = Target(None, project_id=owner, owner=owner, visibility=visibility)
    if owner != call.actor.project_id and not call.allows("add_image", target):
        raise Forbidden(f"You are not permitted to create images owned by '{owner!s:.80}'")
    return target


@images.operation("POST", policy=("add_image", ADD), about=_new, quota="image_count_total", event="create", answer_root="")
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
    guard = Guard(call)
    for name, value in body.items():
        rules.check_settable(name)
        if name in rules.KEPT:
            given[name] = value
        else:
            rules.check_property(name, value)
            guard.check("create", name)
            properties[name] = value
    values = rules.check_attributes(given)
    settings = call.service.settings
    rules.check_amount("properties", len(properties), settings.limits.properties)
    rules.check_amount("tags", len(values.get("tags", [])), settings.limits.tags)
    rules.check_size(properties)
    _check_visibility(call, values.get("visibility"), call.subject)
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


def _check_visibility(call: Call, visibility: str | None, target: Target) -> None:
    """Raises `Forbidden` for a visibility that the actor may not give."""
    rule = {"public": "publicize_image", "community": "communitize_image"}.get(visibility or "")
    if rule:
        call.enforce(rule, target)


@images.operation("GET", policy=("get_images", "rule:context_is_admin or (role:reader and project_id:%(project_id)s)"))
def index(call: Call) -> Answer:
    admin, guard, marker = is_admin(call), Guard(call), call.param("marker")
    statement = search.listing(call.actor, admin, call.query, lambda name: guard.may("read", name))
    limit = limit_of(call.param("limit"), 1000, 25)
    if marker is not None:
        search.check_marker(call.db, call.actor, admin, marker)
    found = page(call.db, statement, search.sorting(call.query), ImageRow.id, limit=limit, marker=marker)
    rows = found.rows
    if not call.cloud.policy("image").stand("get_image", "get_images"):  # as they come, they agree with each other
        rows = [row for row in rows if call.allows("get_image", search.target(row, call.actor))]
    body = {"images": shown(call, rows, guard), "first": _href(call, None), "schema": "/v2/schemas/images"}
    if found.more and rows:
        body["next"] = _href(call, rows[-1].id)
    return Answer(body)


def _href(call: Call, marker: str | None) -> str:
    query = [(k, v) for k, values in call.query.items() if k != "marker" for v in values]
    query += [("marker", marker)] if marker else []
    return "/v2/images" + (f"?{urllib.parse.urlencode(query)}" if query else "")


@images.operation("GET", "/{id}", policy=("get_image", SHOW), about=look, answer_root="")
def show(call: Call, id: str) -> Any:
    return Answer(view(call, call.subject.row))


def _edits(call: Call) -> list[Edit]:
    media_type = (call.request.content_type or "").partition(";")[0].strip().lower()
    if media_type not in (PATCH_V20, PATCH_V21):
        accepted = f"{PATCH_V20}, {PATCH_V21}"
        raise UnsupportedMediaType(f"A patch must be one of: {accepted}.", headers={"Accept-Patch": accepted})
    return parse_patch(decode_json(call.raw), media_type)


def _look_ahead(call: Call, id: str) -> dict[str, int]:
    """What has to be known of addresses that a patch may name, which are on other servers."""
    edits = [edit for edit in _edits(call) if edit.name == "locations"] if b"locations" in call.raw else []
    return locations.look_ahead(call, call.subject, edits) if edits else {}


@images.operation(
    "PATCH", "/{id}", policy=MODIFY, about=find, prepare=_look_ahead, event="update", answer_root=""
)
def update(call: Call, id: str) -> ImageRow:
    row = hold(call, id)
    edits, guard = _edits(call), Guard(call)
    changed: dict[str, Any] = {}
    properties = dict(row.properties)
    for edit in edits:
        _apply(call, edit, (changed, properties), guard)
    if edits:
        _change(call, row, rules.check_attributes(changed), properties)
    return row


Outcome = tuple[dict[str, Any], dict[str, str | None]]
"""What a patch makes of an image so far: the attributes that it changes, and all properties."""


def _apply(call: Call, edit: Edit, outcome: Outcome, guard: Guard) -> None:
    row: ImageRow = call.subject
    changed, properties = outcome
    if edit.name == "locations":
        locations.patch(call, row, edit, call.prepared)
        return
    check_edit(edit, guard.readable(properties), row.status)
    if edit.name == "owner" and not is_admin(call):
        raise Forbidden("Owner can't be updated by non admin.")
    if edit.name == "visibility":
        _check_visibility(call, edit.value, Target(row))
    if edit.name in rules.KEPT:
        changed[edit.name] = edit.value
    elif edit.op == "remove":
        guard.check("delete", edit.name)
        del properties[edit.name]
    else:
        guard.check_set(edit.name, properties)
        properties[edit.name] = edit.value


def _change(call: Call, row: ImageRow, values: dict[str, Any], properties: dict[str, str | None]) -> None:
    if properties.keys() - row.properties.keys():
        rules.check_amount("properties", len(importing.own(properties)), call.service.settings.limits.properties)
    if "tags" in values:
        rules.check_amount("tags", len(values["tags"]), call.service.settings.limits.tags)
    if properties != row.properties:
        rules.check_size(properties)
    for name, value in values.items():
        setattr(row, name, value)
    row.properties = properties
    row.updated_at = call.now


@images.operation(
    "DELETE", "/{id}", policy=("delete_image", OWNER), about=find, prepare=content.check_unused, event="delete"
)
def delete(call: Call, id: str) -> None:
    row: ImageRow = call.subject
    if row.protected:
        raise Forbidden(f"Image {id} is protected and cannot be deleted.")
    content.unlink_all(call.db, row)
    if importing.is_taken(row):
        call.ask("image.task", str(row.properties[importing.TASK]), "delete")
    for task_id in locations.tasks(call.db, id):
        call.ask("image.location", task_id, "delete")
    row.status, row.updated_at = "deleted", call.now  # nobody sees it from here on; its lifecycle removes the rest
    call.ask("image.image", id, "delete")


@images.operation(
    "POST", "/{id}/actions/deactivate", policy=("deactivate", OWNER), about=find, event="deactivate", ok=204
)
def deactivate(call: Call, id: str) -> None:
    _switch(call, "deactivate", "active", "deactivated")


@images.operation(
    "POST", "/{id}/actions/reactivate", policy=("reactivate", OWNER), about=find, event="reactivate", ok=204
)
def reactivate(call: Call, id: str) -> None:
    _switch(call, "reactivate", "deactivated", "active")


def _switch(call: Call, what: str, before: str, after: str) -> None:
    row: ImageRow = call.subject
    if row.status == before:
        row.status, row.updated_at = after, call.now
    elif row.status != after:
        raise Forbidden(f"Not allowed to {what} image in status '{row.status}'")


@images.operation("PUT", "/{id}/tags/{tag}", policy=MODIFY, about=find, event="update", ok=204)
def add_tag(call: Call, id: str, tag: str) -> None:
    row = hold(call, id)
    if len(tag) > 255:
        raise BadRequest("A tag may have at most 255 characters.")
    tags = sorted({*row.tags, tag})
    rules.check_amount("tags", len(tags), call.service.settings.limits.tags)
    row.tags, row.updated_at = tags, call.now


@images.operation("DELETE", "/{id}/tags/{tag}", policy=MODIFY, about=find, event="update")
def remove_tag(call: Call, id: str, tag: str) -> None:
    row = hold(call, id)
    if tag not in row.tags:
        raise NotFound(f"Image {id} has no tag {tag}.")
    row.tags, row.updated_at = [t for t in row.tags if t != tag], call.now
