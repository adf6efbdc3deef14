"""A guest goes from machine to machine while it runs, is called back, and gets there although somebody dies meanwhile."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import story
from real.test_story import Guest
from real.test_two_machines import OtherMachine, Site, boot, machines, place, site
from running_cloud import ADMIN
from storm import kill, rows
from tiffin.core.settings import Settings
from world import assert_becomes, guest_processes

__all__ = ["machines", "site"]
pytestmark = pytest.mark.real
PACE = 0.05
"""Seconds between two pings."""
MOST_SILENCE = 10.0
"""Seconds for which a guest may not answer when it goes over, on a machine with other things to do."""
NEWEST = "--os-compute-api-version 2.94"


@contextmanager
def pinged(site: Site, address: str) -> Iterator[list[float]]:
    """Ping all the while; in the end the list says how many seconds went by without an answer, at the longest."""
    space = f"{Settings(home=site.cloud.home).tag}-ext"
    silence: list[float] = []
    with tempfile.TemporaryFile("w+") as told:
        line = ["ip", "netns", "exec", space, "ping", "-O", "-i", str(PACE), address]
        ping = subprocess.Popen(line, stdout=told, stderr=subprocess.STDOUT)
        try:
            yield silence
        finally:
            ping.send_signal(signal.SIGINT)
            ping.wait(10)
        told.seek(0)
        answered = [int(found) for found in re.findall(r"bytes from .* icmp_seq=(\d+)", told.read())]
    gaps = [later - earlier - 1 for earlier, later in itertools.pairwise(answered)]
    silence.append(max(gaps) * PACE)
    print(f"\n{len(answered)} answers, {sum(gaps)} pings lost, at most {silence[0]:.2f} s without an answer")  # noqa: T201


@contextmanager
def narrow(other: OtherMachine) -> Iterator[None]:
    """The wire between the machines takes little, so that a guest takes long."""
    ends = (["tc"], other.near), (["tc", "-n", other.space], other.far)
    for tc, name in ends:
        slow = ["tbf", "rate", "8mbit", "burst", "32kbit", "latency", "400ms"]
        subprocess.run([*tc, "qdisc", "replace", "dev", name, "root", *slow], check=True)
    try:
        yield
    finally:
        for tc, name in ends:
            subprocess.run([*tc, "qdisc", "del", "dev", name, "root"], check=True)


class PatientGuest(Guest):
    """On a machine with much to do a login may take its time."""

    def try_run(self, command: str, patience: float = 30) -> tuple[int, str]:
        deadline = time.monotonic() + 60
        while (found := super().try_run(command, patience))[0] == 255 and time.monotonic() < deadline:
            time.sleep(1.0)
        return found


@pytest.fixture(scope="module")
def guest(site: Site) -> Iterator[tuple[story.Server, Guest, str]]:
    """One that has something on its disk, not yet written out, and in its memory."""
    server = boot(site, "runner", site.mine)
    with site.cloud.openstack() as openstack:
        address = story.give_floating_address(openstack, "runner")
    found = PatientGuest(site.cloud, "runner", site.key)
    found.await_login()
    found.run("echo precious > /root/data; echo fleeting > /dev/shm/data")
    yield server, found, address
    with site.cloud.openstack() as openstack:
        openstack(f"floating ip delete {address}")
        openstack("server delete --wait runner")
        openstack("port delete plugged-later")
        openstack("network delete aside")
    assert_becomes(lambda: guest_processes(site.cloud.home) | guest_processes(site.other.home), set())


def migrating(site: Site, server: story.Server) -> list[dict[str, Any]]:
    with site.cloud.connect(ADMIN) as admin:
        found = admin.compute.get(f"/servers/{server.id}/migrations", microversion="2.80").json()["migrations"]
        return list(found)


def begin(site: Site, server: story.Server, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask for it, and give it as soon as it is ready."""
    with site.cloud.openstack(ADMIN) as admins:
        admins(f"{NEWEST} server migrate --live-migration --host {elsewhere(site, server)} {server.id}")
    deadline = time.monotonic() + 120
    while not ((found := migrating(site, server)) and ready(found[0])):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found[0]


def elsewhere(site: Site, server: story.Server) -> str:
    return "other" if place(site, server) == site.mine else site.mine


def settled(site: Site, server: story.Server) -> None:
    """Nothing is being done with it any more. From the rows: its controller may not be up yet."""
    query = f"SELECT vm_state, task_state FROM server WHERE id = '{server.id}'"
    assert_becomes(lambda: rows(site.cloud.home, query), [("active", None)], patience=180)


def last_status(site: Site) -> str:
    return str(rows(site.cloud.home, "SELECT status FROM migration ORDER BY number DESC LIMIT 1")[0][0])


