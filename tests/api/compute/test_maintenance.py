"""A host is emptied: who is moved how, who waits, what is told, and what ends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from api.compute.conftest import ComputeCloud
from api.compute.test_moves import action, at, held, moves, where_real
from tiffin.core.asker import Itself
from tiffin.core.driver import Impossible, Refused
from tiffin.core.errors import NotFound
from tiffin.core.tables import Change
from tiffin.services.compute import maintenance, reconcilers
from tiffin.services.compute.maintenance import LONGEST_PAUSE, Left
from tiffin.simulator.hypervisor import FACTS, Timing
from tiffin.simulator.world import Troubles

OLD: dict[str, Any] = {"token": "admin", "at": "compute 2.42"}
NAMED = {"host": "host-1", "binary": "nova-compute"}


class Emptied(ComputeCloud):
    """Servers are made on host-1, then others are added."""

    def __init__(self, **settings: Any) -> None:
        self.troubles, self.timing = Troubles(), Timing(migration=30.0)
        super().__init__(timing=self.timing, fate=self.troubles, sections={"compute": settings})
        self.furnish()

    def more(self, *names: str) -> None:
        for name in names or ("host-2",):
            self.add_host(name, timing=self.timing, fate=self.troubles)

    def begin(self, *, cold: bool = False, host: str = "host-1") -> None:
        with self.cloud.database.write() as session:
            maintenance.begin(Itself(self.cloud.world, session), host, cold=cold)

    def end(self, host: str = "host-1") -> None:
        with self.cloud.database.write() as session:
            maintenance.end(Itself(self.cloud.world, session), host)

    def left(self, host: str = "host-1") -> list[Left]:
        with self.cloud.database.read() as session:
            settings = self.cloud.service("compute").settings
            return maintenance.look(session, host, self.clock.now, settings).left

    def why(self, id: str) -> tuple[str, str]:
        (found,) = [one for one in self.left() if one.id == id]
        return found.state, found.why

    def round(self, seconds: float = 10.0, times: int = 1) -> None:
        """What a server does by itself, again and again."""
        for _ in range(times):
            self.settle()
            self.clock.now += seconds
            for reconcile in (reconcilers.hosts, reconcilers.moves, maintenance.empty):
                reconcile(self.cloud)
            self.settle()

    def service(self, host: str = "host-1") -> dict[str, Any]:
        return dict(self.ok("GET", f"/os-services?host={host}", token="admin")["services"][0])

    def names(self, id: str) -> list[str]:
        """The actions that were asked of a server, from the newest on."""
        listed = self.ok("GET", f"/servers/{id}/os-instance-actions", token="admin")["instanceActions"]
        return [one["action"] for one in listed]


@pytest.fixture
def cloud() -> Iterator[Emptied]:
    made = Emptied()
    yield made
    made.close()


# --- the mark -------------------------------------------------------------------------------------------------------------


def test_all_clients_see_it_and_nothing_new_comes(cloud: Emptied) -> None:
    id = cloud.server()
    cloud.begin()
    shown = cloud.service()
    assert (shown["status"], shown["disabled_reason"]) == ("disabled", "Maintenance: its servers are moved to other hosts.")
    assert cloud.show(id, token="admin")["host_status"] == "MAINTENANCE"
    assert "ComputeFilter" in cloud.show(cloud.server())["fault"]["message"]
    forced = cloud.server(host="host-1", token="admin")
    assert cloud.states(forced)[0] == "ERROR", "as for any disabled host"
    cloud.end()
    assert (cloud.service()["status"], cloud.service()["disabled_reason"]) == ("enabled", None)
    assert cloud.states(cloud.server())[0] == "ACTIVE"
    with cloud.cloud.database.read() as session:
        rows = session.execute(
            select(Change.actor_id, Change.after).where(Change.resource_type == "compute.service").order_by(Change.sequence)
        ).all()
    assert [(row.actor_id, row.after["maintenance"]) for row in rows] == [("tiffin", "live"), ("tiffin", None)]


def test_a_host_that_is_not_there(cloud: Emptied) -> None:
    for call in (cloud.begin, cloud.end):
        with pytest.raises(NotFound):
            call(host="none")  # type: ignore[operator]
    with pytest.raises(NotFound):
        cloud.left("none")


@pytest.mark.parametrize("way", ["enable", "status", "os-hosts", "off"])
def test_whoever_enables_it_ends_it(cloud: Emptied, way: str) -> None:
    id = cloud.server()
    cloud.more()
    cloud.begin()
    if way == "enable":
        cloud.ok("PUT", "/os-services/enable", NAMED, token="admin", at="compute 2.11")
    elif way == "status":
        cloud.ok("PUT", f"/os-services/{cloud.service()['id']}", {"status": "enabled"}, token="admin")
    elif way == "os-hosts":
        cloud.ok("PUT", "/os-hosts/host-1", {"status": "enable"}, **OLD)
    else:
        cloud.end()
    cloud.round(times=3)
    assert (at(cloud, id), moves(cloud), cloud.service()["status"]) == ("host-1", [], "enabled")


@pytest.mark.parametrize("way", ["disable", "disable-log-reason", "status", "os-hosts", "forced_down"])
def test_other_words_about_it_do_not_end_it(cloud: Emptied, way: str) -> None:
    id = cloud.server()
    cloud.more()
    cloud.begin()
    url = f"/os-services/{cloud.service()['id']}"
    if way == "status":
        cloud.ok("PUT", url, {"status": "disabled", "disabled_reason": "tea"}, token="admin")
    elif way == "os-hosts":
        cloud.ok("PUT", "/os-hosts/host-1", {"status": "disable"}, **OLD)
    elif way == "forced_down":
        for down in (True, False):
            cloud.ok("PUT", url, {"forced_down": down}, token="admin")
    else:
        body = {**NAMED, "disabled_reason": "tea"} if way == "disable-log-reason" else NAMED
        cloud.ok("PUT", f"/os-services/{way}", body, token="admin", at="compute 2.11")
    cloud.round()
    assert (cloud.service()["status"], cloud.states(id)[0]) == ("disabled", "MIGRATING")


def test_who_asks_for_it_in_old_words_is_told_how(cloud: Emptied) -> None:
    reply = cloud.do("PUT", "/os-hosts/host-1", {"maintenance_mode": "enable"}, **OLD)
    assert (reply.status, "tiffin host maintenance host-1" in reply.body.decode()) == (501, True)


# --- its servers ------------------------------------------------------------------------------------------------------------


def test_running_paused_and_stopped_servers_leave(cloud: Emptied) -> None:
    running, paused, stopped = ids = [cloud.server(name) for name in ("running", "paused", "stopped")]
    cloud.act(paused, "pause")
    cloud.act(stopped, "os-stop")
    cloud.settle()
    starts = cloud.world.guests[running].starts
    cloud.more()
    cloud.begin()
    assert [(one.name, one.state, one.why) for one in cloud.left()] == [
        (name, "waiting", "waits for its turn") for name in ("running", "paused", "stopped")
    ]
    cloud.round()
    assert cloud.why(running) == ("moving", "is on its way to host-2")
    cloud.round(31.0, times=3)
    assert cloud.left() == []
    assert [cloud.states(id) for id in ids] == [
        ("ACTIVE", "active", None, 1), ("PAUSED", "paused", None, 3), ("SHUTOFF", "stopped", None, 4),
    ]  # fmt: skip
    assert [where_real(cloud, id) for id in ids] == [{"host-2": "running"}, {"host-2": "paused"}, {"host-2": "shutdown"}]
    assert cloud.worlds["host-2"].guests[running].starts == starts, "it was not stopped"
    assert held(cloud) == {("INSTANCE", "host-2"): 1}
    assert {(m["instance_uuid"], m["status"], m["user_id"]) for m in moves(cloud)} == {
        (running, "completed", "tiffin"), (paused, "completed", "tiffin"), (stopped, "confirmed", "tiffin"),
    }  # fmt: skip
    cloud.act(stopped, "os-start")
    cloud.settle()
    assert where_real(cloud, stopped) == {"host-2": "running"}


def test_what_it_does_is_told_as_what_others_ask(cloud: Emptied) -> None:
    running, stopped = cloud.server(), cloud.server()
    cloud.act(stopped, "os-stop")
    cloud.settle()
    cloud.more()
    cloud.begin()
    cloud.round(31.0, times=2)
    assert cloud.names(running) == ["live-migration", "create"]
    assert cloud.names(stopped) == ["confirmResize", "migrate", "stop", "create"]
    for id in (running, stopped):
        shown = action(cloud, id)
        assert (shown["user_id"], shown["project_id"], shown["events"][0]["result"]) == ("tiffin", "p1", "Success")
    with cloud.cloud.database.read() as session:
        kinds = session.execute(
            select(Change.kind, Change.actor_id).where(Change.resource_id == stopped).order_by(Change.sequence)
        ).all()
    wanted = ("migrate.start", "confirmResize.start")
    assert [(row.kind, row.actor_id) for row in kinds if row.kind in wanted] == [(kind, "tiffin") for kind in wanted]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_no_more_than_so_many_move_at_a_time(at_once: int) -> None:
    cloud = Emptied(maintenance_moves=at_once)
    ids = [cloud.server(f"vm-{n}") for n in range(4)]
    cloud.more()
    cloud.begin()
    cloud.round(1.0, times=5)
    assert [cloud.states(id)[0] for id in ids] == ["MIGRATING"] * at_once + ["ACTIVE"] * (4 - at_once)
    assert [one.state for one in cloud.left()] == ["moving"] * at_once + ["waiting"] * (4 - at_once)
    cloud.round(31.0, times=8)
    assert (cloud.left(), {at(cloud, id) for id in ids}, len(moves(cloud))) == ([], {"host-2"}, 4)
    cloud.close()


def test_each_host_has_its_own_moves(cloud: Emptied) -> None:
    cloud.more()
    for n in range(8):
        cloud.server(f"vm-{n}")
    cloud.more("host-3")
    for host in ("host-1", "host-2"):
        cloud.begin(host=host)
    cloud.round()
    by_host = [m["source_compute"] for m in moves(cloud)]
    assert sorted(by_host) == ["host-1", "host-1", "host-2", "host-2"]
    cloud.round(31.0, times=4)
    assert (cloud.left(), cloud.left("host-2"), len(cloud.left("host-3"))) == ([], [], 8)


def test_two_that_look_at_once_begin_each_move_once(cloud: Emptied) -> None:
    ids = [cloud.server(f"vm-{n}") for n in range(3)]
    cloud.more()
    cloud.begin()
    for _ in range(3):
        maintenance.empty(cloud.cloud)
    cloud.settle()
    maintenance.empty(cloud.cloud)
    assert [m["instance_uuid"] for m in reversed(moves(cloud))] == ids[:2]


def test_the_moves_of_others_count_and_are_not_begun_again(cloud: Emptied) -> None:
    first, second, third = (cloud.server(f"vm-{n}") for n in range(3))
    cloud.more()
    cloud.act(second, "os-migrateLive", {"host": None, "block_migration": "auto"}, token="admin")
    cloud.settle()
    cloud.begin()
    cloud.round()
    assert [cloud.states(id)[0] for id in (first, second, third)] == ["MIGRATING", "MIGRATING", "ACTIVE"]
    cloud.round(31.0, times=3)
    assert (cloud.left(), len(moves(cloud))) == ([], 3)


def test_a_locked_server_is_moved_as_by_an_administrator(cloud: Emptied) -> None:
    id = cloud.server()
    cloud.act(id, "lock")
    cloud.more()
    cloud.begin()
    cloud.round(31.0, times=2)
    assert (at(cloud, id), cloud.show(id)["locked"]) == ("host-2", True)


# --- who waits --------------------------------------------------------------------------------------------------------------


def test_a_busy_server_waits(cloud: Emptied) -> None:
    id = cloud.server()
    cloud.more()
    cloud.begin()
    cloud.act(id, "os-stop")
    maintenance.empty(cloud.cloud)
    assert cloud.why(id) == ("waiting", "is busy (powering-off), and moves when that has ended")
    assert moves(cloud) == []
    cloud.round(times=2)
    assert (cloud.left(), [m["status"] for m in moves(cloud)]) == ([], ["confirmed"])


@pytest.mark.parametrize("then", ["confirmResize", "revertResize"])
def test_who_may_come_back_waits_for_their_user(cloud: Emptied, then: str) -> None:
    id, larger = cloud.server(), cloud.flavor("larger", ram=1024)
    cloud.more()
    cloud.act(id, "resize", {"flavorRef": larger})
    cloud.settle()
    cloud.round()
    came, here = at(cloud, id), "host-1"
    assert cloud.states(id)[0] == "VERIFY_RESIZE"
    cloud.begin()
    cloud.round()
    state, why = cloud.why(id)
    assert (state, f"openstack server resize confirm {id}" in why) == ("stuck", True), why
    assert (at(cloud, id), len(moves(cloud))) == (came, 1)
    assert cloud.act(id, then).status < 300
    cloud.round(31.0, times=3)
    assert (cloud.left(), at(cloud, id) == here, cloud.states(id)[0]) == ([], False, "ACTIVE")


def test_who_is_in_no_state_to_move_is_told(cloud: Emptied) -> None:
    id = cloud.server()
    cloud.more()
    cloud.act(id, "os-resetState", {"state": "error"}, token="admin")
    cloud.begin()
    cloud.round(times=2)
    state, why = cloud.why(id)
    assert (state, "vm_state error" in why, moves(cloud)) == ("stuck", True, [])
    cloud.act(id, "os-resetState", {"state": "active"}, token="admin")
    cloud.round(31.0, times=2)
    assert cloud.left() == []


def test_a_host_that_does_not_answer_is_emptied_when_it_does(cloud: Emptied) -> None:
    id = cloud.server()
    cloud.more()
    gone = cloud.hosts.there.pop("host-1")
    cloud.round(61.0)
    cloud.begin()
    cloud.round(times=3)
    state, why = cloud.why(id)
    assert (state, "host-1 does not answer" in why, moves(cloud)) == ("stuck", True, [])
    cloud.hosts.there["host-1"] = gone
    cloud.round(31.0, times=3)
    assert (cloud.left(), at(cloud, id)) == ([], "host-2")


def test_servers_that_come_by_themselves_leave_again(cloud: Emptied) -> None:
    """A move to it that was under way ends well, and then the server goes on."""
    cloud.more()
    ids = [cloud.server(f"vm-{n}") for n in range(2)]
    (id,) = [id for id in ids if at(cloud, id) == "host-2"]
    cloud.act(id, "os-migrateLive", {"host": "host-1", "block_migration": "auto"}, token="admin")
    cloud.settle()
    cloud.begin()
    cloud.round(1.0)
    assert cloud.why(id) == ("waiting", "is on its way within host-1 or to it, and moves when that has ended")
    cloud.round(31.0, times=5)
    assert (cloud.left(), at(cloud, id)) == ([], "host-2")


# --- trouble ----------------------------------------------------------------------------------------------------------------


def test_where_nobody_has_room_it_is_tried_again_after_a_growing_pause(cloud: Emptied) -> None:
    id = cloud.server()
    cloud.begin()
    tries = []
    for _ in range(200):
        cloud.round(30.0)
        tries.append(len(moves(cloud, limit="1000")))
    gaps = [tries.index(n + 1) - tries.index(n) for n in range(1, max(tries))]
    assert gaps == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE / 30, LONGEST_PAUSE / 30]
    state, why = cloud.why(id)
    assert (state, why.startswith("No valid host was found."), "; tried again in" in why) == ("stuck", True, True), why
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    cloud.more()
    before = len(moves(cloud, limit="1000"))
    cloud.begin()
    cloud.round(31.0, times=2)
    assert (cloud.left(), len(moves(cloud, limit="1000"))) == ([], before + 1), "asked again, it is tried at once"


def test_a_clock_that_was_set_back_does_not_make_the_pause_longer(cloud: Emptied) -> None:
    id = cloud.server()
    cloud.begin()
    cloud.round()
    assert cloud.why(id)[0] == "stuck"
    cloud.more()
    cloud.clock.now -= 86_400.0
    cloud.round(31.0, times=3)
    assert cloud.left() == []


def test_one_that_fails_keeps_nobody_else(cloud: Emptied) -> None:
    bad, *others = [cloud.server(f"vm-{n}") for n in range(4)]
    cloud.troubles.set("ensure_departing", bad, Impossible("not today"), times=100)
    cloud.more()
    cloud.begin()
    cloud.round(31.0, times=12)
    assert [one.id for one in cloud.left()] == [bad]
    assert {at(cloud, id) for id in others} == {"host-2"}
    assert cloud.states(bad) == ("ACTIVE", "active", None, 1)
    assert "not today" in cloud.why(bad)[1]


@pytest.mark.parametrize("cold", [True, False])
def test_what_cannot_go_while_it_runs_goes_cold_where_that_is_allowed(cloud: Emptied, cold: bool) -> None:
    id, paused = cloud.server(), cloud.server("paused")
    cloud.act(paused, "pause")
    cloud.settle()
    cloud.world.guests[id].written = b"mine"
    starts = cloud.world.guests[id].starts
    for one in (id, paused):
        cloud.troubles.set("ensure_departing", one, Impossible("not today"), times=100)
    cloud.more()
    cloud.begin(cold=cold)
    cloud.round(10.0, times=8)
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    assert at(cloud, paused) == "host-1", "who is paused goes in no other way"
    if not cold:
        assert (at(cloud, id), cloud.world.guests[id].starts) == ("host-1", starts)
        assert {m["migration_type"] for m in moves(cloud)} == {"live-migration"}
        return
    assert (where_real(cloud, id), cloud.worlds["host-2"].guests[id].written) == ({"host-2": "running"}, b"mine")
    assert [(m["migration_type"], m["status"]) for m in moves(cloud, instance_uuid=id)] == [
        ("migration", "confirmed"), ("live-migration", "error"),
    ]  # fmt: skip


def test_where_both_ways_fail_they_take_turns(cloud: Emptied) -> None:
    id = cloud.server()
    cloud.begin(cold=True)
    cloud.round(10.0, times=20)
    kinds = [m["migration_type"] for m in reversed(moves(cloud))]
    assert kinds[:4] == ["live-migration", "migration"] * 2
    assert cloud.states(id) == ("ACTIVE", "active", None, 1), "without room elsewhere it is never stopped"
    assert cloud.world.guests[id].starts == 1


def test_a_cold_move_that_fails_brings_it_back(cloud: Emptied) -> None:
    id = cloud.server()
    cloud.act(id, "os-stop")
    cloud.settle()
    cloud.more()
    cloud.troubles.set("ensure_disks_from", id, Refused("not today"), times=7)
    cloud.begin()
    for _ in range(10):
        cloud.clock.now += 5.0
        maintenance.empty(cloud.cloud)
        cloud.settle()
    assert (cloud.states(id)[:3], where_real(cloud, id)) == (("SHUTOFF", "stopped", None), {"host-1": "shutdown"})
    assert "not today" in cloud.why(id)[1]
    cloud.round(31.0, times=3)
    assert (cloud.left(), where_real(cloud, id)) == ([], {"host-2": "shutdown"})


def test_an_old_place_that_is_silent_at_the_end_is_left_when_it_answers(cloud: Emptied) -> None:
    id = cloud.server()
    cloud.act(id, "os-stop")
    cloud.settle()
    cloud.more()
    cloud.troubles.set("forget_guest", id, Refused("not now"), times=7)
    cloud.begin()
    maintenance.empty(cloud.cloud)
    for _ in range(10):
        cloud.settle()
        cloud.clock.now += 5.0
    assert cloud.states(id)[0] == "VERIFY_RESIZE"
    assert cloud.why(id) == ("waiting", "has moved to host-2, and leaves host-1 when that answers")
    cloud.round(times=2)
    assert (cloud.left(), cloud.states(id)[0], where_real(cloud, id)) == ([], "SHUTOFF", {"host-2": "shutdown"})


def test_what_a_failed_move_has_left_elsewhere_goes_first(cloud: Emptied) -> None:
    id = cloud.server()
    cloud.more()
    cloud.troubles.set("ensure_migrating", id, Impossible("not today"))
    cloud.troubles.set("forget_guest", id, Refused("not now"), times=7)
    cloud.begin()
    maintenance.empty(cloud.cloud)
    for _ in range(10):
        cloud.settle()
        cloud.clock.now += 4.0
    assert cloud.why(id) == ("stuck", "has left something of an earlier move on host-2, which goes when that host answers")
    cloud.round(31.0, times=4)
    assert (cloud.left(), where_real(cloud, id)) == ([], {"host-2": "running"})


def test_a_user_who_deletes_their_server_wins(cloud: Emptied) -> None:
    first, second = cloud.server(), cloud.server()
    cloud.act(second, "os-stop")
    cloud.settle()
    cloud.more()
    cloud.begin()
    maintenance.empty(cloud.cloud)
    for id in (first, second):
        assert cloud.do("DELETE", f"/servers/{id}").status == 204
    cloud.round(31.0, times=2)
    assert (cloud.left(), held(cloud), [len(world.guests) for world in cloud.worlds.values()]) == ([], {}, [0, 0])


def test_a_server_that_finds_room_later(cloud: Emptied) -> None:
    """A host with little room takes one; the other goes when there is more."""
    first, second = cloud.server(), cloud.server()
    cloud.add_host("host-2", msgspec.structs.replace(FACTS, memory_mb=600), timing=cloud.timing)
    cloud.begin()
    cloud.round(31.0, times=2)
    assert {at(cloud, id) for id in (first, second)} == {"host-1", "host-2"}
    cloud.more("host-3")
    cloud.round(31.0, times=4)
    assert (cloud.left(), {at(cloud, id) for id in (first, second)}) == ([], {"host-2", "host-3"})


def test_what_is_under_way_when_it_ends_arrives(cloud: Emptied) -> None:
    running, stopped, third = cloud.server(), cloud.server(), cloud.server()
    cloud.act(stopped, "os-stop")
    cloud.settle()
    cloud.more()
    cloud.begin()
    maintenance.empty(cloud.cloud)
    cloud.end()
    cloud.round(31.0, times=3)
    assert [(at(cloud, id), cloud.states(id)[0]) for id in (running, stopped, third)] == [
        ("host-2", "ACTIVE"), ("host-2", "SHUTOFF"), ("host-1", "ACTIVE"),
    ]  # fmt: skip
