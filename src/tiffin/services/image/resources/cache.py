"""The caches of the hosts: what is in them, what shall be, and what need not be any more."""

from __future__ import annotations

from typing import Any

from msgspec import structs
from sqlalchemy import delete, select

from tiffin.core import lifecycle
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Resource
from tiffin.services.image import caching, search
from tiffin.services.image.drivers.base import CachedCopy, ImageCaches
from tiffin.services.image.resources.images import ADMIN, find, is_admin
from tiffin.services.image.tables import CacheQueueRow, ImageRow

LIST, QUEUE, DELETE = ("cache_list", ADMIN), ("cache_image", ADMIN), ("cache_delete", ADMIN)
KIND = "image.cache"

cache = Resource("cache", "caches", "/v2/cache", rules=[("manage_image_cache", ADMIN)])


def _caches(call: Call) -> ImageCaches:
    """Raises `NotFound` where the operator has closed this API; after the policy, as upstream."""
    if not call.service.settings.cache.enabled:
        raise NotFound("Caching via API is not supported at this site.")
    return call.part(ImageCaches)


@cache.operation("GET", policy=LIST, transaction="none")
def index(call: Call) -> dict[str, Any]:
    """An image that is in several caches is shown once. One that is queued is not everywhere yet."""
    caches = _caches(call)
    with call.read():
        queued = list(call.db.scalars(select(CacheQueueRow.image_id).order_by(CacheQueueRow.queued_at)))
    found: dict[str, CachedCopy] = {}
    for _, copy in caching.copies(caches):
        if copy.image_id not in queued:
            known = found.get(copy.image_id)
            found[copy.image_id] = copy if known is None else _merged(known, copy)
    return {"cached_images": [structs.asdict(copy) for copy in found.values()], "queued_images": queued}


def _merged(one: CachedCopy, other: CachedCopy) -> CachedCopy:
    return structs.replace(
        one,
        size=max(one.size, other.size),
        hits=one.hits + other.hits,
        last_accessed=max(one.last_accessed, other.last_accessed),
        last_modified=max(one.last_modified, other.last_modified),
    )


@cache.operation("PUT", "/{image_id}", policy=QUEUE, about=lambda call, image_id: find(call, image_id), ok=202)
def queue(call: Call, image_id: str) -> None:
    """Have the image brought to every host. It may be queued again at any time: what is there already is not fetched."""
    _caches(call)
    image: ImageRow = call.subject
    if image.status != "active":
        raise BadRequest("Only images with status active can be targeted for queueing")
    if call.db.scalar(select(CacheQueueRow.id).where(CacheQueueRow.image_id == image.id)) is not None:
        return
    place = CacheQueueRow(id=call.new_id(), image_id=image.id, queued_at=call.now)
    call.db.add(place)
    call.begin(KIND, place.id, image_id=image.id)
    call.record("cache", (KIND, place.id), after={"image_id": image.id})


def _leave_queue(call: Call, image_id: str | None = None) -> None:
    """Take one image from the queue, or all; their lifecycles see to what has come already."""
    mine = delete(CacheQueueRow).returning(CacheQueueRow.id)
    for id in call.db.scalars(mine if image_id is None else mine.where(CacheQueueRow.image_id == image_id)).all():
        call.ask(KIND, id, lifecycle.DELETE)


@cache.operation("DELETE", policy=DELETE, transaction="none", ok=204)
def clear(call: Call) -> None:
    caches = _caches(call)
    target = (call.request.get_header("x-image-cache-clear-target") or "").lower()
    if target not in ("", "cache", "queue"):
        raise BadRequest("If provided 'x-image-cache-clear-target' must be 'cache', 'queue' or empty string.")
    with call.write():
        if target != "cache":
            _leave_queue(call)
        call.record("uncache", (KIND, "all"), after={"target": target or "both"})
    if target != "queue":
        for node, copy in caching.copies(caches):
            caching.forget(caches, node, copy)


def _perhaps_gone(call: Call, image_id: str) -> Target:
    """The image, or none where there is none any more: that is for those alone to hear who may uncache it."""
    image = search.loaded(call.db, call.actor, is_admin(call), image_id)
    if image is None and not call.allows(DELETE[0]):
        raise _unknown(image_id)
    return Target(image)


def _unknown(image_id: str) -> NotFound:
    return NotFound(f"Image {image_id[:80]} not found.")


@cache.operation("DELETE", "/{image_id}", policy=DELETE, about=_perhaps_gone, transaction="none", ok=204)
def uncache(call: Call, image_id: str) -> None:
    """Also of an image that is not there any more: then it must be in a cache."""
    caches = _caches(call)
    if call.subject.row is None and image_id not in _known(call):
        raise _unknown(image_id)
    with call.write():
        _leave_queue(call, image_id)
        call.record("uncache", (KIND, image_id), after={"image_id": image_id})
    for node, copy in caching.copies(caches):
        if copy.image_id == image_id:
            caching.forget(caches, node, copy)


def _known(call: Call) -> set[str]:
    with call.read():
        queued = set(call.db.scalars(select(CacheQueueRow.image_id)))
    return queued | {copy.image_id for _, copy in caching.copies(_caches(call))}


@cache.operation("POST", "/clean", policy=("cache_clean", ADMIN), transaction="none", ok=200)
def clean(call: Call) -> None:
    """Sweep up what is left of downloads that stalled, and what is cached of images that were deleted."""
    caches = _caches(call)
    with call.write():
        call.record("clean", (KIND, "all"))
    caching.clean(caches, call.service.settings.cache.image_cache_stall_time)
    caching.forget_deleted(call.cloud, caches)


@cache.operation("POST", "/prune", policy=("cache_prune", ADMIN), transaction="none", ok=200)
def prune(call: Call) -> dict[str, int]:
    caches = _caches(call)
    with call.write():
        call.record("prune", (KIND, "all"))
    files, size = caching.prune(caches, call.service.settings.cache.image_cache_max_size)
    return {"total_files_pruned": files, "total_bytes_pruned": size}


@cache.operation(
    "GET",
    "/nodes/{image_id}",
    policy=("list_cached_nodes", ADMIN),
    about=lambda call, image_id: find(call, image_id),
    transaction="none",
)
def nodes(call: Call, image_id: str) -> Answer:
    """The hosts that have the image."""
    return Answer([node for node, copy in caching.copies(_caches(call)) if copy.image_id == call.subject.id])
