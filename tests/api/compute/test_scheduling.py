"""Where servers go: flavors, images, zones, aggregates, projects and operators have their say; and none is overbooked."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, update

from api.compute.conftest import SERVICES, ComputeCloud
from databases import side_by_side
from tiffin.core.cloud import ServiceRef
from tiffin.core.driver import Refused
from tiffin.core.engine import Engine
from tiffin.core.settings import SettingsError, section
from tiffin.services.compute import reconcilers
from tiffin.services.compute.scheduler.model import NoHost
from tiffin.services.compute.scheduler.request import wish_of
from tiffin.services.compute.settings import Settings
from tiffin.services.compute.tables import ComputeHost, Server
from tiffin.services.placement.tables import Allocation, Inventory
from tiffin.simulator.hypervisor import FACTS

ADMIN: dict[str, Any] = {"token": "admin"}
PLACEMENT = ServiceRef("placement", "/placement", "tiffin.services.placement.service")


class Cloud(ComputeCloud):
    """Two hosts more, and placement's own API."""

    def __init__(self, **more: Any) -> None:
        super().__init__(services=[PLACEMENT, *SERVICES], **more)
        self.add_host("host-2")
        self.add_host("host-3")
        self.furnish()

    def place(self, method: str, path: str, json: Any = None) -> Any:
        reply = self.ask(method, f"/placement{path}", "admin", json, OpenStack_API_Version="placement 1.39")
        assert reply.status < 300, (reply.status, reply.body)
        return reply.json

    def provider(self, host: str) -> dict[str, Any]:
        (found,) = self.place("GET", f"/resource_providers?name={host}")["resource_providers"]
        return dict(found)

    def traits(self, host: str) -> set[str]:
        return set(self.place("GET", f"/resource_providers/{self.provider(host)['uuid']}/traits")["traits"])

    def give_traits(self, host: str, *names: str) -> None:
        for name in names:
            if name.startswith("CUSTOM_"):
                self.place("PUT", f"/traits/{name}")
        provider = self.provider(host)
        body = {"resource_provider_generation": provider["generation"], "traits": [*self.traits(host), *names]}
        self.place("PUT", f"/resource_providers/{provider['uuid']}/traits", body)

    def aggregate(self, name: str, *hosts: str, zone: str | None = None, **metadata: str) -> str:
        body = {"aggregate": {"name": name, "availability_zone": zone}}
        url = f"/os-aggregates/{self.ok('POST', '/os-aggregates', body, **ADMIN)['aggregate']['id']}"
        for host in hosts:
            self.ok("POST", f"{url}/action", {"add_host": {"host": host}}, **ADMIN)
        if metadata:
            self.ok("POST", f"{url}/action", {"set_metadata": {"metadata": metadata}}, **ADMIN)
        return url

    def specs(self, name: str, **specs: str) -> str:
        id = self.flavor(name)
        extra = {key.replace("__", ":"): value for key, value in specs.items()}
        self.ok("POST", f"/flavors/{id}/os-extra_specs", {"extra_specs": extra}, **ADMIN)
        return id

    def failed_builds(self) -> dict[str, int]:
        with self.cloud.database.read() as session:
            return {name: n for name, n in session.execute(select(ComputeHost.name, ComputeHost.failed_builds))}  # noqa: C416

    def where(self, id: str) -> Any:
        return self.show(id, token="admin")["OS-EXT-SRV-ATTR:host"]

    def host_of(self, **more: Any) -> str:
        """The host of a new server, or why it has none."""
        shown = self.show(self.server(networks="none", **more), token="admin")
        if shown["status"] == "ERROR":
            return str(shown["fault"]["message"])
        return str(shown["OS-EXT-SRV-ATTR:host"])


def rules(**scheduler: Any) -> dict[str, Any]:
    return {"compute": {"scheduler": scheduler}}


@pytest.fixture
def make() -> Iterator[Callable[..., Cloud]]:
    made: list[Cloud] = []

    def new(**more: Any) -> Cloud:
        made.append(Cloud(**more))
        return made[-1]

    yield new
    for cloud in made:
        cloud.close()


@pytest.fixture
def cloud(make: Callable[..., Cloud]) -> Cloud:
    return make()


