"""Two machines: the controller, and one in a network namespace of its own that joins it. Their guests meet."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import story
from real.test_story import Guest
from running_cloud import ADMIN, REPOSITORY, RunningCloud, running_cloud, tiny
from world import assert_becomes, guest_processes

pytestmark = pytest.mark.real
HERE, THERE = "198.18.77.1", "198.18.77.2"  # RFC 2544's block: no machine's own
DOOR = f"{HERE}:8443"


class OtherMachine:
    """A network namespace with a wire for management, from `here` to `there`, and one for tunnels."""

    def __init__(self, here: str = HERE, there: str = THERE) -> None:
        mark = secrets.token_hex(3)
        self.space, self.near, self.far = f"tfm{mark}", f"tfm{mark}a", f"tfm{mark}b"
        self.cable, self.cable_far = f"tfu{mark}a", f"tfu{mark}b"
        self.folder = Path(tempfile.mkdtemp(prefix="tf-", dir="/var/tmp"))
        self.home = self.folder / "m"
        for left in _who_has(here):  # by a run that was ended midway: answers would go that way
            subprocess.run(["ip", "link", "del", left], check=True)
        for line in (
            f"netns add {self.space}",
            f"link add {self.near} type veth peer name {self.far} netns {self.space}",
            f"link add {self.cable} type veth peer name {self.cable_far} netns {self.space}",
            f"address add {here}/30 dev {self.near}",
            f"link set {self.near} up",
            f"-n {self.space} link set lo up",
            f"-n {self.space} address add {there}/30 dev {self.far}",
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
        """Have nothing of it, whatever a test has left running."""
        for pid in guest_processes(self.home):
            os.kill(pid, signal.SIGKILL)
        self.tiffin("host", "leave", check=False)
        subprocess.run(["ip", "netns", "del", self.space], check=True)
        for name in (self.near, self.cable):  # which go with their other ends, when the kernel comes to it
            subprocess.run(["ip", "link", "del", name], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder)


def _who_has(address: str) -> list[str]:
    """This machine's interfaces that have the address."""
    shown = subprocess.run(["ip", "-json", "address", "show", "to", address], check=True, capture_output=True).stdout
    return [one["ifname"] for one in json.loads(shown) if one]


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[RunningCloud, OtherMachine]]:
    other = OtherMachine()
    try:
        settings = f'[compute.machines]\nlisten = "{DOOR}"\nunderlay = "{other.cable}=10.99.77.1/24"\n'
        with running_cloud(simulated=False, settings=settings, image=tiny()) as cloud:
            word = cloud.tiffin("host", "token").stdout.strip()
            words = ("--listen", f"{THERE}:8443", "--token", word, "--name", "other")
            other.tiffin("host", "join", DOOR, *words, "--underlay", f"{other.cable_far}=10.99.77.2/24")
            yield cloud, other
            other.tiffin("host", "leave")
    finally:
        other.remove()


@dataclass(frozen=True)
class Site:
    cloud: RunningCloud
    other: OtherMachine
    mine: str  # the controller's own machine, as a host
    key: Path


def hosts(cloud: RunningCloud) -> dict[str, str]:
    with cloud.connect(ADMIN) as admin:
        return {one.name: one.state for one in admin.compute.hypervisors()}


