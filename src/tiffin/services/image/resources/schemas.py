"""JSON schemas that clients read to learn which attributes there are."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.resource import Resource
from tiffin.services.image.rules import CONTAINER_FORMATS, DISK_FORMATS, READ_ONLY, STATUSES, UUID, VISIBILITIES

schemas = Resource("schema", "schemas", "/v2/schemas")

TEXT = {"type": "string"}
MAYBE = {"type": ["null", "string"]}
WHOLE = {"type": "integer"}
YES_NO = {"type": "boolean"}


def _about(description: str, kind: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**kind, "description": description, **more}


def _base(name: str, described: dict[str, Any]) -> dict[str, Any]:
    return {**described, "readOnly": True} if name in READ_ONLY else described


_VALIDATION = _about(
    "What the content must be. An image that has its digests already must have just these.",
    {"type": "object"},
    writeOnly=True,
    additionalProperties=False,
    required=["os_hash_algo", "os_hash_value"],
    properties={
        "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
        "os_hash_algo": {"type": "string", "maxLength": 64},
        "os_hash_value": {"type": "string", "maxLength": 128},
    },
)
_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "id": _about("The image's identifier, a UUID", TEXT, pattern=UUID),
    "name": _about("A name for people", MAYBE, maxLength=255),
    "status": _about(
        "Where the image is in its life",
        TEXT,
        enum=list(STATUSES),
    ),
    "visibility": _about("Who may use the image", TEXT, enum=list(VISIBILITIES)),
    "protected": _about("Whether deletion is refused", YES_NO),
    "os_hidden": _about("Whether lists leave the image out unless asked", YES_NO),
    "checksum": _about("MD5 of the content", MAYBE, maxLength=32),
    "os_hash_algo": _about("Algorithm of os_hash_value", MAYBE, maxLength=64),
    "os_hash_value": _about("Digest of the content, in hexadecimal", MAYBE, maxLength=128),
    "owner": _about("The project that owns the image", MAYBE, maxLength=255),
    "size": _about("Size of the content in bytes", {"type": ["null", "integer"]}),
    "virtual_size": _about("Size of the disk that a guest sees, in bytes", {"type": ["null", "integer"]}),
    "container_format": _about("What wraps the disk", MAYBE, enum=[None, *CONTAINER_FORMATS]),
    "disk_format": _about("What the disk's bytes are", MAYBE, enum=[None, *DISK_FORMATS]),
    "created_at": _about("When the record was made", TEXT),
    "updated_at": _about("When the record was last changed", TEXT),
    "tags": _about("Words to find the image by", {"type": "array"}, items={"type": "string", "maxLength": 255}),
    "min_ram": _about("Memory that a guest needs, in MiB", WHOLE),
    "min_disk": _about("Root disk that a guest needs, in GiB", WHOLE),
    "direct_url": _about("Where the content is kept", TEXT),
    "self": _about("The image's address", TEXT),
    "file": _about("The address of the content", TEXT),
    "schema": _about("The address of this schema", TEXT),
    "stores": _about("The stores that keep the content", TEXT),
    "locations": _about(
        "Addresses of the content, with what is known of each",
        {"type": "array"},
        items={
            "type": "object",
            "required": ["url", "metadata"],
            "properties": {
                "url": {"type": "string", "maxLength": 255},
                "metadata": {"type": "object"},
                "validation_data": _VALIDATION,
            },
        },
    ),
}
_WELL_KNOWN: dict[str, dict[str, Any]] = {
    "kernel_id": _about("The image that holds the kernel of an AMI-style image", MAYBE, pattern=UUID),
    "ramdisk_id": _about("The image that holds the initial RAM disk of an AMI-style image", MAYBE, pattern=UUID),
    "instance_uuid": _about("The server that a snapshot was taken of", TEXT),
    "architecture": _about("The processor architecture that the content is for", TEXT),
    "os_distro": _about("The distribution's common name", TEXT),
    "os_version": _about("The distribution's version", TEXT),
    "description": _about("What the image is, for people", TEXT),
    "cinder_encryption_key_id": _about("The key that opens an encrypted volume made from the image", TEXT),
    "cinder_encryption_key_deletion_policy": _about(
        "What becomes of that key with the image", TEXT, enum=["on_image_deletion", "do_not_delete"]
    ),
}
IMAGE: dict[str, Any] = {
    "name": "image",
    "properties": {
        **{name: _base(name, described) for name, described in _ATTRIBUTES.items()},
        **{name: {**described, "is_base": False} for name, described in _WELL_KNOWN.items()},
    },
    "additionalProperties": TEXT,
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
MEMBER: dict[str, Any] = {
    "name": "member",
    "properties": {
        "member_id": _about("The project that the image is shared with", TEXT),
        "image_id": _about("The image that is shared", TEXT, pattern=UUID),
        "status": _about("What the project said about the share", TEXT, enum=["pending", "accepted", "rejected"]),
        "created_at": _about("When the image was shared", TEXT),
        "updated_at": _about("When the share was last changed", TEXT),
        "schema": {"type": "string", "readOnly": True},
    },
}


def _many(name: str, item: dict[str, Any], *links: dict[str, str]) -> dict[str, Any]:
    properties: dict[str, Any] = {name: {"type": "array", "items": item}, "schema": TEXT}
    if links:
        properties |= {"first": TEXT, "next": TEXT}
    return {"name": name, "properties": properties, "links": [*links, {"rel": "describedby", "href": "{schema}"}]}


IMAGES = _many("images", IMAGE, {"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"})
MEMBERS = _many("members", MEMBER)


@schemas.operation("GET", "/image", policy=None)
def image(call: Call) -> dict[str, Any]:
    return IMAGE


@schemas.operation("GET", "/images", policy=None)
def images(call: Call) -> dict[str, Any]:
    return IMAGES


@schemas.operation("GET", "/member", policy=None)
def member(call: Call) -> dict[str, Any]:
    return MEMBER


@schemas.operation("GET", "/members", policy=None)
def members(call: Call) -> dict[str, Any]:
    return MEMBERS
