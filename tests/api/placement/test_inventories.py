"""Conversations about what a provider has: inventories, aggregates, traits."""

from __future__ import annotations

import pytest

from api.placement.conftest import PlacementCloud, uid

CONCURRENT = "placement.concurrent_update"
IN_USE = "placement.inventory.inuse"
NOT_FOUND = "placement.resource_provider.not_found"
H = f"/resource_providers/{uid('h')}"
DEFAULTS = {"reserved": 0, "min_unit": 1, "max_unit": 2147483647, "step_size": 1, "allocation_ratio": 1.0}


def test_inventories_are_replaced(cloud: PlacementCloud) -> None:
    cloud.provider("h")
    assert cloud.say("GET", f"{H}/inventories").json == {"inventories": {}, "resource_provider_generation": 0}
    body = {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 4, "allocation_ratio": 16.0}}}
    reply = cloud.say("PUT", f"{H}/inventories", body)
    assert reply.json == {
        "inventories": {"VCPU": {**DEFAULTS, "total": 4, "allocation_ratio": 16.0}},
        "resource_provider_generation": 1,
    }
    cloud.fails(409, "PUT", f"{H}/inventories", body, code=CONCURRENT)
    assert cloud.say("GET", f"{H}/inventories").json == reply.json


def test_one_inventory_lives_and_dies(cloud: PlacementCloud) -> None:
    cloud.provider("h")
    one = {"resource_class": "DISK_GB", "total": 50}
    made = cloud.say("POST", f"{H}/inventories", one)
    assert (made.status, made.json) == (201, {**DEFAULTS, "total": 50, "resource_provider_generation": 1})
    assert made.headers["location"].endswith(f"{H}/inventories/DISK_GB")
    cloud.fails(409, "POST", f"{H}/inventories", one, code=CONCURRENT)
    stale = {"resource_class": "VCPU", "total": 1, "resource_provider_generation": 0}
    cloud.fails(409, "POST", f"{H}/inventories", stale, code=CONCURRENT)
    changed = {"total": 60, "resource_provider_generation": 1}
    assert cloud.say("PUT", f"{H}/inventories/DISK_GB", changed).json["resource_provider_generation"] == 2
    cloud.fails(409, "PUT", f"{H}/inventories/DISK_GB", changed, code=CONCURRENT)
    cloud.fails(400, "PUT", f"{H}/inventories/VCPU", {"total": 6, "resource_provider_generation": 2})
    assert cloud.say("GET", f"{H}/inventories/DISK_GB").json["total"] == 60
    assert cloud.say("DELETE", f"{H}/inventories/DISK_GB").status == 204
    cloud.fails(404, "GET", f"{H}/inventories/DISK_GB")
    cloud.fails(404, "DELETE", f"{H}/inventories/DISK_GB")


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": 0},
        {"total": 2**31},
        {"total": "4"},
        {},
        {"total": 4, "reserved": 5},
        {"total": 4, "reserved": -1},
        {"total": 4, "min_unit": 0},
        {"total": 4, "step_size": 0},
        {"total": 4, "allocation_ratio": -1},
        {"total": 4, "allocation_ratio": 4e38},
        {"total": 4, "color": "red"},
    ],
)
def test_bad_inventories(cloud: PlacementCloud, wrong: dict[str, object]) -> None:
    cloud.provider("h")
    cloud.fails(400, "POST", f"{H}/inventories", {"resource_class": "VCPU", **wrong})
    cloud.fails(400, "PUT", f"{H}/inventories", {"resource_provider_generation": 0, "inventories": {"VCPU": wrong}})
    assert cloud.generation("h") == 0


def test_more_bad_inventories(cloud: PlacementCloud) -> None:
    cloud.provider("h")
    for name in ("CUSTOM_NO", "vcpu", "", "VCPU\n", "X" * 300):
        cloud.fails(400, "POST", f"{H}/inventories", {"resource_class": name, "total": 1})
    cloud.fails(400, "PUT", f"{H}/inventories/VCPU", {"total": 1})
    none = f"/resource_providers/{uid('none')}/inventories"
    cloud.fails(404, "GET", none, code=NOT_FOUND)
    cloud.fails(404, "POST", none, {"resource_class": "VCPU", "total": 1}, code=NOT_FOUND)
    cloud.fails(404, "PUT", none, {"inventories": {}, "resource_provider_generation": 0}, code=NOT_FOUND)
    cloud.fails(404, "DELETE", none, code=NOT_FOUND)


