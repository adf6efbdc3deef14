"""The copies of an image in several stores, of which one can be given up."""

from __future__ import annotations

from tiffin.core.call import Call
from tiffin.core.errors import Conflict, Forbidden, NotFound
from tiffin.core.resource import Resource
from tiffin.services.image import content
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.resources.images import ADMIN, find
from tiffin.services.image.tables import BlobRow, ImageRow

copies = Resource("copy", "copies", "/v2/stores")


def _one(call: Call, store: str, id: str) -> ImageRow:
    """The image. Raises `Conflict` when there is no such store."""
    if store not in call.part(ImageStores).names():
        raise Conflict(f"The selected store {store:.80} is not available on this node.")
    return find(call, id)


def _look(call: Call, store: str, id: str) -> None:
    content.check_unused(call, id, store)


@copies.operation(
    "DELETE",
    "/{store}/{id}",
    policy=("delete_image_location", ADMIN),
    about=_one,
    prepare=_look,
    event="update",
)
def delete(call: Call, store: str, id: str) -> None:
    """Upstream's name of what is deleted is that of a location: the first one of the image in this store."""
    image: ImageRow = call.subject
    content.lock(call.db, image)
    if image.status != "active":
        raise Conflict("It's not allowed to remove image data from store if image status is not 'active'")
    all_: list[BlobRow] = content.blobs(call.db, id)
    if len(all_) == 1:
        raise Forbidden(
            "Cannot delete image data from the only store containing it. Consider deleting the image instead."
        )
    found = next((blob for blob in all_ if blob.store == store), None)
    if found is None:
        raise NotFound(f"Image {id} is not stored in store {store}.")
    content.unlink(call.db, image, found)
    image.updated_at = call.now
    call.ask("image.image", id, "watch")
