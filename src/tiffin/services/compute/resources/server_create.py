"""Making servers: what is asked, what is checked, what is written. The lifecycle does the rest."""

from __future__ import annotations

import string
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tiffin.core import changes
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema, required_since, since, until
from tiffin.services.compute import rules
from tiffin.services.compute.resources import create_checks as checks
from tiffin.services.compute.resources import create_networks as nets
from tiffin.services.compute.resources import instance_actions as log
from tiffin.services.compute.resources.finding import with_project
from tiffin.services.compute.resources.flavors import ADMIN
from tiffin.services.compute.resources.server_view import Named
from tiffin.services.compute.resources.servers import KIND, MEMBER, HostNameIn, address, given_hostname
from tiffin.services.compute.resources.words import (
    Address,
    Base64,
    Boolean,
    Description,
    DiskConfig,
    HostName,
    Metadata,
    Name,
    Positive,
    Tag,
    Text255,
    Uuid,
    boolean,
    links,
    whole,
)
from tiffin.services.compute.tables import Server, ServerTag

FORCED_HOST = "os_compute_api:servers:create:forced_host"
DESTINATION = "compute:servers:create:requested_destination"


class DeviceIn(Schema):
    """One entry of block_device_mapping_v2. Volumes are refused with words until there is a volume service."""

    source_type: Literal["volume", "image", "snapshot", "blank"] | UnsetType = UNSET
    destination_type: Literal["local", "volume"] | UnsetType = UNSET
    uuid: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9._-]*\Z")] | UnsetType = UNSET
    image_id: Uuid | UnsetType = UNSET
    volume_id: Uuid | UnsetType = UNSET
    snapshot_id: Uuid | UnsetType = UNSET
    volume_size: Positive | UnsetType | None = UNSET
    boot_index: (
        Annotated[int, Meta(ge=-1, le=255)]
        | Annotated[str, Meta(max_length=4, pattern=r"^-?[0-9]{1,3}\Z")]
        | UnsetType
        | None
    ) = UNSET
    delete_on_termination: Boolean | UnsetType = UNSET
    device_name: Annotated[str, Meta(max_length=255, pattern=r"^[a-zA-Z0-9._/-]*\Z")] | UnsetType | None = UNSET
    guest_format: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    device_type: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    disk_bus: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    virtual_name: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    no_device: bool | Text255 | UnsetType | None = UNSET
    tag: Annotated[Tag | UnsetType, since(2, 32)] = UNSET
    volume_type: Annotated[Annotated[str, Meta(max_length=255)] | UnsetType | None, since(2, 67)] = UNSET


class FileIn(Schema):
    path: Annotated[str, Meta(min_length=1, max_length=255)]
    contents: Base64


class GroupNameIn(Schema):
    name: Name


class ServerIn(Schema, kw_only=True):
    name: Name
    flavor_ref: Annotated[str, Meta(min_length=1, max_length=255)] | Annotated[int, Meta(ge=0, le=2**63 - 1)] = (
        msgspec.field(name="flavorRef")
    )
    image_ref: Annotated[str, Meta(max_length=255)] | UnsetType = msgspec.field(default=UNSET, name="imageRef")
    admin_pass: Annotated[str, Meta(max_length=255)] | UnsetType = msgspec.field(default=UNSET, name="adminPass")
    metadata: Metadata | UnsetType = UNSET
    networks: Annotated[
        Annotated[list[nets.NetworkIn], Meta(max_length=64)] | Literal["auto", "none"] | UnsetType,
        required_since(2, 37),
    ] = UNSET
    disk_config: DiskConfig | UnsetType = msgspec.field(default=UNSET, name="OS-DCF:diskConfig")
    access_ip_v4: Address | UnsetType = msgspec.field(default=UNSET, name="accessIPv4")
    access_ip_v6: Address | UnsetType = msgspec.field(default=UNSET, name="accessIPv6")
    personality: Annotated[Annotated[list[FileIn], Meta(max_length=64)] | UnsetType, until(2, 57)] = UNSET
    availability_zone: Name | UnsetType = UNSET
    block_device_mapping: Annotated[list[dict[Text255, Any]], Meta(max_length=64)] | UnsetType = UNSET
    devices: Annotated[list[DeviceIn], Meta(max_length=64)] | UnsetType = msgspec.field(
        default=UNSET, name="block_device_mapping_v2"
    )
    config_drive: Boolean | UnsetType | None = UNSET
    key_name: Name | UnsetType = UNSET
    min_count: Positive | UnsetType = UNSET
    max_count: Positive | UnsetType = UNSET
    return_reservation_id: Boolean | UnsetType = UNSET
    security_groups: Annotated[list[GroupNameIn], Meta(max_length=64)] | UnsetType = UNSET
    user_data: Base64 | UnsetType = UNSET
    description: Annotated[Description | UnsetType | None, since(2, 19)] = UNSET
    tags: Annotated[Annotated[list[Tag], Meta(max_length=50)] | UnsetType, since(2, 52)] = UNSET
    trusted_certificates: Annotated[
        Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(min_length=1, max_length=50)]
        | UnsetType
        | None,
        since(2, 63),
    ] = msgspec.field(default=UNSET, name="trusted_image_certificates")
    host: Annotated[HostName | UnsetType, since(2, 74)] = UNSET
    hypervisor_hostname: Annotated[HostName | UnsetType, since(2, 74)] = UNSET
    hostname: HostNameIn = UNSET


