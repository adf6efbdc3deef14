"""What an operator may set about images."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tiffin.core.quota import Kept

GIB = 1 << 30


class CacheSettings(msgspec.Struct, frozen=True):
    """The table [image.cache]: the images that hosts keep. Names and defaults are upstream's."""

    enabled: bool = True
    """Operators of clouds whose administrators shall not meddle with the caches: false closes `/v2/cache` (upstream does so
    where `image_cache_dir` is not set). The hosts keep their caches all the same."""
    image_cache_max_size: Annotated[int, Meta(ge=0)] = 10 * GIB
    """Operators with small or large disks: the bytes that the images of one host may take. Beyond, those go that have not
    been asked for the longest; never one on which a guest's disk stands."""
    image_cache_stall_time: Annotated[int, Meta(ge=0)] = 86_400
    """Operators: after how many seconds a download that nobody continues is swept up."""


class Conversion(msgspec.Struct, frozen=True):
    """The table [image.imports.image_conversion]: what the plug-in of that name makes of imported disks."""

    output_format: Literal["raw", "qcow2", "vmdk"] = "raw"
    """Operators whose stores or hypervisors want one format, such as raw for Ceph's copy-on-write clones."""


class Injection(msgspec.Struct, frozen=True):
    """The table [image.imports.inject_metadata_properties]: what the plug-in inject_image_metadata adds to imported images."""

    inject: dict[
        Annotated[str, Meta(min_length=1, max_length=255, pattern="^(?!os_glance)")],
        Annotated[str, Meta(max_length=65_535)],
    ] = {}
    """Operators: properties by name. Their values win over those that the image has."""
    ignore_user_roles: tuple[str, ...] = ("admin",)
    """Operators: the imports of users with one of these roles are left as they are."""


class Imports(msgspec.Struct, frozen=True):
    """`[image.imports]`: what imports may do, by upstream's option names."""

    enabled_import_methods: tuple[str, ...] = ("glance-direct", "copy-image")
    """The operator: by which methods images may be imported, in the order in which clients are told of them."""
    image_import_plugins: tuple[str, ...] = ()
    """The operator: what is done with the bytes of every import, in this order (see import_parts.py)."""
    image_conversion: Conversion = Conversion()
    """The operator: what the plug-in of that name makes of disks."""
    inject_metadata_properties: Injection = Injection()
    """The operator: what the plug-in inject_image_metadata adds."""
    max_unpacked_bytes: Annotated[int, Meta(ge=0)] = 256 * GIB
    """The operator: how large a file a plug-in may make of an import. A few megabytes can be written so that they unpack, or
    convert, to any size."""
    task_time_to_live: int = 48
    """The operator: for how many hours a task is shown after it has ended."""


class Settings(msgspec.Struct, frozen=True):
    max_bytes: int = 1024 * GIB
    """The operator: the largest image that is accepted, in bytes (upstream's `image_size_cap`)."""
    max_virtual_bytes: int = 16 * 1024 * GIB
    """The operator: the largest disk, in bytes, that an image may claim to unfold to; more is a denial of service."""
    properties: int = 128
    """The operator: how many properties of its own an image may have (upstream's `image_property_quota`)."""
    tags: int = 128
    """The operator: how many tags an image may have (upstream's `image_tag_quota`)."""
    members: int = 128
    """The operator: with how many projects an image may be shared (upstream's `image_member_quota`)."""
    cache: CacheSettings = CacheSettings()
    quotas: Kept = "own"
    """The operator: "unified" reads the limits that the identity service keeps (upstream's `use_keystone_limits`)."""
    imports: Imports = Imports()
    """The operator: what imports may do."""
