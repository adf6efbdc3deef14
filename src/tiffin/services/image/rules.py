"""What makes an image's record valid: pure functions."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tiffin.core.errors import BadRequest, Forbidden, RangeNotSatisfiable, TooLarge
from tiffin.core.schema import Schema, convert

UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
VISIBILITIES = ("community", "public", "private", "shared")
STATUSES = (
    "queued",
    "saving",
    "active",
    "killed",
    "deleted",
    "uploading",
    "importing",
    "pending_delete",
    "deactivated",
)

READ_ONLY = frozenset(
    {
        "created_at",
        "updated_at",
        "status",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "size",
        "virtual_size",
        "direct_url",
        "self",
        "file",
        "schema",
        "stores",
    }
)
RESERVED = frozenset({"location", "locations", "deleted", "deleted_at"})
KEPT = frozenset(
    {
        "id",
        "name",
        "owner",
        "visibility",
        "disk_format",
        "container_format",
        "min_disk",
        "min_ram",
        "protected",
        "os_hidden",
        "tags",
    }
)
"""What a client may set that is no property."""

Word = Annotated[str, Meta(max_length=255)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


def _one_of(words: tuple[str, ...]) -> Meta:
    return Meta(pattern=f"^(?:{'|'.join(words)})$", max_length=32)


class ImageIn(Schema):
    """What clients may say about an image, its properties aside."""

    id: Annotated[str, Meta(pattern=UUID)] | UnsetType = UNSET
    name: Word | UnsetType | None = UNSET
    owner: Word | UnsetType | None = UNSET
    visibility: Annotated[str, _one_of(VISIBILITIES)] | UnsetType = UNSET
    disk_format: Annotated[str, _one_of(DISK_FORMATS)] | UnsetType | None = UNSET
    container_format: Annotated[str, _one_of(CONTAINER_FORMATS)] | UnsetType | None = UNSET
    min_disk: Count | UnsetType = UNSET
    min_ram: Count | UnsetType = UNSET
    protected: bool | UnsetType = UNSET
    os_hidden: bool | UnsetType = UNSET
    tags: Annotated[list[Word], Meta(max_length=1024)] | UnsetType = UNSET


class KnownProperties(Schema):
    """Properties that upstream's schema types; every other one is any string."""

    _unknown_ = "ignore"
    kernel_id: Annotated[str, Meta(pattern=UUID)] | UnsetType | None = UNSET
    ramdisk_id: Annotated[str, Meta(pattern=UUID)] | UnsetType | None = UNSET
    cinder_encryption_key_deletion_policy: (
        Annotated[str, Meta(pattern="^(?:on_image_deletion|do_not_delete)$")] | UnsetType
    ) = UNSET


Property = Annotated[str, Meta(max_length=65535)]
NULLABLE = frozenset({"kernel_id", "ramdisk_id"})


def check_settable(name: str) -> None:
    """Raises `Forbidden` for what only the service itself says."""
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith("os_glance"):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def check_attributes(values: dict[str, Any]) -> dict[str, Any]:
    """The base attributes, valid. Raises `BadRequest` naming the attribute."""
    checked = convert(ImageIn, values)
    found = {name: getattr(checked, name) for name in values}
    if "tags" in found:
        found["tags"] = sorted(set(found["tags"]))
    if found.get("owner") == "":
        found["owner"] = None
    return found


def check_property(name: str, value: Any) -> None:
    """Raises `BadRequest` unless it may be a property of an image."""
    if not 1 <= len(name) <= 255:
        raise BadRequest("The name of a property must have 1 to 255 characters.")
    if value is None and name in NULLABLE:
        return
    try:
        msgspec.convert(value, Property)
        convert(KnownProperties, {name: value})
    except msgspec.ValidationError as bad:
        raise BadRequest(f"Invalid input for field/attribute {name}: {bad}.") from None


MOST_KEPT = 128 << 10
"""Bytes of all properties of an image together, as JSON: a list may show a thousand images. Upstream bounds each alone."""


def check_size(properties: dict[str, str | None]) -> None:
    """Raises `TooLarge` when an image would have more bytes of properties than it may."""
    size = len(msgspec.json.encode(properties))
    if size > MOST_KEPT:
        raise TooLarge(f"The properties of an image may have {MOST_KEPT} bytes together; these have {size}.")


def check_amount(what: str, count: int, most: int) -> None:
    """Raises `TooLarge` when an image would have more of something (properties, tags, members) than it may; -1: any number."""
    if 0 <= most < count:
        raise TooLarge(
            f"The limit has been exceeded on the number of allowed image {what}. Attempted: {count}, Maximum: {most}"
        )


# --- ranges -------------------------------------------------------------------------------------------------------------

_RANGE = re.compile(r"bytes[= ](\d{0,18})-(\d{0,18})(?:/(?:\d{1,18}|\*))?")


def parse_range(header: str, size: int) -> tuple[int, int]:
    """The first byte and the number of bytes that `Range` (RFC 9110) or, as old clients send it, `Content-Range` asks for.

    Raises `RangeNotSatisfiable` when it is none, asks for several, or begins behind the end.
    """
    found = _RANGE.fullmatch(header.strip())
    no = RangeNotSatisfiable(
        f"The range {header[:80]!r} cannot be given of {size} bytes.", headers={"Content-Range": f"bytes */{size}"}
    )
    if found is None or not (found[1] or found[2]):
        raise no
    if not found[1]:  # the last bytes
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1 if found[2] else size)
    if start >= end:
        raise no
    return start, end - start