Hints = Annotated[dict[Text255, Any], Meta(max_length=64)]


class CreateBody(Schema, kw_only=True):
    server: ServerIn
    hints: Hints | UnsetType = msgspec.field(default=UNSET, name="os:scheduler_hints")
    old_hints: Hints | UnsetType = msgspec.field(default=UNSET, name="OS-SCH-HNT:scheduler_hints")


creations = Resource(
    "server",
    "servers",
    "/v2.1/servers",
    rules=[
        (FORCED_HOST, ADMIN),
        (DESTINATION, ADMIN),
        ("os_compute_api:servers:create:attach_network", MEMBER),
        ("os_compute_api:servers:create:trusted_certs", MEMBER),
        ("os_compute_api:servers:create:zero_disk_flavor", ADMIN),
        ("network:attach_external_network", ADMIN),
    ],
)
_LETTERS = string.ascii_letters + string.digits


def password(call: Call) -> str:
    """Twelve random characters, as upstream makes them."""
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in call.cloud.world.random_bytes(12))


@creations.operation("POST", policy=("os_compute_api:servers:create", MEMBER), body=CreateBody, root="", ok=202)
def create(call: Call, body: CreateBody) -> Answer:
    asked = body.server
    project = with_project(call)
    hints = (body.hints or {}) | (body.old_hints or {})
    least, most = _counts(asked)
    flavor = checks.flavor_of(call, str(asked.flavor_ref))
    image = checks.image_of(call, _image_ref(asked))
    checks.fits(call, flavor, image)
    checks.reserve(call, project, flavor, (least, most), asked)
    nics = nets.plan(call, asked.networks, several=most > 1)
    groups = nets.security_groups(call, project, [one.name for one in asked.security_groups or []], nics)
    common = _common(call, asked, hints, (flavor, image))
    secret = str(asked.admin_pass) if asked.admin_pass is not UNSET else password(call)
    if common["config_drive"]:
        common["admin_password"] = call.cloud.secrets.encrypt(secret.encode())
    made = [Server(**common, **_naming(call, asked, n, most)) for n in range(most)]
    call.db.add_all(made)
    call.db.flush()  # all rows by one statement
    for row in made:
        _begin(call, row, asked, (nics, groups))
    if asked.return_reservation_id is not UNSET and boolean(asked.return_reservation_id):
        return Answer({"reservation_id": common["reservation_id"]}, 202)
    first = made[0]
    return Answer(
        {
            "server": {
                "id": first.id,
                "links": links(call.base_url, "servers", first.id),
                "OS-DCF:diskConfig": first.disk_config,
                "security_groups": [Named(name=name) for name in _group_names(asked)],
                "adminPass": secret,
            }
        },
        202,
        {"Location": f"{call.base_url}/v2.1/servers/{first.id}"},
    )


def _group_names(asked: ServerIn) -> list[str]:
    return [one.name for one in asked.security_groups or []] or ["default"]


def _counts(asked: ServerIn) -> tuple[int, int]:
    least = 1 if asked.min_count is UNSET else whole("min_count", asked.min_count, least=1, most=1000)
    most = least if asked.max_count is UNSET else whole("max_count", asked.max_count, least=1, most=1000)
    if least > most:
        raise BadRequest("min_count must be <= max_count")
    return least, most


