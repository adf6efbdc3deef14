"""What can be asked of a running server."""

from __future__ import annotations

from typing import Any

import pytest

from api.compute.conftest import ComputeCloud
from tiffin.core.driver import Impossible, Refused, Turn
from tiffin.services.compute import reconcilers
from tiffin.simulator.hypervisor import Timing
from tiffin.simulator.world import Troubles


def test_power(cloud: ComputeCloud) -> None:
    id = cloud.server()
    for action, during, after in (
        ("pause", ("ACTIVE", "active", "pausing", 1), ("PAUSED", "paused", None, 3)),
        ("unpause", ("PAUSED", "paused", "unpausing", 3), ("ACTIVE", "active", None, 1)),
        ("os-stop", ("ACTIVE", "active", "powering-off", 1), ("SHUTOFF", "stopped", None, 4)),
        ("os-start", ("SHUTOFF", "stopped", "powering-on", 4), ("ACTIVE", "active", None, 1)),
    ):
        reply = cloud.act(id, action)
        assert (reply.status, reply.body) == (202, b"")
        assert cloud.states(id) == during
        assert cloud.act(id, action).status == 409
        cloud.settle()
        assert cloud.states(id) == after


@pytest.mark.parametrize(
    ("type", "status", "task"), [("SOFT", "REBOOT", "rebooting"), ("hard", "HARD_REBOOT", "rebooting_hard")]
)
def test_reboot(cloud: ComputeCloud, type: str, status: str, task: str) -> None:
    id = cloud.server()
    assert cloud.act(id, "reboot", {"type": type}).status == 202
    assert cloud.states(id)[:3] == (status, "active", task)
    cloud.settle()
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    assert cloud.world.guests[id].starts == 2


@pytest.mark.parametrize(
    ("state", "refused"),
    [
        ("active", ["os-start", "unpause"]),
        ("paused", ["pause", "os-stop", "os-start"]),
        ("stopped", ["pause", "os-stop", "unpause"]),
    ],
)
def test_what_a_state_does_not_allow(cloud: ComputeCloud, state: str, refused: list[str]) -> None:
    id = cloud.server()
    if state != "active":
        cloud.act(id, {"paused": "pause", "stopped": "os-stop"}[state])
        cloud.settle()
    for action in refused:
        reply = cloud.act(id, action)
        assert reply.status == 409
        assert f"while it is in vm_state {state}" in reply.json["conflictingRequest"]["message"]
    assert cloud.states(id)[1:3] == (state, None)


def test_a_snapshot_boots(cloud: ComputeCloud) -> None:
    id = cloud.server()
    old = cloud.act(id, "createImage", {"name": "old"}, at="compute 2.44")
    assert (old.status, old.body) == (202, b"")
    assert "/image/v2/images/" in old.headers["location"]
    assert cloud.states(id)[2] == "image_snapshot"
    cloud.settle()
    image_id = cloud.act(id, "createImage", {"name": "snap", "metadata": {"k": "v"}}).json["image_id"]
    cloud.settle()
    assert cloud.states(id)[:3] == ("ACTIVE", "active", None)
    image = cloud.ask("GET", f"/image/v2/images/{image_id}").json
    assert (image["status"], image["disk_format"], image["k"], image["instance_uuid"]) == ("active", "qcow2", "v", id)
    assert image["min_disk"] == 1
    assert cloud.world.guests[id].snapshots == {}
    second = cloud.server("again", imageRef=image_id)
    assert cloud.states(second)[0] == "ACTIVE"


def test_a_snapshot_whose_image_goes_away(cloud: ComputeCloud) -> None:
    id = cloud.server()
    image_id = cloud.act(id, "createImage", {"name": "snap"}).json["image_id"]
    assert cloud.ask("DELETE", f"/image/v2/images/{image_id}").status == 204
    cloud.settle()
    assert cloud.states(id)[:3] == ("ACTIVE", "active", None)
    assert cloud.world.guests[id].snapshots == {}
    first = cloud.ok("GET", f"/servers/{id}/os-instance-actions")["instanceActions"][0]
    assert (first["action"], first["message"]) == ("createImage", "Error")


