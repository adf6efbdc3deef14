"""What every hypervisor promises to compute, on the simulated and on the real one."""
from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from drivers import boot_sector
from drivers.hypervisor_labs import ONE, Lab, RealLab
from tiffin.core.driver import Impossible, StaleTurn, Turn
from tiffin.services.compute.drivers.base import BaseImage, Guest, Nic
from tiffin.services.compute.drivers.image_inspection import verified
from tiffin.simulator.qcow2 import empty_qcow2

TWO = Turn(2)
NIC = Nic("5ec1f0f0-0000-4000-8000-000000000001", "fa:16:3e:00:00:01", 1442, "tap-hot")


def test_a_started_guest_runs_and_greets(lab: Lab) -> None:
    guest = lab.boot()
    assert lab.power(guest) == "running"
    assert lab.states().keys() == {guest.id}
    assert b"login:" in lab.hypervisor.console_log(guest.id, 5)


def test_facts_tell_what_the_scheduler_needs(lab: Lab) -> None:
    facts = lab.hypervisor.facts()
    assert facts.vcpus > 0
    assert facts.memory_mb > 0
    assert facts.disk_gb > 0
    assert facts.hypervisor_version > 1_000
    assert facts.accelerator in ("kvm", "tcg")


def test_repeating_builds_nothing_twice(lab: Lab) -> None:
    guest = lab.boot()
    before = lab.incarnation(guest.id)
    lab.build(guest)
    lab.hypervisor.ensure_running(ONE, guest)
    assert lab.incarnation(guest.id) == before
    assert len(lab.hypervisor.guests()) == 1


def test_a_new_tiffin_takes_over_what_the_dead_one_left(lab: Lab) -> None:
    guest = lab.boot()
    before = lab.incarnation(guest.id)
    lab.adopt()
    assert lab.power(guest) == "running"
    lab.hypervisor.ensure_running(ONE, guest)
    assert lab.incarnation(guest.id) == before
    lab.until(lambda: lab.hypervisor.ensure_stopped(ONE, guest.id, 10))
    assert lab.power(guest) == "shutdown"


def calls(lab: Lab, guest: Guest, turn: Turn) -> dict[str, Callable[[], object]]:
    """Every call that changes the host."""
    assert guest.image is not None
    image, host = guest.image, lab.hypervisor
    return {
        "image": lambda: host.ensure_image(turn, guest.id, image),
        "disks": lambda: host.ensure_disks(turn, guest),
        "config": lambda: host.ensure_config_drive(turn, guest.id, {"a": b"b"}),
        "running": lambda: host.ensure_running(turn, guest),
        "paused": lambda: host.ensure_paused(turn, guest.id),
        "stopped": lambda: host.ensure_stopped(turn, guest.id, 0),
        "rebooted": lambda: host.ensure_rebooted(turn, guest, "late", hard=True, graceful=0),
        "nic": lambda: host.ensure_nic(turn, guest.id, NIC),
        "no nic": lambda: host.forget_nic(turn, guest.id, NIC.port_id),
        "snapshot": lambda: host.ensure_snapshot(turn, guest.id, "late"),
        "no guest": lambda: host.forget_guest(turn, guest.id),
    }


def test_who_lost_the_turn_changes_nothing_ever_after(lab: Lab) -> None:
    guest = lab.boot()
    before = lab.incarnation(guest.id)
    lab.hypervisor.ensure_running(TWO, guest)
    lab.adopt()
    for late in calls(lab, guest, ONE).values():
        with pytest.raises(StaleTurn):
            late()
    assert lab.power(guest) == "running"
    assert lab.incarnation(guest.id) == before
    lab.hypervisor.forget_guest(TWO, guest.id)
    for late in calls(lab, guest, ONE).values():
        with pytest.raises(StaleTurn):
            late()
    assert lab.leftovers() == []


def test_a_snapshot_that_was_forgotten_does_not_come_back(lab: Lab) -> None:
    guest = lab.boot()
    lab.snapshot(guest, "shot")
    lab.hypervisor.forget_snapshot(TWO, "shot")
    with pytest.raises(StaleTurn):
        lab.hypervisor.ensure_snapshot(ONE, guest.id, "shot")
    with pytest.raises(Impossible):
        b"".join(lab.hypervisor.read_snapshot("shot"))