def test_servers_spread_over_equal_hosts(cloud: Cloud) -> None:
    assert Counter(cloud.host_of() for _ in range(6)) == {"host-1": 2, "host-2": 2, "host-3": 2}


def test_an_operator_may_fill_hosts_instead(make: Callable[..., Cloud]) -> None:
    cloud = make(sections=rules(weights={"ram": -1.0, "cpu": -1.0, "disk": -1.0}))
    assert Counter(cloud.host_of() for _ in range(4)) == {"host-1": 4}


def test_an_aggregate_has_weights_of_its_own(cloud: Cloud) -> None:
    assert cloud.host_of(token="admin", host="host-2") == "host-2"
    assert cloud.host_of() == "host-1"
    less = {f"{name}_weight_multiplier": "-1.0" for name in ("ram", "cpu", "disk")}
    cloud.aggregate("shunned", "host-3", **less)
    assert cloud.host_of() == "host-1", "the emptiest host counts against itself"


def test_traits_of_flavors_and_images(cloud: Cloud) -> None:
    cloud.give_traits("host-2", "CUSTOM_FAST")
    assert cloud.host_of(flavorRef=cloud.specs("fast", trait__CUSTOM_FAST="required")) == "host-2"
    slow = cloud.specs("slow", trait__CUSTOM_FAST="forbidden")
    assert {cloud.host_of(flavorRef=slow) for _ in range(3)} == {"host-1", "host-3"}
    fast_image = cloud.image(**{"trait:CUSTOM_FAST": "required"})
    assert cloud.host_of(imageRef=fast_image) == "host-2"
    assert "has the traits" in cloud.host_of(imageRef=fast_image, flavorRef=slow)
    reconcilers.hosts(cloud.cloud)
    assert "CUSTOM_FAST" in cloud.traits("host-2"), "what operators say of a host outlives its own words"


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ({"trait__CUSTOM_NOWHERE": "required"}, "does not know"),
        ({"trait__HW_CPU_X86_AVX": "maybe"}, "can be required or forbidden"),
        ({"resources__CUSTOM_GOLD": "1"}, "does not know"),
        ({"resources__VGPU": "many"}, "is no amount"),
        ({"resources__VGPU": "1"}, "no host has enough free VGPU"),
        ({"trait1__HW_CPU_X86_AVX": "required"}, "traits for a group without any"),
        ({"capabilities__vcpus": ">= 1000"}, "ComputeCapabilitiesFilter left none of 3"),
    ],
)
def test_what_a_flavor_wants_in_vain(cloud: Cloud, specs: dict[str, str], words: str) -> None:
    assert words in cloud.host_of(flavorRef=cloud.specs("odd", **specs))


def test_resources_of_extra_specs_are_taken_and_given_back(cloud: Cloud) -> None:
    """A VGPU lies with a provider below the host, as operators or drivers arrange it."""
    host = cloud.provider("host-3")
    body = {"name": "host-3-gpu", "uuid": "6b1de4ba-6c1a-4b0e-9d5f-1f2f3a4b5c6d", "parent_provider_uuid": host["uuid"]}
    cloud.place("POST", "/resource_providers", body)
    inventory = {"resource_class": "VGPU", "total": 1, "resource_provider_generation": 0}
    cloud.place("POST", f"/resource_providers/{body['uuid']}/inventories", inventory)
    gpu = cloud.specs("gpu", resources1__VGPU="1", resources__DISK_GB="0")
    id = cloud.server(networks="none", flavorRef=gpu)
    assert cloud.show(id, token="admin")["OS-EXT-SRV-ATTR:host"] == "host-3"
    held = cloud.place("GET", f"/allocations/{id}")["allocations"]
    assert {provider: one["resources"] for provider, one in held.items()} == {
        host["uuid"]: {"VCPU": 1, "MEMORY_MB": 512},
        body["uuid"]: {"VGPU": 1},
    }
    assert "VGPU" in cloud.host_of(flavorRef=gpu), "there is but one"
    assert cloud.do("DELETE", f"/servers/{id}").status == 204
    cloud.settle()
    assert cloud.host_of(flavorRef=gpu) == "host-3"


