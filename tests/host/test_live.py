"""Servers that move between machines while they run: what they are goes through the controller, for who may send it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from host.machines import Controllers, Machine
from host.test_moves import boot
from tiffin.core.driver import Impossible, Refused

LIVE = {"host": None, "block_migration": "auto"}


def move(cloud: Controllers, id: str, host: str) -> None:
    assert cloud.act(id, "os-migrateLive", {**LIVE, "host": host}, token="admin").status == 202
    for _ in range(3000):  # what comes through sockets comes in its own time
        cloud.settle()
        if cloud.states(id)[2] is None:
            return
        cloud.clock.now += 0.05
        time.sleep(0.01)
    raise AssertionError(cloud.states(id))


def test_from_machine_to_machine_to_the_controller_and_back(cloud: Controllers) -> None:
    for name in ("east", "west"):
        cloud.host(name)
    id = boot(cloud, "east")
    for host in ("west", "host-1", "east"):
        move(cloud, id, host)
        assert cloud.show(id, token="admin")["OS-EXT-SRV-ATTR:host"] == host
        guest = cloud.worlds[host].guests[id]
        assert (guest.written, guest.power, guest.starts) == (b"mine", "running", 1)
        assert [name for name, world in cloud.worlds.items() if id in world.guests] == [host]


def test_a_machine_may_send_what_leaves_it_and_nothing_else(cloud: Controllers) -> None:
    east, west, north = (cloud.host(name) for name in ("east", "west", "north"))
    id = boot(cloud, "east")

    def tries() -> dict[str, bool]:
        return {machine.name: may_send(machine, id) for machine in (east, west, north)}

    assert not any(tries().values())
    seen: list[dict[str, bool]] = []
    remote: Any = cloud.joined.hypervisor("east")
    going = remote.ensure_migrating

    def watched(*args: Any) -> Any:
        remote.ensure_migrating = going  # once
        seen.append(tries())
        return going(*args)

    remote.ensure_migrating = watched
    move(cloud, id, "west")
    assert seen == [{"east": True, "west": False, "north": False}]
    assert not any(tries().values()), "it is there: nobody needs to send any more"


def may_send(machine: Machine, id: str) -> bool:
    try:
        with machine.controller().tunnel(id, "disks"):
            return True
    except Impossible:
        return False


@pytest.mark.parametrize(("id", "channel"), [
    ("../../etc", "memory"), ("", "disks"), ("x" * 5000, "memory"), ("00000000-0000-4000-8000-000000000000", "monitor"),
])  # fmt: skip
def test_odd_ways_are_refused(cloud: Controllers, id: str, channel: Any) -> None:
    east = cloud.host("east")
    with pytest.raises((Impossible, Refused)):
        east.controller().tunnel(id, channel)


def test_a_way_to_a_machine_that_is_gone(cloud: Controllers) -> None:
    east, west = cloud.host("east"), cloud.host("west")
    id = boot(cloud, "east")
    remote: Any = cloud.joined.hypervisor("east")
    going = remote.ensure_migrating

    def watched(*args: Any) -> Any:
        west.stop()
        return going(*args)

    remote.ensure_migrating = watched
    cloud.act(id, "os-migrateLive", {**LIVE, "host": "west"}, token="admin")
    for _ in range(30):
        cloud.settle()
        cloud.clock.now += 20.0
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    assert cloud.worlds["east"].guests[id].power == "running"
    with pytest.raises((Impossible, Refused)):
        east.controller().tunnel(id, "memory")
