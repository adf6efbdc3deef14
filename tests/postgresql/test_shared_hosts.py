"""Two controllers and every host of their cloud: whoever is asked, and whoever dies, servers are where they should be."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from postgresql.pair import Anywhere, Two, ask, guests_at, healthz, two_controllers
from running_cloud import ADMIN
from storm import Storm, Tenant, kill, settled
from tiffin.cli.postgresql import Server
from tiffin.core.database import Database
from tiffin.services.compute.tables import Controller
from world import assert_becomes

OWN = ("a", "b")
"""The simulated hosts of the controllers. What runs there ends with their processes."""


@pytest.fixture
def two(server: Server) -> Iterator[Two]:
    with two_controllers(server) as made:
        yield made


def disable(two: Two, *hosts: str) -> None:
    with two.first.connect(ADMIN) as admin:
        for service in admin.compute.services():
            if service.host in hosts:
                admin.compute.disable_service(service)


class Admin:
    """Asks the controllers one by one: the catalogue knows one address only."""

    def __init__(self, two: Two) -> None:
        with two.first.connect(ADMIN) as admin:
            self.token = str(admin.auth_token)

    def ask(self, address: str, method: str, path: str, body: object = None) -> Any:
        headers = {"X_Auth_Token": self.token, "OpenStack_API_Version": "compute 2.90"}
        status, answer = ask(address, method, f"/compute/v2.1/servers{path}", body, **headers)
        assert status < 300, answer
        return answer

    def boot(self, address: str, host: str, tenant: Tenant) -> str:
        """A server on this host, asked of this controller."""
        server = {"name": "s", "flavorRef": tenant.flavor, "imageRef": tenant.image, "networks": [{"uuid": tenant.network}]}
        made = self.ask(address, "POST", "", {"server": {**server, "host": host}})["server"]["id"]
        self.await_state(address, made, "ACTIVE", host)
        return str(made)

    def act(self, address: str, id: str, action: dict[str, object]) -> None:
        self.ask(address, "POST", f"/{id}/action", action)

    def show(self, address: str, id: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.ask(address, "GET", f"/{id}")["server"]
        return shown

    def await_state(self, address: str, id: str, status: str, host: str) -> None:
        def seen() -> tuple[object, ...]:
            shown = self.show(address, id)
            return shown["status"], shown["OS-EXT-SRV-ATTR:host"], shown.get("fault")

        assert_becomes(seen, (status, host, None), patience=60)


def finish(two: Two, tenant: Anywhere, storms: list[Storm], states: tuple[str, ...]) -> None:
    """Stop, and see that every accepted server is there once, in one of these states, that every deleted one is gone, and
    that nothing waits; then delete them all and see that nothing is left."""
    for storm in storms:
        storm.stop()
    alive = set().union(*(storm.alive for storm in storms))
    assert len(alive) + sum(len(storm.deleted) for storm in storms) > 5
    assert_becomes(lambda: (*settled(tenant, storms, states), busy(two)), (alive, [], []), patience=60)
    if states == ("ACTIVE",):
        for address in two.addresses:
            assert guests_at(address) == sorted(alive)
    for id in alive:
        tenant.delete_server(id)
    for address in two.addresses:
        assert_becomes(lambda address=address: guests_at(address), [], patience=60)
    assert_becomes(tenant.ports, [])
    tenant.remove_network()
    assert_becomes(lambda: two.rows("SELECT id FROM consumer"), [])
    assert_becomes(lambda: busy(two), [])


def busy(two: Two) -> list[tuple[object, ...]]:
    return two.rows("SELECT kind, resource_id, step, owner, attempts FROM lifecycle WHERE step != 'rest'")


def begin(tenant: Anywhere, count: int = 3) -> list[Storm]:
    storms = [Storm(tenant, seed) for seed in range(count)]
    for storm in storms:
        storm.start()
    return storms


def test_every_host_is_every_controllers(two: Two) -> None:
    """Those of the other controller, and one that has joined at the other."""
    two.join("c", at=1)
    assert two.hosts_up() == {"a", "b", "c"}
    tenant, admin = Anywhere(two), Admin(two)
    one, other = two.addresses
    made = [admin.boot(address, host, tenant) for address in two.addresses for host in ("a", "b", "c")]
    for address in two.addresses:
        assert guests_at(address) == sorted(made)
    ports = "SELECT DISTINCT status FROM port WHERE device_owner LIKE 'compute:%%'"
    assert_becomes(lambda: two.rows(ports), [("ACTIVE",)])
    for address in two.addresses:
        for id in made:
            admin.act(address, id, {"os-getConsoleOutput": {}})
    for address, host in ((one, "b"), (other, "c"), (other, "a"), (one, "c"), (one, "a")):  # its disk goes from each to each
        admin.act(address, made[0], {"migrate": {"host": host}})
        admin.await_state(address, made[0], "VERIFY_RESIZE", host)
        admin.act(address, made[0], {"confirmResize": None})
        admin.await_state(address, made[0], "ACTIVE", host)
    for id in made:
        admin.ask(other, "DELETE", f"/{id}")
    for address in two.addresses:
        assert_becomes(lambda address=address: guests_at(address), [])


@pytest.mark.parametrize("asked", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_running_guest_goes_from_every_controllers_hosts_to_every_others(two: Two, asked: int) -> None:
    """Whichever is asked, and leads therefore as a rule; it has not been started anew."""
    two.join("c", at=1)
    tenant, admin = Anywhere(two), Admin(two)
    id = admin.boot(two.addresses[0], "a", tenant)
    launched = admin.show(two.addresses[0], id)["OS-SRV-USG:launched_at"]
    address = two.addresses[asked]
    for host in ("b", "a", "c", "b", "c", "a"):  # each way between two of them
        admin.act(address, id, {"os-migrateLive": {"host": host, "block_migration": "auto"}})
        admin.await_state(address, id, "ACTIVE", host)
        assert_becomes(lambda: two.rows("SELECT DISTINCT status FROM migration"), [("completed",)])
        for seen_by in two.addresses:
            assert guests_at(seen_by) == [id]
    assert admin.show(two.addresses[0], id)["OS-SRV-USG:launched_at"] == launched
    ways = "SELECT DISTINCT source, dest FROM migration"
    assert set(two.rows(ways)) == {(one, other) for one in "abc" for other in "abc" if one != other}


@pytest.mark.parametrize("host", ["b", pytest.param("c", marks=pytest.mark.long)])
def test_a_running_guest_gets_there_although_a_controller_is_killed_midway(two: Two, host: str) -> None:
    """One that leads; and, of the host `b`, all that had come there ends with it."""
    two.join("c", at=1)
    two.first.tiffin("simulator", "set", "migration-seconds", "3")
    tenant, admin = Anywhere(two), Admin(two)
    id = admin.boot(two.addresses[0], "a", tenant)
    launched = admin.show(two.addresses[0], id)["OS-SRV-USG:launched_at"]
    admin.act(two.addresses[1], id, {"os-migrateLive": {"host": host, "block_migration": "auto"}})
    assert_becomes(lambda: two.rows("SELECT status, progress IS NOT NULL FROM migration"), [("running", True)])
    kill(two.second, "cloud")
    admin.await_state(two.addresses[0], id, "ACTIVE", host)
    assert two.rows("SELECT status FROM migration") == [("completed",)]
    for address in two.addresses:
        assert guests_at(address) == [id]
    assert admin.show(two.addresses[0], id)["OS-SRV-USG:launched_at"] == launched


def test_kill_9_of_either_under_a_load_of_servers(two: Two) -> None:
    """Guests are on machines that have joined, at either controller, and outlive them: none is lost, none is there twice."""
    two.join("c", at=0)
    two.join("d", at=1)
    disable(two, *OWN)
    tenant = Anywhere(two)
    storms = begin(tenant)
    for number, pause in enumerate((0.8, 0.5, 1.2, 0.7, 1.0, 0.4)):
        time.sleep(pause)
        kill((two.first, two.second)[number % 2], "cloud")
    time.sleep(1.0)
    finish(two, tenant, storms, ("ACTIVE",))


@pytest.mark.long
def test_kill_9_of_either_where_it_has_hosts_of_its_own(two: Two) -> None:
    """Simulated guests end with their controller's process: then they are stopped, and no server is lost."""
    tenant = Anywhere(two)
    storms = begin(tenant)
    for number, pause in enumerate((1.0, 1.0, 1.0)):
        time.sleep(pause)
        kill((two.second, two.first)[number % 2], "cloud")
    time.sleep(1.0)
    finish(two, tenant, storms, ("ACTIVE", "SHUTOFF"))


