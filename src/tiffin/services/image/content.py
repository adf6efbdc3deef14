"""Which bytes an image is: one place in each of its stores, shared by images that are equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.driver import Impossible, Refused
from tiffin.core.errors import Conflict, Unavailable
from tiffin.services.image.drivers.base import ImageStores, Missing
from tiffin.services.image.tables import BlobRow, ImageRow, LocationRow


def link(session: Session, image: ImageRow, blob: BlobRow) -> BlobRow:
    """Make bytes that have come the image's, in their store; the image's lifecycle has to sweep afterwards.

    Gives the bytes that count: those which the store had already, where they are equal; the new ones are `gone` then.
    """
    equal = select(BlobRow).where(
        BlobRow.sha512 == blob.sha512, BlobRow.size == blob.size, BlobRow.store == blob.store, BlobRow.role == "data",
        BlobRow.id != blob.id, BlobRow.address.is_(None),
    )  # fmt: skip
    found = session.scalar(equal.limit(1).with_for_update()) if blob.address is None else None
    if found is None:
        blob.role, found = "data", blob
    else:
        blob.role = "gone"
    if session.get(LocationRow, (image.id, found.id)) is None:
        last = session.scalar(select(func.max(LocationRow.position)).where(LocationRow.image_id == image.id))
        session.add(LocationRow(image_id=image.id, blob_id=found.id, position=0 if last is None else last + 1, data={}))
    if found.store not in image.stores:
        image.stores = [*image.stores, found.store]
    return found


def unlink(session: Session, image: ImageRow, blob: BlobRow) -> None:
    """Let the image not be these bytes any more. Bytes that no image is are `gone`, and this image's to forget."""
    location = session.get(LocationRow, (image.id, blob.id))
    if location is not None:
        session.delete(location)
        session.flush()
    other = session.scalar(select(LocationRow.image_id).where(LocationRow.blob_id == blob.id).limit(1))
    if other is None:
        blob.role, blob.image_id = "gone", image.id
    elif blob.image_id == image.id:
        blob.image_id = other
    left = set(session.scalars(_of(image.id).with_only_columns(BlobRow.store)))
    image.stores = [name for name in image.stores if name in left]


def unlink_all(session: Session, image: ImageRow) -> None:
    """The image is about to be deleted."""
    for blob in session.scalars(_of(image.id).with_for_update()):
        unlink(session, image, blob)


def lock(session: Session, image: ImageRow) -> None:
    """Have nobody else change the image before this transaction ends; what is known of it is what it is now. For who counts its
    places and then takes one away."""
    session.refresh(image, with_for_update=True)


def _of(image_id: str) -> Select[Any]:
    return select(BlobRow).join(LocationRow, LocationRow.blob_id == BlobRow.id).where(LocationRow.image_id == image_id)


def blobs(session: Session, image_id: str) -> list[BlobRow]:
    """Where the image is, in order."""
    return list(session.scalars(_of(image_id).order_by(LocationRow.position)))


class Place(msgspec.Struct, frozen=True):
    """Where bytes are: a store's name, and what it knows them by."""

    store: str
    key: str


def places(session: Session, image_id: str, stores: ImageStores, prefer: Sequence[str] = ()) -> list[Place]:
    """Where to read an image: from the first of the preferred stores that have it, from the heaviest one, and of equals from
    the default one, before the others."""

    def rank(place: Place) -> tuple[int, int, bool]:
        wanted = prefer.index(place.store) if place.store in prefer else len(prefer)
        return wanted, -stores.weight(place.store), place.store != stores.default

    return sorted((Place(blob.store, blob.address or blob.id) for blob in blobs(session, image_id)), key=rank)


def check_unused(call: Call, id: str, store: str | None = None) -> None:
    """Look in the stores, or in this one, whether something lives on the image's bytes there. Outside of any transaction.

    What begins to in a moment is no less safe: a store does not delete what is used, and is asked again until it does.
    Raises `Conflict` when it is used, `Unavailable` when that cannot be told.
    """
    with call.read():
        alone = [blob for blob in blobs(call.db, id) if not _is_shared(call.db, id, blob)]
    for blob in alone:
        if store in (None, blob.store):
            _check_blob(call, id, blob)


def _is_shared(session: Session, image_id: str, blob: BlobRow) -> bool:
    others = select(LocationRow.image_id).where(LocationRow.blob_id == blob.id, LocationRow.image_id != image_id)
    return session.scalar(others.limit(1)) is not None


def _check_blob(call: Call, id: str, blob: BlobRow) -> None:
    try:
        used = blob.address is None and call.part(ImageStores).get(blob.store).in_use(blob.id)
    except (Refused, Impossible) as no:
        raise Unavailable(f"The store {blob.store} cannot tell whether image {id} is in use there: {no}") from no
    if used:
        raise Conflict(
            f"Image {id} could not be deleted because it is in use: volumes were made in the store {blob.store} that "
            "share its data. Delete them first."
        )


def read(stores: ImageStores, places: list[Place], start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """The bytes, from the first place that gives them. Raises what the last one says, `Missing` when there is none."""
    said: Refused | Impossible = Missing("The image has no data.")
    for place in places:
        try:
            return stores.get(place.store).read(place.key, start, length)
        except (Refused, Impossible) as no:
            said = no
    raise said