def test_what_was_never_built_is_forgotten_for_free(lab: Lab) -> None:
    guest = lab.guest()
    assert lab.power(guest) == "absent"
    assert lab.hypervisor.ensure_stopped(ONE, guest.id, 10)
    lab.hypervisor.forget_nic(ONE, guest.id, NIC.port_id)
    lab.hypervisor.ensure_nic(ONE, guest.id, NIC)
    lab.hypervisor.forget_snapshot(ONE, "never")
    lab.hypervisor.forget_guest(ONE, guest.id)
    assert lab.hypervisor.console_log(guest.id, 10) == b""
    assert lab.leftovers() == []


def test_nothing_is_left_of_a_forgotten_guest(lab: Lab) -> None:
    guest, other = lab.boot(), lab.boot()
    lab.hypervisor.ensure_config_drive(ONE, guest.id, {"openstack/latest/meta_data.json": b"{}"})
    lab.snapshot(guest, "complete")
    lab.hypervisor.ensure_snapshot(ONE, guest.id, "incomplete")
    lab.hypervisor.forget_guest(ONE, guest.id)
    assert lab.power(guest) == "absent"
    assert set(lab.leftovers()) == {other.id}
    with pytest.raises(Impossible):
        b"".join(lab.hypervisor.read_snapshot("complete"))
    lab.hypervisor.forget_guest(ONE, guest.id)


def test_a_guest_needs_its_parts_first(lab: Lab) -> None:
    guest = lab.guest()
    with pytest.raises(Impossible, match="cache"):
        lab.hypervisor.ensure_disks(ONE, guest)
    assert guest.image is not None
    lab.hypervisor.ensure_image(ONE, guest.id, guest.image)
    with pytest.raises(Impossible, match="root disk"):
        lab.hypervisor.ensure_running(ONE, guest)
    lab.hypervisor.ensure_disks(ONE, guest)
    with pytest.raises(Impossible, match="config"):
        lab.hypervisor.ensure_running(ONE, msgspec.structs.replace(guest, config_drive=True))
    with pytest.raises(Impossible):
        lab.hypervisor.ensure_paused(ONE, guest.id)
    assert lab.power(guest) == "shutdown"


def test_pause_and_continue(lab: Lab) -> None:
    guest = lab.boot()
    before = lab.incarnation(guest.id)
    for _ in range(2):
        lab.hypervisor.ensure_paused(ONE, guest.id)
        assert lab.power(guest) == "paused"
    for _ in range(2):
        lab.hypervisor.ensure_running(ONE, guest)
        assert lab.power(guest) == "running"
    assert lab.incarnation(guest.id) == before
    lab.hypervisor.ensure_paused(ONE, guest.id)
    assert lab.hypervisor.ensure_stopped(ONE, guest.id, 60), "it cannot hear: no use in waiting"


def test_stop_asks_the_guest(lab: Lab) -> None:
    guest = lab.boot()
    assert not lab.hypervisor.ensure_stopped(ONE, guest.id, 60)
    lab.adopt()
    lab.until(lambda: lab.hypervisor.ensure_stopped(ONE, guest.id, 60))
    assert lab.power(guest) == "shutdown"
    assert lab.hypervisor.ensure_stopped(ONE, guest.id, 60)
    lab.boot(guest)
    assert lab.power(guest) == "running"


def test_stop_pulls_the_plug_of_who_does_not_hear(lab: Lab) -> None:
    guest = lab.boot(lab.deafen(lab.guest()))
    assert not lab.hypervisor.ensure_stopped(ONE, guest.id, 0.4)
    assert lab.power(guest) == "running"
    lab.adopt()
    lab.until(lambda: lab.hypervisor.ensure_stopped(ONE, guest.id, 0.4), seconds=3)
    assert lab.power(guest) == "shutdown"
    lab.boot(guest)
    assert not lab.hypervisor.ensure_stopped(ONE, guest.id, 0.4), "the time counts from the first call of this stop"
    assert lab.hypervisor.ensure_stopped(ONE, guest.id, 0)
    assert lab.power(guest) == "shutdown"


@pytest.mark.parametrize("hard", [False, True])
def test_reboot_once_for_each_key(lab: Lab, hard: bool) -> None:
    guest = lab.boot()
    for key in ("first", "second"):
        before, greetings = lab.incarnation(guest.id), lab.greetings(guest)
        lab.until(partial(lab.hypervisor.ensure_rebooted, ONE, guest, key, hard, 60))
        after = lab.incarnation(guest.id)
        assert after != before
        lab.adopt()
        assert lab.hypervisor.ensure_rebooted(ONE, guest, key, hard, 60)
        assert lab.incarnation(guest.id) == after
        lab.until(partial(lab.greeted_since, guest, greetings))


