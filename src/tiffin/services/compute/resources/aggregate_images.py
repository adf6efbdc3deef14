"""Images that the hosts of an aggregate fetch ahead of the servers that will need them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.compute.lifecycles.cached_image import want
from tiffin.services.compute.resources.aggregates import KIND, find
from tiffin.services.compute.resources.availability_zones import is_up
from tiffin.services.compute.resources.flavors import ADMIN
from tiffin.services.compute.resources.words import Uuid
from tiffin.services.compute.tables import AggregateHost, ComputeHost
from tiffin.services.image import public as images

images_of_aggregate = Resource("aggregate_image", "aggregate_images", "/v2.1/os-aggregates/{id}/images")


class ImageId(Schema):
    id: Uuid


class Cache(Schema):
    cache: Annotated[list[ImageId], Meta(min_length=1, max_length=100)]


@images_of_aggregate.operation(
    "POST", policy=("compute:aggregates:images", ADMIN), body=Cache, root="", since=(2, 81), ok=202
)
def cache(call: Call, id: str, body: Cache) -> None:
    """Hosts that do not answer now are left out, as they will fetch what they need when they need it."""
    row = find(call, id)
    found = []
    for one in body.cache:
        image = images.boot_image(call.db, one.id)
        if image is None or image.status != "active":
            raise BadRequest(f"Image {one.id} could not be found, or is not active.")
        found.append(msgspec.structs.asdict(image))
    member = select(AggregateHost.host).where(AggregateHost.aggregate == row.number)
    for host in call.db.scalars(select(ComputeHost).where(ComputeHost.name.in_(member)).order_by(ComputeHost.name)):
        if is_up(host, call.cloud.looked_at(), call.service.settings):
            for kept in {one["id"]: one for one in found}.values():
                want(call.db, call.cloud.world, host.name, kept, call.request_id)
    call.record("cache_images", (KIND, row.id), after={"images": [one["id"] for one in found]})
