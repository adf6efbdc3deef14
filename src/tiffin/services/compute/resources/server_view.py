"""A server as clients see it, by version."""

from __future__ import annotations

import functools
import itertools
from collections import namedtuple
from typing import Annotated, Any, cast

import msgspec
import sqlalchemy
from msgspec import UNSET, UnsetType
from sqlalchemy import Select, Table, Text, bindparam, select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.schema import Schema, since, until
from tiffin.core.sql import children
from tiffin.core.world import iso
from tiffin.services.compute import rules
from tiffin.services.compute.resources.words import Link, bookmark, links
from tiffin.services.compute.tables import ComputeHost, Server, ServerTag
from tiffin.services.network import public as network

ATTRIBUTES = "os_compute_api:os-extended-server-attributes"
HOST_STATUS = "os_compute_api:servers:show:host_status"
HOST_UNKNOWN = "os_compute_api:servers:show:host_status:unknown-only"
EXTRA_SPECS = "os_compute_api:servers:show:flavor-extra-specs"


def field(name: str, default: Any = UNSET) -> Any:
    return msgspec.field(default=default, name=name)


class Brief(Schema):
    id: str
    name: str
    links: list[Link]


class Addr(Schema, kw_only=True):
    version: int
    addr: str
    type: str | UnsetType = field("OS-EXT-IPS:type")
    mac: str | UnsetType = field("OS-EXT-IPS-MAC:mac_addr")


class Named(Schema):
    name: str


class Volume(Schema):
    id: str
    delete_on_termination: Annotated[bool | UnsetType, since(2, 3)] = UNSET


class FlavorRef(Schema):
    id: Annotated[str | UnsetType, until(2, 47)] = UNSET
    links: Annotated[list[Link] | UnsetType, until(2, 47)] = UNSET
    original_name: Annotated[str | UnsetType, since(2, 47)] = UNSET
    vcpus: Annotated[int | UnsetType, since(2, 47)] = UNSET
    ram: Annotated[int | UnsetType, since(2, 47)] = UNSET
    disk: Annotated[int | UnsetType, since(2, 47)] = UNSET
    ephemeral: Annotated[int | UnsetType, since(2, 47)] = UNSET
    swap: Annotated[int | UnsetType, since(2, 47)] = UNSET
    extra_specs: Annotated[dict[str, str] | UnsetType, since(2, 47)] = UNSET


class ImageRef(Schema):
    id: str
    links: list[Link]
    properties: Annotated[dict[str, str] | UnsetType, since(2, 98)] = UNSET


class FaultOut(Schema):
    code: int
    created: str | None
    message: str
    details: str | UnsetType = UNSET


class Full(Brief, kw_only=True):
    """What GET shows. Fields that older answers to PUT lack are listed in `LATE_IN_PUT`."""

    status: str
    tenant_id: str
    user_id: str
    metadata: dict[str, str]
    hostId: str
    image: ImageRef | str
    flavor: FlavorRef
    created: str | None
    updated: str | None
    addresses: dict[str, list[Addr]]
    accessIPv4: str
    accessIPv6: str
    disk_config: str = msgspec.field(name="OS-DCF:diskConfig")
    progress: int | UnsetType = UNSET
    fault: FaultOut | UnsetType = UNSET
    key_name: str | UnsetType | None = UNSET
    config_drive: str | UnsetType = UNSET
    security_groups: list[Named] | UnsetType = UNSET
    volumes: list[Volume] | UnsetType = field("os-extended-volumes:volumes_attached")
    zone: str | UnsetType = field("OS-EXT-AZ:availability_zone")
    task_state: str | UnsetType | None = field("OS-EXT-STS:task_state")
    vm_state: str | UnsetType = field("OS-EXT-STS:vm_state")
    power_state: int | UnsetType = field("OS-EXT-STS:power_state")
    launched_at: str | UnsetType | None = field("OS-SRV-USG:launched_at")
    terminated_at: str | UnsetType | None = field("OS-SRV-USG:terminated_at")
    host: str | UnsetType | None = field("OS-EXT-SRV-ATTR:host")
    instance_name: str | UnsetType = field("OS-EXT-SRV-ATTR:instance_name")
    node: str | UnsetType | None = field("OS-EXT-SRV-ATTR:hypervisor_hostname")
    hostname: Annotated[str | UnsetType, since(2, 3)] = field("OS-EXT-SRV-ATTR:hostname")
    reservation_id: Annotated[str | UnsetType, since(2, 3)] = field("OS-EXT-SRV-ATTR:reservation_id")
    launch_index: Annotated[int | UnsetType, since(2, 3)] = field("OS-EXT-SRV-ATTR:launch_index")
    kernel_id: Annotated[str | UnsetType, since(2, 3)] = field("OS-EXT-SRV-ATTR:kernel_id")
    ramdisk_id: Annotated[str | UnsetType, since(2, 3)] = field("OS-EXT-SRV-ATTR:ramdisk_id")
    root_device_name: Annotated[str | UnsetType, since(2, 3)] = field("OS-EXT-SRV-ATTR:root_device_name")
    user_data: Annotated[str | UnsetType | None, since(2, 3)] = field("OS-EXT-SRV-ATTR:user_data")
    locked: Annotated[bool | UnsetType, since(2, 9)] = UNSET
    host_status: Annotated[str | UnsetType, since(2, 16)] = UNSET
    description: Annotated[str | UnsetType | None, since(2, 19)] = UNSET
    tags: Annotated[list[str] | UnsetType, since(2, 26)] = UNSET
    trusted_image_certificates: Annotated[list[str] | UnsetType | None, since(2, 63)] = UNSET
    server_groups: Annotated[list[str] | UnsetType, since(2, 71)] = UNSET
    locked_reason: Annotated[str | UnsetType | None, since(2, 73)] = UNSET
    pinned_zone: Annotated[str | UnsetType | None, since(2, 96)] = field("pinned_availability_zone")
    scheduler_hints: Annotated[dict[str, Any] | UnsetType, since(2, 100)] = UNSET