def test_a_soft_reboot_becomes_hard_for_who_does_not_hear(lab: Lab) -> None:
    guest = lab.boot(lab.deafen(lab.guest()))
    before = lab.incarnation(guest.id)
    assert not lab.hypervisor.ensure_rebooted(ONE, guest, "key", False, 0.4)
    assert lab.incarnation(guest.id) == before
    lab.until(lambda: lab.hypervisor.ensure_rebooted(ONE, guest, "key", False, 0.4), seconds=3)
    assert lab.incarnation(guest.id) != before
    assert lab.power(guest) == "running"


def test_reboot_starts_what_is_off(lab: Lab) -> None:
    guest = lab.boot()
    lab.hypervisor.ensure_stopped(ONE, guest.id, 0)
    assert lab.hypervisor.ensure_rebooted(ONE, guest, "key", False, 60)
    assert lab.power(guest) == "running"


def test_off_by_itself_and_dead_are_two_things(lab: Lab) -> None:
    guest = lab.boot()
    lab.power_off_inside(guest.id)
    lab.adopt()
    assert lab.power(guest) == "shutdown"
    lab.hypervisor.ensure_running(ONE, guest)
    lab.crash(guest.id)
    lab.adopt()
    assert lab.power(guest) == "crashed"
    assert lab.hypervisor.state(guest.id).reason
    assert lab.states()[guest.id].power == "crashed"
    lab.hypervisor.ensure_running(ONE, guest)
    assert lab.hypervisor.state(guest.id).reason == ""
    lab.crash(guest.id)
    assert lab.hypervisor.ensure_stopped(ONE, guest.id, 60)
    assert lab.power(guest) == "shutdown"


@pytest.mark.parametrize("power", ["running", "paused", "shutdown"])
def test_a_snapshot_is_a_whole_image(lab: Lab, power: str) -> None:
    guest = lab.boot()
    if power == "paused":
        lab.hypervisor.ensure_paused(ONE, guest.id)
    if power == "shutdown":
        lab.hypervisor.ensure_stopped(ONE, guest.id, 0)
    lab.hypervisor.ensure_snapshot(ONE, guest.id, "shot")
    lab.adopt()
    snapshot = lab.snapshot(guest, "shot")
    assert lab.power(guest) == power
    content = b"".join(lab.hypervisor.read_snapshot("shot"))
    assert (len(content), snapshot.disk_format, snapshot.virtual_size) == (snapshot.size, "qcow2", 1 << 20)
    image = lab.image(content, "qcow2")
    assert verified([content], image, 1 << 40, lambda chunk: None) == 1 << 20, "it stands on nothing else"
    assert lab.snapshot(guest, "shot") == snapshot
    again = lab.boot(lab.guest(image=image))
    assert lab.power(again) == "running"
    lab.hypervisor.forget_snapshot(ONE, "shot")
    lab.hypervisor.forget_snapshot(ONE, "shot")


def test_a_snapshot_needs_a_disk(lab: Lab) -> None:
    with pytest.raises(Impossible):
        lab.hypervisor.ensure_snapshot(ONE, lab.guest().id, "shot")
    with pytest.raises(Impossible):
        b"".join(lab.hypervisor.read_snapshot("shot"))


def test_a_nic_comes_to_a_running_guest_only(lab: Lab) -> None:
    guest = lab.build(lab.guest())
    lab.hypervisor.ensure_nic(ONE, guest.id, NIC)
    lab.hypervisor.ensure_running(ONE, guest)
    if isinstance(lab, RealLab):
        lab.tap(NIC.tap)
    lab.hypervisor.ensure_nic(ONE, guest.id, NIC)
    lab.hypervisor.ensure_nic(ONE, guest.id, NIC)
    lab.adopt()
    lab.hypervisor.ensure_nic(ONE, guest.id, NIC)
    lab.hypervisor.ensure_stopped(ONE, guest.id, 0)
    lab.hypervisor.forget_nic(ONE, guest.id, NIC.port_id)
    lab.hypervisor.ensure_running(ONE, msgspec.structs.replace(guest, nics=(NIC,)))
    lab.hypervisor.ensure_nic(ONE, guest.id, NIC)
    assert lab.power(guest) == "running"


