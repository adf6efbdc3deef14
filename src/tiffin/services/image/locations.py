"""Where the bytes of an image are, as clients may see and say it.

An address that a client gives is one of a store that only reads: a `BlobRow` keeps it, and there is no byte of ours behind it.
Our own bytes have addresses too, which may be seen but never given, so that nobody comes to bytes by naming where they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.driver import Impossible, Refused
from tiffin.core.errors import BadRequest, Conflict, Fault, Forbidden, TooLarge
from tiffin.core.policy import Target
from tiffin.core.schema import Schema, convert
from tiffin.services.image import content, web
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.patch import Edit
from tiffin.services.image.settings import Locations, Settings
from tiffin.services.image.tables import BlobRow, ImageRow, LocationRow, TaskRow

MIB = 1 << 20
MOST_METADATA = 16 << 10
"""Bytes of JSON that may be said of one location."""
ALGORITHMS = {"sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64}
"""The digests that clients may tell, and their bytes."""
OURS = "sha512"


class ValidationIn(Schema):
    os_hash_algo: Annotated[str, Meta(max_length=64)]
    os_hash_value: Annotated[str, Meta(max_length=128)]
    checksum: Annotated[str, Meta(min_length=32, max_length=32)] | UnsetType = UNSET


Metadata = dict[Annotated[str, Meta(max_length=255)], Any]


class LocationIn(Schema):
    url: Annotated[str, Meta(max_length=255)]
    metadata: Metadata = msgspec.field(default_factory=dict)
    validation_data: ValidationIn | UnsetType = UNSET


class Known(msgspec.Struct, frozen=True):
    """One location of an image."""

    blob: BlobRow
    location: LocationRow


def settings_of(call: Call) -> Locations:
    settings: Settings = call.service.settings
    return settings.imports.locations


def known(session: Session, image_ids: Iterable[str]) -> dict[str, list[Known]]:
    """The locations of these images, each's in order; one statement."""
    found: dict[str, list[Known]] = {id: [] for id in image_ids}
    of = select(BlobRow, LocationRow).join(LocationRow, LocationRow.blob_id == BlobRow.id)
    for blob, location in session.execute(of.where(LocationRow.image_id.in_(found)).order_by(LocationRow.position)):
        found[location.image_id].append(Known(blob, location))
    return found


def address(stores: ImageStores, blob: BlobRow) -> str:
    """Where bytes are; nothing when their store is not there any more, or does not say."""
    try:
        return blob.address or stores.get(blob.store).address(blob.id)
    except (Refused, Impossible):
        return ""


def views(stores: ImageStores, all_: Iterable[Known]) -> list[dict[str, Any]]:
    """Locations as clients see them, as far as their addresses are known."""
    found = [(address(stores, one.blob), one) for one in all_]
    return [{"url": url, "metadata": {**one.location.data, "store": one.blob.store}} for url, one in found if url]


# --- in the view of an image ----------------------------------------------------------------------------------------------


class Telling(Protocol):
    """An image on its way to a client."""

    id: str
    direct_url: str | UnsetType
    locations: list[dict[str, Any]] | UnsetType


class Whereabouts:
    """What some images tell of where they are: their stores always, their locations as far as they are shown to the actor."""

    def __init__(self, call: Call, rows: Iterable[Any]) -> None:
        self._call, self._shown, self._stores = call, settings_of(call), call.part(ImageStores)
        on = self._shown.show_image_direct_url or self._shown.show_multiple_locations
        self._rows = {row.id: row for row in rows} if on else {}
        self._known = known(call.db, self._rows) if on else {}

    def stores(self, names: list[str]) -> str:
        return ",".join(self._stores.ordered(names))

    def tell(self, found: Telling) -> None:
        """Put into the view of an image what its client may know."""
        if not self._known:
            return
        allowed = self._call.allows("get_image_location", Target(self._rows[found.id]))
        all_ = views(self._stores, self._known[found.id]) if allowed else []
        all_.sort(key=lambda one: -self._stores.weight(one["metadata"]["store"]))
        if self._shown.show_multiple_locations:
            found.locations = all_
        if self._shown.show_image_direct_url and all_:
            found.direct_url = all_[0]["url"]


def tasks(session: Session, image_id: str) -> list[str]:
    """The tasks that add a location to the image now."""
    running = TaskRow.status.in_(("pending", "processing"))
    mine = select(TaskRow.id).where(TaskRow.image_id == image_id, TaskRow.type == "location_import", running)
    return list(session.scalars(mine))


# --- what clients add -----------------------------------------------------------------------------------------------------


def judged(call: Call, url: str) -> str:
    """The store that reads this address. Raises `BadRequest` when there is none, or the operator does not let it be read."""
    store = call.part(ImageStores).reading(url)
    if store is None:
        raise BadRequest(f"Invalid location: no store of this cloud reads the address {url!r}.")
    settings: Settings = call.service.settings
    try:
        web.judge(url, settings.web)
    except BadRequest as no:
        raise BadRequest(f"Invalid location: the address does not pass filtering: {no.message}") from None
    return store.name


