"""Compares the bytes in the store, and the processes that bring them, with the rows that promise them."""

from __future__ import annotations

import structlog
from sqlalchemy import select

from tiffin.core import lifecycle
from tiffin.core.cloud import Cloud
from tiffin.core.driver import Refused
from tiffin.services.image import caching, uploads
from tiffin.services.image.drivers.base import ImageCaches, ImageStores
from tiffin.services.image.settings import Settings
from tiffin.services.image.tables import BlobRow

log = structlog.get_logger("image")


def forget_orphans(cloud: Cloud) -> None:
    """Remove bytes that no row knows: what is left when a process dies between the end of an upload that had lost its
    claim and the removal of its bytes. There is no lifecycle to wake, since there is no row; and none can be on its way,
    since a row is committed before its first byte is written, and keys are never used twice."""
    for store in cloud.part(ImageStores).all():
        try:
            kept = set(store.keys()) if store.writable else set()
        except Refused as no:  # it is looked at again, and the others now
            log.warning("image.store_silent", store=store.name, reason=f"{no}")
            continue
        if not kept:
            continue
        with cloud.database.read() as session:
            known = set(session.scalars(select(BlobRow.id)))  # of every store: an operator may have renamed this one
        for key in kept - known:
            log.warning("image.orphan", store=store.name, key=key)
            store.delete(key)


def end_dead_uploads(cloud: Cloud) -> None:
    """Wake the images whose upload died with its process, so that a restart need not wait for their claims to run out."""
    with cloud.database.read() as session:
        running = session.execute(
            select(BlobRow.id, BlobRow.owner).where(BlobRow.role.in_(uploads.BEING_WRITTEN), BlobRow.expires > 0)
        ).all()
    dead = [id for id, owner in running if uploads.is_dead(owner)]
    if not dead:
        return
    now = cloud.world.clock()
    with cloud.database.write() as session:
        for blob in session.scalars(select(BlobRow).where(BlobRow.id.in_(dead), BlobRow.role.in_(uploads.BEING_WRITTEN))):
            blob.expires = 0.0
            lifecycle.ask(session, now, ("image.image", blob.image_id), "watch", request_id=f"req-{blob.id}")


def keep_caches(cloud: Cloud) -> None:
    """Let the hosts' caches hold no image that was deleted, no stalled download, and no more bytes than they may. There is no
    lifecycle to wake: a cache promises nothing."""
    _keep(cloud, cloud.part(ImageCaches).looked_after())


def keep_own_caches(cloud: Cloud) -> None:
    """The same, of the hosts of a controller that does not lead."""
    _keep(cloud, cloud.part(ImageCaches).own())


def _keep(cloud: Cloud, caches: ImageCaches) -> None:
    settings = cloud.service("image").settings
    assert isinstance(settings, Settings)
    caching.clean(caches, settings.cache.image_cache_stall_time)
    caching.forget_deleted(cloud, caches)
    caching.prune(caches, settings.cache.image_cache_max_size)
