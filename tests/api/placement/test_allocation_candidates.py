"""Conversations about who could serve a request."""

from __future__ import annotations

from typing import Any

import pytest

from api.placement.conftest import PlacementCloud, uid

BAD_VALUE = "placement.query.bad_value"
NAMES = {
    uid(n): n
    for n in ("flat", "small", "root", "numa0", "numa1", "pf0", "pf1", "shared", "compute1", "compute2", "far")
}


def ask(cloud: PlacementCloud, query: str, at: str = "1.39") -> dict[str, Any]:
    reply = cloud.say("GET", f"/allocation_candidates?{query}", at=at)
    assert reply.status == 200, reply.body
    return dict(reply.json)


def places(cloud: PlacementCloud, query: str, at: str = "1.39") -> list[str]:
    """Each candidate as `provider:CLASS=n,...` words, sorted."""
    found = []
    for request in ask(cloud, query, at)["allocation_requests"]:
        held = request["allocations"]
        words = [f"{NAMES[p]}:{c}={n}" for p, one in held.items() for c, n in one["resources"].items()]
        found.append(" ".join(sorted(words)))
    return sorted(found)


@pytest.fixture
def flat(cloud: PlacementCloud) -> PlacementCloud:
    cloud.provider("flat", traits=("HW_CPU_X86_AVX",), in_=("east",), VCPU=8, MEMORY_MB=1000)
    cloud.provider("small", VCPU=2, MEMORY_MB=1000, DISK_GB=10)
    return cloud


@pytest.fixture
def nested(cloud: PlacementCloud) -> PlacementCloud:
    """A host with two NUMA nodes, each with a network function."""
    cloud.provider("root", traits=("COMPUTE_NODE",), in_=("east",), DISK_GB=100)
    for n in "01":
        cloud.provider(f"numa{n}", "root", traits=("HW_NUMA_ROOT",), VCPU=4, MEMORY_MB=1000)
        cloud.provider(f"pf{n}", f"numa{n}", SRIOV_NET_VF=2)
    return cloud


def test_flat_providers(flat: PlacementCloud) -> None:
    assert places(flat, "resources=VCPU:1,MEMORY_MB:500") == [
        "flat:MEMORY_MB=500 flat:VCPU=1",
        "small:MEMORY_MB=500 small:VCPU=1",
    ]
    assert places(flat, "resources=VCPU:3") == ["flat:VCPU=3"]
    assert places(flat, "resources=VCPU:9") == []
    assert len(places(flat, "resources=VCPU:1&limit=1")) == 1
    flat.allocate("vm", {"flat": {"VCPU": 6}})
    assert places(flat, "resources=VCPU:3") == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("required=HW_CPU_X86_AVX", ["flat:VCPU=1"]),
        ("required=!HW_CPU_X86_AVX", ["small:VCPU=1"]),
        ("required=in:HW_CPU_X86_AVX,COMPUTE_NODE", ["flat:VCPU=1"]),
        ("required=HW_CPU_X86_AVX&required=COMPUTE_NODE", []),
        ("root_required=HW_CPU_X86_AVX", ["flat:VCPU=1"]),
        ("root_required=!HW_CPU_X86_AVX", ["small:VCPU=1"]),
        (f"member_of={uid('east')}", ["flat:VCPU=1"]),
        (f"member_of=!{uid('east')}", ["small:VCPU=1"]),
        (f"in_tree={uid('small')}", ["small:VCPU=1"]),
        (f"in_tree={uid('none')}", []),
    ],
)
def test_conditions(flat: PlacementCloud, query: str, found: list[str]) -> None:
    assert places(flat, f"resources=VCPU:1&{query}") == found


