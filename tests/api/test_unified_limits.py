"""Quotas of compute, network and image by the unified limits that the identity service keeps."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import event

from api.compute.conftest import SERVICES, ComputeCloud
from databases import side_by_side
from tiffin.core.cloud import ServiceRef
from tiffin.core.database import Database
from tiffin.core.http import app
from tiffin.core.http.local import LocalClient, Reply
from tiffin.core.quota import UnifiedLimits
from tiffin.core.world import World
from tiffin.services.identity.public import Identity, IdentitySettings, KeptLimits, Keys
from tiffin.services.identity.settings import ShareSettings
from tiffin.services.identity.tables import Epoch, Project, Region

IDENTITY = ServiceRef("identity", "/identity", "tiffin.services.identity.service")
UNIFIED = {"quotas": "unified"}
NETWORK = {"network": {"name": "n"}}


class LimitedCloud(ComputeCloud):
    """The projects p1 and p2 are in the domain D; `limits` are registered when it begins, by service and name."""

    __test__ = False

    def __init__(self, folder: Path, *, model: str = "flat", database: Database | None = None) -> None:
        kept = dict.fromkeys(("compute", "network", "image"), UNIFIED)
        super().__init__(services=(IDENTITY, *SERVICES), sections=kept, database=database)
        shares = msgspec.convert({"enforcement_model": model}, ShareSettings)
        self.cloud.add(Identity, Identity(Keys(folder), World(clock=self.clock), IdentitySettings(shares=shares)))
        self.cloud.add(UnifiedLimits, KeptLimits("RegionOne", model))
        self.service_ids: dict[str, str] = {}
        with self.cloud.database.write() as session:
            session.add(Epoch(id=1, value=1))
            session.add_all(Region(id=id, description="", parent_region_id=None) for id in ("RegionOne", "west"))
            session.add(_project("D", None))
            session.flush()
            session.add_all(_project(id, "D") for id in ("p1", "p2"))

    def identity(self, method: str, path: str, json: Any = None) -> Reply:
        reply = self.ask(method, f"/identity/v3{path}", "admin", json)
        assert reply.status < 300, reply.body
        return reply

    def _service(self, type: str) -> str:
        if type not in self.service_ids:
            made = self.identity("POST", "/services", {"service": {"type": type}}).json["service"]
            self.service_ids[type] = made["id"]
        return self.service_ids[type]

    def register(self, type: str, **names: int) -> None:
        """Registered limits; `__` stands for the colon in a name."""
        for name, most in names.items():
            self.registered(type, name.replace("__", ":"), most)

    def registered(self, type: str, name: str, most: int, **fields: Any) -> str:
        wanted = {"service_id": self._service(type), "resource_name": name, "default_limit": most, **fields}
        reply = self.identity("POST", "/registered_limits", {"registered_limits": [wanted]})
        return str(reply.json["registered_limits"][0]["id"])

    def limit(self, type: str, name: str, owner: str, most: int) -> str:
        key = "domain_id" if owner == "D" else "project_id"
        wanted = {"service_id": self._service(type), "resource_name": name, "resource_limit": most, key: owner}
        return str(self.identity("POST", "/limits", {"limits": [wanted]}).json["limits"][0]["id"])

    def make_network(self, token: str = "member") -> int:
        return self.ask("POST", "/network/v2.0/networks", token, NETWORK).status

    def boot(self, token: str = "member", **more: Any) -> int:
        return self.do("POST", "/servers", self.body(**more), token=token).status


def _project(id: str, domain: str | None) -> Project:
    return Project(
        id=id, name=id, domain_id=domain, parent_id=domain, is_domain=domain is None, enabled=True, description=""
    )


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LimitedCloud]:
    made = LimitedCloud(tmp_path / "keys")
    yield made
    made.close()


@pytest.fixture
def booting(cloud: LimitedCloud) -> LimitedCloud:
    """With no limit on what a server needs beside compute."""
    cloud.register("network", network=-1, subnet=-1, port=-1, security_group=-1, security_group_rule=-1)
    cloud.register("image", image_count_total=-1, image_count_uploading=-1, image_size_total=-1)
    cloud.furnish()
    return cloud


def test_what_is_not_registered_may_not_be_had(cloud: LimitedCloud) -> None:
    assert cloud.make_network() == 409
    id = cloud.registered("network", "network", 1)
    assert [cloud.make_network(), cloud.make_network(), cloud.make_network("other")] == [201, 409, 201]
    cloud.identity("PATCH", f"/registered_limits/{id}", {"registered_limit": {"default_limit": 2}})
    assert [cloud.make_network(), cloud.make_network()] == [201, 409]
    cloud.identity("DELETE", f"/registered_limits/{id}")
    assert cloud.make_network() == 409


def test_a_project_may_have_its_own(cloud: LimitedCloud) -> None:
    cloud.register("network", network=0)
    id = cloud.limit("network", "network", "p1", 1)
    assert [cloud.make_network(), cloud.make_network(), cloud.make_network("other")] == [201, 409, 409]
    cloud.identity("PATCH", f"/limits/{id}", {"limit": {"resource_limit": -1}})
    assert [cloud.make_network(), cloud.make_network()] == [201, 201]


def test_the_limits_of_our_region_come_first(cloud: LimitedCloud) -> None:
    cloud.registered("network", "network", 5, region_id="west")
    assert cloud.make_network() == 409
    cloud.registered("network", "network", 1)
    assert [cloud.make_network(), cloud.make_network()] == [201, 409]
    cloud.registered("network", "network", 2, region_id="RegionOne")
    assert [cloud.make_network(), cloud.make_network()] == [201, 409]


def test_the_quota_api_of_network_shows_them(cloud: LimitedCloud) -> None:
    cloud.register("network", network=3, port=-1)
    cloud.limit("network", "network", "p1", 4)
    path = "/network/v2.0/quotas/p1"
    shown = cloud.ask("GET", path, "admin").json["quota"]
    assert (shown["network"], shown["port"], shown["subnet"]) == (4, -1, 0)
    assert cloud.ask("GET", f"{path}/default", "admin").json["quota"]["network"] == 3
    changed = cloud.ask("PUT", path, "admin", {"quota": {"network": 100}})
    assert (changed.status, changed.json["quota"]["network"]) == (200, 4)
    details = cloud.ask("GET", f"{path}/details", "admin").json["quota"]["network"]
    assert details == {"limit": 4, "used": 0, "reserved": 0}


def test_image_reads_them(cloud: LimitedCloud) -> None:
    cloud.register("image", image_count_total=2, image_count_uploading=1, image_size_total=1)
    image = {"name": "i", "disk_format": "raw", "container_format": "bare"}

    def make() -> Reply:
        return cloud.ask("POST", "/image/v2/images", "member", image)

    id = make().json["id"]
    assert [make().status, make().status] == [201, 413]

    def upload(size: int) -> int:
        headers = {"X-Auth-Token": "member", "Content-Type": "application/octet-stream"}
        return cloud.client.request("PUT", f"/image/v2/images/{id}/file", headers=headers, body=bytes(size)).status

    assert [upload((1 << 20) + 1), upload(1 << 20)] == [413, 204]
    usage = cloud.ask("GET", "/image/v2/info/usage", "member").json["usage"]
    assert usage["image_count_total"] == {"limit": 2, "usage": 2}
    assert usage["image_stage_total"] == {"limit": 0, "usage": 0}


def test_servers(booting: LimitedCloud) -> None:
    """Of what compute counts only `servers` must be registered; the rest is bounded where it is."""
    assert booting.boot() == 403
    booting.register("compute", servers=3)
    assert booting.boot() == 202
    booting.register("compute", class__VCPU=2)
    assert [booting.boot(), booting.boot()] == [202, 403]
    booting.limit("compute", "class:VCPU", "p1", 10)
    booting.register("compute", class__MEMORY_MB=1024)
    assert booting.boot() == 403
    booting.limit("compute", "class:MEMORY_MB", "p1", -1)
    booting.register("compute", class__DISK_GB=2)
    assert booting.boot() == 403
    booting.limit("compute", "class:DISK_GB", "p1", 3)
    assert [booting.boot(), booting.boot()] == [202, 403]


def test_what_a_request_may_hold(booting: LimitedCloud) -> None:
    """Registered only: a project's own limit of these means nothing, as upstream."""
    booting.register("compute", servers=9, server_metadata_items=1, server_key_pairs=1, server_groups=1)
    booting.register("compute", server_group_members=1)
    for name in ("server_metadata_items", "server_key_pairs", "server_groups", "server_group_members"):
        booting.limit("compute", name, "p1", 9)
    assert booting.boot(metadata={"a": "1", "b": "2"}) == 403
    assert booting.boot(metadata={"a": "1"}) == 202
    keys = [booting.do("POST", "/os-keypairs", {"keypair": {"name": name}}, at="compute 2.2").status for name in "kl"]
    assert keys == [201, 403]
    group = {"server_group": {"name": "g", "policy": "soft-affinity"}}
    made = [booting.do("POST", "/os-server-groups", group) for _ in range(2)]
    assert [reply.status for reply in made] == [200, 403]
    hint = {"group": made[0].json["server_group"]["id"]}
    body = {**booting.body(), "os:scheduler_hints": hint}
    assert [booting.do("POST", "/servers", body).status for _ in range(2)] == [202, 403]