def size_at(stores: ImageStores, url: str, most: int) -> int:
    """The bytes at an address, by asking there. Outside of any transaction. Raises `Refused` or `Impossible`."""
    store = stores.reading(url)
    if store is None:
        raise Impossible(f"No store of this cloud reads the address {url} any more.")
    size = store.size(url)
    if not size:
        raise Impossible(f"Invalid location: {url} does not say how many bytes there are, or there are none.")
    if size > most:
        raise Impossible(f"Invalid location: there are {size} bytes at {url}; at most {most} are accepted.")
    return size


def look_ahead(call: Call, image: ImageRow, edits: list[Edit]) -> dict[str, int]:
    """The sizes of what the edits of a patch bring to the image. Outside of any transaction.

    Raises `BadRequest` for an address that does not give its size, and what the patch itself would raise before."""
    if not settings_of(call).show_multiple_locations:
        return {}
    given = [item for edit in edits if edit.op != "remove" for item in _items(edit)]
    with call.read():
        if given:
            call.enforce("set_image_location", Target(image))
        all_ = known(call.db, [image.id])[image.id]
        there = {view["url"] for view in views(call.part(ImageStores), all_)}
    new = list(dict.fromkeys(item.url for item in given if item.url not in there))
    _check_count(call, len(all_) + len(new))
    _check_removed(call, image, edits, all_)
    for url in new:
        judged(call, url)
    settings: Settings = call.service.settings
    try:
        return {url: size_at(call.part(ImageStores), url, settings.limits.bytes) for url in new}
    except (Refused, Impossible) as no:
        raise BadRequest(f"{no}") from no


def _items(edit: Edit) -> list[LocationIn]:
    values = edit.value if edit.op == "replace" else [edit.value]
    if not isinstance(values, list):
        raise BadRequest("Invalid locations: a list of objects with the keys url and metadata is needed.")
    found: list[LocationIn] = [convert(LocationIn, value) for value in values]
    for item in found:
        if len(msgspec.json.encode(item.metadata)) > MOST_METADATA:
            raise BadRequest(f"The metadata of a location may have at most {MOST_METADATA} bytes.")
    return found


def _check_count(call: Call, count: int) -> None:
    most = settings_of(call).image_location_quota
    if 0 <= most < count:
        raise TooLarge(
            f"The limit has been exceeded on the number of allowed image locations. Attempted: {count}, Maximum: {most}"
        )


def _check_removed(call: Call, image: ImageRow, edits: list[Edit], all_: list[Known]) -> None:
    for edit in edits:
        at = _position(edit, len(all_)) if edit.op == "remove" else None
        if at is not None:
            content.check_unused(call, image.id, all_[at].blob.store)


# --- a patch --------------------------------------------------------------------------------------------------------------


def patch(call: Call, image: ImageRow, edit: Edit, sizes: dict[str, int]) -> None:
    """One edit of `locations`, in the request's transaction. `sizes`: what `look_ahead` gave.

    Raises `Forbidden` when locations are not shown, `BadRequest`, `Conflict`, `TooLarge`, `OverQuota`."""
    if edit.op == "replace" and not edit.value:
        raise Forbidden("Cannot set locations to empty list.")
    call.enforce("delete_image_location" if edit.op == "remove" else "set_image_location", Target(image))
    does = {"replace": "update", "add": "add", "remove": "remove"}[edit.op]
    if not settings_of(call).show_multiple_locations:
        raise Forbidden(f"It's not allowed to {does} locations if locations are invisible.")
    content.lock(call.db, image)
    if image.status not in (("active",) if edit.op == "remove" else ("active", "queued")):
        does = "replace" if edit.op == "replace" else does
        raise Conflict(f"It's not allowed to {does} locations if image status is {image.status}.")
    if image.status == "queued":
        content.unlink_all(call.db, image)  # what an earlier attempt has left
    all_ = known(call.db, [image.id])[image.id]
    if edit.op == "remove":
        _remove(call, image, edit, all_)
        return
    items = _items(edit)
    values = _validated(image, items)
    if edit.op == "replace" and all_:
        _reorder(call, items, all_)
    else:
        _add(call, image, edit, all_, sizes)
    if image.status == "queued":
        _begin(image, values)


def _position(edit: Edit, count: int) -> int | None:
    """Where in the list an edit is; None when it is nowhere."""
    last = count if edit.op == "add" else count - 1
    if last < 0:
        return None
    if edit.position == "-":
        return last
    if not edit.position.isascii() or not edit.position.isdecimal() or len(edit.position) > 9:
        return None
    return min(last, int(edit.position))


