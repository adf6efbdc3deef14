"""Each weigher by itself, and how they add up."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.compute.test_filters import host, within
from tiffin.services.compute.scheduler.model import Host, Request
from tiffin.services.compute.scheduler.weighers import WEIGHERS, best, key
from tiffin.services.compute.settings import Weights

NONE = Weights(**dict.fromkeys(Weights.__struct_fields__, 0.0))


def first(hosts: list[Host], request: Request = Request(), *, override: bool = False, **weights: float) -> str:  # noqa: B008
    return best(hosts, request, msgspec.structs.replace(NONE, **weights), override=override)[0].name


@pytest.mark.parametrize(
    ("weigher", "more", "less"),
    [
        ("ram", {"free_memory_mb": 2.0}, {"free_memory_mb": 1.0}),
        ("cpu", {"free_vcpus": 2.0}, {"free_vcpus": 1.0}),
        ("disk", {"free_disk_gb": 2.0}, {"free_disk_gb": 1.0}),
        ("io_ops", {"io_ops": 2}, {"io_ops": 1}),
        ("num_instances", {"instances": 2}, {"instances": 1}),
        ("build_failure", {"failed_builds": 0}, {"failed_builds": 1}),
        ("hypervisor_version", {"hypervisor_version": 2}, {"hypervisor_version": 1}),
    ],
)
def test_more_is_heavier_unless_the_multiplier_is_negative(
    weigher: str, more: dict[str, Any], less: dict[str, Any]
) -> None:
    hosts = [host(name="a-less", **less), host(name="b-more", **more)]
    assert first(hosts, **{weigher: 1.0}) == "b-more"
    assert first(list(reversed(hosts)), **{weigher: -1.0}) == "a-less"
    assert first(hosts) == "a-less", "what does not count leaves the names"


def test_every_weight_has_its_weigher() -> None:
    assert {*WEIGHERS, "soft_affinity", "soft_anti_affinity"} == set(Weights.__struct_fields__)


def test_soft_policies_count_members() -> None:
    hosts = [host(name=name) for name in ("h1", "h2", "h3")]
    members = {"h1": 1, "h2": 2}
    assert first(hosts, Request(policy="soft-affinity", members=members), soft_affinity=1.0) == "h2"
    assert first(hosts, Request(policy="soft-anti-affinity", members=members), soft_anti_affinity=1.0) == "h3"
    assert first(hosts, Request(members=members), soft_affinity=1.0, soft_anti_affinity=-1.0) == "h1"


def test_weights_are_brought_to_one_range() -> None:
    """A thousand MiB do not outweigh a whole range of CPUs."""
    hosts = [
        host(name="ram", free_memory_mb=9000.0, free_vcpus=0.0, free_disk_gb=0.0),
        host(name="both", free_memory_mb=8000.0, free_vcpus=4.0, free_disk_gb=0.0),
        host(name="none", free_memory_mb=0.0, free_vcpus=0.0, free_disk_gb=0.0),
    ]
    assert first(hosts, ram=1.0, cpu=1.0) == "both"
    assert first(hosts, ram=10.0, cpu=1.0) == "ram"


def test_a_host_that_fails_builds_is_the_last_by_default() -> None:
    hosts = [host(name="bad", failed_builds=1, free_memory_mb=9e6), host(name="good", free_memory_mb=0.0, free_vcpus=0.0)]
    assert best(hosts, Request(), Weights())[0].name == "good"


def test_an_aggregate_has_multipliers_of_its_own() -> None:
    packed = within({key("ram"): "-1.0"}, {key("ram"): "5.0"}, {key("ram"): "a lot"})
    hosts = [
        host(name="a", free_memory_mb=1.0, aggregates=packed),
        host(name="b", free_memory_mb=2.0, aggregates=packed),
    ]
    assert first(hosts, ram=1.0, override=True) == "a", "of several the lowest holds"
    hosts = [msgspec.structs.replace(one, aggregates=within({key("ram"): "a lot"})) for one in hosts]
    assert first(hosts, ram=1.0, override=True) == "b"


def test_the_best_come_first_and_equals_by_name() -> None:
    hosts = [host(name=name, free_memory_mb=ram) for name, ram in (("c", 1.0), ("b", 3.0), ("a", 1.0), ("d", 2.0))]
    assert [one.name for one in best(hosts, Request(), msgspec.structs.replace(NONE, ram=1.0), 3)] == ["b", "d", "a"]