@pytest.mark.long
@pytest.mark.parametrize("dead", [0, 1])
def test_a_controller_that_stays_dead(two: Two, dead: int) -> None:
    """A host that joined there goes on at the other one, also when its agent is started anew: it fetches images and asks
    for metadata there. Where the dead one ran the networks, changes of those wait for it."""
    agent = two.join("c", at=dead)
    disable(two, *OWN)
    tenant = Anywhere(two)
    storms = begin(tenant, 2)
    time.sleep(0.5)
    clouds = [two.first, two.second]
    kill(clouds[dead], "supervisor")  # the worker dies with it
    tenant.addresses = [clouds[1 - dead].address]
    time.sleep(1.0)
    agent.restart()
    time.sleep(1.0)
    made = sum(len(storm.alive) + len(storm.deleted) for storm in storms)
    assert_becomes(lambda: sum(len(storm.alive) + len(storm.deleted) for storm in storms) > made, True)
    for storm in storms:
        storm.stop()
    wanted = set().union(*(storm.alive for storm in storms))
    states = "SELECT id, vm_state, task_state FROM server WHERE deleted_at IS NULL"
    assert_becomes(lambda: {row[0] for row in two.rows(states) if row[1:] == ("active", None)}, wanted, patience=60)
    clouds[dead].tiffin("up")
    finish(two, tenant, storms, ("ACTIVE",))