def test_disks_are_as_large_as_flavor_or_image_say(lab: Lab) -> None:
    image = lab.image(boot_sector.disk(size=2 << 20))
    assert lab.snapshot(lab.build(lab.guest(image=image)), "by-image").virtual_size == 2 << 20
    guest = lab.build(lab.guest(image=image, root_gb=1))
    assert lab.snapshot(guest, "by-flavor").virtual_size == 1 << 30
    lab.hypervisor.ensure_disks(ONE, msgspec.structs.replace(guest, root_gb=2))
    assert lab.snapshot(guest, "grown").virtual_size == 2 << 30
    empty = lab.guest(root_gb=1)
    empty = lab.build(msgspec.structs.replace(empty, image=None))
    assert lab.snapshot(empty, "empty").virtual_size == 1 << 30


@pytest.mark.parametrize("change", [
    {"id": "../../etc"}, {"id": "0"}, {"name": "a,b=c"}, {"name": ""}, {"vcpus": 0}, {"memory_mb": -1},
    {"properties": {"hw_disk_bus": "floppy"}}, {"properties": {"hw_vif_model": "x,script=/bin/sh"}},
    {"properties": {"hw_video_model": "vga,x=y"}}, {"properties": {"os_command_line": "a\0b"}},
    {"nics": (msgspec.structs.replace(NIC, tap="a,script=/bin/sh"),)},
    {"nics": (msgspec.structs.replace(NIC, mac="x"),)},
    {"nics": (msgspec.structs.replace(NIC, port_id="a,b"),)},
    {"nics": (NIC,) * 13}, {"image": None, "root_gb": 0},
])
def test_a_guest_that_cannot_be_is_refused(lab: Lab, change: dict[str, object]) -> None:
    guest = lab.build(lab.guest())
    odd = msgspec.structs.replace(guest, **change)
    with pytest.raises(Impossible):
        lab.hypervisor.ensure_disks(ONE, odd)
    if "image" not in change:
        with pytest.raises(Impossible):
            lab.hypervisor.ensure_running(ONE, odd)
    assert lab.power(guest) == "shutdown"


def test_an_image_larger_than_the_flavor_is_refused(lab: Lab) -> None:
    guest = lab.guest(image=lab.image(empty_qcow2(2 << 30), "qcow2"), root_gb=1)
    with pytest.raises(Impossible, match="needs 2 GB"):
        lab.build(guest)


def with_backing_file() -> bytes:
    image = bytearray(empty_qcow2(1 << 20))
    struct.pack_into(">QI", image, 8, 200, len(b"/etc/shadow"))
    image[200:211] = b"/etc/shadow"
    return bytes(image)


def with_data_file() -> bytes:
    image = bytearray(empty_qcow2(1 << 20))
    struct.pack_into(">Q", image, 72, 1 << 2)
    return bytes(image)


def with_unknown_feature() -> bytes:
    image = bytearray(empty_qcow2(1 << 20))
    struct.pack_into(">Q", image, 72, 1 << 40)
    return bytes(image)


@pytest.mark.parametrize(("content", "disk_format", "words"), [
    (with_backing_file(), "qcow2", "unsafe"),
    (with_data_file(), "qcow2", "unsafe"),
    (with_unknown_feature(), "qcow2", "unsafe"),
    (empty_qcow2(1 << 20), "raw", "but is qcow2"),
    (with_backing_file(), "raw", "but is qcow2"),
    (boot_sector.disk(), "qcow2", "but is gpt"),
    (bytes(1 << 16), "qcow2", "but is raw"),
    (b"", "vmdk", "but is raw"),
    (empty_qcow2(1 << 50), "qcow2", "too large"),
    (empty_qcow2(1 << 20)[:200], "qcow2", "image-1 is"),
    (bytes(1 << 16), "iso", "but is raw"),
])
def test_a_hostile_image_goes_no_further(lab: Lab, content: bytes, disk_format: str, words: str) -> None:
    image = lab.image(content, disk_format)
    guest = lab.guest(image=image)
    for _ in range(2):
        with pytest.raises(Impossible, match=words):
            lab.hypervisor.ensure_image(ONE, guest.id, image)
    with pytest.raises(Impossible):
        lab.hypervisor.ensure_disks(ONE, guest)