@pytest.fixture(scope="module")
def site(machines: tuple[RunningCloud, OtherMachine], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Both machines up, and what servers need."""
    cloud, other = machines
    deadline = time.monotonic() + 60
    while hosts(cloud).get("other") != "up":
        assert time.monotonic() < deadline, hosts(cloud)
        time.sleep(0.5)
    mine = next(name for name in hosts(cloud) if name != "other")
    with cloud.openstack() as openstack:
        key = story.make_key(openstack, tmp_path_factory.mktemp("keys"))
        story.make_network(openstack)
        story.make_security_groups(openstack)
    return Site(cloud, other, mine, key)


def boot(site: Site, name: str, host: str) -> story.Server:
    """A server on one of the machines."""
    (elsewhere,) = {site.mine, "other"} - {host}
    with site.cloud.openstack(ADMIN) as admins:
        admins(f"compute service set --disable {elsewhere} nova-compute")
        admins(f"compute service set --enable {host} nova-compute")
    with site.cloud.openstack() as openstack:
        built = story.boot(openstack, name, f"--image {story.IMAGE} --security-group {story.OPEN}")
    with site.cloud.openstack(ADMIN) as admins:
        admins(f"compute service set --enable {elsewhere} nova-compute")
    assert place(site, built) == host
    return built


def place(site: Site, server: story.Server) -> str:
    with site.cloud.connect(ADMIN) as admin:
        return str(admin.compute.get_server(server.id).hypervisor_hostname)


def test_guests_of_two_machines(site: Site) -> None:
    cloud, other, key = site.cloud, site.other, site.key
    placed = {"near": site.mine, "far": "other"}
    built = {name: boot(site, name, host) for name, host in placed.items()}
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
    started = far.run("cat /proc/sys/kernel/random/boot_id")
    assert "other is empty" in cloud.tiffin("host", "maintenance", "other").stdout
    assert guest_processes(other.home) == set()
    assert place(site, built["far"]) == site.mine
    assert far.run("cat /proc/sys/kernel/random/boot_id") == started, "it went while it was running"
    cloud.tiffin("host", "maintenance", "other", "--off")
    with cloud.openstack() as openstack:
        for address in floating.values():
            openstack(f"floating ip delete {address}")
        for name in placed:
            openstack(f"server delete --wait {name}")
    assert_becomes(lambda: guest_processes(cloud.home), set())


def test_a_guest_moves_between_machines(site: Site) -> None:
    """With its disk when both are there, and without when its own was cut off."""
    cloud, other = site.cloud, site.other
    server = boot(site, "mover", site.mine)
    with cloud.openstack() as openstack:
        floating = story.give_floating_address(openstack, "mover")
    guest = Guest(cloud, "mover", site.key)
    guest.await_login()
    guest.run("echo precious > /root/data && sync")

    migrate(site, server)
    assert len(guest_processes(other.home)) == 1
    assert len(guest_processes(cloud.home)) == 0
    guest.await_login()
    assert guest.run("cat /root/data; hostname") == "precious\nmover"
    guest.run("echo since > /root/since && sync")
    ask(site, server, {"revertResize": None}, "ACTIVE")
    assert place(site, server) == site.mine
    guest.await_login()
    assert guest.run("cat /root/data; ls /root/since 2>/dev/null || echo none") == "precious\nnone"

    migrate(site, server)
    ask(site, server, {"confirmResize": None}, "ACTIVE")
    guest.await_login()
    assert guest.run("cat /root/data") == "precious"
    assert not list((cloud.home / "host/guests").glob("*")), "nothing of it is left here"

    before = guest_processes(other.home)
    subprocess.run(["ip", "link", "set", other.near, "down"], check=True)
    with cloud.openstack(ADMIN) as admins:
        admins("--os-compute-api-version 2.11 compute service set --down other nova-compute")
    ask(site, server, {"evacuate": {}}, "ACTIVE")
    assert place(site, server) == site.mine
    guest.await_login()
    assert guest.run("ls /root/data 2>/dev/null || echo lost") == "lost"
    assert guest_processes(other.home) == before, "it runs on where nobody can reach it"
    subprocess.run(["ip", "link", "set", other.near, "up"], check=True)
    assert_becomes(lambda: guest_processes(other.home), set())
    with cloud.openstack(ADMIN) as admins:
        admins("--os-compute-api-version 2.11 compute service set --up other nova-compute")
    assert guest.run("hostname") == "mover"
    with cloud.openstack() as openstack:
        openstack(f"floating ip delete {floating}")
        openstack("server delete --wait mover")
    assert_becomes(lambda: guest_processes(cloud.home), set())


def migrate(site: Site, server: story.Server) -> None:
    ask(site, server, {"migrate": {"host": "other"}}, "VERIFY_RESIZE")
    assert place(site, server) == "other"


def ask(site: Site, server: story.Server, action: dict[str, object], status: str) -> None:
    """Ask it as the admin, and wait for what it leads to."""
    with site.cloud.connect(ADMIN) as admin:
        asked = admin.compute.post(f"/servers/{server.id}/action", json=action, microversion="2.94")
        assert asked.status_code < 300, asked.text
        deadline = time.monotonic() + 150
        while (found := admin.compute.get_server(server.id)).status != status or found.task_state:
            assert found.status != "ERROR", found.fault
            assert time.monotonic() < deadline, (found.status, found.task_state)
            time.sleep(0.3)