@pytest.mark.long
def test_the_networks_are_taken_over_when_their_machine_is_gone_for_good(two: Two) -> None:
    """By an operator who says so; nothing takes them by itself, since two must not have them."""
    two.join("c", at=1)
    disable(two, *OWN)
    tenant = Anywhere(two)
    tenant.addresses = [two.second.address]
    id = tenant.make_server("before")
    ports = "SELECT device_id FROM port WHERE device_owner LIKE 'compute:%%' AND status = 'ACTIVE'"
    assert_becomes(lambda: two.rows(ports), [(id,)])
    kill(two.first, "supervisor")
    two.second.tiffin("down")
    settings = two.second.home / "tiffin.toml"
    settings.write_text(settings.read_text().replace(f'network = "{two.doors[0]}"', 'network = ""'))
    refused = two.second.tiffin("up", check=False)
    assert refused.returncode != 0
    assert "the controller a runs the networks" in refused.stderr
    two.second.tiffin("host", "remove", "a")
    two.second.tiffin("up")
    other = tenant.make_server("after")
    assert_becomes(lambda: set(two.rows(ports)), {(id,), (other,)}, patience=60)
    assert guests_at(two.second.address) == sorted([str(id), str(other)])
    assert_becomes(lambda: busy(two), [])


def test_a_rolling_restart_fails_no_request(two: Two) -> None:
    """Each controller ends by SIGTERM and begins anew while the clients use the other; whoever has a request gets its
    answer."""
    two.join("c", at=0)
    two.join("d", at=1)
    disable(two, *OWN)
    tenant = Anywhere(two)
    storms = begin(tenant)
    for leaving, staying in ((two.first, two.second), (two.second, two.first)):
        time.sleep(1.0)
        tenant.addresses = [staying.address]  # what a balancer does that was told
        tenant.last.pop(threading.get_ident(), None)
        assert_becomes(lambda leaving=leaving: leaving.address in tenant.last.values(), False)
        os.kill(int((leaving.home / "run" / "server.pid").read_text()), signal.SIGTERM)
        time.sleep(0.5)
        leaving.tiffin("up")
    tenant.addresses = two.addresses
    time.sleep(1.0)
    finish(two, tenant, storms, ("ACTIVE",))
    assert len(tenant.tried) == len(tenant.asked), "each was answered at once"


@pytest.mark.long
def test_one_of_them_leads(two: Two) -> None:
    """Hosts are seen again and again, by one controller, whichever dies. What a dead one left half done in its own folder goes
    when it begins anew, since the other may have ended the task."""
    left = two.first.home / "scratch" / "task"
    left.mkdir(parents=True)
    (left / "half.raw").write_bytes(b"half")
    held = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 8433463 AND granted"
    (leader,) = two.rows(held)
    for cloud in (two.first, two.second):
        kill(cloud, "cloud")
    assert_becomes(left.exists, False)
    assert_becomes(lambda: len(two.rows(held)), 1)
    assert two.rows(held) != [leader]
    seen = "SELECT min(seen_at) FROM compute_host"
    ((before,),) = two.rows(seen)
    assert_becomes(lambda: two.rows(seen)[0][0] > before, True)


@pytest.mark.long
def test_a_host_is_up_when_any_controller_hears_of_it(two: Two) -> None:
    """Neither reaches the other's host, whoever leads: each hears of its own."""
    with contextlib.closing(Database(two.url)) as database, database.write() as session:
        session.execute(update(Controller).values(address="127.0.0.1:1"))
    seen = "SELECT min(seen_at) FROM compute_host"
    for _ in range(2):
        ((before,),) = two.rows(seen)
        assert_becomes(lambda before=before: two.rows(seen)[0][0] > before, True, patience=40)
    assert two.hosts_up() == {"a", "b"}
    assert healthz(two.addresses[0])[1]["hosts"][1].get("silent"), "it is not reached"
