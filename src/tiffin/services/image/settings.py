"""What an operator may set about images."""

from __future__ import annotations

from typing import Literal

import msgspec

from tiffin.core.quota import Kept

GIB = 1 << 30


class PropertyProtection(msgspec.Struct, frozen=True):
    """`[image.property_protection]`: which properties of images only some may touch (see protections.py)."""

    file: str = ""
    """The operator: the file that says so, in HOME/policy (upstream's `property_protection_file`). Empty: there is none."""
    rule_format: Literal["roles", "policies"] = "roles"
    """The operator: what the file names, roles or rules of policy (upstream's `property_protection_rule_format`)."""


class Settings(msgspec.Struct, frozen=True):
    max_bytes: int = 1024 * GIB
    """The operator: the largest image that is accepted, in bytes (upstream's `image_size_cap`)."""
    max_virtual_bytes: int = 16 * 1024 * GIB
    """The operator: the largest disk, in bytes, that an image may claim to unfold to; more is a denial of service."""
    properties: int = 128
    """The operator: how many properties of its own an image may have, -1 any number (upstream's `image_property_quota`)."""
    tags: int = 128
    """The operator: how many tags an image may have, -1 any number (upstream's `image_tag_quota`)."""
    members: int = 128
    """The operator: with how many projects an image may be shared, -1 any number (upstream's `image_member_quota`)."""
    quotas: Kept = "unified"
    """The operator: "unified" reads the limits that the identity service keeps (upstream's `use_keystone_limits`), which
    start with the defaults of `service.py`; "own": each project has those defaults, and none of its own."""
    property_protection: PropertyProtection = PropertyProtection()
    """The operator: which properties of images only some may touch."""
