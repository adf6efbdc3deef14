"""A hypervisor host in memory. It keeps every promise of the real one but the guests' own work: they only seem to boot.

Time is the clock that is passed in; trouble is a function that is called around every effect. The world (what would be
disks and processes) is a value of its own, so that a new `SimulatedHypervisor` can take over what a dead one left.
"""
from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from tiffin.core.driver import Impossible, Turn
from tiffin.services.compute.drivers import departure, disk_ranges, guest_check
from tiffin.services.compute.drivers.base import (
    BaseImage,
    CachedImage,
    Disk,
    DiskSource,
    Guest,
    GuestState,
    HostFacts,
    ImageSource,
    Nic,
    Snapshot,
)
from tiffin.services.compute.drivers.departure import Channel, Departure, Progress, TunnelSource
from tiffin.simulator import departures
from tiffin.simulator import disks as simulated_disks
from tiffin.simulator.qcow2 import empty_qcow2
from tiffin.simulator.world import SimulatedGuest, SimulatedImage, SimulatedWorld, untroubled

FACTS = HostFacts(
    hostname="simulated-1", hypervisor_type="Simulated", hypervisor_version=1_000_000, accelerator="tcg",
    architecture="x86_64", cpu_model="Simulated", vcpus=64, memory_mb=262_144, disk_gb=4096, cpu_allocation_ratio=4.0,
    traits=("COMPUTE_NODE", "COMPUTE_NET_ATTACH_INTERFACE", "COMPUTE_IMAGE_TYPE_QCOW2", "COMPUTE_IMAGE_TYPE_RAW"))
_BOOT = """\
[    0.000000] Linux version 6.1.0-simulated (tiffin@{host}) #1 SMP PREEMPT_DYNAMIC
[    0.000000] Command line: root=LABEL=tinyroot console=ttyS0
[    0.412345] virtio_blk virtio0: [vda] ready
{name}: up

{name} login: """


class Timing(msgspec.Struct):
    """How long things take, in seconds of the clock. It may change at any time."""

    boot: float = 0.0
    shutdown: float = 0.0
    snapshot: float = 0.0
    transfer: float = 0.0  # of the disks of a guest to another host
    migration: float = 0.0  # of a guest that runs to another host