def test_a_guest_goes_there_and_back(site: Site, guest: tuple[story.Server, Guest, str]) -> None:
    server, inside, address = guest
    with site.cloud.openstack() as openstack:
        openstack("network create aside")
        openstack("subnet create --network aside --subnet-range 10.78.0.0/24 --gateway none aside")
        openstack("port create --network aside plugged-later")
        openstack("server add port runner plugged-later")
    booted = inside.boot_id()
    for _ in range(2):
        host = elsewhere(site, server)
        home, left = (site.other.home, site.cloud.home) if host == "other" else (site.cloud.home, site.other.home)
        with pinged(site, address) as silence, site.cloud.openstack(ADMIN) as admins:
            admins(f"{NEWEST} server migrate --live-migration --host {host} --wait {server.id}")
        assert place(site, server) == host
        assert silence[0] < MOST_SILENCE
        assert (len(guest_processes(home)), len(guest_processes(left))) == (1, 0)
        assert not list((left / "host/guests").glob("*")), "nothing of it is left there"
        assert inside.boot_id() == booted
        assert inside.run("head -n1 /root/data; cat /dev/shm/data").split() == ["precious", "fleeting"]
        assert inside.run("timeout 5 wget -q -O - http://169.254.169.254/latest/meta-data/hostname") == "runner"
        assert inside.run("ls /sys/class/net | grep -c eth") == "2"
    with site.cloud.openstack(ADMIN) as admins:
        listed = admins.json(f"{NEWEST} server migration list --server {server.id}")
    assert [(one["Status"], one["Type"]) for one in listed[:2]] == [("completed", "live-migration")] * 2


def test_a_guest_is_called_back(site: Site, guest: tuple[story.Server, Guest, str]) -> None:
    server, inside, _ = guest
    booted, here = inside.boot_id(), place(site, server)
    with narrow(site.other):
        found = begin(site, server, lambda one: one["status"] == "running" and bool(one["disk_total_bytes"]))
        with site.cloud.openstack(ADMIN) as admins:
            shown = admins.json(f"{NEWEST} server migration show {server.id} {found['uuid']}")
            assert shown["Status"] == "running"
            admins(f"{NEWEST} server migration abort {server.id} {found['id']}")
        settled(site, server)
    assert last_status(site) == "cancelled"
    assert place(site, server) == here
    is_whole(site, server, inside, booted)


@pytest.mark.parametrize("who", [pytest.param("agent", marks=pytest.mark.long), "controller"])
def test_a_guest_sets_out_anew_when_somebody_is_killed(
    site: Site, guest: tuple[story.Server, Guest, str], who: str
) -> None:
    """The controller, who relays; or the agent of one of the machines."""
    server, inside, _ = guest
    booted, there = inside.boot_id(), elsewhere(site, server)
    with narrow(site.other):
        begin(site, server, lambda one: one["status"] == "running" and bool(one["disk_total_bytes"]))
        if who == "agent":
            os.kill(int((site.other.home / "run/agent.pid").read_text()), signal.SIGKILL)
            time.sleep(1.0)
            site.other.tiffin("host", "start")
        else:
            kill(site.cloud, "cloud")
        assert_becomes(lambda: begun_anew(site) > 0, True, patience=60)
    settled(site, server)
    assert last_status(site) == "completed"
    assert place(site, server) == there
    is_whole(site, server, inside, booted)


def begun_anew(site: Site) -> int:
    """How often the guest that is on its way has set out once more."""
    frames = rows(site.cloud.home, "SELECT frame FROM lifecycle WHERE kind = 'compute.server'")
    return max(int(json.loads(frame).get("ways", 1)) for (frame,) in frames) - 1


def is_whole(site: Site, server: story.Server, inside: Guest, booted: str) -> None:
    """It goes on as it was, and nothing of it is anywhere else."""
    assert inside.boot_id() == booted
    inside.run("cat /dev/shm/data && echo again >> /root/data && sync")
    homes = [site.cloud.home, site.other.home]
    here, left = homes if place(site, server) == site.mine else reversed(homes)
    assert len(guest_processes(here)) == 1
    assert_becomes(lambda: guest_processes(left), set(), patience=60)
    assert_becomes(lambda: list((Path(left) / "host/guests").glob("*")), [], patience=60)


@pytest.mark.long
def test_a_guest_in_a_hurry_gets_there_over_a_narrow_wire(site: Site, guest: tuple[story.Server, Guest, str]) -> None:
    server, inside, _ = guest
    booted, there = inside.boot_id(), elsewhere(site, server)
    with narrow(site.other):
        found = begin(site, server, lambda one: one["status"] == "running" and bool(one["memory_total_bytes"]))
        with site.cloud.openstack(ADMIN) as admins:
            admins(f"{NEWEST} server migration force complete {server.id} {found['id']}")
    settled(site, server)
    assert last_status(site) == "completed"
    assert place(site, server) == there
    assert inside.boot_id() == booted
