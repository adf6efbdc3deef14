"""How bytes come into a store and become an image's: claim, stream, settle. Used by the API and by snapshots.

The claim is a row that the streaming request renews; when it is not renewed, the image's lifecycle takes it back and
forgets the bytes (lifecycles/image.py). So a request that dies at any point leaves neither. When its process is seen to
be dead, nobody waits for that (reconcilers.py).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tiffin.core import changes, lifecycle
from tiffin.core.cloud import Cloud
from tiffin.core.errors import BadRequest, Conflict, Gone, TooLarge
from tiffin.services.image import content, importing, inspection, signatures
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.inspection import Findings, Inspection
from tiffin.services.image.settings import Settings
from tiffin.services.image.tables import BlobRow, ImageRow

LEASE = 120.0
"""Seconds for which an upload counts as alive without a renewal."""
RENEW = 30.0
"""Seconds between two renewals."""

MIB = 1 << 20
BEING_WRITTEN = ("upload", "copy")
"""The roles of bytes that somebody is bringing, under a lease."""


Purpose = Literal["upload", "stage", "copy", "fetch"]
"""Bytes that become the image, that wait for their import, that the image has already in another store, that an import
brings to where bytes wait."""


class Claim(msgspec.Struct, frozen=True):
    """The right to bring the bytes of one image."""

    key: str
    image_id: str
    store: str
    disk_format: str
    container_format: str
    purpose: Purpose
    origin: changes.Origin
    most: int  # bytes that are accepted
    exactly: int | None = None  # bytes that were announced
    sha512: str | None = None  # of the bytes that the image is already: a copy has to be the same
    task: str = ""  # the import that brings them, which the image has to be waiting for


@functools.cache
def process() -> str:
    """This process among all that ever ran: host, pid, and when it started."""
    return f"{os.uname().nodename}/{os.getpid()}/{_started(os.getpid())}"


def is_dead(owner: str) -> bool:
    """Whether a process of this host is known to be gone."""
    host, pid, started = owner.rsplit("/", 2)
    return host == os.uname().nodename and _started(int(pid)) != started


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks (proc(5), `starttime`); nothing when it is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def claim(
    session: Session,
    cloud: Cloud,
    image: ImageRow,
    origin: changes.Origin,
    *,
    purpose: Purpose = "upload",
    store: str = "",
    most: int | None = None,
    task: str = "",
) -> Claim:
    """Take a queued image, or one whose upload has died, for an upload; any image for a copy. `store`: the default one
    unless said. `task`: the import that does it, whose image it is. Raises `Conflict` when the image is not free,
    `BadRequest` when its formats are not set yet, or it is said to be signed and that cannot be verified."""
    settings: Settings = cloud.service("image").settings
    if purpose != "copy":
        _take(session, image, origin.at, purpose)
    key, waits = cloud.world.new_id(), purpose in ("stage", "fetch")
    store = cloud.part(ImageStores).staging.name if waits else store or cloud.part(ImageStores).default
    session.add(
        BlobRow(
            id=key, image_id=image.id, store=store, role="upload" if purpose in ("upload", "stage") else "copy",
            owner=process(), expires=origin.at + LEASE, formats=[],
        )
    )  # fmt: skip
    lifecycle.ask(session, origin.at, ("image.image", image.id), "watch", request_id=origin.request_id)
    return Claim(
        key=key,
        image_id=image.id,
        store=store,
        disk_format=image.disk_format or "",
        container_format=image.container_format or "",
        purpose=purpose,
        origin=origin,
        most=settings.limits.bytes if most is None else min(most, settings.limits.bytes),
        sha512=image.os_hash_value if purpose == "copy" else None,
        task=task,
    )


def _take(session: Session, image: ImageRow, now: float, purpose: Purpose) -> None:
    """Have the image wait for bytes."""
    if purpose != "fetch":
        _check_free(session, image, now, purpose)
        image.status, image.updated_at = "uploading" if purpose == "stage" else "saving", now
    content.unlink_all(session, image)  # the location that an earlier attempt may have left


def _check_free(session: Session, image: ImageRow, now: float, purpose: Purpose) -> None:
    upload = select(BlobRow).where(BlobRow.image_id == image.id, BlobRow.role == "upload")
    for blob in session.scalars(upload.where(BlobRow.expires <= now)):
        abandon(image, blob)
    if image.status != "queued":
        wanted = "uploading" if purpose == "stage" else "saving"
        raise Conflict(f"Image status transition from {image.status} to {wanted} is not allowed")
    if not image.disk_format or not image.container_format:
        raise BadRequest("Properties disk_format, container_format must be set prior to saving data.")
    if purpose == "upload":
        signatures.check(image.id, image.properties)


def bring(cloud: Cloud, claim: Claim, chunks: Iterable[bytes]) -> None:
    """Stream the bytes into the store, judge them, and settle the claim. Outside of any transaction.

    Raises `BadRequest` for bytes that are not what the image says, `TooLarge`, `Gone` when the image was deleted meanwhile,
    the store's `Refused`, and what `chunks` raises; then the image is queued again and no byte is left.
    """
    settings: Settings = cloud.service("image").settings
    watched = Inspection(claim.disk_format)
    found: list[Findings] = []

    def judged() -> Iterator[bytes]:
        yield from watched.watch(_renewed(cloud, claim, _bounded(claim, chunks)))
        found.append(watched.findings())
        if claim.purpose not in ("stage", "fetch"):  # what waits for its import is judged by that
            inspection.check(found[0], claim.disk_format, claim.container_format, settings.limits.virtual_bytes)
        if claim.sha512 not in (None, found[0].sha512):
            raise BadRequest(f"The data of image {claim.image_id} is not what it was when the image became active.")

    store = cloud.part(ImageStores).get(claim.store)
    try:
        store.write(claim.key, judged())
    except Exception:
        give_up(cloud, claim)
        raise
    if not _settle(cloud, claim, found[0]):
        store.delete(claim.key)
        raise _gone(claim)


def _gone(claim: Claim) -> Gone:
    return Gone(
        f"Image {claim.image_id} could not be found after upload. The image may have been deleted during the upload."
    )


def _bounded(claim: Claim, chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > claim.most:
            raise TooLarge(f"The image is larger than the {claim.most} bytes that are accepted.")
        yield chunk
    if claim.exactly is not None and size != claim.exactly:
        raise BadRequest(f"The upload has {size} bytes, but {claim.exactly} were announced.")


def _renewed(cloud: Cloud, claim: Claim, chunks: Iterable[bytes]) -> Iterator[bytes]:
    due = claim.origin.at + RENEW
    for chunk in chunks:
        now = cloud.world.clock()
        if now >= due:
            due = now + RENEW
            with cloud.database.write() as session:
                mine = update(BlobRow).where(BlobRow.id == claim.key, BlobRow.role.in_(BEING_WRITTEN))
                if session.scalar(mine.values(expires=now + LEASE).returning(BlobRow.id)) is None:
                    raise _gone(claim)
        yield chunk


def _settle(cloud: Cloud, claim: Claim, found: Findings) -> bool:
    """Make the bytes the image's. False when the claim was lost meanwhile."""
    with cloud.database.write() as session:
        blob, image = session.get(BlobRow, claim.key), session.get(ImageRow, claim.image_id)
        if blob is None or image is None or not _holds(claim, image, blob):
            return False
        blob.size, blob.virtual_size, blob.formats, blob.problem = (
            found.size,
            found.virtual_size,
            found.formats,
            found.problem,
        )
        blob.checksum, blob.sha512 = found.checksum, found.sha512
        image.updated_at = cloud.world.clock()
        before = changes.picture(image)
        if claim.purpose in ("stage", "fetch"):
            blob.role = "stage"
        elif claim.purpose == "copy":
            content.link(session, image, blob)
        else:
            activate(session, image, blob)
        changes.record(
            session,
            claim.origin,
            claim.purpose,
            ("image.image", image.id),
            before=before,
            after=changes.picture(image),
        )
        lifecycle.ask(session, image.updated_at, ("image.image", image.id), "watch", request_id=claim.origin.request_id)
        return True


