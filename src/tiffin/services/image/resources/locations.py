"""Locations, the new way: services are told where an image's bytes are, and an image is made of what is at an address."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from tiffin.core import lifecycle
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema, convert
from tiffin.services.image import content, importing, locations
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.locations import MOST_METADATA, Metadata, ValidationIn
from tiffin.services.image.resources.images import find, look
from tiffin.services.image.tables import ImageRow

TASK = "location_import"
image_locations = Resource("location", "locations", "/v2/images/{id}/locations")


Told = dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=128)]]


class LocationIn(Schema):
    url: Annotated[str, Meta(min_length=1, max_length=255)]
    metadata: Metadata = msgspec.field(default_factory=dict)
    validation_data: Told = msgspec.field(default_factory=dict)


@image_locations.operation("GET", policy=("fetch_image_location", "rule:service_api"), about=look, answer_root="")
def index(call: Call, id: str) -> Answer:
    return Answer(locations.views(call.part(ImageStores), locations.known(call.db, [id])[id]))


@image_locations.operation(
    "POST",
    policy=("add_image_location", "rule:service_api or (role:member and project_id:%(project_id)s and project_id:%(owner)s)"),
    about=find,
    body=LocationIn,
    root="",
    event="location",
    ok=202,
)
def add(call: Call, id: str, body: LocationIn) -> Answer:
    image: ImageRow = call.subject
    content.lock(call.db, image)
    if image.status != "queued":
        raise Conflict(f"It's not allowed to add locations if image status is {image.status}.")
    if not image.disk_format or not image.container_format:
        raise BadRequest("Properties disk_format, container_format must be set prior to saving data.")
    if len(msgspec.json.encode(body.metadata)) > MOST_METADATA:
        raise BadRequest(f"The metadata of a location may have at most {MOST_METADATA} bytes.")
    told = body.validation_data
    if told:
        convert(ValidationIn, told)
        locations.check_digests(told, BadRequest)
    store = locations.judged(call, body.url)
    call.reserve("image_count_uploading", 1, project_id=image.owner or "")
    if image.stores:  # what an earlier attempt has left
        content.unlink_all(call.db, image)
        call.ask("image.image", image.id, "watch")
    _begin(call, image, body, store)
    return Answer(status=202)


def _begin(call: Call, image: ImageRow, body: LocationIn, store: str) -> None:
    blob = locations.new_blob(call.new_id(), image, store, body.url)
    task = importing.new(
        call.cloud.world,
        call.request_id,
        type=TASK,
        owner=call.actor.project_id,
        user_id=call.actor.user_id,
        roles=sorted(call.actor.roles),
        image_id=image.id,
        input={"image_id": image.id, "loc_url": body.url, "validation_data": body.validation_data},
    )
    call.db.add_all([blob, task])
    image.status, image.updated_at = "importing", call.now
    metadata = {name: value for name, value in body.metadata.items() if name != "store"}
    frame = {"blob": blob.id, "told": body.validation_data, "metadata": metadata}
    call.db.flush()
    lifecycle.begin(
        call.db, call.cloud.world, "image.location", task.id, request_id=call.request_id, frame=frame
    )