def test_zones_are_aggregates_of_placement(cloud: Cloud) -> None:
    url = cloud.aggregate("e", "host-2", zone="east")
    uuid = cloud.ok("GET", url, **ADMIN)["aggregate"]["uuid"]
    provider = cloud.provider("host-2")["uuid"]
    assert cloud.place("GET", f"/resource_providers/{provider}/aggregates")["aggregates"] == [uuid]
    assert cloud.host_of(availability_zone="east") == "host-2"
    whole = cloud.specs("whole", resources__MEMORY_MB="262144")  # host-2 has a server already
    assert "AvailabilityZoneFilter: no host with room" in cloud.host_of(availability_zone="east", flavorRef=whole)
    assert {cloud.host_of(availability_zone="nova") for _ in range(4)} == {"host-1", "host-3"}
    cloud.place("PUT", f"/resource_providers/{provider}/aggregates", {
        "aggregates": [], "resource_provider_generation": cloud.provider("host-2")["generation"]})  # fmt: skip
    reconcilers.hosts(cloud.cloud)
    assert cloud.place("GET", f"/resource_providers/{provider}/aggregates")["aggregates"] == [uuid]


def test_a_host_with_servers_does_not_join_a_zone(cloud: Cloud) -> None:
    id = cloud.server(networks="none", token="admin", host="host-1")
    url = cloud.aggregate("e", "host-2", zone="east")
    assert cloud.do("POST", f"{url}/action", {"add_host": {"host": "host-1"}}, **ADMIN).status == 409
    plain = cloud.aggregate("plain")
    assert cloud.do("POST", f"{plain}/action", {"add_host": {"host": "host-1"}}, **ADMIN).status == 200
    rezone = {"set_metadata": {"metadata": {"availability_zone": "west"}}}
    assert cloud.do("POST", f"{plain}/action", rezone, **ADMIN).status == 409
    cloud.do("DELETE", f"/servers/{id}", **ADMIN)
    cloud.settle()
    assert cloud.do("POST", f"{plain}/action", rezone, **ADMIN).status == 200
    assert cloud.do("POST", f"{url}/action", {"add_host": {"host": "host-1"}}, **ADMIN).status == 409, "west already"


def test_a_disabled_host_shows_it_to_placement(cloud: Cloud) -> None:
    services = {s["host"]: s["id"] for s in cloud.ok("GET", "/os-services", **ADMIN)["services"]}
    url = f"/os-services/{services['host-1']}"
    cloud.ok("PUT", url, {"status": "disabled", "disabled_reason": "tea"}, **ADMIN)
    assert "COMPUTE_STATUS_DISABLED" in cloud.traits("host-1")
    assert {cloud.host_of() for _ in range(4)} == {"host-2", "host-3"}
    reconcilers.hosts(cloud.cloud)
    assert "COMPUTE_STATUS_DISABLED" in cloud.traits("host-1")
    cloud.ok("PUT", url, {"status": "enabled"}, **ADMIN)
    assert "COMPUTE_STATUS_DISABLED" not in cloud.traits("host-1")
    assert cloud.host_of() == "host-1"


def test_a_silent_or_forced_down_host_gets_nothing(cloud: Cloud) -> None:
    id = cloud.server(networks="none", token="admin", host="host-1")
    assert cloud.show(id, token="admin")["host_status"] == "UP"
    silent = cloud.hosts.there.pop("host-1")
    cloud.clock.now += 61
    reconcilers.hosts(cloud.cloud)
    assert cloud.show(id, token="admin")["host_status"] == "UNKNOWN"
    assert {cloud.host_of() for _ in range(3)} == {"host-2", "host-3"}
    states = {s["host"]: s["state"] for s in cloud.ok("GET", "/os-services", **ADMIN)["services"]}
    assert states["host-1"] == "down"
    cloud.hosts.there["host-1"] = silent
    reconcilers.hosts(cloud.cloud)
    assert cloud.host_of() == "host-1"
    services = {s["host"]: s["id"] for s in cloud.ok("GET", "/os-services", **ADMIN)["services"]}
    cloud.ok("PUT", f"/os-services/{services['host-1']}", {"forced_down": True}, **ADMIN)
    assert cloud.show(id, token="admin")["host_status"] == "DOWN"
    assert {cloud.host_of() for _ in range(3)} == {"host-2", "host-3"}


