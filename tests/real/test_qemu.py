"""What only the real hypervisor can show: data, conversions, isolation, speed, and survival of kill -9."""
from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from drivers import boot_sector
from drivers.hypervisor_labs import ONE, RealLab
from drivers.test_moves_conformance import content
from tiffin.core.confinement import as_user, user_for
from tiffin.core.driver import Impossible, Refused, Turn
from tiffin.services.compute.drivers import console, devices, kvm_probe, qemu_process
from tiffin.services.compute.drivers.base import Guest, Nic

pytestmark = pytest.mark.real
IMAGES = Path(os.environ.get("TIFFIN_GUEST_IMAGES", "/var/tmp"))  # tiny.qcow2 and its vmlinuz


@pytest.fixture
def lab() -> Iterator[RealLab]:
    lab = RealLab()
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="module")
def tiny() -> bytes:
    return (IMAGES / "tiny.qcow2").read_bytes()


def raw(content: bytes, folder: Path) -> bytes:
    """A qcow2 image as the bytes that a guest sees."""
    (folder / "in.qcow2").write_bytes(content)
    subprocess.run(("qemu-img", "convert", "-f", "qcow2", "-O", "raw", "in.qcow2", "out.raw"), cwd=folder, check=True)
    return (folder / "out.raw").read_bytes()


def test_a_snapshot_has_the_data_of_its_moment(lab: RealLab, tmp_path: Path) -> None:
    guest = lab.boot(lab.guest(image=lab.image(boot_sector.disk(size=64 << 20))))
    assert lab.hypervisor.ensure_snapshot(ONE, guest.id, "before") is None
    lab.tell(guest.id, b"w")
    lab.until(lambda: b"written" in lab.hypervisor.console_log(guest.id, None))
    lab.snapshot(guest, "before")
    lab.snapshot(guest, "after")
    lab.hypervisor.ensure_stopped(ONE, guest.id, 0)
    lab.snapshot(guest, "stopped")
    names = ("before", "after", "stopped")
    shots = {name: raw(b"".join(lab.hypervisor.read_snapshot(name)), tmp_path) for name in names}
    marker = boot_sector.MARKER
    assert all(shot[boot_sector.WRITTEN_AT_BOOT :].startswith(marker) for shot in shots.values())
    assert not shots["before"][boot_sector.WRITTEN_WHEN_TOLD :].startswith(marker)
    assert shots["after"][boot_sector.WRITTEN_WHEN_TOLD :].startswith(marker)
    assert shots["stopped"] == shots["after"]


def test_the_cached_image_is_never_written(lab: RealLab) -> None:
    guest = lab.boot()
    assert guest.image is not None
    lab.snapshot(guest, "shot")
    cached = lab.root / "host/cache" / guest.image.id / "image"
    assert hashlib.sha512(cached.read_bytes()).hexdigest() == guest.image.sha512
    assert cached.stat().st_mode & 0o777 == 0o444


def test_a_snapshot_goes_on_when_its_guest_ends(lab: RealLab) -> None:
    guest = lab.boot()
    assert lab.hypervisor.ensure_snapshot(ONE, guest.id, "shot") is None
    lab.crash(guest.id)
    lab.snapshot(guest, "shot")


@pytest.mark.parametrize(("disk_format", "name"), [("vmdk", "vmdk"), ("vdi", "vdi"), ("vhd", "vpc"), ("vhdx", "vhdx")])
def test_other_formats_are_converted_once(lab: RealLab, tmp_path: Path, disk_format: str, name: str) -> None:
    (tmp_path / "in").write_bytes(boot_sector.disk(size=4 << 20))
    subprocess.run(("qemu-img", "convert", "-f", "raw", "-O", name, "in", "out"), cwd=tmp_path, check=True)
    image = lab.image((tmp_path / "out").read_bytes(), disk_format)
    lab.boot(lab.guest(image=image, root_gb=1))