LATE_IN_PUT = (
    "key_name", "config_drive", "security_groups", "volumes", "zone", "task_state", "vm_state", "power_state",
    "launched_at", "terminated_at", "host", "instance_name", "node", "reservation_id", "launch_index", "hostname",
    "kernel_id", "ramdisk_id", "root_device_name", "user_data", "host_status",
)  # fmt: skip
"""Fields of `Full` that answers to PUT and rebuild have only since 2.75."""


_UNSEEN = ("key", "files", "admin_password")
"""Columns that no view shows: large, or secret."""
_ALIKE = (
    "flavor", "image", "kernel", "ramdisk", "meta", "scheduler_hints", "trusted_certificates", "fault",
)  # fmt: skip
"""JSON that many servers have in common, most often nothing: it comes as text, which `_shared` decodes once."""
_SERVERS, _TAGS, _HOSTS = (cast(Table, kind.__table__) for kind in (Server, ServerTag, ComputeHost))
"""Tables give rows faster than classes do."""


@functools.lru_cache(maxsize=512)
def _shared(text: str | None) -> Any:
    """What the JSON says; nobody may change it."""
    return None if text is None else msgspec.json.decode(text)


def _column(column: Any) -> Any:
    return sqlalchemy.cast(column, Text).label(column.name) if column.name in _ALIKE else column


@functools.cache
def looking() -> Select[Any]:
    """Everything that a view needs, in one statement."""
    tags = children(select(_TAGS.c.tag).where(_TAGS.c.server_id == _SERVERS.c.id), tag=_TAGS.c.tag)
    return select(
        *(_column(column) for column in _SERVERS.columns if column.name not in _UNSEEN),
        network.addresses_column(_SERVERS.c.id, _SERVERS.c.project_id).label("addresses"),
        network.security_groups_column(_SERVERS.c.id, _SERVERS.c.project_id).label("security_groups"),
        tags.label("tags"),
        _HOSTS.c.seen_at.label("host_seen_at"),
        _HOSTS.c.forced_down.label("host_forced_down"),
        _HOSTS.c.disabled.label("host_disabled"),
    ).join_from(_SERVERS, _HOSTS, _HOSTS.c.name == _SERVERS.c.host, isouter=True)


@functools.cache
def _looking_at_one() -> Select[Any]:
    return looking().where(_SERVERS.c.id == bindparam("server_id"))


def look(session: Session, id: str) -> Any:
    """The one row that `view` takes, or None."""
    return session.execute(_looking_at_one(), {"server_id": id}).one_or_none()


def brief(call: Call, row: Any) -> Brief:
    return Brief(id=row.id, name=row.name, links=links(call.base_url, "servers", row.id))


def addresses(found: list[dict[str, Any]], *, extended: bool = True) -> dict[str, list[Addr]]:
    """The addresses by the name of their network, in order."""
    made: dict[str, list[Addr]] = {}
    for one in sorted(found, key=lambda one: one["type"]):  # fixed ones first
        addr = Addr(version=int(one["version"]), addr=one["addr"])
        if extended:
            addr.type, addr.mac = one["type"], one["mac_addr"]
        made.setdefault(one["network_name"], []).append(addr)
    return made


def _flavor(call: Call, flavor: dict[str, Any], *, with_specs: bool) -> FlavorRef:
    if call.version < (2, 47):
        return FlavorRef(id=flavor["id"], links=bookmark(call.base_url, "flavors", flavor["id"]))
    return FlavorRef(
        original_name=flavor["name"],
        vcpus=flavor["vcpus"],
        ram=flavor["ram"],
        disk=flavor["disk"],
        ephemeral=flavor["ephemeral"],
        swap=flavor["swap"],
        extra_specs=flavor["extra_specs"] if with_specs else UNSET,
    )


def _image(call: Call, row: Any) -> ImageRef | str:
    if not row.image_id:
        return ""
    return ImageRef(
        id=row.image_id,
        links=bookmark(call.base_url, "images", row.image_id),
        properties=_shared(row.image).get("properties", {}),
    )