def test_a_server_deleted_while_it_is_saved() -> None:
    cloud = ComputeCloud(timing=Timing(snapshot=30.0))
    cloud.furnish()
    id = cloud.server()
    image_id = cloud.act(id, "createImage", {"name": "snap"}).json["image_id"]
    cloud.settle()
    assert cloud.states(id)[2] == "image_uploading"
    assert cloud.do("DELETE", f"/servers/{id}").status == 204
    cloud.settle()
    assert cloud.world.guests == {}
    assert cloud.ask("GET", f"/image/v2/images/{image_id}").json["status"] == "killed"
    cloud.close()


def test_rebuild(cloud: ComputeCloud) -> None:
    id, other = cloud.server(), cloud.image(b"another", name="other")
    reply = cloud.act(id, "rebuild", {"imageRef": other, "name": "new", "metadata": {"x": "y"}, "adminPass": "pw"})
    assert reply.status == 202
    assert (reply.json["server"]["adminPass"], reply.json["server"]["status"]) == ("pw", "REBUILD")
    cloud.settle()
    shown = cloud.show(id)
    assert (shown["status"], shown["image"]["id"], shown["name"], shown["metadata"]) == (
        "ACTIVE",
        other,
        "new",
        {"x": "y"},
    )
    assert cloud.act(id, "os-stop").status == 202
    cloud.settle()
    assert cloud.act(id, "rebuild", {"imageRef": cloud.image_id}).status == 202
    cloud.settle()
    assert cloud.states(id) == ("SHUTOFF", "stopped", None, 4)


def test_console(cloud: ComputeCloud) -> None:
    id = cloud.server(settle=False)
    assert cloud.act(id, "os-getConsoleOutput", {}).status == 409
    cloud.settle()
    everything = cloud.act(id, "os-getConsoleOutput", {}).json["output"]
    assert "login:" in everything
    assert cloud.act(id, "os-getConsoleOutput", {"length": "1"}).json["output"] == everything.splitlines()[-1]
    assert cloud.act(id, "os-getConsoleOutput", {"length": -1}).json["output"] == everything
    assert cloud.act(id, "os-getConsoleOutput", {"length": -2}).status == 400
    assert cloud.act(id, "os-getConsoleOutput", {}, token="reader").status == 403
    assert cloud.act(id, "os-getConsoleOutput", {}, token="other").status == 404


def test_locks(cloud: ComputeCloud) -> None:
    id = cloud.server()
    assert cloud.act(id, "lock", {"locked_reason": "mine"}, token="admin").status == 202
    shown = cloud.show(id)
    assert (shown["locked"], shown["locked_reason"]) == (True, "mine")
    assert cloud.act(id, "os-stop").status == 409
    assert cloud.do("DELETE", f"/servers/{id}").status == 409
    assert cloud.act(id, "unlock").status == 403
    assert cloud.act(id, "unlock", token="admin").status == 202
    assert cloud.act(id, "lock").status == 202
    assert cloud.act(id, "unlock").status == 202
    assert cloud.show(id)["locked"] is False
    assert cloud.act(id, "lock", {"bad": 1}).status == 400


def test_reset_state(cloud: ComputeCloud) -> None:
    id = cloud.server()
    assert cloud.act(id, "os-resetState", {"state": "error"}).status == 403
    assert cloud.act(id, "os-resetState", {"state": "error"}, token="admin").status == 202
    assert cloud.show(id)["status"] == "ERROR"
    assert cloud.act(id, "reboot", {"type": "HARD"}).status == 202
    cloud.settle()
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"os-stop": None, "os-start": None},
        {"suspend": None},
        [],
        None,
        {"reboot": {"type": "x"}},
        {"reboot": {}},
        {"createImage": {}},
        {"os-resetState": {"state": "x"}},
    ],
)
def test_actions_that_are_none(cloud: ComputeCloud, body: Any) -> None:
    id = cloud.server()
    assert cloud.do("POST", f"/servers/{id}/action", body, token="admin").status == 400


