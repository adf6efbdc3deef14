"""A hypervisor host on QEMU, driven directly: one process for each guest, one folder for each guest, QMP between.

Nothing about guests is remembered in memory. Whoever is killed here leaves processes and files, and the next `Qemu` on
the same folder takes them over as they are.

    ROOT/turns/ID                 the newest turn seen, and the lock
    ROOT/cache/IMAGE/             image, facts.json, hits
    ROOT/guests/ID/               QEMU's working directory: pid, disks, config.iso, console.log, qemu.log
        uses/IMAGE                keeps the image in the cache
        run/                      monitors, serial, vnc, agent: the only folder that QEMU can write
        snapshots/SNAPSHOT/       disk.qcow2 when complete
        kept/, incoming/          disks of a guest that moves (qemu_moves.py)

Tenants are hostile, and QEMU is what stands between a guest and the host: as root we give each guest a user id of its
own (confinement.py), no capabilities and a seccomp sandbox; it owns its disks and logs, and reads the cache. The home
of ROOT may be closed to it: every path on its command line is relative.
"""
from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import structlog

from tiffin.core.confinement import as_user, give, user_for
from tiffin.core.driver import Impossible, Turn
from tiffin.services.compute.drivers import (
    config_drive,
    console,
    departure,
    devices,
    disk_ranges,
    guest_check,
    kvm_probe,
    qemu_disks,
    qemu_host,
    qemu_live,
    qemu_moves,
    qemu_nics,
    qemu_power,
    qemu_process,
    qemu_snapshots,
    qmp,
)
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
from tiffin.services.compute.drivers.departure import Board, Channel, Departure, Progress, TunnelSource
from tiffin.services.compute.drivers.fences import Fences
from tiffin.services.compute.drivers.qemu_command import INCOMING, Machine, command, new_board
from tiffin.services.compute.drivers.qemu_images import ImageCache
from tiffin.services.compute.drivers.qemu_process import Process

log = structlog.get_logger(__name__)

_FORGET_TURNS_AFTER = 7 * 86400.0  # seconds
_TUN, _KVM = Path("/dev/net/tun"), Path("/dev/kvm")


class Settings(msgspec.Struct, frozen=True):
    """How this host runs guests."""

    binary: str = "qemu-system-x86_64"
    version: str = "0.1.0"  # what SMBIOS tells the guest
    most_image_gb: int = 2048  # the largest virtual size of an image
    cpu_allocation_ratio: float = 4.0
    probe_kernel: Path | None = None  # a Linux to try KVM with; else this machine's own
    full_checksums: bool = False  # Open vSwitch 3.1 drops what leaves through a tunnel with a checksum left to hardware
    unplug_patience: float = 5.0  # seconds that one call waits for a guest to let go of a device