def test_the_quota_api_of_compute_shows_them(booting: LimitedCloud) -> None:
    booting.register("compute", servers=3, class__VCPU=8, server_key_pairs=5)
    booting.limit("compute", "servers", "p1", 4)
    shown = booting.ok("GET", "/os-quota-sets/p1")["quota_set"]
    assert (shown["instances"], shown["cores"], shown["ram"], shown["key_pairs"]) == (4, 8, -1, 5)
    assert "disk" not in shown
    assert booting.ok("GET", "/os-quota-sets/p1/defaults")["quota_set"]["instances"] == 3
    assert booting.ok("GET", "/os-quota-class-sets/default", token="admin")["quota_class_set"]["cores"] == 8
    changed = booting.ok("PUT", "/os-quota-sets/p1", {"quota_set": {"instances": 100}}, token="admin")
    assert changed["quota_set"]["instances"] == 4
    assert booting.do("DELETE", "/os-quota-sets/p1", token="admin").status == 202
    absolute = booting.ok("GET", "/limits")["limits"]["absolute"]
    assert (absolute["maxTotalInstances"], absolute["maxTotalCores"]) == (4, 8)
    assert booting.ok("GET", "/os-quota-sets/p1/detail")["quota_set"]["instances"] == {
        "in_use": 0, "limit": 4, "reserved": 0,
    }  # fmt: skip