def _remove(call: Call, image: ImageRow, edit: Edit, all_: list[Known]) -> None:
    if len(all_) <= 1:
        raise Forbidden("Cannot delete last location in the image")
    at = _position(edit, len(all_))
    if at is None:
        raise BadRequest("Invalid position for removing a location.")
    content.unlink(call.db, image, all_[at].blob)
    call.ask("image.image", image.id, "watch")


def _reorder(call: Call, items: list[LocationIn], all_: list[Known]) -> None:
    """The same locations, in this order and with these metadata."""
    there = {address(call.part(ImageStores), one.blob): one for one in all_}
    if sorted(there) != sorted(item.url for item in items):
        raise BadRequest("Original locations is not empty: what is there can be put in order, and its metadata changed.")
    for position, item in enumerate(items):
        location = there[item.url].location
        location.position, location.data = position, _metadata(item)


def _metadata(item: LocationIn) -> dict[str, Any]:
    return {name: value for name, value in item.metadata.items() if name != "store"}


def _add(call: Call, image: ImageRow, edit: Edit, all_: list[Known], sizes: dict[str, int]) -> None:
    at = _position(edit, len(all_)) if edit.op == "add" else 0
    if at is None:
        raise BadRequest("Invalid position for adding a location.")
    items = _items(edit)
    _check_count(call, len(all_) + len(items))
    there = {address(call.part(ImageStores), one.blob) for one in all_}
    for one in all_[at:]:
        one.location.position += len(items)
    for number, item in enumerate(items):
        if item.url in there:
            raise BadRequest(f"The location {item.url} already exists")
        if item.url not in sizes:  # it was one of the image's own when we looked
            raise Conflict("The image's locations have just changed. Try again.")
        there.add(item.url)
        store = judged(call, item.url)
        if image.size is None:
            call.reserve("image_size_total", -(-sizes[item.url] // MIB), project_id=image.owner or "")
            image.size = sizes[item.url]
        blob = new_blob(call.new_id(), image, store, item.url)
        blob.role, blob.size = "data", sizes[item.url]
        call.db.add(blob)
        call.db.flush()
        place(call.db, image, blob, at + number, _metadata(item))


def new_blob(id: str, image: ImageRow, store: str, url: str) -> BlobRow:
    """An address of the image that is not one of its locations yet."""
    return BlobRow(id=id, image_id=image.id, store=store, address=url, role="address", owner="", expires=0.0, formats=[])


def place(session: Session, image: ImageRow, blob: BlobRow, position: int, data: dict[str, Any]) -> None:
    """Make an address a location of the image."""
    session.add(LocationRow(image_id=image.id, blob_id=blob.id, position=position, data=data))
    session.flush()
    if blob.store not in image.stores:
        image.stores = [*image.stores, blob.store]


def _begin(image: ImageRow, values: dict[str, str]) -> None:
    """What an image of old ways is from its first location on: active, with the digests that were told, if any."""
    if not image.disk_format or not image.container_format:
        raise BadRequest("Properties disk_format, container_format must be set prior to saving data.")
    for name, value in values.items():
        setattr(image, name, value)
    image.status = "active"


def _validated(image: ImageRow, items: list[LocationIn]) -> dict[str, str]:
    """The digests that are told and that the image does not have yet. Raises `Conflict` when they disagree."""
    told: dict[str, str] = {}
    for item in items:
        if item.validation_data is UNSET:
            continue
        for name in ("os_hash_algo", "os_hash_value", "checksum"):
            value = getattr(item.validation_data, name)
            if value is not UNSET and told.setdefault(name, value) != value:
                raise Conflict(f"Conflicting values for {name}")
    new = {name: value for name, value in told.items() if getattr(image, name) != value}
    for name in new:
        if getattr(image, name):
            raise Conflict(f"{name} is already set with a different value")
    if new and image.status != "queued":
        raise Conflict(f"New value(s) for {', '.join(new)} may only be provided when image status is 'queued'")
    if new:
        if told["os_hash_algo"] != OURS:
            raise Conflict(f"os_hash_algo must be {OURS}, not {told['os_hash_algo']}")
        check_digests(told, Conflict)
    return new


def check_digests(told: dict[str, str], fault: type[Fault]) -> None:
    """Raises the fault unless the digests are of their form."""
    sizes = {"os_hash_value": ALGORITHMS.get(told["os_hash_algo"]), "checksum": 16}
    if sizes["os_hash_value"] is None:
        raise fault(f"Invalid os_hash_algo: {told['os_hash_algo']!r}. It must be one of {', '.join(ALGORITHMS)}.")
    for name, size in sizes.items():
        try:
            if name in told and len(bytes.fromhex(told[name])) != size:
                raise fault(f"{name} ({told[name]}) is not the correct size (should be {size} bytes)")
        except ValueError:
            raise fault(f"{name} ({told[name]!r}) is not a valid hexadecimal value") from None
