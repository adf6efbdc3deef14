"""A cloud of two hosts, between which a guest takes a while, and the words of its tests."""

from __future__ import annotations

from typing import Any

from api.compute.conftest import ComputeCloud
from api.compute.test_moves import at, held, moves, other, where_real
from tiffin.services.compute import reconcilers
from tiffin.simulator.hypervisor import Timing
from tiffin.simulator.world import Troubles

LIVE: dict[str, Any] = {"host": None, "block_migration": "auto"}


class LiveCloud(ComputeCloud):
    __test__ = False

    def __init__(self) -> None:
        self.troubles = Troubles()
        super().__init__(timing=Timing(migration=30.0), fate=self.troubles)
        self.furnish()
        self.add_host("host-2", timing=Timing(migration=30.0), fate=self.troubles)


def go(cloud: ComputeCloud, id: str, body: dict[str, Any] = LIVE, *, token: str = "admin", **more: str) -> Any:
    return cloud.act(id, "os-migrateLive", body, token=token, **more)


def arrive(cloud: ComputeCloud) -> None:
    cloud.settle()
    cloud.clock.now += 31.0
    reconcilers.hosts(cloud.cloud)
    cloud.settle()


def under_way(cloud: ComputeCloud, id: str, *, token: str = "admin", v: str = "compute 2.104") -> list[dict[str, Any]]:
    return list(cloud.ok("GET", f"/servers/{id}/migrations", token=token, at=v)["migrations"])


def one(cloud: ComputeCloud, id: str) -> dict[str, Any]:
    (found,) = under_way(cloud, id)
    return found


def check_stayed(cloud: ComputeCloud, id: str, status: str, word: str) -> None:
    """It runs where it was, nothing of it is anywhere else, and the reason is told."""
    cloud.settle()
    assert cloud.states(id) == ("ACTIVE", "active", None, 1)
    here = at(cloud, id)
    assert where_real(cloud, id) == {here: "running"}
    assert cloud.worlds[here].guests[id].departure is None
    assert held(cloud)["INSTANCE", here] == 1
    assert "MIGRATION" not in {kind for kind, _ in held(cloud)}
    assert cloud.plugs(other(here)).plugged() | cloud.plugs(other(here)).metadata_networks() == frozenset()
    assert moves(cloud)[0]["status"] == status
    listed = cloud.ok("GET", f"/servers/{id}/os-instance-actions", token="admin")["instanceActions"]
    request = next(a["request_id"] for a in listed if a["action"] == "live-migration")
    event = cloud.ok("GET", f"/servers/{id}/os-instance-actions/{request}", token="admin")["instanceAction"]["events"][0]
    assert (event["result"], word in event["details"]) == ("Error", True), event
