"""What compute needs from a hypervisor host.

Every `ensure_*` and `forget_*` may be repeated: same arguments, same world. Each carries the id of our own thing and
the turn of the lifecycle that owns it: of the guest, also for its snapshots. They raise `Refused` (try again later),
`Impossible` (tell the user) or `StaleTurn`.
Implementations share one conformance suite: `tests/drivers/test_hypervisor_conformance.py`.
"""
from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Protocol

import msgspec

from tiffin.core.driver import Turn
from tiffin.services.compute.drivers.departure import Channel, Departure, Progress

Power = Literal["running", "paused", "shutdown", "crashed", "absent"]


class HostFacts(msgspec.Struct, frozen=True):
    """What a host is and has, as placement and `hypervisor show` tell it."""

    hostname: str
    hypervisor_type: str  # "QEMU", or "Simulated"
    hypervisor_version: int  # 7.2.22 is 7002022
    accelerator: str  # "kvm" or "tcg", after a real probe
    architecture: str
    cpu_model: str
    vcpus: int
    memory_mb: int
    disk_gb: int
    cpu_allocation_ratio: float
    traits: tuple[str, ...] = ()


class BaseImage(msgspec.Struct, frozen=True):
    """An image as it must be in the host's cache before a disk is made on it."""

    id: str
    disk_format: Literal["raw", "qcow2", "iso", "ami", "aki", "ari", "vmdk", "vdi", "vhd", "vhdx"]
    sha512: str
    size: int  # bytes of the file
    virtual_size: int  # bytes that the guest sees


class CachedImage(msgspec.Struct, frozen=True):
    """An image that is in the host's cache."""

    id: str
    size: int  # bytes that it takes there
    hits: int  # guests that found it there
    last_accessed: float  # seconds since the epoch: when the last of them did
    last_modified: float  # when it was fetched


class Nic(msgspec.Struct, frozen=True):
    port_id: str
    mac: str
    mtu: int
    tap: str  # interface that the host's network plugged (HostNetwork.ensure_plugged)


class Guest(msgspec.Struct, frozen=True):
    """Everything that a host needs to run a guest; the same value gives the same guest again."""

    id: str
    name: str  # instance-0000001f
    vcpus: int
    memory_mb: int
    root_gb: int  # 0: as large as the image
    image: BaseImage | None
    nics: tuple[Nic, ...] = ()
    ephemeral_gb: int = 0
    swap_mb: int = 0
    config_drive: bool = False
    properties: Mapping[str, str] = {}  # the image's hw_* properties
    kernel: BaseImage | None = None
    ramdisk: BaseImage | None = None
    hostname: str = ""  # what metadata tells it; for guests that only seem to ask


class GuestState(msgspec.Struct, frozen=True):
    id: str
    power: Power
    reason: str = ""  # why it crashed, for people
    memory_kb: int = 0
    cpu_ns: int = 0


class Snapshot(msgspec.Struct, frozen=True):
    disk_format: Literal["raw", "qcow2"]
    size: int
    virtual_size: int


class Disk(msgspec.Struct, frozen=True):
    """A disk of a guest as a file that can travel."""

    name: str  # root.qcow2
    size: int  # bytes of the file


DiskSource = Callable[[str, str, int, int], Iterator[bytes]]
"""Gives a range of a disk that another host has set aside: (guest id, name of the disk, offset, length), in the form of
`Hypervisor.read_disk`. Raises as the drivers do."""

ImageSource = Callable[[str], Iterator[bytes]]
"""Gives the bytes of an image by id. A host never reads the image store itself. Raises as the drivers do."""


