"""What other services may ask of images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NotRequired, TypedDict, Unpack

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core import changes, lifecycle
from tiffin.core.actor import Actor
from tiffin.core.cloud import Cloud
from tiffin.core.driver import Impossible
from tiffin.core.errors import BadRequest, Fault, NotFound
from tiffin.core.world import World
from tiffin.services.image import content, importing, search, uploads
from tiffin.services.image.drivers.base import CachedCopy as CachedCopy  # what compute's hosts tell of their caches
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.inspection import OPAQUE_CONTAINERS
from tiffin.services.image.tables import BlobRow, CacheQueueRow, ImageRow


class BootImage(msgspec.Struct, frozen=True):
    """An image as a server is made from it."""

    id: str
    name: str
    disk_format: str
    container_format: str
    sha512: str
    size: int  # bytes of the file
    virtual_size: int  # bytes that the guest sees
    min_disk: int  # GiB
    min_ram: int  # MiB
    properties: dict[str, str]
    status: str
    owner: str | None
    visibility: str = "private"


def _boot_image(row: ImageRow) -> BootImage:
    return BootImage(
        id=row.id,
        name=row.name or "",
        disk_format=row.disk_format or "",
        container_format=row.container_format or "",
        sha512=(row.os_hash_value or "") if row.os_hash_algo == "sha512" else "",
        size=row.size or 0,
        virtual_size=row.virtual_size or row.size or 0,
        min_disk=row.min_disk,
        min_ram=row.min_ram,
        status=row.status,
        owner=row.owner,
        visibility=row.visibility,
        properties={name: value for name, value in importing.own(row.properties).items() if value is not None},
    )


def bootable(session: Session, actor: Actor, image_id: str) -> BootImage:
    """The image, for a server of this actor. Raises `NotFound` when they may not see it, `BadRequest` when nothing boots
    from it as it is."""
    row = search.loaded(session, actor, actor.is_admin, image_id)
    if row is None:
        raise NotFound(f"Image {image_id} could not be found.")
    if row.status != "active":
        raise BadRequest(f"Image {image_id} is not active.")
    if row.container_format in OPAQUE_CONTAINERS:
        raise BadRequest(
            f"Image {image_id} is unacceptable: nothing boots from the container format {row.container_format}."
        )
    found = _boot_image(row)
    if not found.sha512:
        raise BadRequest(
            f"Image {image_id} has no SHA-512 digest, by which hosts know its data. Wait until it has been read, or upload it."
        )
    return found


def boot_image(session: Session, image_id: str) -> BootImage | None:
    """The image, whoever asks; for the engine."""
    row = session.scalar(select(ImageRow).where(ImageRow.id == image_id, ImageRow.status != "deleted"))
    return _boot_image(row) if row is not None else None


def is_queued(session: Session, image_id: str) -> bool:
    """Whether the image is queued for the hosts' caches: each of them may have it."""
    return session.scalar(select(CacheQueueRow.id).where(CacheQueueRow.image_id == image_id)) is not None


class NewImage(TypedDict):
    """A snapshot's image, before its bytes."""

    image_id: str
    name: str
    owner: str
    disk_format: str
    container_format: str
    properties: dict[str, str]
    visibility: NotRequired[str]  # private unless said
    min_disk: NotRequired[int]
    min_ram: NotRequired[int]
    request_id: NotRequired[str]


def begin_image(session: Session, world: World, **image: Unpack[NewImage]) -> None:
    """Make the record of an image whose bytes will come by `finish_image`. It is `queued` until then."""
    now, request_id = world.clock(), image.get("request_id", f"req-{image['image_id']}")
    row = ImageRow(
        id=image["image_id"],
        name=image["name"],
        owner=image["owner"],
        status="queued",
        tags=[],
        visibility=image.get("visibility", "private"),
        disk_format=image["disk_format"],
        container_format=image["container_format"],
        min_disk=image.get("min_disk", 0),
        min_ram=image.get("min_ram", 0),
        properties=dict(image["properties"]),
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    lifecycle.begin(session, world, "image.image", row.id, request_id=request_id, frame={})
    changes.record(
        session, _origin(row, now, request_id), "create", ("image.image", row.id), after=changes.picture(row)
    )


def _origin(row: ImageRow, now: float, request_id: str) -> changes.Origin:
    return changes.Origin(at=now, request_id=request_id, actor_id=None, project_id=row.owner)


def finish_image(
    cloud: Cloud, image_id: str, chunks: Iterator[bytes], *, disk_format: str, request_id: str = ""
) -> None:
    """Store the bytes of an image, judge them and make it active. Outside of any transaction; repeatable: an attempt that
    died is taken over, and nothing is done when the image is active.

    Raises `Impossible` when there is no such image any more or the bytes are refused, `Refused` when the store has no room
    or the source does not answer; the image is queued again then.
    """
    try:
        with cloud.database.write() as session:
            image = session.get(ImageRow, image_id)
            if image is None or image.status in ("deleted", "killed"):
                raise Impossible(f"Image {image_id} is not there any more.")
            if image.status in ("active", "deactivated"):
                return
            _take_over(session, image)
            image.disk_format = disk_format
            origin = _origin(image, cloud.world.clock(), request_id or f"req-{image_id}")
            claim = uploads.claim(session, cloud, image, origin)
        uploads.bring(cloud, claim, chunks)
    except Fault as no:
        raise Impossible(no.message) from no


def _take_over(session: Session, image: ImageRow) -> None:
    for blob in session.scalars(select(BlobRow).where(BlobRow.image_id == image.id, BlobRow.role == "upload")):
        uploads.abandon(image, blob)


def fail_image(session: Session, image_id: str, reason: str, *, now: float = 0.0, request_id: str = "") -> None:
    """Give an image up whose bytes will never come: it stays to be seen, `killed`, until its owner deletes it."""
    image = session.get(ImageRow, image_id)
    if image is None or image.status not in ("queued", "saving"):
        return
    before, now = changes.picture(image), max(now, image.updated_at)
    _take_over(session, image)
    image.status, image.updated_at = "killed", now
    after: dict[str, Any] = {"status": "killed", "reason": reason}
    request_id = request_id or f"req-{image_id}"
    changes.record(
        session, _origin(image, now, request_id), "error", ("image.image", image_id), before=before, after=after
    )
    lifecycle.ask(session, now, ("image.image", image_id), "watch", request_id=request_id)


def open_image(cloud: Cloud, image_id: str) -> Iterator[bytes]:
    """The bytes of an active image. Outside of any transaction. Raises `Impossible` when there are none."""
    with cloud.database.read() as session:
        places = content.places(session, image_id, cloud.part(ImageStores))
    return content.read(cloud.part(ImageStores), places)
