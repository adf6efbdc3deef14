"""Servers that move between machines: disks come through the controller's door, to who may have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from host.machines import Controllers, Machine
from tiffin.core.driver import Impossible
from tiffin.core.errors import Conflict
from tiffin.services.compute import joining


def boot(cloud: Controllers, host: str) -> str:
    """A server on a host, with something of its own on its disk."""
    made = cloud.do("POST", "/servers", cloud.body(host=host), token="admin")
    assert made.status == 202, made.body
    cloud.settle()
    id = str(made.json["server"]["id"])
    cloud.worlds[host].guests[id].written = b"mine"
    return id


def move(cloud: Controllers, id: str, host: str) -> None:
    assert cloud.act(id, "migrate", {"host": host}, token="admin").status == 202
    cloud.settle()
    assert cloud.states(id)[0] == "VERIFY_RESIZE"


def test_from_machine_to_machine_to_the_controller_and_back(cloud: Controllers) -> None:
    for name in ("east", "west"):
        cloud.host(name)
    id = boot(cloud, "east")
    for host in ("west", "host-1", "east"):
        move(cloud, id, host)
        assert cloud.worlds[host].guests[id].written == b"mine"
        cloud.act(id, "confirmResize", token="admin")
        cloud.settle()
        assert [name for name, world in cloud.worlds.items() if id in world.guests] == [host]


def test_a_machine_may_read_what_moves_to_it_and_nothing_else(cloud: Controllers) -> None:
    east, west, north = (cloud.host(name) for name in ("east", "west", "north"))
    id = boot(cloud, "east")

    def tries() -> dict[str, bool]:
        return {machine.name: may_read(machine, id) for machine in (east, west, north)}

    assert tries() == {"east": False, "west": False, "north": False}
    seen: list[dict[str, bool]] = []
    reading: Any = cloud.joined.hypervisor("east").read_disk
    connection: Any = cloud.joined.hypervisor("east")

    def watched(*range: Any) -> Iterator[bytes]:
        connection.read_disk = reading  # once
        seen.append(tries())
        return iter(reading(*range))

    connection.read_disk = watched
    move(cloud, id, "west")
    assert seen == [{"east": False, "west": True, "north": False}]
    assert tries() == {"east": False, "west": False, "north": False}, "it is there: nobody needs to read any more"


def may_read(machine: Machine, id: str) -> bool:
    controller = machine.controller()
    try:
        return bool(b"".join(controller.disk(id, "root.qcow2", 0, 1)))
    except Impossible:
        return False


@pytest.mark.parametrize("asked", [
    ("../../etc", "root.qcow2", 0, 512), ("x" * 5000, "root.qcow2", 0, 512), ("", "", -1, -1),
])  # fmt: skip
def test_odd_ranges_are_refused(cloud: Controllers, asked: tuple[str, str, int, int]) -> None:
    east = cloud.host("east")
    with pytest.raises(Impossible):
        b"".join(east.controller().disk(*asked))


def test_a_machine_with_a_way_back_to_it_is_not_removed(cloud: Controllers) -> None:
    for name in ("east", "west"):
        cloud.host(name)
    id = boot(cloud, "east")
    move(cloud, id, "west")
    with cloud.cloud.database.write() as session, pytest.raises(Conflict, match="confirm or revert"):
        joining.remove(session, cloud.clock.now, "east")
    cloud.act(id, "confirmResize", token="admin")
    cloud.settle()
    with cloud.cloud.database.write() as session:
        assert joining.remove(session, cloud.clock.now, "east")