def test_a_damaged_image_is_refused_by_name(lab: RealLab, tmp_path: Path) -> None:
    subprocess.run(("qemu-img", "create", "-q", "-f", "vdi", "out", "4M"), cwd=tmp_path, check=True)
    damaged = bytearray((tmp_path / "out").read_bytes())
    damaged[0x44:0x48] = b"\xff\xff\xff\xff"  # the version of the format
    with pytest.raises(Impossible, match="cannot be converted"):
        lab.build(lab.guest(image=lab.image(bytes(damaged), "vdi")))


def test_a_flat_vmdk_is_refused(lab: RealLab, tmp_path: Path) -> None:
    subprocess.run(("qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "out.vmdk", "4M"),
                   cwd=tmp_path, check=True)
    with pytest.raises(Impossible):
        lab.build(lab.guest(image=lab.image((tmp_path / "out.vmdk").read_bytes(), "vmdk")))


def test_a_guest_has_a_user_of_its_own_and_no_rights(lab: RealLab) -> None:
    guest, other = lab.boot(), lab.boot()
    process = lab.process(guest.id)
    assert process is not None
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    assert status["Uid"].split() == [str(user_for(guest.id))] * 4
    assert user_for(guest.id) != user_for(other.id)
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    inside = f"/proc/{process.pid}/ns/net"
    assert os.stat(inside).st_ino == os.stat(f"/run/netns/{lab.namespace}").st_ino
    peek = ("setpriv", f"--reuid={user_for(guest.id)}", "--clear-groups", "cat", "root.qcow2")
    assert subprocess.run(peek, cwd=lab.folder(other.id), capture_output=True).returncode != 0


def test_every_kind_of_hardware_starts(lab: RealLab) -> None:
    buses = [{"hw_disk_bus": bus} for bus in ("virtio", "scsi", "sata")]
    models = [{"hw_vif_model": model} for model in ("virtio", "e1000", "e1000e", "rtl8139", "vmxnet3")]
    videos = [{"hw_video_model": model} for model in ("vga", "cirrus", "virtio", "bochs")]
    nic = Nic("5ec1f0f0-0000-4000-8000-000000000002", "fa:16:3e:00:00:02", 1442, lab.tap("tap-cold"))
    for properties in buses + models + videos:
        guest = lab.guest(properties=properties, nics=(nic,), ephemeral_gb=1, swap_mb=64, config_drive=True)
        lab.hypervisor.ensure_config_drive(ONE, guest.id, {"a": b"b"})
        lab.boot(guest)
        lab.hypervisor.forget_guest(ONE, guest.id)


def test_the_console_of_a_guest_that_never_ends_stays_small(lab: RealLab) -> None:
    guest = lab.boot()
    log = lab.folder(guest.id) / "console.log"
    with open(log, "ab") as file:
        file.write(b"x" * (5 << 20))
    lab.hypervisor.guests()
    assert log.stat().st_size < console.KEPT
    lab.tell(guest.id, b"w")
    lab.until(lambda: b"written" in lab.hypervisor.console_log(guest.id, 3))
    assert len(lab.hypervisor.console_log(guest.id, None)) <= console.KEPT


def test_a_guest_that_cannot_start_says_why_and_leaves_no_process(lab: RealLab) -> None:
    nic = Nic("5ec1f0f0-0000-4000-8000-000000000003", "fa:16:3e:00:00:03", 1442, "tap-missing")
    guest = lab.build(lab.guest(nics=(nic,)))
    with pytest.raises(Refused, match="tap-missing"):
        lab.hypervisor.ensure_running(ONE, guest)
    assert lab.process(guest.id) is None
    assert lab.power(guest) != "running"


def test_a_process_without_files_is_found_and_ended(lab: RealLab) -> None:
    guest = lab.boot()
    shutil.rmtree(lab.folder(guest.id))
    assert lab.states()[guest.id].power == "running"
    lab.hypervisor.forget_guest(ONE, guest.id)
    assert lab.leftovers() == []


def test_whoever_is_killed_while_it_starts_a_guest_leaves_one_guest(lab: RealLab) -> None:
    """Kills a Tiffin a little later each time, from before QEMU runs to after; its successor finishes the work."""
    guest = lab.build(lab.guest())
    program = textwrap.dedent("""
        import sys, time, msgspec
        from pathlib import Path
        from tiffin.core.driver import Turn
        from tiffin.services.compute.drivers.base import Guest
        from tiffin.services.compute.drivers.qemu import Qemu
        prefix = ("ip", "netns", "exec", sys.argv[2])
        host = Qemu(Path(sys.argv[1]), lambda id: iter(()), lambda: prefix, time.time, "lab")
        guest = msgspec.json.decode(sys.argv[3], type=Guest)
        print(flush=True)
        host.ensure_running(Turn(1), guest)
        while not host.ensure_rebooted(Turn(1), guest, sys.argv[4], True, 0):
            pass
    """)
    delays = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25)
    for number, delay in enumerate(delays):
        words = (sys.executable, "-c", program, str(lab.root / "host"), lab.namespace,
                 msgspec.json.encode(guest).decode(), f"key-{number}")
        with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "src"}) as tiffin:
            assert tiffin.stdout is not None
            tiffin.stdout.readline()
            time.sleep(delay)
            tiffin.send_signal(signal.SIGKILL)
        lab.adopt()
        lab.hypervisor.ensure_running(ONE, guest)
        lab.until(partial(lab.hypervisor.ensure_rebooted, ONE, guest, f"key-{number}", True, 0))
        assert lab.power(guest) == "running"
        assert [id for id, _ in qemu_process.search(lab.root / "host/guests")] == [guest.id], f"after {delay} s"
        if number % 2:
            lab.hypervisor.ensure_stopped(ONE, guest.id, 0)


