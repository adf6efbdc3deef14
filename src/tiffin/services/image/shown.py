"""An image as clients see it: the record's attributes and, beside them, its own properties.

It is encoded here, since a thousand of them are one answer: what the database keeps as JSON goes out as it is.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tiffin.core.call import Call
from tiffin.core.world import iso
from tiffin.services.image.locations import Whereabouts
from tiffin.services.image.protections import Guard


class Shown(msgspec.Struct):
    """Everything but the properties."""

    name: str | None
    status: str
    visibility: str
    disk_format: str | None
    container_format: str | None
    size: int | None
    virtual_size: int | None
    min_disk: int
    min_ram: int
    protected: bool
    os_hidden: bool
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None
    owner: str | None
    id: str
    tags: list[str] | Raw
    created_at: str | None
    updated_at: str | None
    stores: str | UnsetType
    self_: str = msgspec.field(name="self")
    file: str
    schema: str = "/v2/schemas/image"
    direct_url: str | UnsetType = UNSET
    locations: list[dict[str, Any]] | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
_AS_THEY_ARE = 16  # fields that the record has in the same form
JSON = ("tags", "properties", "stores")
PARTS = (
    *(field.name for field in msgspec.structs.fields(Shown)[:_AS_THEY_ARE]),
    *("created_at", "updated_at", *JSON),
)
"""What an image is shown from; rows of `search.COLUMNS` begin with these."""
_parts = operator.attrgetter(*PARTS)


def view(call: Call, row: Any) -> Raw:
    """One image, from its object or a row of `search.COLUMNS`."""
    where = Whereabouts(call, [row])
    return _one(_parts(row), Guard(call), where)


def shown(call: Call, rows: Sequence[Any], guard: Guard) -> list[Raw]:
    """Many images, from rows of `search.COLUMNS`."""
    where = Whereabouts(call, rows)
    return [_one(row, guard, where) for row in rows]


def _one(parts: Sequence[Any], guard: Guard, where: Whereabouts) -> Raw:
    values, kept = parts[:_AS_THEY_ARE], parts[_AS_THEY_ARE : len(PARTS)]
    created_at, updated_at, tags, properties, stores = kept
    here = f"/v2/images/{values[-1]}"
    listed = Raw(tags) if isinstance(tags, str) else tags
    names = _decode(stores) if isinstance(stores, str) else stores
    kept_in = where.stores(names) if names else UNSET
    more: list[Any] = [listed, iso(created_at), iso(updated_at), kept_in, here, f"{here}/file"]
    found = Shown(*values, *more)
    where.tell(found)
    base, own = _encode(found), _properties(properties, guard)
    return Raw(b"%b,%b" % (base[:-1], own[1:]) if own != b"{}" else base)


def _properties(kept: str | dict[str, str | None], guard: Guard) -> bytes:
    """As JSON, those that the actor may see."""
    if isinstance(kept, str) and guard.open:
        return kept.encode()
    return _encode(guard.readable(_decode(kept, type=dict[str, str | None]) if isinstance(kept, str) else kept))
