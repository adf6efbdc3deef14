"""Conversations about who uses what."""

from __future__ import annotations

from typing import Any

import pytest

from api.placement.conftest import PROJECT, USER, PlacementCloud, uid, wanted

CONCURRENT = "placement.concurrent_update"
URL = f"/allocations/{uid('vm')}"
OLD_NAMES = {"project_id": PROJECT, "user_id": USER}


def usages(cloud: PlacementCloud, name: str) -> dict[str, int]:
    reply = cloud.say("GET", f"/resource_providers/{uid(name)}/usages")
    assert reply.status == 200
    return dict(reply.json["usages"])


def test_a_consumer_takes_and_gives_back(cloud: PlacementCloud) -> None:
    cloud.provider("h", VCPU=4, MEMORY_MB=1000)
    assert cloud.say("GET", URL).json == {"allocations": {}}
    assert cloud.allocate("vm", {"h": {"VCPU": 1, "MEMORY_MB": 600}}).status == 204
    assert cloud.say("GET", URL).json == {
        "allocations": {uid("h"): {"generation": 2, "resources": {"VCPU": 1, "MEMORY_MB": 600}}},
        "project_id": PROJECT,
        "user_id": USER,
        "consumer_generation": 1,
        "consumer_type": "INSTANCE",
    }
    assert usages(cloud, "h") == {"VCPU": 1, "MEMORY_MB": 600}
    assert cloud.allocate("vm", {"h": {"VCPU": 2}}, seen=1).status == 204
    assert usages(cloud, "h") == {"VCPU": 2, "MEMORY_MB": 0}
    assert cloud.say("DELETE", URL).status == 204
    cloud.fails(404, "DELETE", URL)
    assert usages(cloud, "h") == {"VCPU": 0, "MEMORY_MB": 0}
    assert cloud.allocate("vm", {"h": {"VCPU": 2}}).status == 204
    assert cloud.allocate("vm", {}, seen=1).status == 204
    assert cloud.say("GET", URL).json == {"allocations": {}}


def test_nothing_is_overbooked(cloud: PlacementCloud) -> None:
    cloud.provider(
        "h",
        VCPU={"total": 4, "allocation_ratio": 1.5, "max_unit": 5},
        DISK_GB={"total": 100, "min_unit": 10, "step_size": 5},
    )
    assert cloud.allocate("vm", {"h": {"VCPU": 5}}).status == 204
    for wrong in ({"VCPU": 2}, {"DISK_GB": 5}, {"DISK_GB": 12}, {"DISK_GB": 105}, {"MEMORY_MB": 1}, {"VCPU": 6}):
        cloud.fails(409, "PUT", f"/allocations/{uid('vm2')}", wanted({"h": wrong}))
    assert cloud.say("GET", f"/allocations/{uid('vm2')}").json == {"allocations": {}}
    assert cloud.allocate("vm2", {"h": {"VCPU": 1, "DISK_GB": 15}}).status == 204


def test_consumer_generations(cloud: PlacementCloud) -> None:
    cloud.provider("h", VCPU=4)
    cloud.fails(409, "PUT", URL, wanted({"h": {"VCPU": 1}}, 1), code=CONCURRENT)
    assert cloud.allocate("vm", {"h": {"VCPU": 1}}).status == 204
    for seen in (None, 0, 2):
        cloud.fails(409, "PUT", URL, wanted({"h": {"VCPU": 1}}, seen), code=CONCURRENT)
    assert cloud.allocate("vm", {"h": {"VCPU": 2}}, seen=1).status == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {"allocations": {"no": {"resources": {"VCPU": 1}}}},
        {"allocations": {uid("h"): {"resources": {}}}},
        {"allocations": {uid("h"): {"resources": {"VCPU": 0}}}},
        {"allocations": {uid("h"): {"resources": {"VCPU": 2**31}}}},
        {"allocations": {uid("h"): {"resources": {"vcpu": 1}}}},
        {"allocations": {uid("h"): {"resources": {"CUSTOM_NO": 1}}}},
        {"allocations": {uid("h"): {"resources": {"VCPU": 1}, "color": 1}}},
        {"allocations": {uid("none"): {"resources": {"VCPU": 1}}}},
        {"allocations": []},
        {"project_id": ""},
        {"user_id": "x" * 256},
        {"consumer_generation": "1"},
        {"consumer_type": "instance"},
        {"mappings": {}},
        {"mappings": {"": []}},
        {"mappings": {"!": [uid("h")]}},
        {"color": "red"},
    ],
)
def test_bad_allocations_change_nothing(cloud: PlacementCloud, wrong: dict[str, Any]) -> None:
    cloud.provider("h", VCPU=4)
    body = wanted({"h": {"VCPU": 1}}) | wrong
    cloud.fails(400, "PUT", URL, body)
    cloud.fails(400, "POST", "/allocations", {uid("vm"): body})
    assert usages(cloud, "h") == {"VCPU": 0}
    assert cloud.generation("h") == 1