# --- trees -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[LimitedCloud]:
    made = LimitedCloud(tmp_path / "keys", model="strict_two_level")
    yield made
    made.close()


def test_the_projects_of_a_domain_share_its_limit(strict: LimitedCloud) -> None:
    strict.register("network", network=2)
    assert [strict.make_network(token) for token in ("member", "other", "member")] == [201, 201, 409]
    id = strict.limit("network", "network", "D", 4)
    strict.limit("network", "network", "p1", 3)
    assert [strict.make_network() for _ in range(3)] == [201, 201, 409]  # p1 has its three, and D its four
    assert strict.make_network("other") == 409
    strict.identity("PATCH", f"/limits/{id}", {"limit": {"resource_limit": -1}})
    assert [strict.make_network("other"), strict.make_network("other")] == [201, 409]  # p2 has the registered two


def test_what_is_below_a_project_counts_for_it(strict: LimitedCloud) -> None:
    with strict.cloud.database.write() as session:
        session.get_one(Project, "p2").parent_id = "p1"
    strict.register("network", network=5)
    strict.limit("network", "network", "p1", 2)
    assert [strict.make_network(token) for token in ("member", "other", "other", "member")] == [201, 201, 409, 409]
    shown = strict.ask("GET", "/network/v2.0/quotas/p1/details", "admin").json["quota"]["network"]
    assert shown == {"limit": 2, "used": 1, "reserved": 0}


# --- many at once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["flat", "strict_two_level"])
def test_requests_at_the_same_time_never_exceed_a_limit(tmp_path: Path, model: str) -> None:
    cloud = LimitedCloud(tmp_path / "keys", model=model, database=side_by_side(tmp_path))
    cloud.register("network", network=3)
    tokens = ["member", "member2"] if model == "flat" else ["member", "other"]

    def make(token: str) -> int:
        client = LocalClient(app.make(cloud.cloud, lambda detail: (200, {})))  # in a process of its own, as it were
        reply = client.request("POST", "/network/v2.0/networks", headers={"X-Auth-Token": token}, json=NETWORK)
        return reply.status

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(make, tokens * 8))
    assert sorted(statuses) == [201] * 3 + [409] * 13
    cloud.close()


def test_who_keeps_the_limits_alone_reads_no_others(tmp_path: Path) -> None:
    """One statement for the limit and one for what is used, as ever."""
    cloud, said = ComputeCloud(), []

    def hear(*args: Any) -> None:
        said.append(args[2])

    engine = cloud.cloud.database.writer
    event.listen(engine, "before_cursor_execute", hear)
    with cloud.cloud.database.write() as session:
        cloud.cloud.quotas("network").reserve(session, "network", ("p1", "p1"), 1)
    event.remove(engine, "before_cursor_execute", hear)
    cloud.close()
    assert [statement.split("\n")[0] for statement in said if "FROM" in statement] == [
        "SELECT quota_limit.hard_limit ",
        "SELECT count(*) AS count_1 ",
    ]