def test_what_each_version_tells(flat: PlacementCloud) -> None:
    query = "resources=VCPU:3"
    newest = ask(flat, query)
    assert newest["allocation_requests"] == [
        {"allocations": {uid("flat"): {"resources": {"VCPU": 3}}}, "mappings": {"": [uid("flat")]}}
    ]
    assert newest["provider_summaries"] == {
        uid("flat"): {
            "resources": {"VCPU": {"capacity": 8, "used": 0}, "MEMORY_MB": {"capacity": 1000, "used": 0}},
            "traits": ["HW_CPU_X86_AVX"],
            "parent_provider_uuid": None,
            "root_provider_uuid": uid("flat"),
        }
    }
    assert "mappings" not in ask(flat, query, "1.33")["allocation_requests"][0]
    assert set(ask(flat, query, "1.28")["provider_summaries"][uid("flat")]) == {"resources", "traits"}
    assert set(ask(flat, query, "1.26")["provider_summaries"][uid("flat")]["resources"]) == {"VCPU"}
    assert set(ask(flat, query, "1.16")["provider_summaries"][uid("flat")]) == {"resources"}
    oldest = ask(flat, query, "1.10")
    assert oldest["allocation_requests"] == [
        {"allocations": [{"resource_provider": {"uuid": uid("flat")}, "resources": {"VCPU": 3}}]}
    ]
    flat.fails(404, "GET", f"/allocation_candidates?{query}", at="1.9")


def test_a_tree_serves_together(nested: PlacementCloud) -> None:
    assert places(nested, "resources=VCPU:2,DISK_GB:5") == [
        "numa0:VCPU=2 root:DISK_GB=5",
        "numa1:VCPU=2 root:DISK_GB=5",
    ]
    assert places(nested, "resources=VCPU:2,DISK_GB:5", "1.28") == []
    assert places(nested, "resources=VCPU:2", "1.28") == ["numa0:VCPU=2", "numa1:VCPU=2"]
    assert len(ask(nested, "resources=VCPU:2")["provider_summaries"]) == 5
    assert len(ask(nested, "resources=VCPU:2", "1.28")["provider_summaries"]) == 2
    assert places(nested, f"resources=VCPU:2&member_of={uid('east')}") == ["numa0:VCPU=2", "numa1:VCPU=2"]
    assert places(nested, f"resources1=VCPU:2&member_of1={uid('east')}") == []
    assert places(nested, "resources=VCPU:1,DISK_GB:5&required=COMPUTE_NODE,HW_NUMA_ROOT") == [
        "numa0:VCPU=1 root:DISK_GB=5",
        "numa1:VCPU=1 root:DISK_GB=5",
    ]
    assert places(nested, "resources=VCPU:1&required=COMPUTE_NODE") == []


def test_groups_come_from_one_provider_each(nested: PlacementCloud) -> None:
    two = "resources1=VCPU:2&resources2=VCPU:2"
    assert places(nested, f"{two}&group_policy=isolate") == ["numa0:VCPU=2 numa1:VCPU=2"] * 2
    assert places(nested, f"{two}&group_policy=none") == sorted(
        ["numa0:VCPU=2 numa1:VCPU=2"] * 2 + ["numa0:VCPU=4", "numa1:VCPU=4"]
    )
    assert places(nested, "resources1=VCPU:3&resources2=VCPU:3&group_policy=none") == ["numa0:VCPU=3 numa1:VCPU=3"] * 2
    assert places(nested, "resources1=VCPU:1,DISK_GB:1") == []
    (one,) = ask(nested, f"resources_A=VCPU:1&in_tree_A={uid('pf0')}&limit=1")["allocation_requests"]
    assert list(one["mappings"]) == ["_A"]


def test_near_to_each_other(nested: PlacementCloud) -> None:
    query = "resources_C=VCPU:1&resources_N=SRIOV_NET_VF:1&group_policy=none"
    assert len(places(nested, query)) == 4
    assert places(nested, f"{query}&same_subtree=_C,_N") == [
        "numa0:VCPU=1 pf0:SRIOV_NET_VF=1",
        "numa1:VCPU=1 pf1:SRIOV_NET_VF=1",
    ]
    nowhere = "resources_N=SRIOV_NET_VF:1&required_T=HW_NUMA_ROOT&same_subtree=_N,_T"
    (first, second) = ask(nested, nowhere)["allocation_requests"]
    assert {tuple(map(NAMES.get, one["mappings"]["_T"])) for one in (first, second)} == {("numa0",), ("numa1",)}
    assert [list(one["allocations"]) for one in (first, second)] == [one["mappings"]["_N"] for one in (first, second)]


