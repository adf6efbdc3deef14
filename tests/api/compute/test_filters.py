"""Each filter by itself: which hosts it lets through, and when it asks nothing."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from tiffin.services.compute.scheduler.expressions import check, holds, matches
from tiffin.services.compute.scheduler.filters import FILTERS, passing, questions, version_fits
from tiffin.services.compute.scheduler.model import Aggregate, Host, NoHost, Request
from tiffin.services.compute.settings import FilterName, Isolation, Scheduler, Settings

FACTS = {
    "hypervisor_type": "QEMU", "architecture": "x86_64", "cpu_model": "EPYC", "vcpus": 8, "memory_mb": 4096, "disk_gb": 100
}  # fmt: skip


def host(**more: Any) -> Host:
    usual: dict[str, Any] = {
        "name": "h1", "provider_id": "p1", "node": "n1", "ready": 1, "failed_builds": 0, "hypervisor_version": 7_002_022,
        "free_vcpus": 4.0, "free_memory_mb": 2048.0, "free_disk_gb": 50.0, "facts": FACTS,
    }  # fmt: skip
    return Host(**{**usual, **more})


def within(*metas: dict[str, str]) -> tuple[Aggregate, ...]:
    return tuple(Aggregate(n, f"a{n}", None, meta) for n, meta in enumerate(metas))


def passes(name: FilterName, request: Request, one: Host, **rules: Any) -> bool:
    question = FILTERS[name].make(request, Settings(scheduler=Scheduler(**rules)))
    return question is None or question(one)


def asks(name: FilterName, request: Request, **rules: Any) -> bool:
    return FILTERS[name].make(request, Settings(scheduler=Scheduler(**rules))) is not None


def test_compute_filter() -> None:
    assert passes("ComputeFilter", Request(), host())
    assert not passes("ComputeFilter", Request(), host(ready=0))


@pytest.mark.parametrize(
    ("spec", "value", "good"),
    [
        ("capabilities:hypervisor_type", "QEMU", True),
        ("capabilities:hypervisor_type", "s== QEMU", True),
        ("capabilities:hypervisor_type", "s!= QEMU", False),
        ("capabilities:hypervisor_type", "<or> Xen <or> QEMU", True),
        ("capabilities:hypervisor_type", "<or> Xen <or> VMware", False),
        ("capabilities:hypervisor_type", "<in> QE", True),
        ("capabilities:cpu_info:arch", "x86_64", True),
        ("capabilities:cpu_info:arch", "aarch64", False),
        ("capabilities:free_ram_mb", ">= 2048", True),
        ("capabilities:free_ram_mb", "> 2048", False),
        ("vcpus", "= 4", True),
        ("vcpus", "== 8", True),
        ("vcpus", "!= 8", False),
        ("vcpus", "<= 7", False),
        ("vcpus", ">= many", False),
        ("color", "red", False),
        ("capabilities:cpu_info:arch:bits", "64", False),
        ("hw:cpu_policy", "dedicated", True),  # somebody else's
        ("trait:HW_CPU_X86_AVX", "required", True),
        ("hide_hypervisor_id", "true", True),
    ],
)
def test_compute_capabilities_filter(spec: str, value: str, good: bool) -> None:
    assert passes("ComputeCapabilitiesFilter", Request(extra_specs={spec: value}), host()) is good


@pytest.mark.parametrize(
    ("properties", "good"),
    [
        ({}, True),
        ({"hw_architecture": "x86_64"}, True),
        ({"hw_architecture": "AMD64"}, True),
        ({"architecture": "aarch64"}, False),
        ({"img_hv_type": "qemu"}, True),
        ({"img_hv_type": "kvm"}, True),
        ({"img_hv_type": "xen"}, False),
        ({"hw_vm_mode": "hvm"}, True),
        ({"hw_vm_mode": "exe"}, False),
        ({"hypervisor_version_requires": ">=6.0, <8"}, True),
        ({"img_hv_requested_version": ">=8.0"}, False),
    ],
)
def test_image_properties_filter(properties: dict[str, str], good: bool) -> None:
    assert passes("ImagePropertiesFilter", Request(image=properties), host()) is good


@pytest.mark.parametrize(
    ("wanted", "good"),
    [("7.2.22", True), ("==7.2.22", True), ("!=7.2.22", False), (">7", True), ("<7.3,>7.2", True), ("new", False), ("", True)],
)
def test_versions(wanted: str, good: bool) -> None:
    assert version_fits(7_002_022, wanted) is good


def test_server_group_filters() -> None:
    apart = Request(policy="anti-affinity", members={"h1": 1})
    assert not passes("ServerGroupAntiAffinityFilter", apart, host())
    assert passes("ServerGroupAntiAffinityFilter", apart, host(name="h2"))
    assert passes("ServerGroupAntiAffinityFilter", msgspec.structs.replace(apart, per_host=2), host())
    together = Request(policy="affinity", members={"h1": 1})
    assert passes("ServerGroupAffinityFilter", together, host())
    assert not passes("ServerGroupAffinityFilter", together, host(name="h2"))
    assert not asks("ServerGroupAffinityFilter", Request(policy="affinity")), "the first member goes anywhere"
    assert not asks("ServerGroupAntiAffinityFilter", Request(policy="soft-anti-affinity", members={"h1": 1}))


def test_same_and_different_host() -> None:
    assert passes("SameHostFilter", Request(same_host=frozenset(["h1"])), host())
    assert not passes("SameHostFilter", Request(same_host=frozenset()), host()), "those servers are nowhere"
    assert not asks("SameHostFilter", Request())
    assert not passes("DifferentHostFilter", Request(different_host=frozenset(["h1"])), host())
    assert passes("DifferentHostFilter", Request(different_host=frozenset(["h2"])), host())


def test_simple_cidr_affinity_filter() -> None:
    near = {"build_near_host_ip": "127.0.0.9", "cidr": "/24"}
    assert passes("SimpleCIDRAffinityFilter", Request(hints=near), host())
    assert not passes("SimpleCIDRAffinityFilter", Request(hints={**near, "build_near_host_ip": "10.0.0.1"}), host())
    with pytest.raises(NoHost, match="SimpleCIDRAffinityFilter"):
        asks("SimpleCIDRAffinityFilter", Request(hints={"build_near_host_ip": "nowhere"}))


@pytest.mark.parametrize(
    ("query", "good"),
    [
        ('[">=", "$free_ram_mb", 1024]', True),
        ('["and", [">=", "$free_ram_mb", 1024], [">=", "$free_disk_mb", 1048576]]', False),
        ('["or", ["=", "$host", "h2"], ["<", "$vcpus", 9]]', True),
        ('["not", ["=", "$hypervisor_hostname", "n1"]]', False),
        ('["in", "$architecture", "aarch64", "x86_64"]', True),
        ('["=", "$cpu_info.arch", "x86_64"]', True),
        ('["=", "$no_such", 1]', False),
        ('["<", "$architecture", 3]', False),
        ('[">=", "$free_ram_mb", "1024"]', True),
    ],
)
def test_json_filter(query: str, good: bool) -> None:
    assert passes("JsonFilter", Request(hints={"query": query}), host()) is good


@pytest.mark.parametrize(
    "query",
    ["[", "[]", '["xor", 1]', '["and", ["dance"]]', "[" * 5000, '["or"' + ",1" * 100 + "]", '["not",' * 40 + "1" + "]" * 40],
)
def test_a_query_that_cannot_be_meant(query: str) -> None:
    with pytest.raises(NoHost, match="JsonFilter"):
        asks("JsonFilter", Request(hints={"query": query}))


def test_a_query_that_is_no_question_is_no_yes() -> None:
    check(1)
    assert not holds(1, {})
    assert not holds(["="], {})
    assert not matches(None, ">= 1")
    assert matches("", "")


def test_io_ops_and_num_instances() -> None:
    assert passes("IoOpsFilter", Request(), host(io_ops=7))
    assert not passes("IoOpsFilter", Request(), host(io_ops=8))
    assert not passes("NumInstancesFilter", Request(), host(instances=50))
    assert passes("NumInstancesFilter", Request(), host(instances=50), max_instances_per_host=51)


def test_aggregates_bound_io_ops_and_instances() -> None:
    strict = within({"max_io_ops_per_host": "3", "max_instances_per_host": "5"}, {"max_io_ops_per_host": "9"})
    assert passes("AggregateIoOpsFilter", Request(), host(io_ops=2, aggregates=strict))
    assert not passes("AggregateIoOpsFilter", Request(), host(io_ops=3, aggregates=strict))
    assert not passes("AggregateNumInstancesFilter", Request(), host(instances=5, aggregates=strict))
    loose = within({"max_instances_per_host": "lots"})
    assert passes("AggregateNumInstancesFilter", Request(), host(instances=49, aggregates=loose))


def test_aggregate_instance_extra_specs() -> None:
    name = "AggregateInstanceExtraSpecsFilter"
    for key in ("ssd", "aggregate_instance_extra_specs:ssd"):
        wants = Request(extra_specs={key: "true"})
        assert passes(name, wants, host(aggregates=within({"ssd": "true"})))
        assert passes(name, wants, host(aggregates=within({"ssd": "false"}, {"ssd": "true, maybe"})))
        assert not passes(name, wants, host(aggregates=within({"ssd": "false"})))
        assert not passes(name, wants, host())
    assert not asks(name, Request(extra_specs={"hw:numa_nodes": "1"}))


def test_aggregate_image_properties_isolation() -> None:
    name, windows = "AggregateImagePropertiesIsolation", within({"os_distro": "windows, hurd"})
    assert passes(name, Request(image={"os_distro": "windows"}), host(aggregates=windows))
    assert not passes(name, Request(image={"os_distro": "debian"}), host(aggregates=windows))
    assert passes(name, Request(), host(aggregates=windows)), "who says nothing is not kept out"
    others = {"isolation": Isolation(property_namespace="only")}
    assert passes(name, Request(image={"os_distro": "debian"}), host(aggregates=windows), **others)


def test_aggregate_multi_tenancy_isolation() -> None:
    name, theirs = "AggregateMultiTenancyIsolation", within({"filter_tenant_id": "p1,p2", "filter_tenant_id3": "p3"})
    assert all(passes(name, Request(project_id=id), host(aggregates=theirs)) for id in ("p1", "p2", "p3"))
    assert not passes(name, Request(project_id="p4"), host(aggregates=theirs))
    assert passes(name, Request(project_id="p4"), host())


def test_aggregate_type_affinity() -> None:
    name, big = "AggregateTypeAffinityFilter", within({"instance_type": "m1.large, m1.huge"})
    assert passes(name, Request(flavor="m1.huge"), host(aggregates=big))
    assert not passes(name, Request(flavor="m1.tiny"), host(aggregates=big))
    assert passes(name, Request(flavor="m1.tiny"), host())


def test_isolated_hosts_filter() -> None:
    rules = {"isolation": Isolation(hosts=("h1",), images=("i1",))}
    name = "IsolatedHostsFilter"
    assert passes(name, Request(image_id="i1"), host(), **rules)
    assert not passes(name, Request(image_id="i1"), host(name="h2"), **rules)
    assert not passes(name, Request(image_id="i2"), host(), **rules)
    assert passes(name, Request(image_id="i2"), host(name="h2"), **rules)
    lax = {"isolation": Isolation(hosts=("h1",), images=("i1",), restrict_hosts=False)}
    assert passes(name, Request(image_id="i2"), host(), **lax)
    assert not asks(name, Request())


def test_all_hosts_filter() -> None:
    assert passes("AllHostsFilter", Request(), host(ready=0))


def test_the_first_filter_that_leaves_none_is_named() -> None:
    asked, needs = questions(Request(image={"hw_architecture": "arm"}), Settings())
    assert [one.name for one in asked] == ["ComputeFilter", "ImagePropertiesFilter"]
    assert needs == {"facts"}
    with pytest.raises(NoHost, match="ImagePropertiesFilter left none of 1"):
        passing([host(), host(ready=0)], asked)
    with pytest.raises(NoHost, match="ComputeFilter left none of 1"):
        passing([host(ready=0)], asked)


def test_every_name_has_its_filter() -> None:
    assert set(FILTERS) == set(get_args(FilterName))
