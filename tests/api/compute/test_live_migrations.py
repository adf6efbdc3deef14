"""Live migration: asked for, refused, watched, hurried, aborted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from api.compute.conftest import ComputeCloud
from api.compute.live_cloud import LIVE, LiveCloud, arrive, check_stayed, go, one, under_way
from api.compute.test_moves import MIGRATORS, action, at, held, moves, other, where_real
from tiffin.services.compute import reconcilers
from tiffin.services.compute.tables import ComputeHost
from tiffin.simulator.hypervisor import FACTS

OLD: dict[str, Any] = {"host": None, "block_migration": True, "disk_over_commit": False}


@pytest.fixture
def two() -> Iterator[LiveCloud]:
    made = LiveCloud()
    yield made
    made.close()


def test_a_server_goes_on_elsewhere(two: LiveCloud) -> None:
    id = two.server(config_drive=True)
    before = at(two, id)
    there = other(before)
    two.worlds[before].guests[id].written = b"mine"
    assert go(two, id).status == 202
    assert two.states(id) == ("MIGRATING", "active", "migrating", 1)
    assert one(two, id)["status"] == "queued"
    two.settle()
    assert (two.states(id)[0], at(two, id), where_real(two, id)) == (
        "MIGRATING", before, {before: "running", there: "paused"},
    )  # fmt: skip
    assert held(two) == {("INSTANCE", there): 1, ("MIGRATION", before): 1}
    two.clock.now += 15.0
    two.settle()
    shown = one(two, id)
    assert (shown["status"], shown["source_compute"], shown["dest_compute"]) == ("running", before, there)
    assert 0 < shown["memory_processed_bytes"] < shown["memory_total_bytes"]
    assert shown["disk_total_bytes"] == shown["disk_processed_bytes"] + shown["disk_remaining_bytes"] == 1 << 30
    arrive(two)
    assert two.states(id) == ("ACTIVE", "active", None, 1)
    assert (at(two, id), where_real(two, id)) == (there, {there: "running"})
    guest = two.worlds[there].guests[id]
    assert (guest.written, guest.starts, bool(guest.config_drive)) == (b"mine", 1, True)
    assert held(two) == {("INSTANCE", there): 1}
    ports = {port["id"] for port in two.ports(id)}
    assert [port["binding:host_id"] for port in two.ports(id)] == [there]
    assert (two.plugs(before).plugged(), two.plugs(there).plugged()) == (frozenset(), ports)
    assert two.plugs(before).metadata_networks() == frozenset()
    assert under_way(two, id) == []
    assert [(m["status"], m["migration_type"]) for m in moves(two)] == [("completed", "live-migration")]
    asked = action(two, id)
    assert (asked["action"], asked["events"][0]["event"], asked["events"][0]["result"]) == (
        "live-migration", "compute_live_migration", "Success",
    )  # fmt: skip
    assert go(two, id).status == 202, "and back"
    arrive(two)
    assert at(two, id) == before


def test_what_it_needs_there_is_not_taken_for_unused(two: LiveCloud) -> None:
    id = two.server()
    here = at(two, id)
    go(two, id)
    two.settle()
    reconcilers.metadata(two.cloud)
    reconcilers.guests(two.cloud)
    two.settle()
    for host in (here, other(here)):
        assert two.plugs(host).metadata_networks() == frozenset({two.network_id})
    arrive(two)
    reconcilers.metadata(two.cloud)
    two.settle()
    assert two.plugs(here).metadata_networks() == frozenset()
    assert two.plugs(other(here)).metadata_networks() == frozenset({two.network_id})


def test_a_paused_server_stays_paused(two: LiveCloud) -> None:
    id = two.server()
    two.act(id, "pause")
    two.settle()
    go(two, id)
    arrive(two)
    assert two.states(id) == ("PAUSED", "paused", None, 3)
    assert list(where_real(two, id).values()) == ["paused"]
    two.act(id, "unpause")
    two.settle()
    assert two.states(id) == ("ACTIVE", "active", None, 1)


def test_a_host_of_choice(two: LiveCloud) -> None:
    two.add_host("host-3")
    id = two.server()
    assert go(two, id, {**LIVE, "host": "host-3"}).status == 202
    arrive(two)
    assert at(two, id) == "host-3"


@pytest.mark.parametrize(("version", "body"), [
    ("2.1", OLD), ("2.24", {**OLD, "block_migration": "True"}), ("2.25", LIVE), ("2.29", LIVE),
    ("2.30", {**LIVE, "force": False}),
    ("2.67", {**LIVE, "host": "host-2", "force": "true"}), ("2.68", LIVE), ("2.104", {**LIVE, "block_migration": True}),
])  # fmt: skip
def test_the_words_of_each_version(two: LiveCloud, version: str, body: dict[str, Any]) -> None:
    two.ok("PUT", f"/os-services/{service(two, 'host-2')}", {"status": "disabled"}, token="admin")
    id = two.server()
    two.ok("PUT", f"/os-services/{service(two, 'host-2')}", {"status": "enabled"}, token="admin")
    assert go(two, id, body, at=f"compute {version}").status == 202
    arrive(two)
    assert at(two, id) == "host-2"


def service(cloud: ComputeCloud, host: str) -> str:
    return str(cloud.ok("GET", f"/os-services?host={host}", token="admin")["services"][0]["id"])


@pytest.mark.parametrize(("version", "body", "word"), [
    ("2.1", LIVE, "disk_over_commit"), ("2.1", {**LIVE, "block_migration": True}, "disk_over_commit"),
    ("2.24", {**OLD, "block_migration": "auto"}, "auto"),
    ("2.25", OLD, "disk_over_commit"), ("2.29", {**LIVE, "force": True}, "force"), ("2.68", {**LIVE, "force": True}, "force"),
    ("2.104", {"host": None}, "block_migration"), ("2.104", {"block_migration": "auto"}, "host"),
    ("2.104", {**LIVE, "block_migration": "maybe"}, "block_migration"), ("2.104", {**LIVE, "host": "a/b"}, "host"),
    ("2.104", {**LIVE, "host": ""}, "host"), ("2.104", {**LIVE, "more": 1}, "more"),
    ("2.104", {**LIVE, "host": "nowhere"}, "could not be found"), ("2.1", {**OLD, "host": "nowhere"}, "could not be found"),
    ("2.33", {**LIVE, "host": "SAME"}, "to current host"), ("2.33", {**LIVE, "block_migration": False}, "shared storage"),
    ("2.24", {**OLD, "block_migration": "no"}, "shared storage"), ("2.30", {**LIVE, "host": "host-3"}, "unavailable"),
])  # fmt: skip
def test_words_that_are_refused(two: LiveCloud, version: str, body: dict[str, Any], word: str) -> None:
    silent(two)
    id = two.server()
    if body.get("host") == "SAME":
        body = {**body, "host": at(two, id)}
    reply = go(two, id, body, at=f"compute {version}")
    assert (reply.status, word in reply.json["badRequest"]["message"]) == (400, True), reply.body
    assert two.states(id) == ("ACTIVE", "active", None, 1)
    assert moves(two) == []


def silent(cloud: ComputeCloud) -> None:
    """A host that nobody has heard of for long."""
    cloud.add_host("host-3")
    with cloud.cloud.database.write() as session:
        session.execute(update(ComputeHost).where(ComputeHost.name == "host-3").values(seen_at=0.0))


@pytest.mark.parametrize(("body", "word"), [
    ({**LIVE, "host": "SAME"}, "to current host"), ({**LIVE, "block_migration": False}, "shared storage"),
    ({**LIVE, "host": "host-3"}, "unavailable"),
])  # fmt: skip
def test_since_2_34_what_cannot_be_is_told_later(two: LiveCloud, body: dict[str, Any], word: str) -> None:
    silent(two)
    id = two.server()
    if body.get("host") == "SAME":
        body = {**body, "host": at(two, id)}
    assert go(two, id, body, at="compute 2.34").status == 202
    two.settle()
    check_stayed(two, id, "error", word)


def test_where_there_is_no_room_is_told_at_once_until_2_33(cloud: ComputeCloud) -> None:
    id = cloud.server()
    reply = go(cloud, id, at="compute 2.33")
    assert (reply.status, "No valid host was found" in reply.json["badRequest"]["message"]) == (400, True)
    assert (moves(cloud), held(cloud)) == ([], {("INSTANCE", "host-1"): 1})
    assert go(cloud, id, at="compute 2.34").status == 202
    cloud.settle()
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    assert [m["status"] for m in moves(cloud)] == ["error"]
    assert "No valid host was found" in action(cloud, id)["events"][0]["details"]


@pytest.mark.parametrize(("force", "status"), [(True, "completed"), (False, "error")])
def test_a_host_may_be_forced_until_2_67(two: LiveCloud, force: bool, status: str) -> None:
    id = two.server()
    there = other(at(two, id))
    two.ok("PUT", f"/os-services/{service(two, there)}", {"status": "disabled"}, token="admin")
    assert go(two, id, {**LIVE, "host": there, "force": force}, at="compute 2.67").status == 202
    arrive(two)
    assert [m["status"] for m in moves(two)] == [status]
    assert held(two) == {("INSTANCE", there if force else other(there)): 1}


def test_a_forced_host_needs_room(two: LiveCloud) -> None:
    two.add_host("host-3", msgspec.structs.replace(FACTS, memory_mb=600))
    filler, id = two.server("filler", host="host-3", token="admin"), two.server()
    assert at(two, filler) == "host-3"
    assert go(two, id, {**LIVE, "host": "host-3", "force": True}, at="compute 2.67").status == 202
    two.settle()
    check_stayed(two, id, "error", "no room")


def test_when_it_cannot_be_asked(two: LiveCloud) -> None:
    id = two.server()
    two.act(id, "os-stop")
    two.settle()
    reply = go(two, id)
    assert (reply.status, "vm_state stopped" in reply.json["conflictingRequest"]["message"]) == (409, True)
    two.act(id, "os-start")
    two.settle()
    assert go(two, "9" * 36).status == 404
    assert go(two, id).status == 202
    for name, args in (("os-migrateLive", LIVE), ("os-stop", None), ("migrate", None), ("pause", None)):
        assert two.act(id, name, args, token="admin").status == 409, name
    arrive(two)
    two.act(id, "migrate", token="admin")
    two.settle()
    assert go(two, id).status == 409, "it may come back"


def test_a_locked_server_stays(two: LiveCloud) -> None:
    id = two.server()
    two.act(id, "lock", token="admin")
    assert go(two, id, token="manager").status == 409
    two.act(id, "unlock", token="admin")
    assert go(two, id, token="manager").status == 202
    two.settle()
    number = one(two, id)["id"]
    two.act(id, "lock", token="admin")
    for method, path, body in (("DELETE", "", None), ("POST", "/action", {"force_complete": None})):
        assert two.do(method, f"/servers/{id}/migrations/{number}{path}", body, token="manager").status == 409


@pytest.mark.parametrize(("who", "code"), MIGRATORS.items())
def test_who_may_ask(two: LiveCloud, who: str, code: int) -> None:
    id = two.server()
    chosen = go(two, id, {**LIVE, "host": other(at(two, id))}, token=who)
    assert chosen.status == (code if who in ("admin", "other", "service") else 403)
    if who != "admin":
        assert go(two, id, token=who).status == code


# --- on its way ---------------------------------------------------------------------------------------------------------


def test_it_is_hurried(two: LiveCloud) -> None:
    id = two.server()
    go(two, id)
    two.settle()
    number = one(two, id)["id"]
    path = f"/servers/{id}/migrations/{number}/action"
    assert two.do("POST", path, {"force_complete": None}, token="manager").status == 202
    two.clock.now += 1.0
    two.settle()
    assert two.states(id) == ("ACTIVE", "active", None, 1)
    assert list(where_real(two, id).values()) == ["running"]
    assert [m["status"] for m in moves(two)] == ["completed"]
    names = [a["action"] for a in two.ok("GET", f"/servers/{id}/os-instance-actions", token="admin")["instanceActions"]]
    assert names[:2] == ["live_migration_force_complete", "live-migration"]
    reply = two.do("POST", path, {"force_complete": None}, token="manager")
    assert reply.status == 409, "it is there"


def test_it_is_aborted(two: LiveCloud) -> None:
    id = two.server()
    go(two, id)
    two.settle()
    two.clock.now += 10.0
    two.settle()
    number = one(two, id)["id"]
    reply = two.do("DELETE", f"/servers/{id}/migrations/{number}", token="manager")
    assert (reply.status, reply.body) == (202, b"")
    assert two.do("DELETE", f"/servers/{id}/migrations/{number}", token="manager").status == 400, "once"
    two.clock.now += 1.0
    check_stayed(two, id, "cancelled", "aborted")
    assert go(two, id).status == 202
    arrive(two)
    assert two.states(id)[0] == "ACTIVE"
    assert [m["status"] for m in moves(two)] == ["completed", "cancelled"]


def test_it_is_aborted_before_it_began(two: LiveCloud) -> None:
    id = two.server()
    go(two, id)
    number = one(two, id)["id"]
    path = f"/servers/{id}/migrations/{number}"
    reply = two.do("DELETE", path, token="admin", at="compute 2.64")
    assert (reply.status, "queued" in reply.json["badRequest"]["message"]) == (400, True)
    assert two.do("POST", f"{path}/action", {"force_complete": None}, token="admin").status == 400
    assert two.do("DELETE", path, token="admin", at="compute 2.65").status == 202
    check_stayed(two, id, "cancelled", "aborted")


def test_what_is_not_on_its_way(two: LiveCloud) -> None:
    first, second = two.server("a"), two.server("b")
    go(two, first)
    two.settle()
    number = one(two, first)["id"]
    assert two.ok("GET", f"/servers/{first}/migrations/{number}", token="admin")["migration"]["id"] == number
    mine = f"/servers/{first}/migrations"
    for path in (f"/servers/{second}/migrations/{number}", f"{mine}/77", f"{mine}/x", f"{mine}/{10**30}"):
        assert two.do("GET", path, token="admin").status == 404, path
    assert two.do("DELETE", f"/servers/{first}/migrations/77", token="admin").status == 404
    assert two.do("DELETE", f"/servers/{second}/migrations/{number}", token="admin").status == 409
    force = f"/servers/{first}/migrations"
    assert two.do("POST", f"{force}/77/action", {"force_complete": None}, token="admin").status == 400
    assert two.do("POST", f"{force}/{number}/action", {"force_complete": {}}, token="admin").status == 400
    assert two.do("POST", f"{force}/{number}/action", {"hurry": None}, token="admin").status == 400
    arrive(two)
    assert two.do("GET", f"/servers/{first}/migrations/{number}", token="admin").status == 404, "it is there"
    two.act(second, "migrate", token="admin")
    cold = moves(two)[0]["id"]
    assert two.do("GET", f"/servers/{second}/migrations/{cold}", token="admin").status == 404, "another kind"
    assert under_way(two, second) == []


def test_what_is_told_by_version(two: LiveCloud) -> None:
    id = two.server()
    go(two, id)
    two.settle()
    shown = {v: under_way(two, id, v=f"compute {v}")[0] for v in ("2.23", "2.59", "2.80")}
    assert set(shown["2.23"]) == {
        "id", "server_uuid", "status", "source_compute", "source_node", "dest_compute", "dest_host", "dest_node",
        "memory_total_bytes", "memory_processed_bytes", "memory_remaining_bytes", "disk_total_bytes",
        "disk_processed_bytes", "disk_remaining_bytes", "created_at", "updated_at",
    }  # fmt: skip
    assert set(shown["2.59"]) - set(shown["2.23"]) == {"uuid"}
    assert set(shown["2.80"]) - set(shown["2.59"]) == {"user_id", "project_id"}
    number = shown["2.80"]["id"]
    (listed,) = moves(two)
    assert [link["href"].rpartition("/compute")[2] for link in listed["links"]] == [
        f"/v2.1/servers/{id}/migrations/{number}", f"/servers/{id}/migrations/{number}",
    ]  # fmt: skip
    assert "links" not in two.ok("GET", "/os-migrations", token="admin", at="compute 2.22")["migrations"][0]
    for method, path, body, version in (
        ("GET", "", None, "2.22"), ("GET", f"/{number}", None, "2.22"), ("DELETE", f"/{number}", None, "2.23"),
        ("POST", f"/{number}/action", {"force_complete": None}, "2.21"),
    ):  # fmt: skip
        reply = two.do(method, f"/servers/{id}/migrations{path}", body, token="admin", at=f"compute {version}")
        assert reply.status == 404, (method, path)


WATCHERS = {"admin": 200, "manager": 200, "member": 403, "reader": 403, "other": 404, "nobody": 403, "service": 404}


@pytest.mark.parametrize(("who", "code"), WATCHERS.items())
def test_who_may_watch_hurry_and_abort(two: LiveCloud, who: str, code: int) -> None:
    id = two.server()
    go(two, id)
    two.settle()
    number = one(two, id)["id"]
    path = f"/servers/{id}/migrations"
    listed = two.do("GET", path, token=who)
    assert listed.status == code
    if code == 200:
        (shown,) = listed.json["migrations"]
        assert (shown["source_compute"] is not None) == (who == "admin")
    assert two.do("GET", f"{path}/{number}", token=who).status == (403 if who == "manager" else code)
    done = 202 if code == 200 else code
    assert two.do("POST", f"{path}/{number}/action", {"force_complete": None}, token=who).status == done
    assert two.do("DELETE", f"{path}/{number}", token=who).status == done
