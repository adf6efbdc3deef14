"""What an operator may set about images."""

from __future__ import annotations

import msgspec

from tiffin.core.quota import Kept
from tiffin.services.image.web import WebRules

GIB = 1 << 30


class Imports(msgspec.Struct, frozen=True):
    """`[image.imports]`: what imports may do, by upstream's option names."""

    enabled_import_methods: tuple[str, ...] = ("glance-direct", "web-download", "copy-image")
    """The operator: by which methods images may be imported, in the order in which clients are told of them."""
    image_import_plugins: tuple[str, ...] = ()
    """The operator: what is done with the bytes of every import, in this order (see import_parts.py)."""
    task_time_to_live: int = 48
    """The operator: for how many hours a task is shown after it has ended."""
    extra_properties: tuple[str, ...] = ("hw_", "trait:", "os_distro", "os_secure_boot", "os_type")
    """The operator: what the names of properties begin with that `glance-download` takes over from another region."""


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
    quotas: Kept = "own"
    """The operator: "unified" reads the limits that the identity service keeps (upstream's `use_keystone_limits`)."""
    imports: Imports = Imports()
    """The operator: what imports may do."""
    web: WebRules = WebRules()
    """The operator: what is read of the web, for tenants who name it (upstream's `[import_filtering_opts]`)."""
