"""What a request for servers must satisfy, beyond its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import func, or_, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Forbidden, NotFound, OverQuota
from tiffin.services.compute import rules
from tiffin.services.compute.resources import flavors, keypairs
from tiffin.services.compute.resources.availability_zones import zone_of_hosts
from tiffin.services.compute.tables import ComputeHost, Server, ServerGroup
from tiffin.services.image import public as images_

if TYPE_CHECKING:
    from tiffin.services.compute.resources.server_create import ServerIn

GB = 1024**3


def flavor_of(call: Call, id: str) -> flavors.Flavor:
    row = flavors.usable(call.db, id, call.actor.project_id, admin=call.actor.is_admin)
    if row is None:
        raise BadRequest(f"Invalid flavorRef provided: flavor {id} could not be found.")
    return row


def image_of(call: Call, id: str) -> images_.BootImage:
    try:
        return images_.bootable(call.db, call.actor, id)
    except NotFound:
        raise BadRequest("Can not find requested image") from None


def fits(call: Call, flavor: Any, image: images_.BootImage) -> None:
    """Raises `BadRequest` when the flavor is too small for the image."""
    if flavor.ram < image.min_ram:
        raise BadRequest("Flavor's memory is too small for requested image.")
    if flavor.disk == 0:
        if not call.allows("os_compute_api:servers:create:zero_disk_flavor"):
            raise Forbidden("Only volume-backed servers are allowed for flavors with zero disk.")
        return
    if image.virtual_size and image.virtual_size > flavor.disk * GB:
        raise BadRequest(
            f"Flavor's disk is too small for requested image. Flavor disk is {flavor.disk * GB} bytes, "
            f"image is {image.virtual_size} bytes."
        )
    if flavor.disk < image.min_disk:
        raise BadRequest(
            f"Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is "
            f"{flavor.disk} GB, minimum size is {image.min_disk} GB."
        )


def reserve(call: Call, project: str, flavor: Any, counts: tuple[int, int], asked: ServerIn) -> None:
    """Raises `OverQuota` when the project may not have this much."""
    _, most = counts
    one_has = {"instances": 1, "cores": flavor.vcpus, "ram": flavor.ram}
    if call.quotas.unified is not None:
        one_has["disk"] = flavor.disk + flavor.ephemeral + -(-flavor.swap // 1024)
    for name, amount in one_has.items():
        call.reserve(name, most * amount, project_id=project)
    files = asked.personality or []
    for name, amount in (("metadata_items", len(asked.metadata or {})), ("injected_files", len(files))):
        if amount:
            call.reserve(name, amount, project_id=project)
    for one in files:
        call.reserve("injected_file_path_bytes", len(one.path.encode()), project_id=project)
        try:
            size = len(rules.decode_base64("personality.contents", one.contents))
        except ValueError as bad:
            raise BadRequest(str(bad)) from None
        call.reserve("injected_file_content_bytes", size, project_id=project)


def reserve_more(call: Call, server: Server, flavor: Any) -> None:
    """Raises `OverQuota` when the server's project may not have the difference to a larger flavor."""
    more = {"cores": flavor.vcpus - server.vcpus, "ram": flavor.ram - server.memory_mb}
    if call.quotas.unified is not None:
        swap = -(-flavor.swap // 1024) - -(-server.swap_mb // 1024)
        more["disk"] = flavor.disk + flavor.ephemeral + swap - server.root_gb - server.ephemeral_gb
    for name, amount in more.items():
        if amount > 0:
            call.reserve(name, amount, project_id=server.project_id)


def key_of(call: Call, name: str | UnsetType) -> dict[str, str] | None:
    if name is UNSET:
        return None
    row = keypairs.find(call.db, call.actor.user_id, str(name))
    if row is None:
        raise BadRequest("Invalid key_name provided.")
    return keypairs.data(row)


def user_data(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        rules.decode_base64("user_data", text)
    except ValueError as bad:
        raise BadRequest(str(bad)) from None
    return "".join(text.split())


def known_host(call: Call, name: str) -> None:
    found = select(func.count()).where(or_(ComputeHost.name == name, ComputeHost.hostname == name))
    if not call.db.scalar(found):
        raise BadRequest(f"No hypervisor matching '{name}' could be found.")


def known_zone(call: Call, zone: str) -> None:
    default = call.service.settings.default_zone
    if zone not in {default, *zone_of_hosts(call.db, default).values()}:
        raise BadRequest("The requested availability zone is not available")


def group_of(call: Call, hints: dict[str, Any]) -> str | None:
    """The server group of the hints. Raises `BadRequest` and `OverQuota`."""
    wanted = hints.get("group")
    if isinstance(wanted, list):
        wanted = wanted[0] if len(wanted) == 1 else False
    if wanted is None:
        return None
    row = call.db.get(ServerGroup, wanted) if isinstance(wanted, str) and len(wanted) <= 64 else None
    if row is None or row.project_id != call.actor.project_id:
        raise BadRequest(f"Instance group {str(wanted)[:64]} could not be found.")
    members = call.db.scalar(select(func.count()).where(Server.group_id == row.id, Server.deleted_at.is_(None)))
    most = call.quotas.room(call.db, "server_group_members", row.project_id)
    if most is not None and (members or 0) >= most:
        raise OverQuota("Quota exceeded, too many servers in group")
    return row.id


def hints(given: dict[str, Any]) -> dict[str, Any]:
    """The hints as they are kept: bounded. Raises `BadRequest`."""
    if len(msgspec.json.encode(given)) > 16384:
        raise BadRequest("Invalid input for field/attribute os:scheduler_hints: it is too long.")
    for name in ("same_host", "different_host"):
        value = given.get(name, [])
        ids = [value] if isinstance(value, str) else value
        if not isinstance(ids, list) or not all(isinstance(id, str) and len(id) == 36 for id in ids):
            raise BadRequest(f"Invalid input for field/attribute {name}: it must be ids of servers.")
    return given


def sizes(flavor: Any) -> dict[str, Any]:
    kept = {
        "id": flavor.id,
        "name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.ram,
        "disk": flavor.disk,
        "ephemeral": flavor.ephemeral,
        "swap": flavor.swap,
        "rxtx_factor": flavor.rxtx_factor,
        "extra_specs": flavor.extra_specs,
    }
    return {
        "flavor": kept,
        "vcpus": flavor.vcpus,
        "memory_mb": flavor.ram,
        "root_gb": flavor.disk,
        "ephemeral_gb": flavor.ephemeral,
        "swap_mb": flavor.swap,
    }


def images(call: Call, image: images_.BootImage) -> dict[str, Any]:
    """The image, and the kernel and ramdisk that it names, as the server keeps them."""
    found: dict[str, Any] = {"image_id": image.id, "image": msgspec.structs.asdict(image)}
    for name in ("kernel", "ramdisk"):
        id = image.properties.get(f"{name}_id")
        part = image_of(call, id) if id else None
        found[name] = msgspec.structs.asdict(part) if part else None
    return found
