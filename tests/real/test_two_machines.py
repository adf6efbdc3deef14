"""Two machines: the controller, and one in a network namespace of its own that joins it. Their guests meet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import story
from real.test_story import Guest
from running_cloud import ADMIN, REPOSITORY, RunningCloud, running_cloud
from world import assert_becomes, guest_processes

pytestmark = pytest.mark.real
HERE, THERE = "198.18.77.1", "198.18.77.2"  # RFC 2544's block: no machine's own
DOOR = f"{HERE}:8443"


class OtherMachine:
    """A network namespace with a wire for management and one for tunnels."""

    def __init__(self) -> None:
        mark = f"{os.getpid() % 10000:04d}"
        self.space, self.near, self.far = f"tfm{mark}", f"tfm{mark}a", f"tfm{mark}b"
        self.cable, self.cable_far = f"tfu{mark}a", f"tfu{mark}b"
        self.folder = Path(tempfile.mkdtemp(prefix="tf-", dir="/var/tmp"))
        self.home = self.folder / "m"
        for line in (
            f"netns add {self.space}",
            f"link add {self.near} type veth peer name {self.far} netns {self.space}",
            f"link add {self.cable} type veth peer name {self.cable_far} netns {self.space}",
            f"address add {HERE}/30 dev {self.near}",
            f"link set {self.near} up",
            f"-n {self.space} link set lo up",
            f"-n {self.space} address add {THERE}/30 dev {self.far}",
            f"-n {self.space} link set {self.far} up",
        ):
            subprocess.run(["ip", *line.split()], check=True)

    def tiffin(self, *words: str, check: bool = True) -> str:
        """A command on this machine."""
        line = [sys.executable, "-m", "tiffin.cli", *words, "--home", str(self.home)]
        done = subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.space}", *line],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY / "src")},
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "del", self.space], check=True)
        for name in (self.near, self.cable):  # which go with their other ends, when the kernel comes to it
            subprocess.run(["ip", "link", "del", name], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[RunningCloud, OtherMachine]]:
    other = OtherMachine()
    try:
        settings = f'[compute.machines]\nlisten = "{DOOR}"\nunderlay = "{other.cable}=10.99.77.1/24"\n'
        with running_cloud(simulated=False, settings=settings) as cloud:
            word = cloud.tiffin("host", "token").stdout.strip()
            words = ("--listen", f"{THERE}:8443", "--token", word, "--name", "other")
            other.tiffin("host", "join", DOOR, *words, "--underlay", f"{other.cable_far}=10.99.77.2/24")
            yield cloud, other
            other.tiffin("host", "leave")
    finally:
        other.remove()


def hosts(cloud: RunningCloud) -> dict[str, str]:
    with cloud.connect(ADMIN) as admin:
        return {one.name: one.state for one in admin.compute.hypervisors()}


def test_guests_of_two_machines(machines: tuple[RunningCloud, OtherMachine], tmp_path: Path) -> None:
    cloud, other = machines
    deadline = time.monotonic() + 60
    while hosts(cloud).get("other") != "up":
        assert time.monotonic() < deadline, hosts(cloud)
        time.sleep(0.5)
    mine = next(name for name in hosts(cloud) if name != "other")
    with cloud.openstack() as openstack:
        key = story.make_key(openstack, tmp_path)
        story.make_network(openstack)
        story.make_security_groups(openstack)
    placed = {"near": mine, "far": "other"}
    options = f"--image {story.IMAGE} --security-group {story.OPEN}"
    built = {}
    for name, host in placed.items():
        (elsewhere,) = set(placed.values()) - {host}
        with cloud.openstack(ADMIN) as admins:
            admins(f"compute service set --disable {elsewhere} nova-compute")
            admins(f"compute service set --enable {host} nova-compute")
        with cloud.openstack() as openstack:
            built[name] = story.boot(openstack, name, options)
    with cloud.connect(ADMIN) as admin:
        assert {name: admin.compute.get_server(built[name].id).hypervisor_hostname for name in placed} == placed
    assert len(guest_processes(other.home)) == 1
    with cloud.openstack() as openstack:
        floating = {name: story.give_floating_address(openstack, name) for name in placed}
    near, far = (Guest(cloud, name, key) for name in placed)
    near.await_login()
    far.await_login()
    assert far.run("hostname") == "far"
    assert near.pings(built["far"].address)
    assert far.pings(built["near"].address)
    assert far.run("timeout 5 wget -q -O - http://169.254.169.254/latest/meta-data/hostname") == "far"
    with cloud.openstack() as openstack:
        for address in floating.values():
            openstack(f"floating ip delete {address}")
        for name in placed:
            openstack(f"server delete --wait {name}")
    assert_becomes(lambda: guest_processes(other.home), set())