def test_all_may_be_reserved_from_1_26_on(cloud: PlacementCloud) -> None:
    cloud.provider("h")
    body = {"resource_class": "VCPU", "total": 4, "reserved": 4}
    cloud.fails(400, "POST", f"{H}/inventories", body, at="1.25")
    assert cloud.say("POST", f"{H}/inventories", body, at="1.26").status == 201


def test_what_is_in_use_stays(cloud: PlacementCloud) -> None:
    cloud.provider("h", VCPU=4, DISK_GB=10)
    assert cloud.allocate("vm", {"h": {"VCPU": 1}}).status == 204
    now = cloud.generation("h")
    less = {"inventories": {"DISK_GB": {"total": 10}}, "resource_provider_generation": now}
    assert "VCPU" in cloud.fails(409, "PUT", f"{H}/inventories", less, code=IN_USE)
    cloud.fails(409, "DELETE", f"{H}/inventories", code=IN_USE)
    cloud.fails(409, "DELETE", f"{H}/inventories/VCPU", code=IN_USE)
    assert cloud.say("DELETE", f"{H}/inventories/DISK_GB").status == 204
    assert cloud.say("DELETE", f"{H}/inventories", at="1.4").status == 404


def test_aggregates(cloud: PlacementCloud) -> None:
    cloud.provider("h")
    ids = sorted([uid("east"), uid("west")])
    assert cloud.say("PUT", f"{H}/aggregates", ids, at="1.1").json == {"aggregates": ids}
    body = {"aggregates": ids[:1], "resource_provider_generation": 0}
    reply = cloud.say("PUT", f"{H}/aggregates", body)
    assert reply.json == {"aggregates": ids[:1], "resource_provider_generation": 1}
    assert cloud.say("GET", f"{H}/aggregates").json == reply.json
    assert cloud.say("GET", f"{H}/aggregates", at="1.18").json == {"aggregates": ids[:1]}
    cloud.fails(409, "PUT", f"{H}/aggregates", body, code=CONCURRENT)
    for wrong in ([], {}, {**body, "aggregates": ["no"]}, {**body, "aggregates": [uid("a"), uid("a")]}):
        assert cloud.say("PUT", f"{H}/aggregates", wrong).status in (400, 409)
    cloud.fails(400, "PUT", f"{H}/aggregates", ["no"], at="1.18")
    cloud.fails(400, "PUT", f"{H}/aggregates", body, at="1.18")
    cloud.fails(404, "GET", f"{H}/aggregates", at="1.0")


def test_traits_of_a_provider(cloud: PlacementCloud) -> None:
    cloud.provider("h")
    body = {"traits": ["HW_CPU_X86_AVX", "COMPUTE_NODE"], "resource_provider_generation": 0}
    reply = cloud.say("PUT", f"{H}/traits", body)
    assert reply.json == {"traits": ["COMPUTE_NODE", "HW_CPU_X86_AVX"], "resource_provider_generation": 1}
    assert cloud.say("GET", f"{H}/traits").json == reply.json
    cloud.fails(409, "PUT", f"{H}/traits", body, code=CONCURRENT)
    unknown = {"traits": ["CUSTOM_NO"], "resource_provider_generation": 1}
    assert "CUSTOM_NO" in cloud.fails(400, "PUT", f"{H}/traits", unknown)
    assert cloud.say("DELETE", f"{H}/traits").status == 204
    assert cloud.say("GET", f"{H}/traits").json == {"traits": [], "resource_provider_generation": 2}
    cloud.fails(404, "GET", f"/resource_providers/{uid('none')}/traits", code=NOT_FOUND)


