"""A guest as QEMU's command line: a pure function. Every path is relative to the guest's folder, where QEMU runs.

Machine: q35 with its version pinned, so that a guest's hardware does not change under it; disks on virtio; each NIC on
a PCIe root port, with free ports for more, since q35 plugs nothing hot into its root complex.
"""
from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from tiffin.services.compute.drivers import hardware, qmp
from tiffin.services.compute.drivers.base import Guest, Nic
from tiffin.services.compute.drivers.departure import Board, Slot

FREE_PORTS = 8  # NICs and disks that can be plugged into the running guest
INCOMING = ("-S", "-incoming", "defer")  # what a guest that comes from another host is started with


class File(msgspec.Struct, frozen=True):
    """An image file and its true format: QEMU never guesses one."""

    path: str
    format: Literal["raw", "qcow2"]


class Drive(msgspec.Struct, frozen=True):
    """A disk of the guest. Its block node has the drive's name."""

    name: str  # root, ephemeral, swap, config
    file: File
    base: File | None = None  # what a copy-on-write disk stands on
    read_only: bool = False


class Machine(msgspec.Struct, frozen=True):
    """What the host gives to every guest."""

    binary: str
    type: str  # pc-q35-7.2
    accelerator: Literal["kvm", "tcg"]
    version: str  # of Tiffin, which SMBIOS tells
    full_checksums: bool = False  # whether guests finish every checksum that they send


class Boot(msgspec.Struct, frozen=True):
    """Boots a kernel directly, without the disk's boot loader."""

    kernel: str
    ramdisk: str | None


def new_board(guest: Guest, machine: Machine) -> Board:
    """What a guest that is started here gets. Raises `Impossible` for hardware that we do not have."""
    model = hardware.vif_model(guest.properties)
    slots = (Slot(nic.port_id, number, model, machine.full_checksums) for number, nic in enumerate(guest.nics))
    return Board(machine.type, machine.accelerator, len(guest.nics) + FREE_PORTS, tuple(slots))


def command(guest: Guest, machine: Machine, drives: tuple[Drive, ...], boot: Boot | None, board: Board) -> tuple[str, ...]:
    """The words that run this guest. Raises `Impossible` for hardware that we do not have."""
    words = [machine.binary, "-name", f"guest={guest.name},debug-threads=on", "-uuid", guest.id]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-boot", "strict=on", "-rtc", "base=utc"]
    words += ["-msg", "timestamp=on", "-machine", f"{board.type},dump-guest-core=off", *_processor(guest, machine)]
    words += ["-m", str(guest.memory_mb), "-smbios", _smbios(guest, machine)]
    for number in range(board.ports):
        words += ["-device", f"pcie-root-port,id=rp{number},bus=pcie.0,chassis={number + 1},port={number + 1}"]
    words += _disks(guest, drives)
    nics = {nic.port_id: nic for nic in guest.nics}
    for slot in board.slots:
        netdev, device = nic_arguments(nics[slot.port_id], slot)
        words += ["-netdev", _comma_list(netdev), "-device", _comma_list(device)]
    words += _consoles() + _other_devices(guest.properties)
    if boot:
        words += _direct_boot(guest, boot)
    return (*words, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")


def nic_arguments(nic: Nic, slot: Slot) -> tuple[dict[str, Any], dict[str, Any]]:
    """The network backend and the device of a NIC, as the arguments of `netdev_add` and `device_add`."""
    netdev = {"type": "tap", "id": f"net-{nic.port_id}", "ifname": nic.tap, "script": "no", "downscript": "no",
              "vhost": False}
    device: dict[str, Any] = {"driver": slot.model, "id": f"nic-{nic.port_id}", "netdev": f"net-{nic.port_id}",
                              "mac": nic.mac, "bus": f"rp{slot.number}", "romfile": ""}
    if slot.model == "virtio-net-pci":
        device["host_mtu"] = nic.mtu
        if slot.full_checksums:
            device["csum"] = False
    return netdev, device


def block_node(name: str, file: File, *, read_only: bool = False, base: File | None = None) -> dict[str, Any]:
    """The arguments of `blockdev_add` for a file. The chain below it is said here, whatever its header claims."""
    node: dict[str, Any] = {"driver": file.format, "node-name": name, "read-only": read_only, "discard": "unmap",
                            "file": {"driver": "file", "filename": file.path}}
    if file.format == "qcow2":
        node["backing"] = block_node(f"{name}-base", base, read_only=True) if base else None
    return node


def _processor(guest: Guest, machine: Machine) -> list[str]:
    if machine.accelerator == "kvm":
        return ["-accel", "kvm", "-cpu", "host", "-smp", str(guest.vcpus)]
    # Nehalem is x86-64-v2 with flags that TCG really has; 64 MiB of translated code is enough for a Linux guest, the
    # default would grow to 1 GiB.
    return ["-accel", "tcg,thread=multi,tb-size=64", "-cpu", "Nehalem", "-smp", str(guest.vcpus)]


def _smbios(guest: Guest, machine: Machine) -> str:
    """What cloud-init knows an OpenStack guest by (cloud-init: DataSourceOpenStack, ds-identify)."""
    return (f"type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova,version={machine.version},"
            f"serial={guest.id},uuid={guest.id},family=Virtual Machine")


def _disks(guest: Guest, drives: tuple[Drive, ...]) -> list[str]:
    model = hardware.disk_model(guest.properties)
    words = ["-device", "virtio-scsi-pci,id=scsi0"] if model.startswith("scsi-hd") else []
    for number, drive in enumerate(drives):
        node = block_node(drive.name, drive.file, read_only=drive.read_only, base=drive.base)
        # Read-only on SATA is a CD; and the cloud kernels know no AHCI: the config drive is always virtio.
        device = hardware.DISK_BUSES["virtio"] if drive.read_only else model.format(number=number)
        words += ["-blockdev", json.dumps(node), "-device", f"{device},drive={drive.name},id=disk-{drive.name}"]
        if number == 0:
            words[-1] += ",bootindex=1"
    return words


def _consoles() -> list[str]:
    words = []
    for name in (qmp.CHANGE, qmp.LOOK):
        words += ["-chardev", f"socket,id={name},path=run/{name},server=on,wait=off"]
        words += ["-mon", f"chardev={name},mode=control"]
    return [*words,
            "-chardev", "socket,id=serial,path=run/serial,server=on,wait=off,logfile=console.log,logappend=on",
            "-serial", "chardev:serial", "-vnc", "unix:run/vnc"]


def _other_devices(properties: Mapping[str, str]) -> list[str]:
    return ["-device", hardware.video_model(properties),
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", "socket,id=agent,path=run/agent,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]


def _direct_boot(guest: Guest, boot: Boot) -> list[str]:
    arguments = guest.properties.get("os_command_line", "root=/dev/vda console=tty0 console=ttyS0")
    return ["-kernel", boot.kernel, "-append", arguments, *(["-initrd", boot.ramdisk] if boot.ramdisk else [])]


def _comma_list(arguments: Mapping[str, Any]) -> str:
    """QEMU's `-netdev` and `-device` syntax, in which the driver or type comes first."""
    said = {True: "on", False: "off"}
    (_, first), *rest = arguments.items()
    options = (f"{key}={said[value] if isinstance(value, bool) else value}" for key, value in rest)
    return ",".join((first, *options))