def test_shared_providers(cloud: PlacementCloud) -> None:
    cloud.provider("shared", traits=("MISC_SHARES_VIA_AGGREGATE",), in_=("rack",), DISK_GB=100)
    cloud.provider("compute1", in_=("rack",), VCPU=4)
    cloud.provider("compute2", in_=("rack",), VCPU=4, DISK_GB=50)
    cloud.provider("far", VCPU=4)
    assert places(cloud, "resources=VCPU:1,DISK_GB:5") == [
        "compute1:VCPU=1 shared:DISK_GB=5",
        "compute2:DISK_GB=5 compute2:VCPU=1",
        "compute2:VCPU=1 shared:DISK_GB=5",
    ]
    assert places(cloud, "resources=VCPU:1,DISK_GB:5", "1.12")[0] == "compute1:VCPU=1 shared:DISK_GB=5"
    assert places(cloud, "resources=DISK_GB:60") == ["shared:DISK_GB=60"]
    assert places(cloud, "resources1=VCPU:1&resources2=DISK_GB:60&group_policy=isolate") == [
        "compute1:VCPU=1 shared:DISK_GB=60",
        "compute2:VCPU=1 shared:DISK_GB=60",
    ]


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ("", "1.39"),
        ("", "1.10"),
        ("resources=", "1.39"),
        ("resources=VCPU", "1.39"),
        ("resources=VCPU:0", "1.39"),
        ("resources=VCPU:1&color=red", "1.39"),
        ("resources=VCPU:1&limit=1", "1.15"),
        ("resources=VCPU:1&limit=0", "1.39"),
        ("resources=VCPU:1&required=HW_CPU_X86_AVX", "1.16"),
        ("resources=VCPU:1&required=!HW_CPU_X86_AVX", "1.21"),
        ("resources=VCPU:1&required=in:HW_CPU_X86_AVX", "1.38"),
        (f"resources=VCPU:1&member_of={uid('a')}", "1.20"),
        (f"resources=VCPU:1&member_of=!{uid('a')}", "1.31"),
        ("resources1=VCPU:1", "1.24"),
        ("resources01=VCPU:1", "1.32"),
        ("resources_A=VCPU:1", "1.32"),
        (f"resources_{'A' * 64}=VCPU:1", "1.39"),
        (f"resources=VCPU:1&in_tree={uid('a')}", "1.30"),
        ("resources=VCPU:1&in_tree=no", "1.39"),
        ("resources=VCPU:1&root_required=HW_CPU_X86_AVX", "1.34"),
        ("resources=VCPU:1&root_required=in:HW_CPU_X86_AVX,COMPUTE_NODE", "1.39"),
        ("resources=VCPU:1&root_required=!HW_CPU_X86_AVX,HW_CPU_X86_AVX", "1.39"),
        ("resources1=VCPU:1&required2=HW_CPU_X86_AVX", "1.39"),
        ("resources1=VCPU:1&same_subtree=1,2", "1.39"),
        ("resources1=VCPU:1&same_subtree=", "1.39"),
        ("required1=HW_CPU_X86_AVX&same_subtree=1", "1.39"),
        ("resources1=VCPU:1&same_subtree=1", "1.35"),
        ("resources1=VCPU:1&resources2=VCPU:1&group_policy=some", "1.39"),
    ],
)
def test_bad_questions(flat: PlacementCloud, query: str, at: str) -> None:
    flat.fails(400, "GET", f"/allocation_candidates?{query}", at=at, code=BAD_VALUE)


def test_bad_questions_of_other_kinds(flat: PlacementCloud) -> None:
    url = "/allocation_candidates?resources1=VCPU:1"
    flat.fails(400, "GET", f"{url}&resources2=VCPU:1", code="placement.query.missing_value")
    flat.fails(400, "GET", f"{url}&resources1=VCPU:1", code="placement.query.duplicate_key")
    flat.fails(400, "GET", f"{url}&limit=x")
    flat.fails(400, "GET", f"{url}&required1=CUSTOM_NO")
    flat.fails(400, "GET", "/allocation_candidates?resources1=CUSTOM_NO:1")
    for persona in ("member", "reader", "nobody"):
        assert flat.say("GET", url, token=persona).status == 403


def test_a_question_has_a_price_limit(cloud: PlacementCloud) -> None:
    for n in range(12):
        cloud.provider(f"p{n}", "p0" if n else None, VCPU=100)
    query = "&".join(f"resources_{n}=VCPU:1" for n in range(12))
    reply = cloud.say("GET", f"/allocation_candidates?{query}&group_policy=isolate")
    assert reply.status == 200