def test_a_clock_that_jumps_ahead_makes_no_host_silent(cloud: Cloud) -> None:
    """Not before somebody has looked: a machine that slept has heard of nobody."""
    id = cloud.server(networks="none", token="admin", host="host-1")
    cloud.cloud.last_round = cloud.clock()
    cloud.clock.now += 2400
    assert cloud.show(id, token="admin")["host_status"] == "UP"
    assert {s["state"] for s in cloud.ok("GET", "/os-services", **ADMIN)["services"]} == {"up"}
    assert {cloud.host_of() for _ in range(6)} == {"host-1", "host-2", "host-3"}
    del cloud.hosts.there["host-1"]
    reconcilers.hosts(cloud.cloud)
    cloud.cloud.last_round = cloud.clock()
    assert cloud.show(id, token="admin")["host_status"] == "UNKNOWN"
    assert {cloud.host_of() for _ in range(3)} == {"host-2", "host-3"}


def test_an_operators_inventory_stays(cloud: Cloud) -> None:
    provider = cloud.provider("host-1")
    url = f"/resource_providers/{provider['uuid']}/inventories/VCPU"
    body = {"total": 64, "reserved": 60, "max_unit": 64, "allocation_ratio": 1.0,
            "resource_provider_generation": provider["generation"]}  # fmt: skip
    cloud.place("PUT", url, body)
    cloud.hosts.there["host-1"][0]._facts = msgspec.structs.replace(FACTS, hostname="host-1", vcpus=62)  # type: ignore[attr-defined]
    reconcilers.hosts(cloud.cloud)
    found = cloud.place("GET", url)
    assert (found["total"], found["reserved"], found["allocation_ratio"], found["max_unit"]) == (62, 60, 1.0, 62)


def test_a_provider_that_somebody_removed_comes_back(cloud: Cloud) -> None:
    cloud.place("DELETE", f"/resource_providers/{cloud.provider('host-1')['uuid']}")
    assert {cloud.host_of() for _ in range(3)} == {"host-2", "host-3"}
    reconcilers.hosts(cloud.cloud)
    assert cloud.host_of() == "host-1"


def test_projects_with_aggregates_of_their_own(make: Callable[..., Cloud]) -> None:
    cloud = make(sections=rules(limit_tenants_to_placement_aggregate=True))
    cloud.aggregate("theirs", "host-3", filter_tenant_id="p1")
    assert {cloud.host_of() for _ in range(3)} == {"host-3"}


def test_projects_without_aggregates_of_their_own(make: Callable[..., Cloud]) -> None:
    strict = rules(limit_tenants_to_placement_aggregate=True, placement_aggregate_required_for_tenants=True)
    assert "no aggregate is for this project" in make(sections=strict).host_of()


def test_aggregates_for_flavors_with_their_traits(make: Callable[..., Cloud]) -> None:
    cloud = make(sections=rules(enable_isolated_aggregate_filtering=True))
    for host in ("host-1", "host-2", "host-3"):
        cloud.give_traits(host, "CUSTOM_LICENSED")
    cloud.aggregate("licensed", "host-2", **{"trait:CUSTOM_LICENSED": "required"})
    assert {cloud.host_of() for _ in range(3)} == {"host-1", "host-3"}
    licensed = cloud.specs("licensed", trait__CUSTOM_LICENSED="required")
    assert {cloud.host_of(flavorRef=licensed) for _ in range(3)} >= {"host-2"}


def test_filters_of_the_operators_choice(make: Callable[..., Cloud]) -> None:
    cloud = make(sections=rules(enabled_filters=["NumInstancesFilter"], max_instances_per_host=1))
    assert {cloud.host_of() for _ in range(3)} == {"host-1", "host-2", "host-3"}
    assert "NumInstancesFilter left none of 3" in cloud.host_of()


def test_what_an_operator_cannot_mean_is_told_at_once() -> None:
    for wrong in ({"enabled_filters": ["RamFilter"]}, {"host_subset_size": 0}, {"weights": {"ram": "much"}}, {"x": 1}):
        with pytest.raises(SettingsError, match="compute"):
            section(rules(**wrong), "compute", Settings)
    assert section(rules(weights={"ram": -1}), "compute", Settings).scheduler.weights.ram == -1.0


