"""An image made from a server, and a server made new from an image."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tiffin.core import changes
from tiffin.core.call import Call
from tiffin.core.errors import Conflict
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema, downgrade, since, until
from tiffin.services.compute import rules
from tiffin.services.compute.resources import create_checks as checks
from tiffin.services.compute.resources import server_view as seen
from tiffin.services.compute.resources.finding import find, ready
from tiffin.services.compute.resources.server_actions import ask
from tiffin.services.compute.resources.server_create import FileIn, password
from tiffin.services.compute.resources.servers import KIND, MEMBER, HostNameIn, address, given_hostname
from tiffin.services.compute.resources.words import (
    Address,
    Base64,
    Boolean,
    Description,
    DiskConfig,
    Metadata,
    Name,
    Uuid,
)
from tiffin.services.compute.tables import Server
from tiffin.services.image import public as images

actions = Resource("server", "servers", "/v2.1/servers")


class CreateImage(Schema):
    name: Name
    metadata: Metadata | UnsetType = UNSET


@actions.action("createImage", policy=("os_compute_api:servers:create_image", MEMBER), body=CreateImage, about=find)
def create_image(call: Call, id: str, body: CreateImage) -> Answer:
    row: Server = call.subject
    ready(call, row, "createImage", ("active", "stopped", "paused", "suspended"))
    call.reserve("metadata_items", len(body.metadata or {}))
    image_id = call.new_id()
    inherited = {k: str(v) for k, v in row.image.get("properties", {}).items()}
    told = {
        "image_type": "snapshot",
        "instance_uuid": row.id,
        "user_id": row.user_id,
        "base_image_ref": row.image_id or "",
        "image_location": "snapshot",
        "image_state": "available",
        "owner_id": row.project_id,
    }
    images.begin_image(
        call.db,
        call.cloud.world,
        image_id=image_id,
        name=body.name,
        owner=call.actor.project_id or row.project_id,
        disk_format="qcow2",
        container_format="bare",
        properties={**inherited, **told, **(body.metadata or {})},
        min_disk=row.root_gb,
        min_ram=row.image.get("min_ram", 0),
        request_id=call.request_id,
    )
    ask(call, row, ("snapshot", "createImage", "image_snapshot"), image_id=image_id)
    if call.version >= (2, 45):
        return Answer({"image_id": image_id}, 202)
    return Answer(None, 202, {"Location": f"{call.cloud_url}/image/v2/images/{image_id}"})


class Rebuild(Schema):
    image_ref: Uuid = msgspec.field(name="imageRef")
    name: Name | UnsetType = UNSET
    admin_pass: Annotated[str, Meta(max_length=255)] | UnsetType = msgspec.field(default=UNSET, name="adminPass")
    metadata: Metadata | UnsetType = UNSET
    preserve_ephemeral: Boolean | UnsetType = UNSET
    disk_config: DiskConfig | UnsetType = msgspec.field(default=UNSET, name="OS-DCF:diskConfig")
    access_ip_v4: Address | UnsetType = msgspec.field(default=UNSET, name="accessIPv4")
    access_ip_v6: Address | UnsetType = msgspec.field(default=UNSET, name="accessIPv6")
    personality: Annotated[Annotated[list[FileIn], Meta(max_length=64)] | UnsetType, until(2, 57)] = UNSET
    description: Annotated[Description | UnsetType | None, since(2, 19)] = UNSET
    key_name: Annotated[Name | UnsetType | None, since(2, 54)] = UNSET
    user_data: Annotated[Base64 | UnsetType | None, since(2, 57)] = UNSET
    trusted_certificates: Annotated[
        Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(min_length=1, max_length=50)]
        | UnsetType
        | None,
        since(2, 63),
    ] = msgspec.field(default=UNSET, name="trusted_image_certificates")
    hostname: HostNameIn = UNSET


class _Size(msgspec.Struct):
    ram: int
    disk: int


@actions.action("rebuild", policy=("os_compute_api:servers:rebuild", MEMBER), body=Rebuild, about=find)
def rebuild(call: Call, id: str, body: Rebuild) -> Any:
    row: Server = call.subject
    ready(call, row, "rebuild", ("active", "stopped", "error"))
    if row.launched_at is None:
        raise Conflict(f"Cannot 'rebuild' instance {id} while it is not launched")
    image = checks.image_of(call, body.image_ref)
    checks.fits(call, _Size(row.memory_mb, row.root_gb), image)
    old = changes.picture(row)
    was_stopped = row.vm_state == "stopped"
    for column, value in {**checks.images(call, image), **_changes(call, body)}.items():
        setattr(row, column, value)
    secret = str(body.admin_pass) if body.admin_pass is not UNSET else password(call)
    row.admin_password = call.cloud.secrets.encrypt(secret.encode()) if row.config_drive else None
    ask(call, row, ("rebuild", "rebuild", "rebuilding"), was_stopped=was_stopped)
    call.record("rebuild.start", (KIND, id), before=old, after=changes.picture(row))
    call.db.flush()
    shown = seen.view_of_change(call, seen.look(call.db, id))
    encoded = msgspec.to_builtins(downgrade(shown, call.version))
    encoded["adminPass"] = secret
    if call.version >= (2, 57):
        encoded["user_data"] = row.user_data
    if call.version >= (2, 54):
        encoded["key_name"] = row.key_name
    return Answer({"server": encoded}, 202, {"Location": f"{call.base_url}/v2.1/servers/{id}"})


def _changes(call: Call, body: Rebuild) -> dict[str, Any]:
    """The columns that a rebuild changes beside the image."""
    found: dict[str, Any] = {"fault": None, "updated_at": call.now}
    if body.name is not UNSET:
        found["name"] = body.name
        found["hostname"] = rules.host_name(str(body.name), str(call.subject.id))
    plain = {"hostname": given_hostname(call, body.hostname), "description": body.description, "meta": body.metadata,
             "disk_config": body.disk_config, "trusted_certificates": body.trusted_certificates}  # fmt: skip
    found |= {column: value for column, value in plain.items() if value is not UNSET}
    for column, value, version in (("access_ip_v4", body.access_ip_v4, 4), ("access_ip_v6", body.access_ip_v6, 6)):
        if value is not UNSET:
            found[column] = address(column, value, version)
    if body.key_name is not UNSET:
        found["key"] = checks.key_of(call, body.key_name) if body.key_name else None
        found["key_name"] = body.key_name
    if body.user_data is not UNSET:
        found["user_data"] = checks.user_data(body.user_data)
    if body.personality is not UNSET:
        found["files"] = [msgspec.structs.asdict(one) for one in body.personality]
    return found
