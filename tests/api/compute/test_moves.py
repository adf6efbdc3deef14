"""Resize and cold migration: asked, refused, confirmed and reverted."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from api.compute.conftest import ComputeCloud
from tiffin.services.compute import reconcilers
from tiffin.services.compute.tables import Migration
from tiffin.services.placement.tables import Allocation, Consumer


@pytest.fixture
def two(cloud: ComputeCloud) -> ComputeCloud:
    """A cloud with another host."""
    cloud.add_host("host-2")
    cloud.big = cloud.flavor("m1.big", ram=1024, vcpus=2, disk=2)  # type: ignore[attr-defined]
    return cloud


def big(cloud: ComputeCloud) -> str:
    return str(cloud.big)  # type: ignore[attr-defined]


def at(cloud: ComputeCloud, id: str) -> str:
    return str(cloud.show(id, token="admin")["OS-EXT-SRV-ATTR:host"])


def other(host: str) -> str:
    return {"host-1": "host-2", "host-2": "host-1"}[host]


def where_real(cloud: ComputeCloud, id: str) -> dict[str, str]:
    return {name: world.guests[id].power for name, world in cloud.worlds.items() if id in world.guests}


def moves(cloud: ComputeCloud, **filters: str) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return list(cloud.ok("GET", f"/os-migrations?{query}", token="admin")["migrations"])


def held(cloud: ComputeCloud) -> dict[tuple[str, str], int]:
    """{(type of consumer, host): CPUs}"""
    hosts = {one["id"]: one["hypervisor_hostname"] for one in
             cloud.ok("GET", "/os-hypervisors", token="admin")["hypervisors"]}  # fmt: skip
    query = select(Consumer.type, Allocation.provider_id, Allocation.used).join(
        Consumer, Consumer.id == Allocation.consumer_id
    )
    with cloud.cloud.database.read() as session:
        rows = session.execute(query.where(Allocation.resource_class == "VCPU")).all()
    return {(type, hosts[provider]): used for type, provider, used in rows}


def action(cloud: ComputeCloud, id: str) -> dict[str, Any]:
    newest = cloud.ok("GET", f"/servers/{id}/os-instance-actions", token="admin")["instanceActions"][0]
    found = cloud.ok("GET", f"/servers/{id}/os-instance-actions/{newest['request_id']}", token="admin")
    return dict(found["instanceAction"])


def test_a_resize_is_confirmed(two: ComputeCloud) -> None:
    id = two.server()
    assert two.act(id, "resize", {"flavorRef": big(two)}).status == 202
    assert two.states(id)[:3] == ("RESIZE", "active", "resize_prep")
    two.settle()
    assert two.states(id) == ("VERIFY_RESIZE", "resized", None, 1)
    assert two.show(id)["flavor"]["original_name"] == "m1.big"
    assert two.show(id)["progress"] == 0
    assert sorted(held(two).values()) == [1, 2]
    assert {type for type, _ in held(two)} == {"INSTANCE", "MIGRATION"}
    assert action(two, id)["events"][0]["result"] == "Success"
    reply = two.act(id, "confirmResize")
    assert (reply.status, reply.body) == (204, b"")
    two.settle()
    assert two.states(id) == ("ACTIVE", "active", None, 1)
    assert held(two) == {("INSTANCE", at(two, id)): 2}
    assert where_real(two, id) == {at(two, id): "running"}
    assert two.worlds[at(two, id)].guests[id].disk == 2 << 30
    assert two.worlds[at(two, id)].guests[id].kept is None
    assert [(one["status"], one["migration_type"]) for one in moves(two)] == [("confirmed", "resize")]


def test_a_resize_is_reverted(two: ComputeCloud) -> None:
    id = two.server()
    before = at(two, id)
    two.worlds[before].guests[id].written = b"mine"
    two.act(id, "resize", {"flavorRef": big(two)})
    two.settle()
    two.worlds[at(two, id)].guests[id].written = b"since then"
    assert two.act(id, "revertResize").status == 202
    assert two.states(id)[:3] == ("REVERT_RESIZE", "resized", "resize_reverting")
    two.settle()
    assert two.states(id) == ("ACTIVE", "active", None, 1)
    assert two.show(id)["flavor"]["original_name"] == "m1.tiny"
    assert at(two, id) == before
    assert where_real(two, id) == {before: "running"}
    assert two.worlds[before].guests[id].written == b"mine"
    assert held(two) == {("INSTANCE", before): 1}
    assert [one["status"] for one in moves(two)] == ["reverted"]
    assert two.act(id, "resize", {"flavorRef": big(two)}).status == 202, "and again"
    two.settle()
    assert two.states(id)[0] == "VERIFY_RESIZE"


def test_a_migration_goes_elsewhere_with_all_that_it_has(two: ComputeCloud) -> None:
    port = two.port(two.network_id)["id"]
    id = two.server(networks=[{"port": port}], config_drive=True)
    before = at(two, id)
    two.worlds[before].guests[id].written = b"mine"
    assert two.act(id, "migrate", token="admin").status == 202
    two.settle()
    assert two.states(id) == ("VERIFY_RESIZE", "resized", None, 1)
    assert at(two, id) == other(before)
    there = two.worlds[other(before)].guests[id]
    assert (there.written, sorted(there.nics)) == (b"mine", [port])
    assert there.config_drive
    assert two.worlds[before].guests[id].power == "shutdown"
    assert [one["binding:host_id"] for one in two.ports(id)] == [other(before)]
    assert two.plugs(before).plugged() == frozenset()
    assert two.plugs(before).metadata_networks() == frozenset()
    assert two.plugs(other(before)).plugged() == frozenset({port})
    two.act(id, "confirmResize")
    two.settle()
    assert where_real(two, id) == {other(before): "running"}


def test_a_migration_to_a_host_of_choice(two: ComputeCloud) -> None:
    two.add_host("host-3")
    id = two.server()
    assert two.act(id, "migrate", {"host": "host-3"}, token="admin").status == 202
    two.settle()
    assert at(two, id) == "host-3"


@pytest.mark.parametrize(("host", "words"), [("nowhere", "could not be found"), ("host-1", "same one")])
def test_a_host_that_cannot_be_chosen(two: ComputeCloud, host: str, words: str) -> None:
    id = two.server(availability_zone=None)
    wanted = at(two, id) if host == "host-1" else host
    reply = two.act(id, "migrate", {"host": wanted}, token="admin")
    assert (reply.status, words in reply.json["badRequest"]["message"]) == (400, True)
    assert two.act(id, "migrate", {"host": "a/b"}, token="admin").status == 400
    assert two.act(id, "migrate", {"hosts": "x"}, token="admin").status == 400
    assert moves(two) == []


def test_a_stopped_server_stays_stopped(two: ComputeCloud) -> None:
    id = two.server()
    two.act(id, "os-stop")
    two.settle()
    two.act(id, "migrate", token="admin")
    two.settle()
    assert two.states(id) == ("VERIFY_RESIZE", "resized", None, 4)
    two.act(id, "confirmResize")
    two.settle()
    assert two.states(id) == ("SHUTOFF", "stopped", None, 4)
    two.act(id, "os-start")
    two.settle()
    assert where_real(two, id) == {at(two, id): "running"}
    two.act(id, "os-stop")
    two.settle()
    two.act(id, "migrate", token="admin")
    two.settle()
    two.act(id, "revertResize")
    two.settle()
    assert two.states(id) == ("SHUTOFF", "stopped", None, 4)


def test_one_host_is_enough_to_resize_and_not_to_migrate(cloud: ComputeCloud) -> None:
    id, flavor = cloud.server(), cloud.flavor("m1.big", ram=1024, disk=2)
    cloud.act(id, "resize", {"flavorRef": flavor})
    cloud.settle()
    assert cloud.states(id)[0] == "VERIFY_RESIZE"
    cloud.act(id, "revertResize")
    cloud.settle()
    assert cloud.world.guests[id].disk == 1 << 30
    cloud.act(id, "migrate", token="admin")
    cloud.settle()
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    assert (action(cloud, id)["action"], action(cloud, id)["message"]) == ("migrate", "Error")
    assert "No valid host" in action(cloud, id)["events"][0]["details"]
    assert [one["status"] for one in moves(cloud)] == ["error", "reverted"]
    assert held(cloud) == {("INSTANCE", "host-1"): 1}


def test_an_operator_may_want_another_host_for_each_resize() -> None:
    cloud = ComputeCloud(sections={"compute": {"resize_to_same_host": False}})
    cloud.furnish()
    id, flavor = cloud.server(), cloud.flavor("m1.big", ram=1024)
    cloud.act(id, "resize", {"flavorRef": flavor})
    cloud.settle()
    assert cloud.states(id)[0] == "ACTIVE"
    cloud.close()


def test_a_resize_that_nobody_confirms_is_confirmed_after_a_while() -> None:
    cloud = ComputeCloud(sections={"compute": {"resize_confirm_window": 3600}})
    cloud.furnish()
    id, flavor = cloud.server(), cloud.flavor("m1.big", ram=1024)
    cloud.act(id, "resize", {"flavorRef": flavor})
    cloud.settle()
    for wait, status in ((3000, "VERIFY_RESIZE"), (700, "ACTIVE")):
        cloud.clock.now += wait
        reconcilers.hosts(cloud.cloud)
        reconcilers.moves(cloud.cloud)
        cloud.settle()
        assert cloud.states(id)[0] == status
    cloud.close()


def test_what_a_resize_is_refused_for(two: ComputeCloud) -> None:
    id = two.server()
    tiny_disk = two.flavor("nodisk", disk=0)
    for body, words in (
        ({"flavorRef": two.flavor_id}, "must change flavor"),
        ({"flavorRef": "unknown"}, "could not be found"),
        ({"flavorRef": tiny_disk}, "disk down"),
        ({}, "flavorRef"),
        ({"flavorRef": big(two), "more": 1}, "more"),
        ({"flavorRef": big(two), "OS-DCF:diskConfig": "SOME"}, "diskConfig"),
    ):
        reply = two.act(id, "resize", body)
        assert (reply.status, words in str(reply.json)) == (400, True), reply.body
    assert two.states(id) == ("ACTIVE", "active", None, 1)
    for late in ("confirmResize", "revertResize"):
        assert two.act(id, late).status == 409
    two.act(id, "lock", token="admin")
    assert two.act(id, "resize", {"flavorRef": big(two)}).status == 409
    two.act(id, "unlock", token="admin")
    two.act(id, "pause")
    two.settle()
    assert two.act(id, "resize", {"flavorRef": big(two)}).status == 409
    assert two.act(id, "migrate", token="admin").status == 409


def test_the_quota_counts_the_difference_at_once(two: ComputeCloud) -> None:
    first, second = two.server("a"), two.server("b")
    two.ok("PUT", "/os-quota-sets/p1", {"quota_set": {"cores": 3}}, token="admin")
    assert two.act(first, "resize", {"flavorRef": big(two)}).status == 202
    reply = two.act(second, "resize", {"flavorRef": big(two)})
    assert (reply.status, "cores" in reply.json["forbidden"]["message"]) == (403, True)
    two.settle()
    assert two.states(second)[0] == "ACTIVE"
    two.act(first, "revertResize")
    two.settle()
    assert two.act(second, "resize", {"flavorRef": big(two)}).status == 202


def test_while_it_waits_nothing_else_may_be_done(two: ComputeCloud) -> None:
    id = two.server()
    two.act(id, "migrate", token="admin")
    assert two.act(id, "os-stop").status == 409
    two.settle()
    for name, args in (("os-stop", None), ("migrate", None), ("reboot", {"type": "HARD"}),
                       ("resize", {"flavorRef": big(two)})):  # fmt: skip
        assert two.act(id, name, args, token="admin").status == 409, name
    two.act(id, "confirmResize")
    assert two.act(id, "revertResize").status == 400, "it is being confirmed"
    two.settle()
    assert two.states(id)[0] == "ACTIVE"


def test_a_server_that_may_come_back_is_deleted_everywhere(two: ComputeCloud) -> None:
    id = two.server()
    two.act(id, "migrate", token="admin")
    two.settle()
    two.do("DELETE", f"/servers/{id}")
    two.settle()
    assert where_real(two, id) == {}
    assert held(two) == {}
    assert two.plugs("host-1").plugged() | two.plugs("host-2").plugged() == frozenset()
    assert [one["status"] for one in moves(two)] == ["confirmed"]


def test_a_reset_server_leaves_its_old_place(two: ComputeCloud) -> None:
    id = two.server()
    two.act(id, "migrate", token="admin")
    two.settle()
    two.act(id, "os-resetState", {"state": "active"}, token="admin")
    assert two.act(id, "migrate", token="admin").status == 409
    reconcilers.moves(two.cloud)
    two.settle()
    assert where_real(two, id) == {at(two, id): "running"}
    assert two.act(id, "migrate", token="admin").status == 202


def test_a_host_that_a_server_may_come_back_to_stays(two: ComputeCloud) -> None:
    id = two.server()
    before = at(two, id)
    two.act(id, "migrate", token="admin")
    two.settle()
    services = two.ok("GET", f"/os-services?host={before}", token="admin")["services"]
    reply = two.do("DELETE", f"/os-services/{services[0]['id']}", token="admin")
    assert (reply.status, "migrations" in reply.json["conflictingRequest"]["message"]) == (409, True)
    two.act(id, "confirmResize")
    two.settle()
    assert two.do("DELETE", f"/os-services/{services[0]['id']}", token="admin").status == 204


def test_members_of_a_group_stay_apart(two: ComputeCloud) -> None:
    body = {"server_group": {"name": "apart", "policy": "anti-affinity"}}
    group = two.ok("POST", "/os-server-groups", body)["server_group"]["id"]
    ids = []
    for name in ("a", "b"):
        made = two.do("POST", "/servers", {**two.body(name), "os:scheduler_hints": {"group": group}})
        two.settle()
        ids.append(made.json["server"]["id"])
    assert {at(two, id) for id in ids} == {"host-1", "host-2"}
    two.act(ids[0], "migrate", token="admin")
    two.settle()
    assert two.states(ids[0])[0] == "ACTIVE"
    assert "ServerGroupAntiAffinityFilter" in action(two, ids[0])["events"][0]["details"]


RESIZERS = {"admin": 202, "manager": 202, "member": 202, "reader": 403, "other": 404, "nobody": 403, "service": 404}
MIGRATORS = {"admin": 202, "manager": 202, "member": 403, "reader": 403, "other": 404, "nobody": 403, "service": 404}


@pytest.mark.parametrize(("who", "code"), RESIZERS.items())
def test_who_may_resize(two: ComputeCloud, who: str, code: int) -> None:
    id = two.server()
    assert two.act(id, "resize", {"flavorRef": big(two)}, token=who).status == code
    if code != 202:
        two.act(id, "resize", {"flavorRef": big(two)})
    two.settle()
    reverted = two.act(id, "revertResize", token=who)
    assert reverted.status == code
    two.settle()
    if code == 202:
        two.act(id, "resize", {"flavorRef": big(two)})
        two.settle()
    assert two.act(id, "confirmResize", token=who).status == (204 if code == 202 else code)


@pytest.mark.parametrize(("who", "code"), MIGRATORS.items())
def test_who_may_migrate(two: ComputeCloud, who: str, code: int) -> None:
    id = two.server()
    chosen = two.act(id, "migrate", {"host": other(at(two, id))}, token=who)
    assert chosen.status == (code if who in ("admin", "other", "service") else 403)
    if who != "admin":
        assert two.act(id, "migrate", token=who).status == code


def test_a_host_may_be_chosen_since_2_56(two: ComputeCloud) -> None:
    id = two.server()
    assert two.act(id, "migrate", {"host": "nowhere"}, token="admin", at="compute 2.55").status == 202


# --- lists --------------------------------------------------------------------------------------------------------------


def test_the_list_by_version(two: ComputeCloud) -> None:
    id = two.server()
    before = at(two, id)
    two.act(id, "migrate", token="admin")
    two.settle()
    shown = {v: two.ok("GET", "/os-migrations", token="admin", at=f"compute {v}")["migrations"][0]
             for v in ("2.1", "2.23", "2.59", "2.80")}  # fmt: skip
    assert set(shown["2.1"]) == {
        "id", "instance_uuid", "status", "source_compute", "source_node", "dest_compute", "dest_host", "dest_node",
        "old_instance_type_id", "new_instance_type_id", "created_at", "updated_at",
    }  # fmt: skip
    assert set(shown["2.23"]) - set(shown["2.1"]) == {"migration_type"}
    assert set(shown["2.59"]) - set(shown["2.23"]) == {"uuid"}
    assert set(shown["2.80"]) - set(shown["2.59"]) == {"user_id", "project_id"}
    newest = shown["2.80"]
    assert (newest["instance_uuid"], newest["status"], newest["migration_type"]) == (id, "finished", "migration")
    assert (newest["source_compute"], newest["dest_compute"]) == (before, other(before))
    assert (newest["user_id"], newest["project_id"]) == ("admin-id", "admin-project")


def test_filters_and_pages(two: ComputeCloud) -> None:
    first, second = two.server("a"), two.server("b")
    for n, id in enumerate((first, second)):
        two.clock.now += 10
        two.act(id, "migrate", token="admin" if n else "manager")
        two.settle()
    assert [one["instance_uuid"] for one in moves(two)] == [second, first]
    assert [one["instance_uuid"] for one in moves(two, instance_uuid=first)] == [first]
    assert [one["instance_uuid"] for one in moves(two, user_id="manager-id")] == [first]
    assert [one["instance_uuid"] for one in moves(two, project_id="p1")] == [first]
    assert moves(two, status="error") == moves(two, migration_type="resize") == moves(two, host="host-9") == []
    assert len(moves(two, host="host-1")) == 2
    since = "2027-01-15T08:00:15"
    assert [one["instance_uuid"] for one in moves(two, **{"changes-since": since})] == [second]
    assert [one["instance_uuid"] for one in moves(two, **{"changes-before": since})] == [first]
    page = two.ok("GET", "/os-migrations?limit=1", token="admin")
    assert [one["instance_uuid"] for one in page["migrations"]] == [second]
    marker = page["migrations"][0]["uuid"]
    assert f"marker={marker}" in page["migrations_links"][0]["href"]
    assert [one["instance_uuid"] for one in moves(two, limit="1", marker=marker)] == [first]
    for query in ("limit=x", "marker=none", "colour=red", "changes-since=soon",
                  "changes-since=2027-01-02T00:00:00&changes-before=2027-01-01T00:00:00"):  # fmt: skip
        assert two.do("GET", f"/os-migrations?{query}", token="admin").status == 400, query
    assert two.do("GET", "/os-migrations?user_id=x", token="admin", at="compute 2.79").status == 400
    assert two.do("GET", "/os-migrations?colour=red", token="admin", at="compute 2.58").status == 200


LISTERS = {"admin": 200, "manager": 200, "member": 403, "reader": 403, "other": 403, "nobody": 403, "service": 403}


@pytest.mark.parametrize(("who", "code"), LISTERS.items())
def test_who_may_list(two: ComputeCloud, who: str, code: int) -> None:
    for token in ("admin", "manager"):
        two.act(two.server(), "migrate", token=token)
        two.settle()
    reply = two.do("GET", "/os-migrations", token=who)
    assert reply.status == code
    if who == "manager":
        assert [(one["project_id"], one["source_compute"]) for one in reply.json["migrations"]] == [("p1", None)]
        assert two.do("GET", "/os-migrations?project_id=p2", token=who).status == 403
    if who == "admin":
        assert len(reply.json["migrations"]) == 2


def test_rows_tell_the_truth(two: ComputeCloud) -> None:
    two.act(two.server(), "migrate", token="admin")
    with two.cloud.database.read() as session:
        assert [(m.status, m.settled, m.dest) for m in session.scalars(select(Migration))] == [
            ("pre-migrating", False, None)
        ]