def test_traits_are_bounded() -> None:
    specs = {f"trait:CUSTOM_{n}": "required" for n in range(51)}
    server = Server(flavor={"extra_specs": specs}, image={}, vcpus=1, memory_mb=1, root_gb=1, ephemeral_gb=0, swap_mb=0)
    with pytest.raises(NoHost, match="more than 50 traits"):
        wish_of(server, lambda kind, name: True)


def test_chance_decides_among_the_best(make: Callable[..., Cloud]) -> None:
    cloud = make(sections=rules(host_subset_size=3, weights={"ram": 0.0, "cpu": 0.0, "disk": 0.0}))
    assert len({cloud.host_of() for _ in range(9)}) > 1


def fall_ill(cloud: Cloud, *hosts: str) -> Callable[[], None]:
    """Hosts that start no guest; what is returned makes them well."""

    def no(point: str) -> None:
        if point.startswith("ensure_running"):
            raise Refused("the host is ill")

    hypervisors: list[Any] = [cloud.hosts.there[host][0] for host in hosts]
    well = [hypervisor._fate for hypervisor in hypervisors]
    for hypervisor in hypervisors:
        hypervisor._fate = no

    def heal() -> None:
        for hypervisor, fate in zip(hypervisors, well, strict=True):
            hypervisor._fate = fate

    return heal


def try_long(cloud: Cloud) -> None:
    for _ in range(40):
        cloud.clock.now += 20
        reconcilers.hosts(cloud.cloud)
        reconcilers.guests(cloud.cloud)
        cloud.settle()


def holds(cloud: Cloud, id: str) -> bool:
    """Whether the server has room anywhere."""
    return bool(cloud.ask("GET", f"/placement/allocations/{id}", "admin").json["allocations"])


def test_what_a_host_refuses_is_built_on_another(cloud: Cloud) -> None:
    heal = fall_ill(cloud, "host-1")
    id = cloud.server()
    try_long(cloud)
    assert (cloud.states(id)[0], cloud.where(id)) == ("ACTIVE", "host-2")
    assert {name: set(world.guests) for name, world in cloud.worlds.items()} == {"host-1": set(), "host-2": {id}, "host-3": set()}
    assert [port["binding:host_id"] for port in cloud.ports(id)] == ["host-2"]
    assert cloud.plugs("host-1").plugged() == frozenset()
    assert cloud.failed_builds() == {"host-1": 1, "host-2": 0, "host-3": 0}
    heal()
    assert {cloud.host_of() for _ in range(5)} == {"host-2", "host-3"}
    assert cloud.host_of(token="admin", host="host-1") == "host-1"
    assert cloud.failed_builds() == {"host-1": 0, "host-2": 0, "host-3": 0}


@pytest.mark.parametrize(
    ("most", "asked", "tried"),
    [(3, {}, ["host-1", "host-2", "host-3"]), (2, {}, ["host-1", "host-2"]), (3, {"host": "host-2"}, ["host-2"])],
)
def test_what_all_refuse_is_on_no_host_and_has_no_room(
    make: Callable[..., Cloud], most: int, asked: dict[str, str], tried: list[str]
) -> None:
    cloud = make(sections=rules(max_attempts=most))
    fall_ill(cloud, "host-1", "host-2", "host-3")
    id = cloud.server(token="admin", **asked)
    try_long(cloud)
    shown = cloud.show(id, token="admin")
    assert (shown["status"], "the host is ill" in shown["fault"]["message"]) == ("ERROR", True)
    assert (shown["OS-EXT-SRV-ATTR:host"], holds(cloud, id)) == (None, False)
    assert [port["binding:host_id"] for port in cloud.ports(id)] == [""]
    assert all(world.guests == {} for world in cloud.worlds.values())
    assert [host for host, n in sorted(cloud.failed_builds().items()) if n] == tried
    assert cloud.do("DELETE", f"/servers/{id}", token="admin").status == 204
    cloud.settle()
    assert cloud.ports(id) == []


def test_what_a_silent_host_still_has_goes_when_it_answers_again(cloud: Cloud) -> None:
    fall_ill(cloud, "host-1")
    id = cloud.server()
    assert set(cloud.worlds["host-1"].guests) == {id}  # its disks
    silent = cloud.hosts.there.pop("host-1")
    try_long(cloud)
    assert (cloud.states(id)[0], cloud.where(id)) == ("ACTIVE", "host-2")
    cloud.hosts.there["host-1"] = silent
    try_long(cloud)
    assert cloud.worlds["host-1"].guests == {}
    assert cloud.plugs("host-1").plugged() == frozenset()


