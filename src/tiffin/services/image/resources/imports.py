"""Imports: a client says where an image's bytes come from and into which stores; a task does it (lifecycles/task.py)."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema
from tiffin.services.image import import_parts, importing
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.import_parts import Given
from tiffin.services.image.resources import data
from tiffin.services.image.resources.images import ADMIN, MODIFY, find
from tiffin.services.image.tables import ImageRow
from tiffin.services.image.uploads import MIB

StoreName = Annotated[str, Meta(max_length=255)]
COPY = "copy-image"
GLANCE = "glance-download"

imports = Resource("import", "imports", "/v2/images/{id}", rules=[("copy_image", ADMIN)])


class Method(Schema):
    _unknown_ = "ignore"
    name: Annotated[str, Meta(max_length=64)]
    uri: Annotated[str, Meta(max_length=4096)] | UnsetType = UNSET
    glance_region: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    glance_image_id: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    glance_service_interface: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET


class ImportIn(Schema):
    _unknown_ = "ignore"
    method: Method
    stores: Annotated[list[StoreName], Meta(max_length=64)] | UnsetType = UNSET
    all_stores: bool | UnsetType = UNSET
    all_stores_must_succeed: bool | UnsetType = UNSET


def _said(given: Schema) -> dict[str, Any]:
    """The fields that are there."""
    values = {name: getattr(given, name) for name in given.__struct_fields__}
    return {name: value for name, value in values.items() if value is not UNSET}


def _target(call: Call, id: str, body: ImportIn) -> Target:
    target = Target(find(call, id))
    target.rule = "copy_image" if body.method.name == COPY else None
    return target


@imports.operation("POST", "/import", policy=MODIFY, about=_target, body=ImportIn, root="", event="import", ok=202)
def start(call: Call, id: str, body: ImportIn) -> Answer:
    image: ImageRow = call.subject.row
    name = body.method.name
    if name not in call.service.settings.imports.enabled_import_methods:
        raise BadRequest(f"Unknown import method name '{name}'.")
    _check_image(image, name)
    given = import_parts.method(name).check(call, image, _said(body.method))
    stores = _stores(call, image, body)
    if stores:
        _reserve(call, image, name)
        _begin(call, image, body, given, stores)
    return Answer(status=202)


def _check_image(image: ImageRow, method: str) -> None:
    if importing.is_taken(image):
        raise Conflict(
            f"New operation on image '{image.id}' is not permitted as prior operation is still in progress"
        )
    if image.status == "active" and method != COPY:
        raise Conflict("Image with status active cannot be target for import")
    for name in ("container_format", "disk_format"):
        if not getattr(image, name) and method != GLANCE:  # which knows them from the other region
            raise Conflict(f"'{name}' needs to be set before import")


def _stores(call: Call, image: ImageRow, body: ImportIn) -> list[str]:
    """Where the image is to go, in the order of names. None for a copy to all stores when it is everywhere."""
    stores, header = call.part(ImageStores), call.request.get_header("X-Image-Meta-Store")
    writable = [store.name for store in stores if store.writable]
    every = body.all_stores is True
    if every and (body.stores is not UNSET or header):
        raise BadRequest("All_stores parameter can't be used with x-image-meta-store header or stores parameter")
    if body.stores is not UNSET and header and body.stores != [header]:
        raise BadRequest("Stores parameter and x-image-meta-store header can't be both specified")
    named = [header or stores.default] if body.stores is UNSET else body.stores
    wanted = set(writable if every else named)
    for unknown in sorted(wanted - set(writable)):
        raise Conflict(f"Store {unknown[:80]!r} is not one that images can be imported to.")
    if not wanted:
        raise BadRequest("Name at least one store, or use all_stores.")
    if body.method.name == COPY:
        there = sorted(wanted & set(image.stores))
        if there and not every:
            raise BadRequest(f"Image is already present at store '{there[0]}'")
        wanted -= set(there)
    return sorted(wanted)


def _reserve(call: Call, image: ImageRow, method: str) -> None:
    """Raises `OverQuota`. What comes from elsewhere is counted while it comes; what is there already has been counted."""
    if method == COPY:
        call.reserve("image_count_uploading", 1, project_id=image.owner or "")
        return
    staged = sum(blob.size for blob in importing.staged(call.db, image.id))
    if staged:
        call.reserve("image_size_total", -(-staged // MIB), project_id=image.owner or "")
    else:
        data.room(call, image, "image_stage_total", 1)
        data.room(call, image, "image_size_total", 1)


def _begin(call: Call, image: ImageRow, body: ImportIn, given: Given, stores: list[str]) -> None:
    method = {"name": body.method.name, **given.input}
    asked = {**_said(body), "method": method}
    task = importing.new(
        call.cloud.world,
        call.request_id,
        owner=call.actor.project_id,
        user_id=call.actor.user_id,
        roles=sorted(call.actor.roles),
        image_id=image.id,
        input={"image_id": image.id, "import_req": asked, "backend": stores},
        secret=call.cloud.secrets.encrypt(given.secret.encode()) if given.secret else None,
    )
    if method["name"] != COPY:
        image.status = "importing"
    image.updated_at = call.now
    importing.take(image, task.id, stores)
    must = body.all_stores_must_succeed is not False
    importing.begin(call.db, call.cloud.world, task, importing.Plan(method, stores, must))