def test_a_linux_boots_reads_its_config_drive_and_lets_go_of_a_nic(lab: RealLab, tiny: bytes) -> None:
    cold = Nic("5ec1f0f0-0000-4000-8000-000000000004", "fa:16:3e:00:00:04", 1442, lab.tap("tap-cold"))
    hot = Nic("5ec1f0f0-0000-4000-8000-000000000005", "fa:16:3e:00:00:05", 1442, lab.tap("tap-hot"))
    guest: Guest = msgspec.structs.replace(lab.guest(image=lab.image(tiny, "qcow2")), memory_mb=128, root_gb=1,
                                           nics=(cold,), config_drive=True)
    metadata = b'{"uuid": "%b", "hostname": "linux-lab", "name": "linux-lab"}' % guest.id.encode()
    lab.hypervisor.ensure_config_drive(ONE, guest.id, {"openstack/latest/meta_data.json": metadata})
    lab.build(guest)
    lab.hypervisor.ensure_running(ONE, guest)
    lab.until(lambda: b"hostname=linux-lab" in lab.hypervisor.console_log(guest.id, None), seconds=90)
    for _ in range(2):
        lab.hypervisor.ensure_nic(ONE, guest.id, hot)
    lab.until(lambda: let_go(lab, guest.id, hot.port_id), seconds=20)
    lab.hypervisor.ensure_nic(ONE, guest.id, hot)
    lab.until(lambda: let_go(lab, guest.id, cold.port_id), seconds=20)
    lab.until(lambda: lab.hypervisor.ensure_stopped(ONE, guest.id, 60), seconds=40)
    assert lab.power(guest) == "shutdown"


def test_a_kernel_of_its_own_boots_directly(lab: RealLab, tiny: bytes) -> None:
    kernel = lab.image((IMAGES / "vmlinuz").read_bytes(), "aki")
    ramdisk = lab.image((IMAGES / "initrd.img").read_bytes(), "ari")
    guest = lab.guest(image=lab.image(tiny, "qcow2"), kernel=kernel, ramdisk=ramdisk, memory_mb=128,
                      properties={"os_command_line": "root=LABEL=tinyroot console=ttyS0 directly"})
    lab.build(guest)
    lab.hypervisor.ensure_running(ONE, guest)
    lab.until(lambda: b"directly" in lab.hypervisor.console_log(guest.id, None), seconds=60)