# --- when the world says no -------------------------------------------------------------------------------------------------


def troubled() -> tuple[ComputeCloud, Troubles]:
    troubles = Troubles()
    cloud = ComputeCloud(fate=troubles)
    cloud.furnish()
    return cloud, troubles


def settle_long(cloud: ComputeCloud) -> None:
    for _ in range(12):
        cloud.settle()
        cloud.clock.now += 40
        reconcilers.hosts(cloud.cloud)


@pytest.mark.parametrize(
    ("action", "call", "status"),
    [
        ("os-stop", "ensure_stopped", "ACTIVE"),
        ("pause", "ensure_paused", "ACTIVE"),
        ("createImage", "ensure_snapshot", "ACTIVE"),
    ],
)
def test_a_refused_request_leaves_the_server_as_it_was(action: str, call: str, status: str) -> None:
    cloud, troubles = troubled()
    id = cloud.server()
    troubles.set(call, id, Impossible("out of order"))
    reply = cloud.act(id, action, {"name": "x"} if action == "createImage" else None)
    cloud.settle()
    assert cloud.states(id)[0] == status
    assert cloud.states(id)[2] is None
    first = cloud.ok("GET", f"/servers/{id}/os-instance-actions")["instanceActions"][0]
    assert first["message"] == "Error"
    events = cloud.ok("GET", f"/servers/{id}/os-instance-actions/{first['request_id']}", token="admin")
    assert events["instanceAction"]["events"][0]["details"] == "out of order"
    if action == "createImage":
        assert cloud.ask("GET", f"/image/v2/images/{reply.json['image_id']}").json["status"] == "killed"
    cloud.close()


def test_an_impossible_build_is_an_error_with_a_reason_and_can_be_deleted() -> None:
    cloud, troubles = troubled()
    troubles.set("ensure_disks", "*", Impossible("the image is corrupt"))
    id = cloud.server()
    shown = cloud.show(id)
    assert (shown["status"], shown["fault"]["message"], shown["fault"]["code"]) == (
        "ERROR",
        "the image is corrupt",
        500,
    )
    assert cloud.do("DELETE", f"/servers/{id}").status == 204
    cloud.settle()
    assert cloud.world.guests == {}
    cloud.close()


def test_a_busy_host_is_asked_again() -> None:
    cloud, troubles = troubled()
    troubles.set("ensure_running", "*", Refused("busy"), times=3)
    id = cloud.server()
    settle_long(cloud)
    assert cloud.states(id)[0] == "ACTIVE"
    cloud.close()


# --- what guests do by themselves -------------------------------------------------------------------------------------------


def test_a_guest_that_powers_off_becomes_shutoff(cloud: ComputeCloud) -> None:
    id = cloud.server()
    cloud.world.power_off_inside(id)
    reconcilers.guests(cloud.cloud)
    cloud.settle()
    assert cloud.states(id) == ("SHUTOFF", "stopped", None, 4)
    assert cloud.act(id, "os-start").status == 202
    cloud.settle()
    assert cloud.states(id)[0] == "ACTIVE"


def test_a_guest_that_crashes_becomes_shutoff_and_says_why(cloud: ComputeCloud) -> None:
    id = cloud.server()
    cloud.world.crash(id, "segmentation fault")
    reconcilers.guests(cloud.cloud)
    cloud.settle()
    assert cloud.states(id) == ("SHUTOFF", "stopped", None, 6)


def test_a_stopped_server_whose_guest_runs_is_stopped(cloud: ComputeCloud) -> None:
    id = cloud.server()
    cloud.act(id, "os-stop")
    cloud.settle()
    cloud.world.guests[id].power = "running"
    reconcilers.guests(cloud.cloud)
    cloud.settle()
    assert cloud.states(id) == ("SHUTOFF", "stopped", None, 4)
    assert cloud.world.guests[id].power == "shutdown"


