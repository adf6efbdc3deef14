"""What is in the caches of the hosts, and how it is kept small. The caches themselves are the truth: nothing is noted."""

from __future__ import annotations

from collections.abc import Iterator

import structlog
from sqlalchemy import select

from tiffin.core.cloud import Cloud
from tiffin.core.driver import Refused
from tiffin.services.image.drivers.base import CachedCopy, ImageCaches
from tiffin.services.image.tables import ImageRow

log = structlog.get_logger("image")


def copies(caches: ImageCaches) -> Iterator[tuple[str, CachedCopy]]:
    """Every copy with its node. A node that does not answer is not seen."""
    for node in caches.nodes():
        try:
            found = caches.cached(node)
        except Refused as no:
            log.warning("host.silent", host=node, why=str(no))
            continue
        for copy in found:
            yield node, copy


def forget(caches: ImageCaches, node: str, copy: CachedCopy) -> bool:
    """Remove a copy unless somebody stands on it or fetches it just now; whether it went."""
    try:
        return caches.forget(node, copy.image_id)
    except Refused as no:
        log.warning("image.cached_copy_stays", host=node, image=copy.image_id, why=str(no))
        return False


def prune(caches: ImageCaches, most: int) -> tuple[int, int]:
    """Let each node's copies take at most `most` bytes: those go first that nobody asked for the longest. Gives how many
    went, and their bytes."""
    held: dict[str, list[CachedCopy]] = {}
    for node, copy in copies(caches):
        held.setdefault(node, []).append(copy)
    files = size = 0
    for node, found in held.items():
        over = sum(copy.size for copy in found) - most
        for copy in sorted(found, key=lambda copy: (copy.last_accessed, copy.image_id)):
            if over > 0 and forget(caches, node, copy):
                over, files, size = over - copy.size, files + 1, size + copy.size
    return files, size


def clean(caches: ImageCaches, stalled: float) -> int:
    """Remove what is left of downloads that stalled, on every node that answers; how many there were."""
    swept = 0
    for node in caches.nodes():
        try:
            swept += caches.clean(node, stalled)
        except Refused as no:
            log.warning("host.silent", host=node, why=str(no))
    return swept


def forget_deleted(cloud: Cloud, caches: ImageCaches) -> None:
    """Remove the copies of images that are not there any more."""
    held = list(copies(caches))
    with cloud.database.read() as session:
        there = ImageRow.id.in_({copy.image_id for _, copy in held})
        known = set(session.scalars(select(ImageRow.id).where(there, ImageRow.status != "deleted")))
    for node, copy in held:
        if copy.image_id not in known:
            forget(caches, node, copy)