def _image_ref(asked: ServerIn) -> str:
    """The one image to boot from: imageRef, or an image -> local device with boot index 0."""
    if asked.block_device_mapping is not UNSET and asked.block_device_mapping:
        raise BadRequest("Block device mapping is invalid: this cloud has no volume service.")
    refs = [str(asked.image_ref)] if asked.image_ref not in (UNSET, "") else []
    for device in asked.devices or []:
        if (device.source_type, device.destination_type or "local") != ("image", "local"):
            raise BadRequest("Block device mapping is invalid: this cloud boots from images only, not from volumes.")
        if device.boot_index in (UNSET, None) or int(device.boot_index) != 0:
            raise BadRequest("Block device mapping is invalid: a device made from an image must have boot_index 0.")
        refs.append(str(device.uuid or device.image_id or ""))
    if not refs or not refs[0]:
        raise BadRequest("Invalid imageRef provided.")
    if len(set(refs)) > 1:
        raise BadRequest("Block device mapping is invalid: Boot sequence for the instance is not valid: two images.")
    return refs[0]


def _common(call: Call, asked: ServerIn, hints: dict[str, Any], what: tuple[Any, Any]) -> dict[str, Any]:
    """The columns that all servers of this request share."""
    flavor, image = what
    zone, forced = _destination(call, asked)
    key = checks.key_of(call, asked.key_name)
    group_id = checks.group_of(call, hints)
    return {
        "project_id": with_project(call),
        "user_id": call.actor.user_id,
        "description": asked.description or None,
        "created_at": call.now,
        "updated_at": call.now,
        "vm_state": "building",
        "task_state": "scheduling",
        "availability_zone": zone,
        "pinned_zone": zone,
        "forced_host": forced,
        **checks.sizes(flavor),
        **checks.images(call, image),
        "key": key,
        "key_name": key["name"] if key else None,
        "user_data": checks.user_data(asked.user_data or None),
        "files": [msgspec.structs.asdict(one) for one in asked.personality or []] or None,
        "config_drive": _config_drive(asked, image),
        "meta": asked.metadata or {},
        "disk_config": asked.disk_config or "AUTO",
        "access_ip_v4": address("accessIPv4", asked.access_ip_v4, 4),
        "access_ip_v6": address("accessIPv6", asked.access_ip_v6, 6),
        "reservation_id": "r-" + call.cloud.world.hex(4),
        "scheduler_hints": checks.hints(hints),
        "trusted_certificates": asked.trusted_certificates or None,
        "group_id": group_id,
    }


def _config_drive(asked: ServerIn, image: Any) -> bool:
    wanted = asked.config_drive not in (UNSET, None) and boolean(asked.config_drive)
    return wanted or image.properties.get("img_config_drive") == "mandatory"


def _destination(call: Call, asked: ServerIn) -> tuple[str | None, str | None]:
    """The zone and the host that were asked for. `zone:host` and `zone:host:node` are an admin's."""
    zone, _, rest = (asked.availability_zone or "").partition(":")
    host, _, node = rest.partition(":")
    if host or node:
        call.enforce(FORCED_HOST)
    if asked.host is not UNSET or asked.hypervisor_hostname is not UNSET:
        call.enforce(DESTINATION)
        host = str(asked.host or asked.hypervisor_hostname)
        checks.known_host(call, host)
    if zone:
        checks.known_zone(call, zone)
    return zone or None, host or node or None


def _naming(call: Call, asked: ServerIn, n: int, most: int) -> dict[str, Any]:
    id = call.new_id()
    name = asked.name if most == 1 else f"{asked.name}-{n + 1}"[:255]
    given = given_hostname(call, asked.hostname) or None
    if given and most > 1:
        given = f"{given}-{n + 1}"
    return {"id": id, "name": name, "hostname": given or rules.host_name(name, id), "launch_index": n}


def _begin(call: Call, row: Server, asked: ServerIn, net: tuple[list[nets.Plan], list[str] | None]) -> None:
    """All that a new server has beside its row, and its life."""
    call.db.add_all(ServerTag(server_id=row.id, tag=tag) for tag in sorted(set(asked.tags or [])))
    nets.connect(call, row, *net)
    log.begin(call, row, "create", "compute__do_build_and_run_instance")
    call.record("create.start", (KIND, row.id), after=changes.picture(row))
    call.begin(KIND, row.id)