class Qemu:
    """Implements `tiffin.services.compute.drivers.base.Hypervisor`."""

    def __init__(self, root: Path, source: ImageSource, launch_prefix: Callable[[], tuple[str, ...]],
                 clock: Callable[[], float], hostname: str, settings: Settings = Settings(),  # noqa: B008 (frozen)
                 *, disks: DiskSource = disk_ranges.nowhere, tunnels: TunnelSource = departure.nowhere) -> None:
        """All state lies below `root`. `launch_prefix` leads into the network namespace of the taps. `clock` gives
        seconds since the epoch, `disks` the disks of guests that come from other hosts, `tunnels` ways to where they go."""
        self._root, self._disks, self._tunnels = root.resolve(), disks, tunnels
        self._guests = self._root / "guests"
        self._launch_prefix, self._clock, self._hostname, self._settings = launch_prefix, clock, hostname, settings
        self._guests.mkdir(parents=True, exist_ok=True)
        for folder in (self._root, self._guests):
            folder.chmod(0o711)  # each guest's user passes through to its own, and sees no other
        self._fences = Fences(self._root / "turns")
        self._fences.prune(clock() - _FORGET_TURNS_AFTER, lambda id: (self._guests / id).exists())
        most = settings.most_image_gb << 30
        self._cache = ImageCache(self._root / "cache", source, self._fences, most, self._stands_on)

    def facts(self) -> HostFacts:
        version = qemu_host.installed(self._settings.binary, self._root / "qemu.json").version
        return qemu_host.facts(self._hostname, version, self._accelerator().accelerator, self._root,
                               self._settings.cpu_allocation_ratio)

    def ensure_image(self, turn: Turn, guest_id: str, image: BaseImage) -> None:
        guest_check.image(image)
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            uses = self._make_folder(guest_id) / "uses"
            uses.mkdir(exist_ok=True)
            first = not (uses / image.id).exists()
            (uses / image.id).touch()  # first: from now on nobody removes the image
        # Not fenced: a download may take long, and a delete of the guest should not wait for it.
        self._cache.ensure(image, hit=first)

    def ensure_disks(self, turn: Turn, guest: Guest) -> None:
        guest_check.guest(guest)
        with self._fences.hold(guest.id, turn):
            qemu_disks.ensure(self._make_folder(guest.id), guest, self._cache)

    def ensure_config_drive(self, turn: Turn, guest_id: str, files: Mapping[str, bytes]) -> None:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            config_drive.ensure(self._make_folder(guest_id), user_for(guest_id), files)

    def ensure_running(self, turn: Turn, guest: Guest) -> None:
        guest_check.guest(guest)
        with self._fences.hold(guest.id, turn):
            folder, process = self._guests / guest.id, self._find(guest.id)
            if process is not None:
                power = qemu_power.state(folder, process).power
                if power == "running":
                    return
                if power == "paused":
                    with qmp.connect(folder, process.pid) as monitor:
                        monitor.do("cont")
                    return
                qemu_process.end(process, folder, guest.id)
            self._start(guest)

    def ensure_paused(self, turn: Turn, guest_id: str) -> None:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            process = self._alive(guest_id)
            with qmp.connect(self._guests / guest_id, process.pid) as monitor:
                monitor.do("stop")

    def ensure_stopped(self, turn: Turn, guest_id: str, graceful: float) -> bool:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            folder, process = self._guests / guest_id, self._find(guest_id)
            path = folder / "stop.json"
            if process is None:
                qemu_process.forget_end(folder)
                path.unlink(missing_ok=True)
                return True
            request = qemu_power.load(path)
            if request is None or request.process != process:  # of an earlier stop
                request = qemu_power.Request(self._clock(), process)
                qemu_power.save(path, request)
            return qemu_power.ended(path, request, graceful, self._clock())

    def ensure_rebooted(self, turn: Turn, guest: Guest, key: str, hard: bool, graceful: float) -> bool:
        guest_check.guest(guest)
        with self._fences.hold(guest.id, turn):
            folder, process = self._make_folder(guest.id), self._find(guest.id)
            path = folder / "reboot.json"
            request = qemu_power.load(path)
            if request is None or request.key != key:
                request = qemu_power.Request(self._clock(), process, key)
                qemu_power.save(path, request)
            if request.done:
                return True
            # Another process than the one that was to end is the new one, of a call that died before it said so.
            if process is not None and process == request.process:
                if not qemu_power.ended(path, request, 0.0 if hard else graceful, self._clock()):
                    return False
                process = None
            if process is None:
                self._start(guest)
            qemu_power.save(path, msgspec.structs.replace(request, done=True))
            return True

    def ensure_nic(self, turn: Turn, guest_id: str, nic: Nic) -> None:
        guest_check.nic(nic)
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            if (process := self._find(guest_id)) is not None:
                with qmp.connect(self._guests / guest_id, process.pid) as monitor:
                    qemu_nics.ensure(monitor, nic, self._settings.full_checksums)

    def forget_nic(self, turn: Turn, guest_id: str, port_id: str) -> None:
        guest_check.plain_id(port_id)
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            if (process := self._find(guest_id)) is not None:
                patience = self._settings.unplug_patience
                with qmp.connect(self._guests / guest_id, process.pid, seconds=patience + 10) as monitor:
                    qemu_nics.forget(monitor, port_id, patience)

    def ensure_snapshot(self, turn: Turn, guest_id: str, snapshot_id: str) -> Snapshot | None:
        guest_check.guest_id(guest_id)
        with self._fences.hold(_fence(snapshot_id), turn), self._fences.hold(guest_id, turn):
            process = self._find(guest_id)
            return qemu_snapshots.ensure(self._guests / guest_id, process.pid if process else None, snapshot_id)

    def read_snapshot(self, snapshot_id: str) -> Iterator[bytes]:
        return qemu_snapshots.read(self._guests, guest_check.plain_id(snapshot_id))

    def forget_snapshot(self, turn: Turn, snapshot_id: str) -> None:
        with self._fences.hold(_fence(snapshot_id), turn):
            folder = qemu_snapshots.owner(self._guests, snapshot_id)
            if folder is not None:
                process = self._find(folder.name)
                qemu_snapshots.forget(folder, process.pid if process else None, snapshot_id)

    def ensure_kept(self, turn: Turn, guest_id: str) -> tuple[Disk, ...]:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            if self._find(guest_id) is not None:
                raise Impossible(f"guest {guest_id} runs: its disks cannot be set aside")
            return qemu_moves.keep(self._guests / guest_id)

    def read_disk(self, guest_id: str, name: str, offset: int, length: int) -> Iterator[bytes]:
        return qemu_moves.read(self._guests / guest_check.guest_id(guest_id), name, offset, length)

    def ensure_disks_from(self, turn: Turn, guest: Guest, disks: tuple[Disk, ...]) -> bool:
        guest_check.guest(guest)
        with self._fences.hold(guest.id, turn):
            for image in (guest.image, guest.kernel, guest.ramdisk):
                if image:
                    self._cache.get(image)
            folder = self._make_folder(guest.id)
            return qemu_moves.receive(folder, disks, self.read_disk if (folder / "kept").exists() else self._disks)

    def ensure_restored(self, turn: Turn, guest_id: str) -> None:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            folder = self._guests / guest_id
            if (folder / "kept").exists() and self._find(guest_id) is not None:
                raise Impossible(f"guest {guest_id} runs: its disks cannot be exchanged")
            qemu_moves.restore(folder)

    def forget_kept(self, turn: Turn, guest_id: str) -> None:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            qemu_moves.discard(self._guests / guest_id)

    def ensure_departing(self, turn: Turn, guest_id: str) -> Departure:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            folder, process = self._guests / guest_id, self._alive(guest_id)
            return qemu_live.depart(folder, process.pid, self._accelerator().accelerator)

    def ensure_incoming(self, turn: Turn, guest: Guest, coming: Departure) -> bool:
        guest_check.guest(guest)
        guest_check.coming(guest, coming, self._accelerator().accelerator)
        with self._fences.hold(guest.id, turn):
            folder = self._make_folder(guest.id)
            if (process := self._find(guest.id)) is None:
                qemu_disks.ensure(folder, guest, self._cache)
                config = tuple(Disk(disk.name, disk.size) for disk in coming.disks if disk.name == qemu_moves.CONFIG)
                if not qemu_moves.receive(folder, config, self._disks):
                    return False
                guest_check.disks(qemu_live.blocks(folder), coming.disks)
                process = self._start(guest, coming.board)
            qemu_live.await_guest(folder, process.pid, qemu_disks.drives(folder, guest, self._cache))
            return True

    def connect_incoming(self, guest_id: str, channel: Channel) -> socket.socket:
        return qemu_live.dial(self._guests / guest_id, self._alive(guest_check.guest_id(guest_id)).pid, channel)

    def ensure_migrating(self, turn: Turn, guest_id: str, hurry: bool) -> Progress:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            return qemu_live.migrate(self._guests / guest_id, self._alive(guest_id).pid, self._tunnels, hurry)

    def ensure_arrived(self, turn: Turn, guest_id: str) -> bool:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            return qemu_live.arrived(self._guests / guest_id, self._alive(guest_id).pid)

    def ensure_landed(self, turn: Turn, guest_id: str, running: bool) -> None:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            qemu_live.land(self._guests / guest_id, self._alive(guest_id).pid, running)

    def forget_departing(self, turn: Turn, guest_id: str, running: bool) -> None:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            process = self._find(guest_id)
            qemu_live.forget(self._guests / guest_id, process.pid if process else None, running)

    def forget_guest(self, turn: Turn, guest_id: str) -> None:
        with self._fences.hold(guest_check.guest_id(guest_id), turn):
            folder = self._guests / guest_id
            if (process := self._find(guest_id)) is not None:
                qemu_process.end(process, folder, guest_id, grace=0.5)  # nobody wants the disks any more
            for snapshot in (folder / "snapshots").glob("*"):
                qemu_snapshots.end_copy(snapshot)
            if folder.exists():
                shutil.rmtree(folder)
                log.info("guest forgotten", guest=guest_id)

    def console_log(self, guest_id: str, lines: int | None) -> bytes:
        return console.read(self._guests / guest_check.guest_id(guest_id), lines)

    def state(self, guest_id: str) -> GuestState:
        return qemu_power.state(self._guests / guest_check.guest_id(guest_id), self._find(guest_id))

    def guests(self) -> list[GuestState]:
        running = dict(qemu_process.search(self._guests))
        found = sorted({folder.name for folder in self._guests.iterdir()} | running.keys())
        for id in found:
            console.trim(self._guests / id)
        return [qemu_power.state(self._guests / id, running.get(id)) for id in found]

    def prefetch_image(self, image: BaseImage) -> None:
        guest_check.image(image)
        self._cache.ensure(image)

    def cached_images(self) -> list[CachedImage]:
        return self._cache.all()

    def forget_image(self, image_id: str) -> bool:
        return self._cache.forget(guest_check.plain_id(image_id))

    def clean_images(self, stalled: float) -> int:
        return self._cache.clean(stalled)

    def close(self) -> None:
        """There is nothing to let go of: every conversation with a guest is short."""

    def _stands_on(self, image_id: str) -> bool:
        return any(self._guests.glob(f"*/uses/{image_id}"))

    def _find(self, guest_id: str) -> Process | None:
        return qemu_process.find(self._guests / guest_id, guest_id)

    def _alive(self, guest_id: str) -> Process:
        """Raises `Impossible` for a guest without a process."""
        if (process := self._find(guest_id)) is None:
            raise Impossible(f"guest {guest_id} does not run")
        return process

    def _make_folder(self, guest_id: str) -> Path:
        folder = self._guests / guest_id
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711)
        return folder

    def _start(self, guest: Guest, coming: Board | None = None) -> Process:
        """`coming`: how it was put together where it comes from."""
        folder, user = self._guests / guest.id, user_for(guest.id)
        drives, boot = qemu_disks.drives(folder, guest, self._cache), qemu_disks.boot(guest, self._cache)
        found = qemu_host.installed(self._settings.binary, self._root / "qemu.json")
        machine = Machine(found.binary, found.machine, self._accelerator().accelerator, self._settings.version,
                          self._settings.full_checksums)
        words = command(guest, machine, drives, boot, coming or new_board(guest, machine)) + (INCOMING if coming else ())
        shutil.rmtree(folder / "run", ignore_errors=True)
        (folder / "run").mkdir()
        give(folder / "run", user, 0o700)
        (folder / "console.log").touch()
        give(folder / "console.log", user, 0o600)
        (folder / "boot_id").write_text(qemu_power.boot_id())
        nodes = [_TUN, _KVM] if machine.accelerator == "kvm" else [_TUN]
        words = (*self._launch_prefix(), *devices.opened(nodes, self._root / "devices", user), *as_user(user), *words)
        process = qemu_process.start(words, folder, guest.id)
        log.info("guest started", guest=guest.id, pid=process.pid, accelerator=machine.accelerator)
        return process

    def _accelerator(self) -> kvm_probe.Probe:
        return kvm_probe.accelerator(self._settings.binary, self._settings.probe_kernel, self._root / "kvm.json")


def _fence(snapshot_id: str) -> str:
    """A snapshot's own lock, whatever its id: it is held together with its guest's."""
    return f"snapshot-{guest_check.plain_id(snapshot_id)}"