@pytest.mark.parametrize("node", ["/dev/net/tun", "/dev/kvm"])
def test_a_guest_can_open_the_devices_that_the_machine_keeps_for_root(tmp_path: Path, node: str) -> None:
    user = user_for("someone")
    prefix = devices.opened([Path(node)], tmp_path, user)
    before = Path(node).stat()
    subprocess.run((*prefix, *as_user(user), "sh", "-c", f"exec 3<>{node}"), check=True)
    assert Path(node).stat() == before


def let_go(lab: RealLab, guest_id: str, port_id: str) -> bool:
    try:
        lab.hypervisor.forget_nic(ONE, guest_id, port_id)
    except Refused:
        return False
    return True


def test_a_guest_that_does_not_let_go_is_refused(lab: RealLab) -> None:
    nic = Nic("5ec1f0f0-0000-4000-8000-000000000006", "fa:16:3e:00:00:06", 1442, lab.tap("tap-cold"))
    guest = lab.boot(lab.guest(nics=(nic,)))
    for _ in range(2):
        with pytest.raises(Refused, match="let go"):
            lab.hypervisor.forget_nic(ONE, guest.id, nic.port_id)


def test_the_probe_boots_a_real_kernel(tmp_path: Path) -> None:
    tcg = ("-accel", "tcg", "-cpu", "Nehalem")
    assert kvm_probe.boots("qemu-system-x86_64", IMAGES / "vmlinuz", tcg, seconds=60) == ""
    (tmp_path / "vmlinuz").write_bytes(bytes(4096))
    assert kvm_probe.boots("qemu-system-x86_64", tmp_path / "vmlinuz", tcg, seconds=5) != ""


def test_turns_outlive_the_guest_but_not_for_ever(lab: RealLab) -> None:
    guest = lab.build(lab.guest())
    lab.hypervisor.forget_guest(Turn(2), guest.id)
    fence = lab.root / "host/turns" / guest.id
    lab.adopt()
    assert fence.exists()
    os.utime(fence, (0, 0))
    lab.adopt()
    assert not fence.exists()


def test_who_is_killed_while_disks_come_goes_on_where_it_was(lab: RealLab) -> None:
    """Each time a little later; not a byte is asked for twice but those of the range in which it died."""
    guest = lab.build(lab.guest(root_gb=1, ephemeral_gb=1, swap_mb=64))
    before = content(lab, guest)
    disks = lab.hypervisor.ensure_kept(ONE, guest.id)
    with lab.neighbour() as other:
        asked: list[tuple[object, ...]] = []
        right, dying = other.disks, True

        def dies(*range: object) -> Iterator[bytes]:
            asked.append(range)
            if dying and asked.count(range) == 1:
                raise KeyboardInterrupt
            return right(*range)  # type: ignore[arg-type]

        other.disks = dies
        assert guest.image is not None
        other.adopt()
        other.hypervisor.ensure_image(ONE, guest.id, guest.image)
        for _ in range(1000):
            try:
                if other.hypervisor.ensure_disks_from(ONE, guest, disks):
                    break
            except KeyboardInterrupt:
                other.adopt()
        assert {asked.count(one) for one in asked} == {2}
        dying = False
        assert content(other, guest) == before
        ephemeral = other.folder(guest.id) / "ephemeral.raw"  # type: ignore[attr-defined]
        original = lab.folder(guest.id) / "kept" / "ephemeral.raw"
        assert ephemeral.read_bytes() == original.read_bytes()
        assert ephemeral.stat().st_blocks < 512 << 11, "holes stay holes"
        other.hypervisor.ensure_disks(ONE, msgspec.structs.replace(guest, ephemeral_gb=2, swap_mb=32))
        assert ephemeral.stat().st_size == 2 << 30
        assert (ephemeral.parent / "swap.raw").stat().st_size == 32 << 20