@pytest.mark.parametrize("claim", [
    {"sha512": hashlib.sha512(b"other").hexdigest()}, {"size": 17}, {"size": 1 << 30}, {"sha512": "0"}, {"id": "../a"},
    {"id": "unknown"},
])
def test_an_image_is_what_was_registered(lab: Lab, claim: dict[str, object]) -> None:
    image: BaseImage = msgspec.structs.replace(lab.image(boot_sector.disk()), **claim)
    with pytest.raises(Impossible):
        lab.hypervisor.ensure_image(ONE, lab.guest().id, image)


def test_an_image_is_fetched_once_and_kept_while_a_disk_stands_on_it(lab: Lab) -> None:
    guest = lab.boot()
    assert guest.image is not None
    lab.store.clear()
    second = lab.build(lab.guest(image=guest.image))
    assert not lab.hypervisor.forget_image(guest.image.id)
    lab.hypervisor.forget_guest(ONE, guest.id)
    assert not lab.hypervisor.forget_image(guest.image.id)
    lab.hypervisor.ensure_running(ONE, second)
    lab.hypervisor.forget_guest(ONE, second.id)
    lab.build(third := lab.guest(image=guest.image))
    lab.hypervisor.forget_guest(ONE, third.id)
    assert [lab.hypervisor.forget_image(guest.image.id) for _ in range(2)] == [True, True]
    assert lab.hypervisor.cached_images() == []
    with pytest.raises(Impossible):
        lab.build(lab.guest(image=guest.image))


def test_a_boot_from_the_cache_copies_no_data(lab: Lab) -> None:
    image = lab.image(boot_sector.disk(size=4 << 20))
    for _ in range(2):
        lab.hypervisor.prefetch_image(image)
    assert lab.served == image.size  # fetched once
    guests = [lab.boot(lab.guest(image=image)) for _ in range(2)]
    assert lab.served == image.size
    assert [lab.copied(guest) < image.size // 2 for guest in guests] == [True, True]
    (cached,) = lab.hypervisor.cached_images()
    assert (cached.id, cached.size, cached.hits) == (image.id, image.size, 2)


def test_the_cache_tells_what_is_in_it(lab: Lab) -> None:
    one, other = lab.image(boot_sector.disk()), lab.image(bytes(1 << 16))
    assert lab.hypervisor.cached_images() == []
    lab.hypervisor.prefetch_image(one)
    lab.hypervisor.prefetch_image(other)
    guest = lab.guest(image=one)
    for _ in range(2):
        lab.hypervisor.ensure_image(ONE, guest.id, one)
    found = {cached.id: cached for cached in lab.hypervisor.cached_images()}
    assert found.keys() == {one.id, other.id}
    assert (found[one.id].hits, found[one.id].size) == (1, one.size)
    assert (found[other.id].hits, found[other.id].size) == (0, other.size)
    assert all(cached.last_modified <= cached.last_accessed for cached in found.values())
    for unfit in ("../a", "", "."):
        with pytest.raises(Impossible):
            lab.hypervisor.forget_image(unfit)
    assert lab.hypervisor.clean_images(0.0) == 0
    assert len(lab.hypervisor.cached_images()) == 2


def test_a_hostile_image_is_not_prefetched(lab: Lab) -> None:
    image = lab.image(with_backing_file(), "qcow2")
    with pytest.raises(Impossible, match="unsafe"):
        lab.hypervisor.prefetch_image(image)
    assert lab.hypervisor.cached_images() == []


@pytest.mark.parametrize("files", [{"../a": b""}, {"/a": b""}, {"": b""}, {"a/../../b": b""}, {"a\0": b""},
                                   {"a": bytes(65 << 20)}, {str(n): b"" for n in range(257)}])
def test_a_config_drive_that_cannot_be_is_refused(lab: Lab, files: dict[str, bytes]) -> None:
    with pytest.raises(Impossible):
        lab.hypervisor.ensure_config_drive(ONE, lab.guest().id, files)


def test_a_guest_starts_with_its_config_drive(lab: Lab) -> None:
    guest = lab.guest(config_drive=True)
    for content in (b"{}", b"{}", b'{"changed": true}'):
        lab.hypervisor.ensure_config_drive(ONE, guest.id, {"openstack/latest/meta_data.json": content})
    lab.boot(guest)


def test_the_console_gives_the_last_lines(lab: Lab) -> None:
    guest = lab.boot()
    whole = lab.hypervisor.console_log(guest.id, None)
    assert lab.hypervisor.console_log(guest.id, 10_000) == whole
    assert lab.hypervisor.console_log(guest.id, 1) == whole.splitlines(keepends=True)[-1]
    assert lab.hypervisor.console_log(guest.id, 0) == b""