def test_hints_know_only_the_projects_own_servers(cloud: Cloud) -> None:
    mine = cloud.server(networks="none", token="admin", host="host-2")
    body = cloud.body(networks="none")
    body["os:scheduler_hints"] = {"same_host": mine}
    reply = cloud.do("POST", "/servers", body)
    cloud.settle()
    assert "SameHostFilter" in cloud.show(reply.json["server"]["id"])["fault"]["message"]


# --- none is overbooked -------------------------------------------------------------------------------------------------


SMALL = msgspec.structs.replace(FACTS, vcpus=2, cpu_allocation_ratio=1.0)


@pytest.fixture
def racing(tmp_path: Path) -> Iterator[ComputeCloud]:
    """A cloud of four hosts with room for two servers each, whose database takes real turns."""
    cloud = ComputeCloud(database=side_by_side(tmp_path))
    cloud.hosts.there.clear()
    for n in range(1, 5):
        cloud.add_host(f"small-{n}", SMALL)
    cloud.furnish()
    cloud.clock.now += 30  # host-1 of the class is silent
    with cloud.cloud.database.write() as session:
        session.execute(update(ComputeHost).where(ComputeHost.name == "host-1").values(disabled=True))
    reconcilers.hosts(cloud.cloud)
    yield cloud
    cloud.close()


def race(cloud: ComputeCloud, count: int, **hints: Any) -> list[dict[str, Any]]:
    """Let four engines schedule so many servers at once; the servers."""
    cloud.ok("PUT", "/os-quota-sets/p1", {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}, **ADMIN)
    body = cloud.body(networks="none", max_count=count, min_count=count)
    body["os:scheduler_hints"] = hints
    assert cloud.do("POST", "/servers", body).status == 202
    engines = [Engine(cloud.cloud, f"engine-{n}") for n in range(4)]
    for _ in range(3):  # a close race is run again
        threads = [threading.Thread(target=engine.run_until_idle) for engine in engines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cloud.clock.now += 5
    return list(cloud.ok("GET", "/servers/detail?all_tenants=1", **ADMIN)["servers"])


def test_many_schedulers_never_overbook(racing: ComputeCloud) -> None:
    servers = race(racing, 12)
    assert Counter(one["status"] for one in servers) == {"ACTIVE": 8, "ERROR": 4}
    assert all("ComputeFilter left none of 1" in one["fault"]["message"] for one in servers if one["status"] == "ERROR")
    there = Counter(one["OS-EXT-SRV-ATTR:host"] for one in servers if one["status"] == "ACTIVE")
    assert there == {f"small-{n}": 2 for n in range(1, 5)}
    with racing.cloud.database.read() as session:
        held = select(Allocation.provider_id, Allocation.resource_class, func.sum(Allocation.used)).group_by(
            Allocation.provider_id, Allocation.resource_class
        )
        counted = {(p, c): int(n) for p, c, n in session.execute(held)}
        kept = session.execute(select(Inventory.provider_id, Inventory.resource_class, Inventory.used))
        assert {(p, c): n for p, c, n in kept if n} == counted


def test_many_schedulers_keep_members_apart(racing: ComputeCloud) -> None:
    group = racing.ok("POST", "/os-server-groups", {"server_group": {"name": "g", "policy": "anti-affinity"}})
    servers = race(racing, 6, group=group["server_group"]["id"])
    there = [one["OS-EXT-SRV-ATTR:host"] for one in servers if one["status"] == "ACTIVE"]
    assert sorted(there) == [f"small-{n}" for n in range(1, 5)]
    assert Counter(one["status"] for one in servers) == {"ACTIVE": 4, "ERROR": 2}


def test_many_schedulers_keep_members_together(racing: ComputeCloud) -> None:
    group = racing.ok("POST", "/os-server-groups", {"server_group": {"name": "g", "policy": "affinity"}})
    servers = race(racing, 4, group=group["server_group"]["id"])
    there = {one["OS-EXT-SRV-ATTR:host"] for one in servers if one["status"] == "ACTIVE"}
    assert len(there) == 1
    assert Counter(one["status"] for one in servers) == {"ACTIVE": 2, "ERROR": 2}
