"""What a guest may be made of: everything that ends up in a path or on a command line, checked once at the door."""
from __future__ import annotations

import re
from collections.abc import Mapping

from tiffin.core.driver import Impossible
from tiffin.services.compute.drivers import hardware
from tiffin.services.compute.drivers.base import BaseImage, Guest, Nic
from tiffin.services.compute.drivers.departure import Block, Departure

MOST_NICS = 12  # the root complex has 31 slots, and wants free ones for more
MOST_PORTS = 28

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HOSTNAME = re.compile(r"[A-Za-z0-9._-]{0,255}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_BOARD = re.compile(r"pc-q35-[0-9]{1,2}\.[0-9]{1,2}")
_COMMAND_LINE = re.compile(r"[ -~]{0,2000}")  # the kernel takes 2048 bytes


def guest_id(id: str) -> str:
    """The id, if it is a UUID in its usual form: QEMU takes nothing else. Raises `Impossible`."""
    return _like(_UUID, id, "id of a guest")


def plain_id(id: str) -> str:
    """The id of an image or a snapshot, if it is fit for the name of a file. Raises `Impossible`."""
    return _like(_ID, id, "id")


def image(image: BaseImage) -> None:
    """Raises `Impossible` unless the image has an id and a SHA-512 that can be used."""
    plain_id(image.id)
    _like(re.compile("[0-9a-fA-F]{128}"), image.sha512, "SHA-512")


def nic(nic: Nic) -> None:
    """Raises `Impossible` unless every field of the NIC has its form."""
    _like(_ID, nic.port_id, "id of a port")
    _like(_MAC, nic.mac.lower(), "MAC address")
    _like(_INTERFACE, nic.tap, "name of an interface")
    _within(nic.mtu, 68, 65535, "MTU")


def guest(guest: Guest) -> None:
    """Raises `Impossible` unless every field of the guest has its form and its bounds."""
    guest_id(guest.id)
    _like(_NAME, guest.name, "name of a guest")
    _like(_HOSTNAME, guest.hostname, "host name")
    _within(guest.vcpus, 1, 255, "number of CPUs")  # of the pinned machine type, without an IOMMU
    _within(guest.memory_mb, 1, 1 << 22, "memory in MB")
    _within(guest.root_gb, 0, 1 << 16, "root disk in GB")
    _within(guest.ephemeral_gb, 0, 1 << 14, "ephemeral disk in GB")  # what ext4 takes
    _within(guest.swap_mb, 0, 1 << 20, "swap in MB")
    if len(guest.nics) > MOST_NICS:
        raise Impossible(f"{len(guest.nics)} network interfaces: a guest has room for {MOST_NICS}")
    for each in guest.nics:
        nic(each)
    for part in (guest.image, guest.kernel, guest.ramdisk):
        if part:
            image(part)
    for model in (hardware.disk_model, hardware.vif_model, hardware.video_model):
        model(guest.properties)
    _like(_COMMAND_LINE, guest.properties.get("os_command_line", ""), "os_command_line")


def coming(guest: Guest, coming: Departure, accelerator: str) -> None:
    """Raises `Impossible` unless the guest, as it was put together where it comes from, can go on here."""
    board = coming.board
    _like(_BOARD, board.type, "type of a machine")
    _within(board.ports, 0, MOST_PORTS, "ports for network interfaces")
    if board.accelerator != accelerator:
        raise Impossible(f"the guest runs by {board.accelerator[:10]}; guests of this host run by {accelerator}")
    if {slot.port_id for slot in board.slots} != {nic.port_id for nic in guest.nics}:
        raise Impossible("the guest runs with other network interfaces than it should have")
    numbers = {slot.number for slot in board.slots}
    if len(numbers) < len(board.slots) or not numbers <= set(range(board.ports)):
        raise Impossible("network interfaces of the guest are where none can be")
    if not {slot.model for slot in board.slots} <= set(hardware.VIF_MODELS.values()):
        raise Impossible("the guest runs with network interfaces that this host does not have")


def disks(here: tuple[Block, ...], coming: tuple[Block, ...]) -> None:
    """Raises `Impossible` unless the disks that are to be filled are like those that come."""
    if here != coming:
        raise Impossible(f"the guest's disks would be {_disks(here)}, and are {_disks(coming)}")


def _disks(disks: tuple[Block, ...]) -> str:
    return ", ".join(f"{disk.name[:40]} ({disk.size} bytes)" for disk in disks[:8])


def config_drive(files: Mapping[str, bytes]) -> None:
    """Raises `Impossible` for too many files, too many bytes, or a path that leads out of the volume."""
    if len(files) > 256 or sum(map(len, files.values())) > 64 << 20:
        raise Impossible("the config drive is too large: it holds 256 files and 64 MiB")
    for name in files:
        if not name or any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
            raise Impossible(f"the config drive cannot hold a file named {name[:100]!r}")


def root_bytes(guest: Guest, image_bytes: int | None) -> int:
    """How large the root disk has to be. Raises `Impossible` when the flavor is too small, or nothing tells a size."""
    size = guest.root_gb << 30 or image_bytes
    if not size:
        raise Impossible("a root disk needs an image or a size")
    if image_bytes and size < image_bytes:
        raise Impossible(f"the flavor's disk of {guest.root_gb} GB is smaller than the image, "
                         f"which needs {-(-image_bytes >> 30)} GB")
    return -(-size // 512) * 512


def _like(form: re.Pattern[str], value: str, what: str) -> str:
    if not form.fullmatch(value):
        raise Impossible(f"{value[:100]!r} cannot be the {what}")
    return value


def _within(value: int, least: int, most: int, what: str) -> None:
    if not least <= value <= most:
        raise Impossible(f"{what}: {value} is not within {least} and {most}")
