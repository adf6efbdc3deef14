"""Live migration when hosts, ways and guests do not do as they should."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from api.compute.conftest import ComputeCloud
from api.compute.live_cloud import LiveCloud, arrive, check_stayed, go, one
from api.compute.test_moves import at, held, moves, other, where_real
from tiffin.core.driver import Refused
from tiffin.services.compute import reconcilers
from tiffin.services.compute.lifecycles.live import WAYS


@pytest.fixture
def two() -> Iterator[LiveCloud]:
    made = LiveCloud()
    yield made
    made.close()


@pytest.mark.parametrize("call", ["ensure_departing", "ensure_incoming", "ensure_migrating", "ensure_arrived"])
def test_what_goes_wrong_leaves_it_where_it_was(two: LiveCloud, call: str) -> None:
    id = two.server()
    two.troubles.set(call, id, Refused("not today"), times=7)
    go(two, id)
    for _ in range(8):
        arrive(two)
    check_stayed(two, id, "error", "not today")
    assert go(two, id).status == 202
    arrive(two)
    assert [m["status"] for m in moves(two)] == ["completed", "error"]


def cut(cloud: ComputeCloud, id: str) -> None:
    """The way of its memory breaks off."""
    departure = cloud.worlds[at(cloud, id)].guests[id].departure
    assert departure is not None
    departure.ways["memory"].shutdown(socket.SHUT_RDWR)


def lose(cloud: ComputeCloud, id: str) -> None:
    """The host that it goes to begins anew, without it."""
    cloud.worlds[other(at(cloud, id))].guests.pop(id).hang_up()


@pytest.mark.parametrize("trouble", [cut, lose])
def test_when_the_way_breaks_off_it_sets_out_anew(two: LiveCloud, trouble: Callable[[ComputeCloud, str], None]) -> None:
    id = two.server()
    here = at(two, id)
    two.worlds[here].guests[id].written = b"mine"
    go(two, id)
    two.settle()
    for _ in range(WAYS - 1):
        trouble(two, id)
        two.clock.now += 1.0
        two.settle()
        assert (one(two, id)["status"], where_real(two, id)) == ("running", {here: "running", other(here): "paused"})
        assert held(two) == {("INSTANCE", other(here)): 1, ("MIGRATION", here): 1}
    arrive(two)
    assert where_real(two, id) == {other(here): "running"}
    guest = two.worlds[other(here)].guests[id]
    assert (guest.written, guest.starts) == (b"mine", 1)
    assert [m["status"] for m in moves(two)] == ["completed"]
    assert held(two) == {("INSTANCE", other(here)): 1}


def test_a_way_that_always_breaks_off_is_given_up(two: LiveCloud) -> None:
    """And the next migration has all of its ways again."""
    id = two.server()
    here = at(two, id)
    for _ in range(2):
        go(two, id)
        two.settle()
        for _ in range(WAYS):
            assert one(two, id)["status"] == "running"
            cut(two, id)
            two.clock.now += 1.0
            two.settle()
        assert at(two, id) == here
        check_stayed(two, id, "error", "the way of its memory broke off")
    assert [m["status"] for m in moves(two)] == ["error", "error"]


def test_what_was_on_the_way_in_the_end_is_sent_anew(two: LiveCloud) -> None:
    """The source has sent all, and who relayed it is gone with the rest."""
    id = two.server()
    here = at(two, id)
    go(two, id)
    two.settle()
    two.troubles.set("ensure_arrived", id, Refused("not yet"), times=1)
    two.clock.now += 31.0
    two.settle()
    assert where_real(two, id) == {here: "paused", other(here): "paused"}
    coming = two.worlds[other(here)].guests[id].coming
    assert coming is not None
    coming["memory"].socket.recv(65536)
    two.clock.now += 1.0
    two.settle()
    assert where_real(two, id) == {here: "running", other(here): "paused"}, "it goes on, and sets out anew"
    arrive(two)
    assert where_real(two, id) == {other(here): "running"}
    assert [m["status"] for m in moves(two)] == ["completed"]


def test_an_abort_that_comes_when_the_way_breaks_off(two: LiveCloud) -> None:
    id = two.server()
    go(two, id)
    two.settle()
    cut(two, id)
    two.troubles.set("forget_departing", id, Refused("not yet"), times=1)
    two.clock.now += 1.0
    two.settle()
    assert two.do("DELETE", f"/servers/{id}/migrations/{one(two, id)['id']}", token="admin").status == 202
    two.clock.now += 1.0
    check_stayed(two, id, "cancelled", "aborted")


def test_a_way_that_leads_nowhere(two: LiveCloud) -> None:
    id = two.server()
    go(two, id)
    two.settle()
    departure = two.worlds[at(two, id)].guests[id].departure
    assert departure is not None
    departure.failed = "the disk there is full"
    two.clock.now += 1.0
    check_stayed(two, id, "error", "the disk there is full")


def test_a_source_that_does_not_answer_is_asked_again_when_it_does(two: LiveCloud) -> None:
    id = two.server()
    here = at(two, id)
    go(two, id)
    two.settle()
    gone = two.hosts.there.pop(here)
    for _ in range(20):
        two.clock.now += 31.0
        two.settle()
    assert two.states(id) == ("ACTIVE", "active", None, 1)
    assert [m["status"] for m in moves(two)] == ["error"]
    assert two.act(id, "migrate", token="admin").status == 409, "nobody knows how far it is"
    two.hosts.there[here] = gone
    reconcilers.hosts(two.cloud)
    reconcilers.moves(two.cloud)
    check_stayed(two, id, "error", "does not answer")


def test_a_source_that_vanishes_at_the_end_loses_its_copy_when_it_returns(two: LiveCloud) -> None:
    id = two.server()
    here = at(two, id)
    go(two, id)
    two.settle()
    two.troubles.set("forget_guest", id, Refused("not today"), times=7)
    for _ in range(10):
        arrive(two)
    assert two.states(id) == ("ACTIVE", "active", None, 1)
    assert where_real(two, id) == {here: "paused", other(here): "running"}
    assert [m["status"] for m in moves(two)] == ["completed"]
    assert go(two, id).status == 409, "not yet"
    reconcilers.moves(two.cloud)
    two.settle()
    assert where_real(two, id) == {other(here): "running"}
    assert two.states(id) == ("ACTIVE", "active", None, 1)
    assert go(two, id).status == 202
    assert two.plugs(here).plugged() == frozenset()


def test_a_destination_that_is_gone_when_all_is_undone_is_tidied_when_it_returns(two: LiveCloud) -> None:
    id = two.server()
    here = at(two, id)
    go(two, id)
    two.settle()
    gone = two.hosts.there.pop(other(here))
    number = one(two, id)["id"]
    assert two.do("DELETE", f"/servers/{id}/migrations/{number}", token="admin").status == 202
    for _ in range(10):
        two.clock.now += 31.0
        two.settle()
    assert two.states(id) == ("ACTIVE", "active", None, 1)
    assert where_real(two, id) == {here: "running", other(here): "paused"}
    reconcilers.hosts(two.cloud)
    reconcilers.moves(two.cloud)
    two.settle()
    two.hosts.there[other(here)] = gone
    reconcilers.hosts(two.cloud)
    reconcilers.moves(two.cloud)
    two.clock.now += 31.0
    two.settle()
    reconcilers.metadata(two.cloud)
    check_stayed(two, id, "cancelled", "aborted")


def test_a_destination_that_loses_it_says_so(two: LiveCloud) -> None:
    id = two.server()
    go(two, id)
    two.settle()
    two.troubles.set("ensure_landed", id, Refused("not today"), times=200)
    for _ in range(200):
        arrive(two)
    assert two.states(id)[0] == "ERROR"
    assert "not today" in two.show(id)["fault"]["message"]
    assert len(held(two)) == 1
    reconcilers.hosts(two.cloud)
    reconcilers.moves(two.cloud)
    two.settle()
    assert list(where_real(two, id)) == [at(two, id)]
    two.act(id, "reboot", {"type": "HARD"})
    two.settle()
    assert where_real(two, id) == {at(two, id): "running"}


def test_a_server_is_deleted_on_its_way(two: LiveCloud) -> None:
    id = two.server()
    go(two, id)
    two.settle()
    two.do("DELETE", f"/servers/{id}")
    two.settle()
    assert (where_real(two, id), held(two)) == ({}, {})
    assert two.plugs("host-1").plugged() | two.plugs("host-2").plugged() == frozenset()
    assert [m["status"] for m in moves(two)] == ["error"]


def test_a_server_whose_source_dies_on_its_way_is_evacuated_to_where_it_went(two: LiveCloud) -> None:
    """What had come of it is not what it is built from."""
    id = two.server()
    here = at(two, id)
    there = other(here)
    go(two, id)
    two.settle()
    two.worlds[there].guests[id].written = b"half of it"
    del two.hosts.there[here]
    for _ in range(20):
        two.clock.now += 31.0
        reconcilers.hosts(two.cloud)
        two.settle()
    assert two.act(id, "evacuate", {}, token="admin", at="compute 2.94").status == 200
    two.settle()
    guest = two.worlds[there].guests[id]
    assert (at(two, id), guest.power, guest.written, guest.coming) == (there, "running", b"", None)
    assert [m["status"] for m in moves(two)] == ["done", "error"]