def _holds(claim: Claim, image: ImageRow, blob: BlobRow) -> bool:
    """Whether a claim is still good when its bytes have come."""
    if claim.task and not importing.expects(image, claim.task, claim.store if claim.purpose == "copy" else ""):
        return False
    if claim.purpose in ("copy", "fetch"):
        return blob.role == "copy" and image.status in ("active", "deactivated", "importing")
    return blob.role == "upload" and image.status in ("saving", "uploading")


def activate(session: Session, image: ImageRow, blob: BlobRow) -> None:
    """The bytes are the image from here on. Its lifecycle has to sweep: they may have been here before."""
    image.status = "active"
    describe(image, blob)
    content.link(session, image, blob)


def describe(image: ImageRow, blob: BlobRow | None) -> None:
    """Say of the image what is known of its bytes; nothing, when it has none."""
    image.size = blob.size if blob else None
    image.virtual_size, image.checksum = (blob.virtual_size, blob.checksum) if blob else (None, None)
    image.os_hash_algo, image.os_hash_value = ("sha512", blob.sha512) if blob else (None, None)


def findings(blob: BlobRow) -> Findings:
    """What inspection found in bytes when they came."""
    return Findings(
        size=blob.size,
        checksum=blob.checksum or "",
        sha512=blob.sha512 or "",
        formats=blob.formats,
        virtual_size=blob.virtual_size,
        problem=blob.problem,
    )


def give_up(cloud: Cloud, claim: Claim) -> None:
    """Let go of a claim: the image can be tried again, and its lifecycle forgets what was written."""
    with cloud.database.write() as session:
        blob, image = session.get(BlobRow, claim.key), session.get(ImageRow, claim.image_id)
        if blob is None or image is None or blob.role not in BEING_WRITTEN:
            return
        abandon(image, blob)
        now = cloud.world.clock()
        lifecycle.ask(session, now, ("image.image", image.id), "watch", request_id=claim.origin.request_id)


def abandon(image: ImageRow, blob: BlobRow) -> None:
    """The bytes will not become the image's; the image waits for others."""
    into_image, blob.role = blob.role in ("upload", "stage"), "gone"
    if into_image and image.status in ("saving", "uploading", "importing"):
        image.status = "queued"