def test_every_epoch_has_its_body(cloud: PlacementCloud) -> None:
    cloud.provider("h", VCPU=9)
    resources = {"resources": {"VCPU": 1}}
    listed = [{"resource_provider": {"uuid": uid("h")}, **resources}]
    by_id = {uid("h"): resources}
    epochs: list[tuple[str, dict[str, Any]]] = [
        ("1.0", {"allocations": listed}),
        ("1.8", {"allocations": listed, **OLD_NAMES}),
        ("1.12", {"allocations": by_id, **OLD_NAMES}),
        ("1.28", {"allocations": by_id, **OLD_NAMES, "consumer_generation": None}),
        ("1.34", {"allocations": by_id, **OLD_NAMES, "consumer_generation": None, "mappings": {"_A": [uid("h")]}}),
        ("1.38", wanted({"h": {"VCPU": 1}})),
    ]
    for n, (at, body) in enumerate(epochs):
        url = f"/allocations/{uid(at)}"
        assert cloud.say("PUT", url, body, at=at).status == 204, at
        if n:
            older = f"1.{int(at[2:]) - 1}"
            assert cloud.say("PUT", url, body, at=older).status == 400, older
        if n + 1 < len(epochs) and epochs[n + 1][0] != "1.34":
            assert cloud.say("PUT", url, body, at=epochs[n + 1][0]).status == 400
    assert usages(cloud, "h") == {"VCPU": 6}
    empty = {"allocations": {}, **OLD_NAMES}
    cloud.fails(400, "PUT", f"/allocations/{uid('1.0')}", empty, at="1.27")
    assert cloud.say("POST", "/allocations", {uid("1.0"): empty}, at="1.13").status == 204
    assert cloud.say("GET", f"/allocations/{uid('1.12')}").json["consumer_type"] == "unknown"
    for at, fields in (("1.11", 1), ("1.12", 3), ("1.28", 4), ("1.38", 5)):
        assert len(cloud.say("GET", f"/allocations/{uid('1.38')}", at=at).json) == fields
    cloud.fails(400, "PUT", "/allocations/no-uuid", wanted({"h": {"VCPU": 1}}), code="placement.query.bad_value")


def test_several_consumers_at_once(cloud: PlacementCloud) -> None:
    cloud.provider("a", VCPU=2)
    cloud.provider("b", VCPU=2)
    assert cloud.allocate("vm", {"a": {"VCPU": 2}}).status == 204
    move = {uid("vm"): wanted({"b": {"VCPU": 2}}, 1), uid("mig"): wanted({"a": {"VCPU": 2}}, consumer_type="MIGRATION")}
    assert cloud.say("POST", "/allocations", move).status == 204
    assert (usages(cloud, "a"), usages(cloud, "b")) == ({"VCPU": 2}, {"VCPU": 2})
    too_much = {uid("vm"): wanted({}, 2), uid("mig"): wanted({"b": {"VCPU": 3}}, 1)}
    cloud.fails(409, "POST", "/allocations", too_much)
    assert (usages(cloud, "a"), usages(cloud, "b")) == ({"VCPU": 2}, {"VCPU": 2})
    cloud.fails(400, "POST", "/allocations", {})
    cloud.fails(404, "POST", "/allocations", move, at="1.12")
    held = cloud.say("GET", f"/resource_providers/{uid('a')}/allocations").json
    assert held["allocations"] == {uid("mig"): {"resources": {"VCPU": 2}, "consumer_generation": 1}}
    old = cloud.say("GET", f"/resource_providers/{uid('a')}/allocations", at="1.27").json
    assert old["allocations"] == {uid("mig"): {"resources": {"VCPU": 2}}}
    for what in ("allocations", "usages"):
        url = f"/resource_providers/{uid('none')}/{what}"
        cloud.fails(404, "GET", url, code="placement.resource_provider.not_found")