def test_an_active_server_whose_guest_is_paused_goes_on(cloud: ComputeCloud) -> None:
    """QEMU pauses a guest that finds no room for what it writes; it is tried again until there is room."""
    id = cloud.server()
    for _ in range(2):
        cloud.world.guests[id].power = "paused"
        reconcilers.guests(cloud.cloud)
        cloud.settle()
        assert cloud.world.guests[id].power == "running"
        assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    cloud.act(id, "pause")
    cloud.settle()
    reconcilers.guests(cloud.cloud)
    cloud.settle()
    assert cloud.states(id) == ("PAUSED", "paused", None, 3)


def test_what_is_right_is_left_alone(cloud: ComputeCloud) -> None:
    id = cloud.server()
    before = cloud.show(id)["updated"]
    cloud.clock.now += 100
    reconcilers.guests(cloud.cloud)
    cloud.settle()
    assert cloud.show(id)["updated"] == before


def test_a_guest_that_nobody_claims_is_removed(cloud: ComputeCloud) -> None:
    id = cloud.server()
    guest = cloud.world.guests[id]
    cloud.do("DELETE", f"/servers/{id}")
    cloud.settle()
    cloud.world.guests[id] = guest
    cloud.clock.now += 1
    reconcilers.guests(cloud.cloud)
    cloud.settle()
    assert cloud.world.guests == {}


def test_a_host_that_is_silent_is_not_chosen(cloud: ComputeCloud) -> None:
    cloud.clock.now += 100
    id = cloud.server()
    assert cloud.show(id)["fault"]["message"] == (
        "No valid host was found. ComputeFilter left none of 1: no host is enabled and up."
    )
    cloud.hosts.there.clear()
    reconcilers.hosts(cloud.cloud)
    reconcilers.guests(cloud.cloud)


def test_a_port_goes_from_a_server_with_a_long_life_to_a_new_one(cloud: ComputeCloud) -> None:
    port = cloud.port(cloud.network_id)["id"]
    old = cloud.server(networks=[{"port": port}])
    for _ in range(6):
        for action in ("os-stop", "os-start"):
            assert cloud.act(old, action).status == 202
            cloud.settle()
    assert cloud.do("DELETE", f"/servers/{old}").status == 204
    cloud.settle()
    cloud.clock.now += 1
    new = cloud.server(networks=[{"port": port}])
    assert cloud.states(new) == ("ACTIVE", "active", None, 1)
    assert cloud.ports(new)[0]["status"] == "ACTIVE"


def test_and_from_a_new_one_back_to_the_old(cloud: ComputeCloud) -> None:
    port, old = cloud.port(cloud.network_id)["id"], cloud.server()
    cloud.clock.now += 1000
    reconcilers.hosts(cloud.cloud)
    new = cloud.server(networks=[{"port": port}])
    assert cloud.do("DELETE", f"/servers/{new}/os-interface/{port}").status == 202
    cloud.settle()
    cloud.clock.now += 1
    assert cloud.do("POST", f"/servers/{old}/os-interface", {"interfaceAttachment": {"port_id": port}}).status == 200
    cloud.settle()
    assert port in cloud.plugs("host-1").plugged()
    assert {one["id"]: one["status"] for one in cloud.ports(old)}[port] == "ACTIVE"


def test_what_is_plugged_without_a_server_is_unplugged(cloud: ComputeCloud) -> None:
    id = cloud.server()
    (mine,) = [port["id"] for port in cloud.ports(id)]
    stray = cloud.port(cloud.network_id)["id"]
    cloud.plugs("host-1").ensure_plugged(Turn(1), stray, "fa:16:3e:00:00:01", 1442)
    reconcilers.plugs(cloud.cloud)
    cloud.settle()
    cloud.clock.now += 1
    assert cloud.plugs("host-1").plugged() == {mine}
    new = cloud.server(networks=[{"port": stray}])
    assert cloud.states(new)[0] == "ACTIVE"
    assert cloud.plugs("host-1").plugged() == {mine, stray}
