"""The bytes of images: upload, download and staging."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import falcon
from msgspec import structs

from tiffin.core.call import Call
from tiffin.core.driver import Impossible, Refused
from tiffin.core.errors import BadRequest, Conflict, Forbidden, TooLarge, Unavailable, UnsupportedMediaType
from tiffin.core.http import peer
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Resource
from tiffin.services.image import content, uploads
from tiffin.services.image.drivers.base import CHUNK, ImageStores, Missing, StoreFull
from tiffin.services.image.resources.images import MODIFY, OWNER, SHOW, find, is_admin, look
from tiffin.services.image.rules import parse_range
from tiffin.services.image.tables import ImageRow
from tiffin.services.image.uploads import MIB

DOWNLOAD = SHOW.replace("role:reader", "role:member")
data = Resource("file", "files", "/v2/images/{id}", rules=[("download_from_store", DOWNLOAD)])

_DIGITS = re.compile(r"[0-9]{1,18}")


def _whole(request: falcon.Request, header: str) -> int | None:
    text = request.get_header(header)
    if text is None:
        return None
    if not _DIGITS.fullmatch(text):
        raise BadRequest(f"{header} must be a whole number, not {text[:40]!r}.")
    return int(text)


def _body(request: falcon.Request, length: int | None) -> Iterator[bytes]:
    """The body as it comes. Raises `BadRequest` when it ends before its announced length."""
    size = 0
    while length is None or size < length:
        try:
            chunk = request.stream.read(CHUNK if length is None else min(CHUNK, length - size))
        except OSError as broken:
            raise BadRequest("The upload broke off.") from broken
        if not chunk:
            break
        size += len(chunk)
        yield chunk
    if length is not None and size < length:
        raise BadRequest(f"The upload broke off after {size} of {length} bytes.")
    if length is None and not peer.is_there(request, size):
        raise BadRequest(f"The upload broke off after {size} bytes.")


def _receive(call: Call, id: str, rule: str, purpose: Literal["upload", "stage"]) -> None:
    request = call.request
    kind = (request.content_type or "").partition(";")[0].strip().lower()
    if kind != "application/octet-stream":
        raise UnsupportedMediaType(f"Image data must be sent as application/octet-stream, not {kind[:80]!r}.")
    length, announced = _whole(request, "Content-Length"), _whole(request, "X-OpenStack-Image-Size")
    store = _store(call) if purpose == "upload" else ""
    with call.write():
        image = find(call, id)
        call.enforce(rule, Target(image))
        total = "image_stage_total" if purpose == "stage" else "image_size_total"
        most = room(call, image, total, announced or length or 1)
        claim = uploads.claim(call.db, call.cloud, image, call.origin, purpose=purpose, store=store, most=most)
    claim = structs.replace(claim, exactly=announced)
    try:
        uploads.bring(call.cloud, claim, _body(request, length))
    except StoreFull as full:
        raise TooLarge(f"{full}") from full
    except Refused as no:
        raise Unavailable(f"{no}") from no


def _store(call: Call) -> str:
    """The store that the client names, the default one if none. Raises `BadRequest`."""
    stores = call.part(ImageStores)
    name = call.request.get_header("X-Image-Meta-Store") or stores.default
    if name not in stores.names() or not stores.get(name).writable:
        raise BadRequest(f"Store {name[:80]!r} is not one that images can be uploaded to.")
    return name


def room(call: Call, image: ImageRow, name: str, size: int) -> int | None:
    """The bytes that the owner's quota has left, None for no limit. Raises `OverQuota` when these will not fit."""
    owner = image.owner or ""
    call.reserve("image_count_uploading", 1, project_id=owner)
    call.reserve(name, -(-size // MIB), project_id=owner)
    room = call.quotas.room(call.db, name, owner)
    return None if room is None else room * MIB


@data.operation("PUT", "/file", policy=("upload_image", OWNER), about=look, transaction="none", raw=True, ok=204)
def upload(call: Call, id: str) -> None:
    _receive(call, id, "upload_image", "upload")


@data.operation("PUT", "/stage", policy=MODIFY, about=look, transaction="none", raw=True, ok=204)
def stage(call: Call, id: str) -> None:
    _receive(call, id, "modify_image", "stage")


@data.operation("GET", "/file", policy=("download_image", DOWNLOAD), about=look, transaction="none")
def download(call: Call, id: str) -> Answer:
    with call.read():
        image = find(call, id)
        call.enforce("download_image", Target(image))
        prefer = (call.param("prefer") or "").split(",")
        if any(prefer):
            call.enforce("download_from_store", Target(image))
        if image.status == "deactivated" and not is_admin(call):
            raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
        there = image.status in ("active", "deactivated")
        places = content.places(call.db, id, call.part(ImageStores), prefer) if there else []
    if not places:
        return Answer(status=204)
    size, headers = image.size or 0, {}
    asked = call.request.get_header("Range") or call.request.get_header("Content-Range")
    start, length = parse_range(asked, size) if asked else (0, size)
    if asked:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    elif image.checksum:
        headers["Content-MD5"] = image.checksum
    headers["Accept-Ranges"] = "bytes"
    try:
        chunks = content.read(call.part(ImageStores), places, start, length)
    except Missing as lost:  # deleted a moment ago
        raise Conflict(f"The data of image {id} is not there any more.") from lost
    except Refused as no:  # it is on a server of somebody else's
        raise Unavailable(f"The data of image {id} cannot be read now: {no}") from no
    except Impossible as no:
        raise Conflict(f"The data of image {id} cannot be read: {no}") from no
    return Answer(chunks, 206 if asked else 200, headers, "application/octet-stream", length)
