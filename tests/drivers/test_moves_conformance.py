"""What every hypervisor promises about disks that leave a host and come to another."""
from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from drivers.hypervisor_labs import ONE, Lab
from tiffin.core.driver import Impossible, Refused, StaleTurn, Turn
from tiffin.services.compute.drivers import disk_ranges
from tiffin.services.compute.drivers.base import Disk, Guest

TWO = Turn(2)
FILES = {"openstack/latest/meta_data.json": b"{}"}


def stopped(lab: Lab) -> Guest:
    """A guest that has run, with a config drive and a disk of its own size."""
    guest = lab.guest(root_gb=1, config_drive=True)
    lab.hypervisor.ensure_config_drive(ONE, guest.id, FILES)
    lab.boot(guest)
    lab.hypervisor.ensure_stopped(ONE, guest.id, 0)
    return guest


def content(lab: Lab, guest: Guest) -> bytes:
    lab.snapshot(guest, "look")
    found = b"".join(lab.hypervisor.read_snapshot("look"))
    lab.hypervisor.forget_snapshot(ONE, "look")
    return found


def arrive(lab: Lab, guest: Guest, disks: tuple[Disk, ...]) -> None:
    assert guest.image is not None
    lab.hypervisor.ensure_image(ONE, guest.id, guest.image)
    lab.until(lambda: lab.hypervisor.ensure_disks_from(ONE, guest, disks))


def test_a_guest_runs_elsewhere_on_its_own_disks(lab: Lab) -> None:
    guest = stopped(lab)
    before = content(lab, guest)
    disks = lab.hypervisor.ensure_kept(ONE, guest.id)
    assert {disk.name for disk in disks} == {"root.qcow2", "config.iso"}
    lab.adopt()
    assert lab.hypervisor.ensure_kept(ONE, guest.id) == disks
    with lab.neighbour() as other:
        arrive(other, guest, disks)
        other.adopt()
        arrive(other, guest, disks)
        assert content(other, guest) == before
        other.boot(guest)
        lab.hypervisor.forget_guest(ONE, guest.id)
        assert lab.leftovers() == []
        assert other.power(guest) == "running"


def test_what_is_set_aside_cannot_start_and_comes_back(lab: Lab) -> None:
    guest = stopped(lab)
    before = content(lab, guest)
    lab.hypervisor.ensure_kept(ONE, guest.id)
    with pytest.raises(Impossible, match="disk"):
        lab.hypervisor.ensure_running(ONE, guest)
    for _ in range(2):
        lab.hypervisor.ensure_restored(ONE, guest.id)
        lab.adopt()
    assert content(lab, guest) == before
    lab.boot(guest)


def test_new_disks_on_the_same_host_are_a_copy(lab: Lab) -> None:
    guest = stopped(lab)
    before = content(lab, guest)
    arrive(lab, guest, lab.hypervisor.ensure_kept(ONE, guest.id))
    assert content(lab, guest) == before
    larger = msgspec.structs.replace(guest, root_gb=2)
    lab.hypervisor.ensure_disks(ONE, larger)
    assert lab.snapshot(guest, "grown").virtual_size == 2 << 30
    lab.hypervisor.ensure_kept(ONE, guest.id)  # it has been: what was made since stays where it is
    lab.boot(larger)
    with pytest.raises(Impossible, match="runs"):
        lab.hypervisor.ensure_restored(ONE, guest.id)
    lab.hypervisor.ensure_stopped(ONE, guest.id, 0)
    lab.hypervisor.ensure_restored(ONE, guest.id)
    assert lab.snapshot(guest, "back").virtual_size == 1 << 30
    lab.boot(guest)


def test_what_was_set_aside_is_forgotten(lab: Lab) -> None:
    guest = stopped(lab)
    arrive(lab, guest, lab.hypervisor.ensure_kept(ONE, guest.id))
    for _ in range(2):
        lab.hypervisor.forget_kept(ONE, guest.id)
    with pytest.raises(Impossible, match="set aside"):
        b"".join(lab.hypervisor.read_disk(guest.id, "root.qcow2", 0, 512))
    lab.hypervisor.ensure_restored(ONE, guest.id)
    lab.boot(guest)
    lab.hypervisor.ensure_stopped(ONE, guest.id, 0)
    assert lab.hypervisor.ensure_kept(ONE, guest.id)


def test_disks_of_a_running_guest_stay_where_they_are(lab: Lab) -> None:
    guest = lab.boot()
    with pytest.raises(Impossible, match="runs"):
        lab.hypervisor.ensure_kept(ONE, guest.id)
    with pytest.raises(Impossible):
        b"".join(lab.hypervisor.read_disk(guest.id, "root.qcow2", 0, 512))


@pytest.mark.parametrize(("name", "offset", "length"), [
    ("../../../etc/shadow", 0, 512), ("pid", 0, 512), ("complete", 0, 512), ("ephemeral.raw", 0, 512),
    ("root.qcow2", -1, 512), ("root.qcow2", 0, 0), ("root.qcow2", 0, 1 << 40),
])  # fmt: skip
def test_nothing_else_can_be_read(lab: Lab, name: str, offset: int, length: int) -> None:
    guest = stopped(lab)
    lab.hypervisor.ensure_kept(ONE, guest.id)
    with pytest.raises(Impossible):
        b"".join(lab.hypervisor.read_disk(guest.id, name, offset, length))


def test_a_range_that_was_changed_on_its_way_is_not_taken(lab: Lab) -> None:
    guest = stopped(lab)
    disks = lab.hypervisor.ensure_kept(ONE, guest.id)
    with lab.neighbour() as other:
        right = other.disks

        def wrong(*range: object) -> Iterator[bytes]:
            data = bytearray(b"".join(right(*range)))  # type: ignore[arg-type]
            data[7] ^= 1
            return iter((bytes(data),))

        other.disks = wrong
        other.adopt()
        with pytest.raises(Refused, match="did not arrive"):
            arrive(other, guest, disks)
        other.disks = right
        other.adopt()
        arrive(other, guest, disks)
        other.boot(guest)


def test_moving_is_fenced(lab: Lab) -> None:
    guest = stopped(lab)
    disks = lab.hypervisor.ensure_kept(TWO, guest.id)
    for late in (
        lambda: lab.hypervisor.ensure_kept(ONE, guest.id),
        lambda: lab.hypervisor.ensure_disks_from(ONE, guest, disks),
        lambda: lab.hypervisor.ensure_restored(ONE, guest.id),
        lambda: lab.hypervisor.forget_kept(ONE, guest.id),
    ):
        with pytest.raises(StaleTurn):
            late()
    assert lab.hypervisor.ensure_kept(TWO, guest.id) == disks


def test_what_is_not_there_cannot_move(lab: Lab) -> None:
    guest = lab.guest()
    with pytest.raises(Impossible, match="root disk"):
        lab.hypervisor.ensure_kept(ONE, guest.id)
    with pytest.raises(Impossible, match="cache"):
        lab.hypervisor.ensure_disks_from(ONE, guest, (Disk("root.qcow2", 512),))
    lab.hypervisor.ensure_restored(ONE, guest.id)
    lab.hypervisor.forget_kept(ONE, guest.id)


def test_a_hole_travels_as_one() -> None:
    assert disk_ranges.received(disk_ranges.sent(()), 4096) == b""
    assert disk_ranges.received(disk_ranges.sent((b"ab", b"c")), 3) == b"abc"
    with pytest.raises(Refused):
        disk_ranges.received(disk_ranges.sent((b"ab",)), 3)
    with pytest.raises(Refused):
        disk_ranges.received(iter((bytes(1 << 20),)), 3)