def test_usages_of_a_project(cloud: PlacementCloud) -> None:
    cloud.provider("h", VCPU=9, DISK_GB=90)
    cloud.allocate("a", {"h": {"VCPU": 1, "DISK_GB": 5}})
    cloud.allocate("b", {"h": {"VCPU": 2}}, user_id="u2")
    cloud.allocate("c", {"h": {"VCPU": 4}}, consumer_type="MIGRATION")
    cloud.allocate("d", {"h": {"VCPU": 2}}, project_id="p2")
    url = f"/usages?project_id={PROJECT}"
    assert cloud.say("GET", url, at="1.9").json == {"usages": {"VCPU": 7, "DISK_GB": 5}}
    assert cloud.say("GET", f"{url}&user_id=u2", at="1.9").json == {"usages": {"VCPU": 2}}
    instances = {"consumer_count": 2, "VCPU": 3, "DISK_GB": 5}
    migrations = {"consumer_count": 1, "VCPU": 4}
    assert cloud.say("GET", url).json == {"usages": {"INSTANCE": instances, "MIGRATION": migrations}}
    assert cloud.say("GET", f"{url}&consumer_type=MIGRATION").json == {"usages": {"MIGRATION": migrations}}
    assert cloud.say("GET", f"{url}&consumer_type=unknown").json == {"usages": {}}
    assert cloud.say("GET", f"{url}&consumer_type=all").json == {
        "usages": {"all": {"consumer_count": 3, "VCPU": 7, "DISK_GB": 5}}
    }
    for persona, status in (("admin", 200), ("service", 200), ("reader", 200), ("member", 200), ("other", 403)):
        assert cloud.say("GET", url, token=persona).status == status
    assert cloud.say("GET", url, token="nobody").status == 403
    for query in (
        "",
        "?project_id=",
        "?project_id=p&color=red",
        "?project_id=p&consumer_type=x",
        "?project_id=p&user_id=",
    ):
        cloud.fails(400, "GET", f"/usages{query}", code="placement.query.bad_value")
    cloud.fails(400, "GET", f"{url}&consumer_type=all", at="1.37", code="placement.query.bad_value")
    cloud.fails(404, "GET", url, at="1.8")


def test_reshaping_is_one_step(cloud: PlacementCloud) -> None:
    cloud.provider("root", VCPU=4, DISK_GB=10)
    cloud.provider("numa", "root")
    assert cloud.allocate("vm", {"root": {"VCPU": 3, "DISK_GB": 5}}).status == 204
    body: dict[str, Any] = {
        "inventories": {
            uid("root"): {"resource_provider_generation": 2, "inventories": {"DISK_GB": {"total": 10}}},
            uid("numa"): {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 4}}},
        },
        "allocations": {uid("vm"): wanted({"root": {"DISK_GB": 5}, "numa": {"VCPU": 3}}, 1)},
    }
    assert cloud.say("POST", "/reshaper", body, token="admin").status == 403
    stays = body | {"allocations": {}}
    cloud.fails(409, "POST", "/reshaper", stays, token="service", code="placement.inventory.inuse")
    stale = body | {"allocations": {uid("vm"): wanted({"numa": {"VCPU": 3}}, 7)}}
    cloud.fails(409, "POST", "/reshaper", stale, token="service", code=CONCURRENT)
    too_much = body | {"allocations": {uid("vm"): wanted({"numa": {"VCPU": 5}}, 1)}}
    cloud.fails(409, "POST", "/reshaper", too_much, token="service")
    unknown = body | {"inventories": {uid("none"): {"resource_provider_generation": 0, "inventories": {}}}}
    cloud.fails(400, "POST", "/reshaper", unknown, token="service", code="placement.resource_provider.not_found")
    assert (usages(cloud, "root"), usages(cloud, "numa")) == ({"VCPU": 3, "DISK_GB": 5}, {})
    assert cloud.say("POST", "/reshaper", body, token="service").status == 204
    assert (usages(cloud, "root"), usages(cloud, "numa")) == ({"DISK_GB": 5}, {"VCPU": 3})
    cloud.fails(409, "POST", "/reshaper", body, token="service", code=CONCURRENT)
    cloud.fails(404, "POST", "/reshaper", body, token="service", at="1.29")
    cloud.fails(400, "POST", "/reshaper", {"inventories": {}, "allocations": {}}, token="service")