def _fault(row: Any, *, admin: bool) -> FaultOut | UnsetType:
    fault = _shared(row.fault)
    if not fault or row.vm_state not in ("error", "deleted"):
        return UNSET
    shown = FaultOut(code=fault["code"], created=iso(fault["created"]), message=fault["message"])
    if fault.get("details") and (admin or fault["code"] != 500):
        shown.details = fault["details"]
    return shown


def host_status(call: Call, row: Any) -> str:
    if not row.host or row.host_seen_at is None:
        return ""
    if row.host_forced_down:
        return "DOWN"
    if call.cloud.looked_at() - row.host_seen_at > call.service.settings.host_down_after:
        return "UNKNOWN"
    return "MAINTENANCE" if row.host_disabled else "UP"


class Sight:
    """What this actor may see of servers, asked once for each request."""

    def __init__(self, call: Call) -> None:
        self.attributes = call.allows(ATTRIBUTES)
        self.extra_specs = call.version >= (2, 47) and call.allows(EXTRA_SPECS)
        self.host_status = call.version >= (2, 16) and call.allows(HOST_STATUS)
        self.host_unknown = call.version >= (2, 16) and not self.host_status and call.allows(HOST_UNKNOWN)


def sight(call: Call) -> Sight:
    found = call.__dict__.get("compute_sight")
    if found is None:
        found = call.__dict__["compute_sight"] = Sight(call)
    return found


@functools.cache
def _seen() -> type[Any]:
    """A row of `looking()` as a named tuple: SQLAlchemy's rows take four times as long to give each of fifty values."""
    return namedtuple("Seen", looking().selected_columns.keys())


def view(call: Call, row: Any) -> Full:
    """The whole server, from a row of `looking()`."""
    row = _seen()(*row)
    may = sight(call)
    status = rules.status(row.vm_state, row.task_state)
    shown = Full(
        id=row.id,
        name=row.name,
        links=links(call.base_url, "servers", row.id),
        status=status,
        tenant_id=row.project_id,
        user_id=row.user_id,
        metadata=_shared(row.meta),
        hostId=rules.host_id(row.project_id, row.host),
        image=_image(call, row),
        flavor=_flavor(call, _shared(row.flavor), with_specs=may.extra_specs),
        created=iso(row.created_at),
        updated=iso(row.updated_at),
        addresses=addresses(row.addresses or []),
        accessIPv4=row.access_ip_v4 or "",
        accessIPv6=row.access_ip_v6 or "",
        disk_config=row.disk_config,
        progress=row.progress if status in rules.WITH_PROGRESS else UNSET,
        fault=_fault(row, admin=call.actor.is_admin),
        locked=row.locked_by is not None,
        locked_reason=row.locked_reason,
        description=row.description,
        tags=sorted(one["tag"] for one in row.tags or []),
        trusted_image_certificates=_shared(row.trusted_certificates),
        pinned_zone=row.pinned_zone,
        scheduler_hints=_shared(row.scheduler_hints),
    )
    _extend(shown, row)
    if may.attributes:
        _attributes(shown, row)
    elif call.version >= (2, 90):
        shown.hostname = row.hostname
    if may.host_status or may.host_unknown:
        word = host_status(call, row)
        shown.host_status = word if may.host_status or word == "UNKNOWN" else UNSET
    return shown


def _extend(shown: Full, row: Any) -> None:
    shown.key_name = row.key_name
    shown.config_drive = "True" if row.config_drive else ""
    if row.security_groups:
        shown.security_groups = [Named(name=one["name"]) for one in row.security_groups]
    shown.volumes = []
    shown.zone = row.availability_zone or ""
    shown.task_state, shown.vm_state, shown.power_state = row.task_state, row.vm_state, row.power_state
    shown.launched_at = iso(row.launched_at, micro=True, zulu=False)
    shown.terminated_at = iso(row.terminated_at, micro=True, zulu=False)


def _attributes(shown: Full, row: Any) -> None:
    shown.host, shown.node = row.host, row.node
    shown.instance_name = rules.instance_name(row.number)
    shown.hostname = row.hostname
    shown.reservation_id, shown.launch_index = row.reservation_id, row.launch_index
    shown.kernel_id = (_shared(row.kernel) or {}).get("id", "")
    shown.ramdisk_id = (_shared(row.ramdisk) or {}).get("id", "")
    shown.root_device_name = "/dev/vda"
    shown.user_data = row.user_data


def view_with_groups(call: Call, row: Any) -> Full:
    """The view of one server, which names its server group."""
    shown = view(call, row)
    shown.server_groups = [row.group_id] if row.group_id else []
    return shown


def view_of_change(call: Call, row: Any) -> Full:
    """What PUT and rebuild answer."""
    shown = view_with_groups(call, row)
    if call.version < (2, 75):
        for name in LATE_IN_PUT:
            setattr(shown, name, UNSET)
        for address in itertools.chain.from_iterable(shown.addresses.values()):
            address.type = address.mac = UNSET
    return shown
