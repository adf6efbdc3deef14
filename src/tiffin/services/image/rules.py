"""What makes an image's record valid: pure functions."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tiffin.core.errors import BadRequest, Conflict, Forbidden, RangeNotSatisfiable, TooLarge
from tiffin.core.schema import Schema, convert
from tiffin.services.image import importing
from tiffin.services.image.settings import Settings

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


def check_amounts(properties: dict[str, str | None], tags: list[str], settings: Settings) -> None:
    """Raises `TooLarge` when there are more properties or tags than an image may have."""
    count = len(importing.own(properties))
    if count > settings.properties:
        raise TooLarge(
            f"The limit has been exceeded on the number of allowed image properties. Attempted: {count}, "
            f"Maximum: {settings.properties}"
        )
    if len(tags) > settings.tags:
        raise TooLarge(
            f"The limit has been exceeded on the number of allowed image tags. Attempted: {len(tags)}, "
            f"Maximum: {settings.tags}"
        )


# --- JSON patch ---------------------------------------------------------------------------------------------------------

PATCH_V21 = "application/openstack-images-v2.1-json-patch"
PATCH_V20 = "application/openstack-images-v2.0-json-patch"
MAX_OPERATIONS = 1000


class Edit(msgspec.Struct, frozen=True):
    """One operation of a patch on one attribute."""

    op: str  # add, replace, remove
    name: str
    value: Any = None


def parse_patch(body: Any, media_type: str) -> list[Edit]:
    """The edits that a patch asks for. Raises `BadRequest`."""
    if not isinstance(body, list):
        raise BadRequest("Request body must be a JSON array of operation objects.")
    if len(body) > MAX_OPERATIONS:
        raise BadRequest(f"A patch may have at most {MAX_OPERATIONS} operations.")
    return [_edit(item, media_type) for item in body]


def _edit(item: Any, media_type: str) -> Edit:
    if not isinstance(item, dict):
        raise BadRequest("Operations must be JSON objects.")
    if media_type == PATCH_V21:
        op, path = item.get("op"), item.get("path")
    else:
        named = [op for op in ("add", "replace", "remove") if op in item]
        if len(named) != 1:
            raise BadRequest('Operation objects must contain exactly one member named "add", "remove", or "replace".')
        op, path = named[0], item[named[0]]
    if op not in ("add", "replace", "remove"):
        raise BadRequest(f"Operation {str(op)[:40]!r} is not supported. Use add, replace or remove.")
    if op != "remove" and "value" not in item:
        raise BadRequest(f'Operation "{op}" requires a member named "value".')
    return Edit(op, _pointer(path), item.get("value"))


def _pointer(path: Any) -> str:
    """The attribute that a JSON pointer (RFC 6901) names: pointers into attributes name nothing that can be changed."""
    if not isinstance(path, str) or not path.startswith("/"):
        raise BadRequest('Each operation needs a "path" that starts with "/".')
    if re.search(r"~(?![01])", path):
        raise BadRequest(f'Pointer `{path[:80]}` contains "~" not part of a recognized escape sequence.')
    name = path[1:]
    if name.startswith("locations/"):
        name = "locations"
    if "/" in name or not name:
        raise BadRequest(f"Invalid JSON pointer for this resource: '{path[:80]}'")
    return name.replace("~1", "/").replace("~0", "~")


def check_edit(edit: Edit, properties: dict[str, str | None], status: str) -> None:
    """Whether an edit may be done to an image as it is. Raises `Forbidden`, `Conflict` or `BadRequest`."""
    check_settable(edit.name)
    if edit.name == "id":
        raise Forbidden("Attribute 'id' is read-only.")
    if edit.name in KEPT:
        if edit.op == "remove":
            raise Forbidden(f"Property {edit.name} may not be removed.")
        if edit.name in ("disk_format", "container_format") and status != "queued":
            raise Forbidden(f"Attribute {edit.name} can be only replaced for a queued image.")
    else:
        if edit.op != "add" and edit.name not in properties:
            raise Conflict(f"Property {edit.name} does not exist.")
        if edit.op != "remove":
            check_property(edit.name, edit.value)


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
