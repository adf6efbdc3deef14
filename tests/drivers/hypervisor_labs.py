"""Two hosts to try the promises of a hypervisor on: a simulated one, and QEMU with guests of one sector."""
from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import msgspec

from drivers import boot_sector
from drivers.wire import Wire
from tiffin.core.driver import Impossible, Turn
from tiffin.services.compute.drivers import departure, disk_ranges, qemu_process
from tiffin.services.compute.drivers.base import BaseImage, DiskSource, Guest, GuestState, Hypervisor, Snapshot
from tiffin.services.compute.drivers.departure import TunnelSource
from tiffin.services.compute.drivers.qemu import Qemu, Settings
from tiffin.simulator.hypervisor import SimulatedHypervisor, Timing
from tiffin.simulator.world import SimulatedWorld

ONE = Turn(1)


class Lab(ABC):
    """A host with an image store, and the hands to disturb it."""

    hypervisor: Hypervisor
    midway = 3
    """Bytes of what a guest sends after which more is to come."""

    def __init__(self) -> None:
        self.store: dict[str, bytes] = {}
        self.disks: DiskSource = disk_ranges.nowhere
        self.tunnels: TunnelSource = departure.nowhere
        self.served = 0  # bytes that the image store has given
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def neighbour(self) -> Iterator[Lab]:
        """Another host, which has the same images and gets disks, and running guests, from this one."""
        other = type(self)()
        other.store, other.disks = self.store, lambda *range: self.hypervisor.read_disk(*range)
        self.tunnels = lambda *way: other.hypervisor.connect_incoming(*way)
        other.adopt()
        try:
            yield other
        finally:
            other.close()

    @abstractmethod
    def adopt(self) -> None:
        """Tiffin is killed, and a new one takes over what it left."""

    @abstractmethod
    def wait(self) -> None:
        """A moment passes."""

    @abstractmethod
    def incarnation(self, guest_id: str) -> object:
        """What changes when the guest is started anew."""

    @abstractmethod
    def crash(self, guest_id: str) -> None: ...

    @abstractmethod
    def power_off_inside(self, guest_id: str) -> None: ...

    @abstractmethod
    def deafen(self, guest: Guest) -> Guest:
        """The same guest, but it does not hear its power button."""

    @abstractmethod
    def copied(self, guest: Guest) -> int:
        """The bytes that the root disk takes beside the cached image, on which it stands."""

    @abstractmethod
    def scribble(self, guest: Guest) -> None:
        """The running guest writes on its root disk."""

    @abstractmethod
    def scribbled(self, guest: Guest) -> bool:
        """Whether what it then wrote is on its root disk here."""

    @abstractmethod
    def leftovers(self) -> list[str]:
        """What there is of any guest."""

    def close(self) -> None:  # noqa: B027  (most leave nothing)
        """Leave nothing behind."""

    def source(self, image_id: str) -> Iterator[bytes]:
        if image_id not in self.store:
            raise Impossible(f"there is no image {image_id}")
        return self._serve(self.store[image_id])

    def _serve(self, content: bytes) -> Iterator[bytes]:
        for at in range(0, len(content), 65536):
            self.served += len(content[at : at + 65536])
            yield content[at : at + 65536]

    def image(self, content: bytes, disk_format: str = "raw") -> BaseImage:
        """Upload an image, and describe it as it is."""
        id = f"image-{next(self._numbers)}"
        self.store[id] = content
        described = {"id": id, "disk_format": disk_format, "sha512": hashlib.sha512(content).hexdigest(),
                     "size": len(content), "virtual_size": len(content)}
        return msgspec.convert(described, BaseImage)

    def guest(self, **fields: object) -> Guest:
        """A guest that nobody has built yet, on a small bootable image."""
        number = next(self._numbers)
        image = fields.pop("image", None) or self.image(boot_sector.disk())
        plain = Guest(id=f"00000000-0000-4000-8000-{number:012x}", name=f"instance-{number:08x}", vcpus=1,
                      memory_mb=16, root_gb=0, image=image)  # type: ignore[arg-type]
        return msgspec.structs.replace(plain, **fields)

    def build(self, guest: Guest) -> Guest:
        """Everything up to the disks."""
        for image in (guest.image, guest.kernel, guest.ramdisk):
            if image:
                self.hypervisor.ensure_image(ONE, guest.id, image)
        self.hypervisor.ensure_disks(ONE, guest)
        return guest

    def boot(self, guest: Guest | None = None) -> Guest:
        """A guest that has greeted on its console."""
        guest = self.build(guest or self.guest())
        greetings = self.greetings(guest)
        self.hypervisor.ensure_running(ONE, guest)
        self.until(lambda: self.greeted_since(guest, greetings))
        return guest

    def greeted_since(self, guest: Guest, greetings: int) -> bool:
        return self.greetings(guest) > greetings

    def greetings(self, guest: Guest) -> int:
        """How many times the guest has booted."""
        return self.hypervisor.console_log(guest.id, None).count(b"login:")

    def power(self, guest: Guest) -> str:
        return self.hypervisor.state(guest.id).power

    def states(self) -> dict[str, GuestState]:
        return {state.id: state for state in self.hypervisor.guests()}

    def snapshot(self, guest: Guest, snapshot_id: str) -> Snapshot:
        """A complete snapshot."""
        found: list[Snapshot] = []

        def complete() -> bool:
            snapshot = self.hypervisor.ensure_snapshot(ONE, guest.id, snapshot_id)
            found.extend([snapshot] if snapshot else [])
            return snapshot is not None

        self.until(complete)
        return found[0]

    def until(self, happened: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until it has happened."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, "it does not happen"
            self.wait()


class SimulatedLab(Lab):
    def __init__(self) -> None:
        super().__init__()
        self.world = SimulatedWorld()
        self.now = 1_000_000.0
        self.adopt()

    def adopt(self) -> None:
        timing = Timing(boot=0.2, shutdown=0.1, snapshot=0.1, transfer=0.1, migration=0.2)
        self.hypervisor = SimulatedHypervisor(self.source, lambda: self.now, self.world, timing=timing,
                                              disks=self.disks, tunnels=lambda *way: self.tunnels(*way))

    def wait(self) -> None:
        self.now += 0.05

    def incarnation(self, guest_id: str) -> object:
        return self.world.guests[guest_id].starts

    def crash(self, guest_id: str) -> None:
        self.world.crash(guest_id)

    def power_off_inside(self, guest_id: str) -> None:
        self.world.power_off_inside(guest_id)

    def deafen(self, guest: Guest) -> Guest:
        self.build(guest)
        self.world.guests[guest.id].deaf = True
        return guest

    def copied(self, guest: Guest) -> int:
        assert guest.image is not None
        assert self.world.guests[guest.id].images == {guest.image.id}
        return 0

    def scribble(self, guest: Guest) -> None:
        assert self.world.guests[guest.id].power == "running"
        self.world.guests[guest.id].written = b"TIFFIN"

    def scribbled(self, guest: Guest) -> bool:
        return self.world.guests[guest.id].written == b"TIFFIN"

    def leftovers(self) -> list[str]:
        return list(self.world.guests)


class RemoteLab(SimulatedLab):
    """The simulated host behind an agent: every call goes through HTTPS."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="tiffin-lab-"))
        self._wire: Wire | None = None
        super().__init__()

    def adopt(self) -> None:
        self.close_wire()
        super().adopt()
        self._wire = Wire(self._root / str(time.monotonic_ns()), "hypervisor", Hypervisor, self.hypervisor)
        self.hypervisor = cast(Hypervisor, self._wire.remote)

    def close_wire(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def close(self) -> None:
        self.close_wire()
        shutil.rmtree(self._root)


class RealLab(Lab):
    midway = 40_000

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="tiffin-lab-", dir="/var/tmp"))  # closed to QEMU's users, on purpose
        self.namespace = f"lab-{os.getpid()}-{time.monotonic_ns()}"
        subprocess.run(("ip", "netns", "add", self.namespace), check=True)
        self.adopt()

    def adopt(self) -> None:
        prefix = ("ip", "netns", "exec", self.namespace)
        self.hypervisor = Qemu(self.root / "host", self.source, lambda: prefix, time.time, "lab",
                               Settings(unplug_patience=0.2), disks=self.disks,
                               tunnels=lambda *way: self.tunnels(*way))

    def wait(self) -> None:
        time.sleep(0.02)

    def folder(self, guest_id: str) -> Path:
        return self.root / "host/guests" / guest_id

    def process(self, guest_id: str) -> qemu_process.Process | None:
        return qemu_process.find(self.folder(guest_id), guest_id)

    def incarnation(self, guest_id: str) -> object:
        return self.process(guest_id)

    def crash(self, guest_id: str) -> None:
        process = self.process(guest_id)
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        self.until(lambda: self.process(guest_id) is None)

    def power_off_inside(self, guest_id: str) -> None:
        self.tell(guest_id, b"p")
        self.until(lambda: self.process(guest_id) is None)

    def tell(self, guest_id: str, key: bytes) -> None:
        """Type on the guest's serial console."""
        with socket.socket(socket.AF_UNIX) as serial:
            folder = os.open(self.folder(guest_id) / "run", os.O_PATH)
            try:
                serial.connect(f"/proc/self/fd/{folder}/serial")
            finally:
                os.close(folder)
            serial.sendall(key)
            self.until(lambda: bool(serial.recv(1)) if key != b"f" else True)

    def deafen(self, guest: Guest) -> Guest:
        return msgspec.structs.replace(guest, image=self.image(boot_sector.disk(deaf=True)))

    def tap(self, name: str) -> str:
        """An interface in the guests' network namespace."""
        subprocess.run(("ip", "-n", self.namespace, "tuntap", "add", name, "mode", "tap"), check=True)
        return name

    def copied(self, guest: Guest) -> int:
        assert guest.image is not None
        disk = self.folder(guest.id) / "root.qcow2"
        with open(disk, "rb") as file:
            start, length = struct.unpack(">8xQI", file.read(20))  # docs/interop/qcow2 of QEMU: where the backing file's name is
            file.seek(start)
            base = self.folder(guest.id) / file.read(length).decode()
        assert base.samefile(self.root / "host/cache" / guest.image.id / "image")
        return disk.stat().st_blocks * 512

    def scribble(self, guest: Guest) -> None:
        self.tell(guest.id, b"w")

    def scribbled(self, guest: Guest) -> bool:
        self.snapshot(guest, "scribbled")
        disk = self.folder(guest.id) / "snapshots/scribbled/disk.qcow2"
        raw = self.root / "scribbled"
        subprocess.run(("qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(disk), str(raw)), check=True)
        with open(raw, "rb") as file:
            file.seek(2 * 512)
            found = file.read(6)
        self.hypervisor.forget_snapshot(ONE, "scribbled")
        return found == b"TIFFIN"

    def leftovers(self) -> list[str]:
        guests = self.root / "host/guests"
        return [id for id, _ in qemu_process.search(guests)] + [path.name for path in guests.iterdir()]

    def close(self) -> None:
        for id in set(self.leftovers()):
            self.hypervisor.forget_guest(Turn(1_000_000), id)
        subprocess.run(("ip", "netns", "del", self.namespace), check=True)
        shutil.rmtree(self.root)
