"""The whole story with QEMU and OVN: what a guest or an onlooker outside can check is checked from there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import story
from openstack_session import OpenStack
from running_cloud import RunningCloud, running_cloud
from world import assert_becomes, guest_processes, processes_of, world

pytestmark = pytest.mark.real
METADATA = "http://169.254.169.254"
LOGIN_PATIENCE = 90  # seconds until sshd of a guest answers on a busy machine without KVM


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(simulated=False) as cloud:
        yield cloud


class Guest:
    """A shell in a guest, by `tiffin ssh` from the external side."""

    def __init__(self, cloud: RunningCloud, server: str, key: Path) -> None:
        self.cloud, self.server, self.key = cloud, server, key

    def try_run(self, command: str, patience: float = 30) -> tuple[int, str]:
        """(exit code, stdout) of a shell command in the guest; 255 when there is no way in."""
        done = self.cloud.tiffin(
            "ssh", "-i", str(self.key), "-l", "root", self.server, "--", command, patience=patience, check=False
        )
        return done.returncode, done.stdout

    def run(self, command: str) -> str:
        code, out = self.try_run(command)
        assert code == 0, f"{command!r} in {self.server} ended with {code}: {out}"
        return out.strip()

    def await_login(self) -> None:
        deadline = time.monotonic() + LOGIN_PATIENCE
        while self.try_run("true")[0] != 0:
            assert time.monotonic() < deadline, f"no login to {self.server} within {LOGIN_PATIENCE} s"

    def boot_id(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id")

    def pings(self, address: str, source: str = "") -> bool:
        options = f"-I {source} " if source else ""
        return self.try_run(f"ping -c 1 -W 3 {options}{address}")[0] == 0


def test_the_whole_story(cloud: RunningCloud, tmp_path: Path) -> None:
    before = world(cloud)
    with cloud.openstack() as openstack:
        story.look_around(openstack)
        key = story.make_key(openstack, tmp_path)
        story.make_network(openstack)
        story.make_security_groups(openstack)
        server = story.boot_first(openstack, tmp_path)
        floating = story.give_floating_address(openstack, story.FIRST)
        first = Guest(cloud, story.FIRST, key)
        first.await_login()
        check_what_the_guest_was_told(first, server, floating)
        check_console(openstack)
        check_second_server(openstack, first)
        check_power(openstack, first)
        check_snapshot(openstack, first, key)
        check_guests_survive(cloud, first)
        story.rename(openstack, story.FIRST)
        story.delete_everything(openstack, floating)
    assert_becomes(lambda: world(cloud), before)


def check_what_the_guest_was_told(guest: Guest, server: story.Server, floating: str) -> None:
    """Its address by DHCP; its name, key, properties and user data by the metadata service, in both layouts."""
    assert f"inet {server.address}/24" in guest.run("ip addr")
    assert guest.run("hostname") == server.name
    assert guest.run("cat /root/user-data-ran") == "user data ran"
    told = json.loads(guest.run(f"wget -q -O - {METADATA}/openstack/latest/meta_data.json"))
    assert (told["uuid"], told["name"], told["meta"]) == (server.id, server.name, {"role": "first"})
    assert told["public_keys"][story.KEY].startswith("ssh-")
    assert guest.run(f"wget -q -O - {METADATA}/openstack/latest/user_data") == story.USER_DATA.strip()
    assert guest.run(f"wget -q -O - {METADATA}/latest/meta-data/local-ipv4") == server.address
    assert guest.run(f"wget -q -O - {METADATA}/latest/meta-data/public-ipv4") == floating
    assert guest.run(f"wget -q -O - {METADATA}/latest/user-data") == story.USER_DATA.strip()


def check_console(openstack: OpenStack) -> None:
    assert f"{story.FIRST} login:" in openstack(f"console log show {story.FIRST}")


def check_second_server(openstack: OpenStack, first: Guest) -> None:
    """Reached by its private address once its group allows it, and by nobody who pretends to be another."""
    second = story.boot_second(openstack)
    assert not first.pings(second.address)
    story.open_second_for_first(openstack)
    deadline = time.monotonic() + LOGIN_PATIENCE
    while not first.pings(second.address):
        assert time.monotonic() < deadline, f"{second.address} does not answer although a rule lets it"
    stranger = second.address.rsplit(".", 1)[0] + ".213"
    first.run(f"ip addr add {stranger}/24 dev eth0")
    assert not first.pings(second.address, source=stranger)
    first.run(f"ip addr del {stranger}/24 dev eth0")
    assert first.pings(second.address)


def check_power(openstack: OpenStack, first: Guest) -> None:
    """Each start is a new boot; a pause is none. What was on the disk stays."""
    first.run("echo precious > /root/data && sync")
    boots = {first.boot_id()}
    story.stop_and_start(openstack, story.FIRST)
    first.await_login()
    boots.add(first.boot_id())
    for kind in ("soft", "hard"):
        story.reboot(openstack, story.FIRST, kind)
        _await_new_boot(first, boots)
    assert len(boots) == 4
    story.pause_and_unpause(openstack, story.FIRST)
    first.await_login()
    assert first.boot_id() in boots
    assert first.run("cat /root/data") == "precious"


def check_snapshot(openstack: OpenStack, first: Guest, key: Path) -> None:
    """A server from the snapshot has the data and reads its config drive. It is reached by its fixed address."""
    first.run("echo newer > /root/data && sync")
    story.snapshot(openstack, story.FIRST)
    story.boot_third(openstack)
    third = Guest(first.cloud, story.THIRD, key)
    third.await_login()
    assert third.run("cat /root/data") == "newer"
    third.run("mkdir -p /tmp/drive && mount -o ro -t iso9660 $(findfs LABEL=config-2) /tmp/drive")
    told = json.loads(third.run("cat /tmp/drive/openstack/latest/meta_data.json"))
    assert (told["name"], told["meta"]) == (story.THIRD, {"role": "third"})


def check_guests_survive(cloud: RunningCloud, first: Guest) -> None:
    """Guests outlive every process of ours, and are adopted again."""
    guests, boot = guest_processes(cloud.home), first.boot_id()
    cloud.tiffin("down", "--keep-guests")
    assert guest_processes(cloud.home) == guests
    cloud.tiffin("up")
    first.await_login()
    assert (guest_processes(cloud.home), first.boot_id()) == (guests, boot)


def _await_new_boot(guest: Guest, boots: set[str]) -> None:
    deadline = time.monotonic() + LOGIN_PATIENCE
    while True:
        code, out = guest.try_run("cat /proc/sys/kernel/random/boot_id")
        if code == 0 and out.strip() not in boots:
            boots.add(out.strip())
            return
        assert time.monotonic() < deadline, f"{guest.server} was not booted anew"


def test_down_leaves_nothing_behind(cloud: RunningCloud) -> None:
    cloud.tiffin("down")
    assert processes_of(cloud.home) == []
    cloud.tiffin("up")
