"""The metadata definitions that every cloud begins with."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from tiffin.services.image.metadef_bodies import Definition
from tiffin.services.image.metadef_catalogue import catalogue, load

from .conftest import ImageCloud
from .metadefs import NAMESPACES, make, path, say

NAMES = set(
    """
    CIM::ProcessorAllocationSettingData CIM::ResourceAllocationSettingData CIM::StorageAllocationSettingData
    CIM::VirtualSystemSettingData OS::Cinder::Volumetype OS::Compute::AggregateDiskFilter OS::Compute::AggregateIoOpsFilter
    OS::Compute::AggregateNumInstancesFilter OS::Compute::CPUMode OS::Compute::CPUPinning OS::Compute::GuestMemoryBacking
    OS::Compute::GuestShutdownBehavior OS::Compute::HostCapabilities OS::Compute::Hypervisor OS::Compute::InstanceData
    OS::Compute::Libvirt OS::Compute::LibvirtImage OS::Compute::Quota OS::Compute::RandomNumberGenerator OS::Compute::TPM
    OS::Compute::VMware OS::Compute::VMwareFlavor OS::Compute::VMwareQuotaFlavor OS::Compute::VTPM
    OS::Compute::VirtCPUTopology OS::Compute::Watchdog OS::Compute::XenAPI OS::Glance::CommonImageProperties
    OS::Glance::Signatures OS::OperatingSystem OS::Software::DBMS OS::Software::Runtimes OS::Software::WebServers
    """.split()  # noqa: SIM905  (thirty lines of quotation marks say no more)
)
"""What dashboards and operators of other clouds know."""


def give(cloud: ImageCloud) -> None:
    with cloud.cloud.database.write() as session:
        load(session, cloud.cloud.world)


def everything(cloud: ImageCloud) -> dict[str, Any]:
    listed = say(cloud, "GET", NAMESPACES + "?limit=1000", 200)["namespaces"]
    return {n["namespace"]: say(cloud, "GET", path(namespace=n["namespace"]), 200) for n in listed}


def test_everybody_sees_them(cloud: ImageCloud) -> None:
    give(cloud)
    listed = say(cloud, "GET", NAMESPACES + "?limit=1000", 200, token="other")["namespaces"]
    assert {n["namespace"] for n in listed} == NAMES
    assert {(n["visibility"], n["owner"]) for n in listed} == {("public", "admin")}
    assert {t["name"] for t in say(cloud, "GET", "/image/v2/metadefs/resource_types", 200)["resource_types"]} == {
        "OS::Cinder::Volume", "OS::Glance::Image", "OS::Nova::Aggregate", "OS::Nova::Flavor", "OS::Nova::Server",
        "OS::Trove::Instance",
    }  # fmt: skip


def test_they_are_shown_as_a_dashboard_asks(cloud: ImageCloud) -> None:
    give(cloud)
    for_flavors = say(cloud, "GET", NAMESPACES + "?limit=1000&resource_types=OS::Nova::Flavor", 200)["namespaces"]
    assert {"OS::Compute::Quota", "OS::Compute::Libvirt"} <= {n["namespace"] for n in for_flavors}
    assert "OS::Compute::LibvirtImage" not in {n["namespace"] for n in for_flavors}
    url = path(namespace="OS::Compute::CPUPinning") + "?resource_type="
    assert set(say(cloud, "GET", url + "OS::Nova::Flavor", 200)["properties"]) == {"hw:cpu_policy", "hw:cpu_thread_policy"}
    assert set(say(cloud, "GET", url + "OS::Glance::Image", 200)["properties"]) == {"hw_cpu_policy", "hw_cpu_thread_policy"}
    limits = {o["name"]: o["properties"] for o in say(cloud, "GET", path(namespace="OS::Compute::Quota"), 200)["objects"]}
    assert limits["CPU Limits"]["quota:cpu_period"]["maximum"] == 1_000_000


def test_they_come_once(cloud: ImageCloud) -> None:
    """What an operator changed or deleted stays so."""
    make(cloud, "OS::Compute::Watchdog", description="Our own.")
    give(cloud)
    assert "properties" not in say(cloud, "GET", path(namespace="OS::Compute::Watchdog"), 200)
    gone = {"namespace": "OS::Software::DBMS", "visibility": "private"}
    say(cloud, "PUT", path(namespace="OS::Software::DBMS"), 200, gone)
    say(cloud, "DELETE", path(namespace="OS::Software::DBMS"), 204)
    say(cloud, "PUT", path(namespace="OS::Compute::VMware"), 200, {"namespace": "OS::Compute::VMware", "visibility": "public"})
    say(cloud, "DELETE", path("properties", "img_linked_clone", namespace="OS::Compute::VMware"), 204)
    before = everything(cloud)
    assert set(before) == NAMES - {"OS::Software::DBMS"}
    give(cloud)
    assert everything(cloud) == before


class Died(Exception):
    """What a kill between the last statement and the commit comes to."""


def give_and_die(cloud: ImageCloud) -> None:
    with cloud.cloud.database.write() as session:
        load(session, cloud.cloud.world)
        session.flush()
        raise Died


def test_a_load_that_breaks_leaves_nothing(cloud: ImageCloud) -> None:
    with pytest.raises(Died):
        give_and_die(cloud)
    assert everything(cloud) == {}
    give(cloud)
    assert set(everything(cloud)) == NAMES


def test_each_says_what_it_is_for() -> None:
    found = catalogue()
    assert sum(len(properties) for namespace in found for properties in _groups(namespace)) == 199
    for namespace in found:
        assert namespace.display_name
        assert namespace.description
        for properties in _groups(namespace):
            for name, definition in properties.items():
                assert definition.title, name
                assert definition.description, name
                if definition.enum is not UNSET and definition.default is not UNSET:
                    assert definition.default in definition.enum, name


def _groups(namespace: Any) -> list[dict[str, Definition]]:
    objects = [] if namespace.objects is UNSET else namespace.objects
    return [*(o.properties for o in objects), {} if namespace.properties is UNSET else namespace.properties]