class SimulatedHypervisor:
    """Implements `tiffin.services.compute.drivers.base.Hypervisor`."""

    def __init__(self, source: ImageSource, clock: Callable[[], float], world: SimulatedWorld,
                 facts: HostFacts = FACTS, timing: Timing | None = None,
                 fate: Callable[[str], None] = untroubled, *, disks: DiskSource = disk_ranges.nowhere,
                 tunnels: TunnelSource = departure.nowhere) -> None:
        """`disks` gives those of guests that come from other hosts, `tunnels` ways to where they go. `fate` is called with
        "CALL/ID?" before and "CALL/ID!" after every effect; the call raises what it raises."""
        self._source, self._clock, self._world, self._facts = source, clock, world, facts
        self._timing, self._fate, self._disks, self._tunnels = timing or Timing(), fate, disks, tunnels

    def facts(self) -> HostFacts:
        return self._facts

    def ensure_image(self, turn: Turn, guest_id: str, image: BaseImage) -> None:
        guest_check.image(image)
        with self._effect("ensure_image", guest_id, turn):
            uses = self._guest(guest_id).images
            found, first = image.id in self._world.images, image.id not in uses
            uses.add(image.id)
            cached = self._fetched(image)
            if found and first:
                cached.hits, cached.accessed = cached.hits + 1, self._clock()

    def ensure_disks(self, turn: Turn, guest: Guest) -> None:
        guest_check.guest(guest)
        with self._effect("ensure_disks", guest.id, turn):
            for image in (guest.kernel, guest.ramdisk):
                if image:
                    self._cached(image)
            size = guest_check.root_bytes(guest, self._cached(guest.image) if guest.image else None)
            simulated = self._guest(guest.id)
            simulated.disk = max(size, simulated.disk or 0)

    def ensure_config_drive(self, turn: Turn, guest_id: str, files: Mapping[str, bytes]) -> None:
        with self._effect("ensure_config_drive", guest_id, turn):
            guest_check.config_drive(files)
            self._guest(guest_id).config_drive = dict(files)

    def ensure_running(self, turn: Turn, guest: Guest) -> None:
        guest_check.guest(guest)
        with self._effect("ensure_running", guest.id, turn):
            self._seen(guest.id)
            simulated = self._world.guests.get(guest.id)
            if simulated and simulated.power in ("running", "paused"):
                simulated.power = "running"
            else:
                self._start(guest)

    def ensure_paused(self, turn: Turn, guest_id: str) -> None:
        with self._effect("ensure_paused", guest_id, turn):
            self._living(guest_id).power = "paused"

    def ensure_stopped(self, turn: Turn, guest_id: str, graceful: float) -> bool:
        with self._effect("ensure_stopped", guest_id, turn):
            guest = self._alive(guest_id)
            if guest is None:
                if (dead := self._world.guests.get(guest_id)) is not None:
                    dead.power, dead.reason, dead.stop_asked = "shutdown", "", None
                return True
            if guest.stop_asked is None:
                guest.stop_asked = self._clock()
            if not self._ended(guest, guest.stop_asked, graceful):
                return False
            guest.stop_asked = None
            return True

    def ensure_rebooted(self, turn: Turn, guest: Guest, key: str, hard: bool, graceful: float) -> bool:
        guest_check.guest(guest)
        with self._effect("ensure_rebooted", guest.id, turn):
            alive, simulated = self._alive(guest.id), self._guest(guest.id)
            if simulated.reboot is None or simulated.reboot[0] != key:
                simulated.reboot = (key, self._clock(), simulated.starts if alive else -1, False)
            _, since, ending, done = simulated.reboot
            if done:
                return True
            if alive and simulated.starts == ending and not self._ended(simulated, since, 0.0 if hard else graceful):
                return False
            if simulated.power not in ("running", "paused"):
                self._start(guest)
            simulated.reboot = (key, since, ending, True)
            return True

    def ensure_nic(self, turn: Turn, guest_id: str, nic: Nic) -> None:
        guest_check.nic(nic)
        with self._effect("ensure_nic", guest_id, turn):
            if (guest := self._alive(guest_id)) is not None:
                guest.nics[nic.port_id] = nic

    def forget_nic(self, turn: Turn, guest_id: str, port_id: str) -> None:
        with self._effect("forget_nic", guest_id, turn):
            if (guest := self._alive(guest_id)) is not None:
                guest.nics.pop(port_id, None)

    def ensure_snapshot(self, turn: Turn, guest_id: str, snapshot_id: str) -> Snapshot | None:
        guest_check.plain_id(snapshot_id)
        with self._effect("ensure_snapshot", guest_id, turn):
            self._world.turns.check(f"snapshot-{snapshot_id}", turn)
            guest = self._world.guests.get(guest_id)
            if guest is None or guest.disk is None:
                raise Impossible(f"guest {guest_id} has no root disk on this host")
            since, size = guest.snapshots.setdefault(snapshot_id, (self._clock(), guest.disk))
            if self._clock() - since < self._timing.snapshot:
                return None
            return Snapshot("qcow2", len(empty_qcow2(size)), size)

    def read_snapshot(self, snapshot_id: str) -> Iterator[bytes]:
        guest = self._owner(guest_check.plain_id(snapshot_id))
        if guest is None or self._clock() - guest.snapshots[snapshot_id][0] < self._timing.snapshot:
            raise Impossible(f"there is no snapshot {snapshot_id} on this host")
        return iter((empty_qcow2(guest.snapshots[snapshot_id][1], snapshot_id.encode()),))

    def forget_snapshot(self, turn: Turn, snapshot_id: str) -> None:
        guest_check.plain_id(snapshot_id)
        self._fate(f"forget_snapshot/{snapshot_id}?")
        with self._world.lock:
            self._world.turns.check(f"snapshot-{snapshot_id}", turn)
            if (guest := self._owner(snapshot_id)) is not None:
                del guest.snapshots[snapshot_id]
        self._fate(f"forget_snapshot/{snapshot_id}!")

    def ensure_kept(self, turn: Turn, guest_id: str) -> tuple[Disk, ...]:
        with self._effect("ensure_kept", guest_id, turn):
            if self._alive(guest_id) is not None:
                raise Impossible(f"guest {guest_id} runs: its disks cannot be set aside")
            return simulated_disks.keep(guest_id, self._world.guests.get(guest_id))

    def read_disk(self, guest_id: str, name: str, offset: int, length: int) -> Iterator[bytes]:
        disk_ranges.check(offset, length)
        content = simulated_disks.readable(self._world.guests.get(guest_check.guest_id(guest_id)), name)
        if content is None:
            raise Impossible(f"guest {guest_id} has no disk {name!r} set aside on this host")
        return disk_ranges.sent((content[offset : offset + length],))

    def ensure_disks_from(self, turn: Turn, guest: Guest, disks: tuple[Disk, ...]) -> bool:
        guest_check.guest(guest)
        with self._effect("ensure_disks_from", guest.id, turn):
            if guest.image:
                self._cached(guest.image)
            simulated = self._guest(guest.id)
            if simulated.arriving is None:
                simulated.arriving = self._clock()
            if self._clock() - simulated.arriving < self._timing.transfer:
                return False
            simulated_disks.receive(guest.id, simulated, disks, self._disks if simulated.kept is None else self.read_disk)
            return True

    def ensure_restored(self, turn: Turn, guest_id: str) -> None:
        with self._effect("ensure_restored", guest_id, turn):
            guest = self._world.guests.get(guest_id)
            if guest is not None and guest.kept is not None and self._alive(guest_id):
                raise Impossible(f"guest {guest_id} runs: its disks cannot be exchanged")
            if guest is not None:
                simulated_disks.restore(guest)

    def forget_kept(self, turn: Turn, guest_id: str) -> None:
        with self._effect("forget_kept", guest_id, turn):
            if (guest := self._world.guests.get(guest_id)) is not None:
                guest.kept = None

    def ensure_departing(self, turn: Turn, guest_id: str) -> Departure:
        with self._effect("ensure_departing", guest_id, turn):
            return departures.depart(self._living(guest_id), self._facts.accelerator)

    def ensure_incoming(self, turn: Turn, guest: Guest, coming: Departure) -> bool:
        guest_check.guest(guest)
        guest_check.coming(guest, coming, self._facts.accelerator)
        with self._effect("ensure_incoming", guest.id, turn):
            simulated = self._guest(guest.id)
            if simulated.coming is None and (simulated.arrived or simulated.power != "shutdown"):
                raise Impossible(f"guest {guest.id} is here already")
            simulated.disk = guest_check.root_bytes(guest, self._cached(guest.image) if guest.image else None)
            departures.fetch_config(guest.id, simulated, coming, self._disks)
            guest_check.disks(departures.blocks(simulated), coming.disks)
            simulated.coming = simulated.coming or {}
            simulated.nics = {nic.port_id: nic for nic in guest.nics}
            simulated.power = "paused"
            return True

    def connect_incoming(self, guest_id: str, channel: Channel) -> socket.socket:
        return departures.dial(guest_id, self._world.guests.get(guest_check.guest_id(guest_id)), channel)

    def ensure_migrating(self, turn: Turn, guest_id: str, hurry: bool) -> Progress:
        with self._effect("ensure_migrating", guest_id, turn):
            guest = self._living(guest_id)
            return departures.lead(guest_id, guest, self._tunnels, self._clock(), self._timing.migration, hurry)

    def ensure_arrived(self, turn: Turn, guest_id: str) -> bool:
        with self._effect("ensure_arrived", guest_id, turn):
            guest = self._living(guest_id)
            return guest.coming is None or departures.arrive(guest_id, guest)

    def ensure_landed(self, turn: Turn, guest_id: str, running: bool) -> None:
        with self._effect("ensure_landed", guest_id, turn):
            guest = self._living(guest_id)
            if guest.coming is not None:
                raise Impossible(f"guest {guest_id} has not arrived")
            if guest.arrived and running:
                guest.power = "running"
            guest.arrived = False

    def forget_departing(self, turn: Turn, guest_id: str, running: bool) -> None:
        with self._effect("forget_departing", guest_id, turn):
            guest = self._world.guests.get(guest_id)
            if guest is not None and guest.departure is not None:
                guest.hang_up()
                guest.departure = None
                if self._alive(guest_id) is not None:
                    guest.power = "running" if running else "paused"

    def forget_guest(self, turn: Turn, guest_id: str) -> None:
        with self._effect("forget_guest", guest_id, turn):
            if (guest := self._world.guests.pop(guest_id, None)) is not None:
                guest.hang_up()

    def console_log(self, guest_id: str, lines: int | None) -> bytes:
        guest = self._seen(guest_id)
        if guest is None or lines == 0:
            return b""
        return guest.console if lines is None else b"".join(guest.console.splitlines(keepends=True)[-lines:])

    def state(self, guest_id: str) -> GuestState:
        guest = self._seen(guest_id)
        if guest is None:
            return GuestState(guest_id, "absent")
        return GuestState(guest_id, guest.power, guest.reason if guest.power == "crashed" else "")

    def guests(self) -> list[GuestState]:
        return [self.state(id) for id in sorted(self._world.guests)]

    def prefetch_image(self, image: BaseImage) -> None:
        guest_check.image(image)
        self._fate(f"prefetch_image/{image.id}?")
        with self._world.lock:
            self._fetched(image)
        self._fate(f"prefetch_image/{image.id}!")

    def cached_images(self) -> list[CachedImage]:
        with self._world.lock:
            return [CachedImage(id, cached.image.size, cached.hits, cached.accessed, cached.modified)
                    for id, cached in sorted(self._world.images.items())]

    def forget_image(self, image_id: str) -> bool:
        guest_check.plain_id(image_id)
        self._fate(f"forget_image/{image_id}?")
        with self._world.lock:
            if any(image_id in guest.images for guest in self._world.guests.values()):
                return False
            known = self._world.images.pop(image_id, None)
            if known is not None:
                self._world.judged.pop((image_id, known.image.sha512), None)
        self._fate(f"forget_image/{image_id}!")
        return True

    def clean_images(self, stalled: float) -> int:
        return 0  # an image appears at once or not at all

    def close(self) -> None:
        """The world goes on without us."""

    @contextmanager
    def _effect(self, call: str, guest_id: str, turn: Turn) -> Iterator[None]:
        guest_check.guest_id(guest_id)
        self._fate(f"{call}/{guest_id}?")
        with self._world.lock:  # after fate, who may make us so slow that another takes our turn
            self._world.turns.check(guest_id, turn)
            yield
        self._fate(f"{call}/{guest_id}!")

    def _fetched(self, image: BaseImage) -> SimulatedImage:
        known = self._world.images.get(image.id)
        if known is None:
            now = self._clock()
            known = self._world.images[image.id] = SimulatedImage(image, self._judged(image), now, now)
        elif known.image.sha512.lower() != image.sha512.lower():
            raise Impossible(f"image {image.id} is in this host's cache with another digest")
        return known

    def _guest(self, guest_id: str) -> SimulatedGuest:
        return self._world.guests.setdefault(guest_id, SimulatedGuest())

    def _alive(self, guest_id: str) -> SimulatedGuest | None:
        guest = self._seen(guest_id)
        return guest if guest and guest.power in ("running", "paused") else None

    def _living(self, guest_id: str) -> SimulatedGuest:
        """Raises `Impossible` for a guest that does not run."""
        guest = self._alive(guest_id)
        if guest is None:
            raise Impossible(f"guest {guest_id} does not run")
        return guest

    def _owner(self, snapshot_id: str) -> SimulatedGuest | None:
        return next((guest for guest in self._world.guests.values() if snapshot_id in guest.snapshots), None)

    def _judged(self, image: BaseImage) -> int:
        """What the guest sees of the image, in bytes, once it was looked at, here or by whom we share the verdict with."""
        known = self._world.judged.get((image.id, image.sha512))
        if known is None:
            from tiffin.services.compute.drivers.image_inspection import verified  # late: it is slow

            known = verified(self._source(image.id), image, 2048 << 30, lambda chunk: None)
            self._world.judged[image.id, image.sha512] = known
        return known

    def _cached(self, image: BaseImage) -> int:
        if image.id not in self._world.images:
            raise Impossible(f"image {image.id} is not in this host's cache")
        return self._world.images[image.id].size

    def _start(self, guest: Guest) -> None:
        simulated = self._world.guests.get(guest.id)
        if simulated is None or simulated.disk is None:
            raise Impossible(f"guest {guest.id} has no root disk on this host")
        if guest.config_drive and simulated.config_drive is None:
            raise Impossible(f"guest {guest.id} has no config disk on this host")
        simulated.name, simulated.power, simulated.reason = guest.hostname or guest.name, "running", ""
        simulated.started, simulated.starts, simulated.stop_asked = self._clock(), simulated.starts + 1, None
        simulated.nics = {nic.port_id: nic for nic in guest.nics}

    def _seen(self, guest_id: str) -> SimulatedGuest | None:
        """The guest as it is by now: what it would have written on its console is there."""
        guest = self._world.guests.get(guest_id)
        if guest and guest.power == "running" and self._booted(guest) and guest.greeted != guest.starts:
            guest.greeted = guest.starts
            self._world.show(guest_id, _BOOT.format(name=guest.name, host=self._facts.hostname))
        return guest

    def _booted(self, guest: SimulatedGuest) -> bool:
        return self._clock() - guest.started >= self._timing.boot

    def _ended(self, guest: SimulatedGuest, since: float, graceful: float) -> bool:
        """Whether the guest is off, which was asked to be so at `since`."""
        waited = self._clock() - since
        hears = guest.power == "running" and not guest.deaf and self._booted(guest)
        if guest.power == "running" and waited < graceful and not (hears and waited >= self._timing.shutdown):
            return False
        guest.power, guest.reason, guest.nics = "shutdown", "", {}
        return True