def test_traits(cloud: PlacementCloud) -> None:
    made = cloud.say("PUT", "/traits/CUSTOM_FAST")
    assert (made.status, made.headers["location"].rsplit("/", 1)[1]) == (201, "CUSTOM_FAST")
    assert cloud.say("PUT", "/traits/CUSTOM_FAST").status == 204
    assert cloud.say("GET", "/traits/CUSTOM_FAST").status == 204
    assert cloud.say("GET", "/traits/HW_CPU_X86_AVX").status == 204
    everything = cloud.say("GET", "/traits").json["traits"]
    assert len(everything) > 300
    assert "CUSTOM_FAST" in everything
    cloud.provider("h", traits=("CUSTOM_FAST",))
    for query, found in (
        ("name=startswith:CUSTOM_", ["CUSTOM_FAST"]),
        ("name=in:CUSTOM_FAST,COMPUTE_NODE,NO", ["COMPUTE_NODE", "CUSTOM_FAST"]),
        ("associated=true", ["CUSTOM_FAST"]),
        ("name=startswith:CUSTOM_&associated=False", []),
    ):
        assert cloud.say("GET", f"/traits?{query}").json == {"traits": found}
    for query in ("name=CUSTOM_FAST", "name=in:", "associated=maybe", "color=red"):
        cloud.fails(400, "GET", f"/traits?{query}", code="placement.query.bad_value")
    cloud.fails(409, "DELETE", "/traits/CUSTOM_FAST")
    assert cloud.say("DELETE", f"{H}/traits").status == 204
    assert cloud.say("DELETE", "/traits/CUSTOM_FAST").status == 204
    cloud.fails(404, "DELETE", "/traits/CUSTOM_FAST")
    cloud.fails(404, "GET", "/traits/CUSTOM_FAST")
    cloud.fails(400, "DELETE", "/traits/COMPUTE_NODE")
    for name in ("COMPUTE_NODE", "CUSTOM_", "CUSTOM_x", "CUSTOM_" + "X" * 249):
        cloud.fails(400, "PUT", f"/traits/{name}")
    cloud.fails(404, "GET", "/traits", at="1.5")


def test_resource_classes(cloud: PlacementCloud) -> None:
    made = cloud.say("POST", "/resource_classes", {"name": "CUSTOM_GPU"})
    assert (made.status, made.body) == (201, b"")
    cloud.fails(409, "POST", "/resource_classes", {"name": "CUSTOM_GPU"})
    for name in ("GPU", "CUSTOM_gpu", "CUSTOM_", "CUSTOM_X\n", "CUSTOM_" + "X" * 250):
        cloud.fails(400, "POST", "/resource_classes", {"name": name})
    assert cloud.say("GET", "/resource_classes/CUSTOM_GPU").json == {
        "name": "CUSTOM_GPU",
        "links": [{"rel": "self", "href": "/placement/resource_classes/CUSTOM_GPU"}],
    }
    names = [c["name"] for c in cloud.say("GET", "/resource_classes").json["resource_classes"]]
    assert (names[0], names[-1]) == ("VCPU", "CUSTOM_GPU")
    assert cloud.say("PUT", "/resource_classes/CUSTOM_GPU").status == 204
    assert cloud.say("PUT", "/resource_classes/CUSTOM_FPGA").status == 201
    cloud.fails(400, "PUT", "/resource_classes/VCPU")
    cloud.provider("h", CUSTOM_GPU=2)
    cloud.fails(409, "DELETE", "/resource_classes/CUSTOM_GPU")
    renamed = cloud.say("PUT", "/resource_classes/CUSTOM_GPU", {"name": "CUSTOM_VGPU"}, at="1.6")
    assert (renamed.status, renamed.json["name"]) == (200, "CUSTOM_VGPU")
    assert list(cloud.say("GET", f"{H}/inventories").json["inventories"]) == ["CUSTOM_VGPU"]
    cloud.fails(409, "PUT", "/resource_classes/CUSTOM_VGPU", {"name": "CUSTOM_FPGA"}, at="1.6")
    assert cloud.say("DELETE", "/resource_classes/CUSTOM_FPGA").status == 204
    cloud.fails(404, "DELETE", "/resource_classes/CUSTOM_FPGA")
    cloud.fails(404, "GET", "/resource_classes/CUSTOM_FPGA")
    cloud.fails(400, "DELETE", "/resource_classes/VCPU")
    cloud.fails(404, "GET", "/resource_classes", at="1.1")
