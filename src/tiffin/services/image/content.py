"""Which bytes an image is: one place in each of its stores, shared by images that are equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from tiffin.core.driver import Impossible, Refused
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
        session.add(LocationRow(image_id=image.id, blob_id=found.id, data={}))
    image.stores = [*(name for name in image.stores if name != found.store), found.store]
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
    image.stores = [name for name in image.stores if name != blob.store]


def unlink_all(session: Session, image: ImageRow) -> None:
    """The image is about to be deleted."""
    for blob in session.scalars(_of(image.id).with_for_update()):
        unlink(session, image, blob)


def _of(image_id: str) -> Select[Any]:
    return select(BlobRow).join(LocationRow, LocationRow.blob_id == BlobRow.id).where(LocationRow.image_id == image_id)


def blobs(session: Session, image_id: str) -> list[BlobRow]:
    """Where the image is, in the order in which its stores are named."""
    return list(session.scalars(_of(image_id).order_by(BlobRow.id)))


class Place(msgspec.Struct, frozen=True):
    """Where bytes are: a store's name, and what it knows them by."""

    store: str
    key: str


def places(session: Session, image_id: str, stores: ImageStores) -> list[Place]:
    """Where to read an image, the default store first."""
    found = [Place(blob.store, blob.address or blob.id) for blob in blobs(session, image_id)]
    return sorted(found, key=lambda place: place.store != stores.default)


def read(stores: ImageStores, places: list[Place], start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """The bytes, from the first place that has them. Raises `Missing` when none has, and what a place says that is on
    somebody else's server: `Refused` or `Impossible`."""
    lost: Refused | Impossible | None = None
    for place in places:
        try:
            return stores.get(place.store).read(place.key, start, length)
        except (Refused, Impossible) as no:
            lost = lost or no
    raise lost or Missing("The image has no data.")