class Hypervisor(Protocol):
    def facts(self) -> HostFacts:
        """What the host is and has. Cheap after the first call."""
        ...

    def ensure_image(self, turn: Turn, guest_id: str, image: BaseImage) -> None:
        """Have the image in the host's cache: fetched once, digest verified, format inspected, made read-only."""
        ...

    def ensure_disks(self, turn: Turn, guest: Guest) -> None:
        """Have the root, ephemeral and swap disks: copy-on-write on the cached image, grown to the flavor's size."""
        ...

    def ensure_config_drive(self, turn: Turn, guest_id: str, files: Mapping[str, bytes]) -> None:
        """Have the config drive (label config-2) with these files, by relative path."""
        ...

    def ensure_running(self, turn: Turn, guest: Guest) -> None:
        """Have the guest executing: start it, or continue it when it is paused. Returns when its first CPU runs."""
        ...

    def ensure_paused(self, turn: Turn, guest_id: str) -> None: ...

    def ensure_stopped(self, turn: Turn, guest_id: str, graceful: float) -> bool:
        """Power off: ask the guest first; after `graceful` seconds since the first call, pull the plug. False while it
        still runs (call again), True when no process is left. Disks stay."""
        ...

    def ensure_rebooted(self, turn: Turn, guest: Guest, key: str, hard: bool, graceful: float) -> bool:
        """Reboot once for each `key`. Soft asks the guest and falls back to hard after `graceful` seconds; hard starts
        a new process from `guest`. False while it is not yet done (call again)."""
        ...

    def ensure_nic(self, turn: Turn, guest_id: str, nic: Nic) -> None:
        """Have this NIC in the running guest (hot-plug); nothing to do when the guest does not run."""
        ...

    def forget_nic(self, turn: Turn, guest_id: str, port_id: str) -> None: ...

    def ensure_snapshot(self, turn: Turn, guest_id: str, snapshot_id: str) -> Snapshot | None:
        """Have a standalone copy of the root disk as of the first call. None while it is being made (call again)."""
        ...

    def read_snapshot(self, snapshot_id: str) -> Iterator[bytes]: ...

    def forget_snapshot(self, turn: Turn, snapshot_id: str) -> None: ...

    def ensure_kept(self, turn: Turn, guest_id: str) -> tuple[Disk, ...]:
        """Have the disks of this guest, which does not run, set aside: they can be read, and the guest cannot start from
        them. What is made for it on this host from now on are other disks."""
        ...

    def read_disk(self, guest_id: str, name: str, offset: int, length: int) -> Iterator[bytes]:
        """A range of a disk that was set aside, as `disk_ranges` frames it. Raises `Impossible` when there is no such."""
        ...

    def ensure_disks_from(self, turn: Turn, guest: Guest, disks: tuple[Disk, ...]) -> bool:
        """Have these disks, read from where they were set aside (this host, or its `DiskSource`). The images that they
        stand on must be here. Each call works for some seconds: False while there is more to do (call again)."""
        ...

    def ensure_restored(self, turn: Turn, guest_id: str) -> None:
        """Have the disks that were set aside in their place again, instead of any that were made since.
        Nothing to do when there are none."""
        ...

    def forget_kept(self, turn: Turn, guest_id: str) -> None:
        """Have no disks set aside."""
        ...

    # A guest that moves while it runs. Here it is until `ensure_landed` is called there, and never executes on both; until
    # then `forget_departing` here and `forget_guest` there undo it all.

    def ensure_departing(self, turn: Turn, guest_id: str) -> Departure:
        """What another host needs to take over this guest, which executes or is paused; from now on its config drive can be
        read there (`read_disk`)."""
        ...

    def ensure_incoming(self, turn: Turn, guest: Guest, coming: Departure) -> bool:
        """Have the guest's machine, which executes nothing yet, waiting for the guest's memory and disks. The images that
        these stand on must be here. Each call works for some seconds: False while there is more to do (call again)."""
        ...

    def connect_incoming(self, guest_id: str, channel: Channel) -> socket.socket:
        """A stream to a guest that comes here. Raises `Impossible` when it is not awaited."""
        ...

    def ensure_migrating(self, turn: Turn, guest_id: str, hurry: bool) -> Progress:
        """Have the departing guest on its way: begin, go on, or tell how it goes (call again while it is `going`). Once
        `gone` all that it was is on its way or there, and it executes no more. One that is `broken` or `failed` is not begun
        again before it was forgotten, here and there. `hurry`: it may stand still meanwhile."""
        ...

    def ensure_arrived(self, turn: Turn, guest_id: str) -> bool:
        """Whether all that the guest was is here. False while it still comes in (call again). Raises `Impossible` when it
        broke off."""
        ...

    def ensure_landed(self, turn: Turn, guest_id: str, running: bool) -> None:
        """Have the guest that has arrived be this host's own; `running`: executing."""
        ...

    def forget_departing(self, turn: Turn, guest_id: str, running: bool) -> None:
        """Have the guest, wherever it is on its way, be only this host's again; `running`: executing. Nothing to do for one
        that does not depart."""
        ...

    def forget_guest(self, turn: Turn, guest_id: str) -> None:
        """End the process and remove every file of the guest, its snapshots too, whatever was or was not built."""
        ...

    def console_log(self, guest_id: str, lines: int | None) -> bytes:
        """The last `lines` lines of the serial console, or all that is kept (at most 1 MiB)."""
        ...

    def state(self, guest_id: str) -> GuestState: ...

    def guests(self) -> list[GuestState]:
        """Every guest that is real on this host: a process, or files."""
        ...

    def prefetch_image(self, image: BaseImage) -> None:
        """Have the image in the host's cache before any guest asks for it."""
        ...

    def cached_images(self) -> list[CachedImage]:
        """What is in the host's cache."""
        ...

    def forget_image(self, image_id: str) -> bool:
        """Remove an image from the cache, and what an interrupted download left of it. False when a disk of a guest stands
        on it. Raises `Refused` while it is being fetched."""
        ...

    def clean_images(self, stalled: float) -> int:
        """Remove what downloads have left that were interrupted at least `stalled` seconds ago; how many."""
        ...

    def close(self) -> None:
        """Let go of connections; guests go on."""
        ...


class HostPorts(Protocol):
    """What compute needs of a host's network: ports plugged, metadata answered. Network's `HostNetwork` is one."""

    def ensure_plugged(self, turn: Turn, port_id: str, mac: str, mtu: int) -> str:
        """Have an interface for this port on the host; the name of its tap."""
        ...

    def forget_plugged(self, turn: Turn, port_id: str) -> None: ...

    def ensure_metadata(self, turn: Turn, network: Any) -> None:
        """Have the metadata address of this network (as network specifies it) answered on this host."""
        ...

    def forget_metadata(self, turn: Turn, network_id: str) -> None: ...
    def plugged(self) -> frozenset[str]:
        """The ports that have an interface on this host."""
        ...

    def metadata_networks(self) -> frozenset[str]: ...


class Hosts(Protocol):
    """Where guests run: this machine, and others through their agents."""

    def names(self) -> list[str]:
        """The hosts that take part, by the name that servers and services carry."""
        ...

    def own(self) -> list[str]:
        """Those of this process, which nobody else looks after."""
        ...

    def looked_after(self) -> list[str]:
        """Those that whoever leads looks after: its own, and every host that is no controller's own."""
        ...

    def hypervisor(self, host: str) -> Hypervisor:
        """Raises `Refused` for a host that does not take part (any more, or yet)."""
        ...

    def network(self, host: str) -> HostPorts:
        """Raises `Refused` for a host that does not take part (any more, or yet)."""
        ...
