"""What a controller looks at that does not lead: its own hosts, and machines of which nobody has heard."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from host.machines import Controllers
from host.test_moves import boot
from tiffin.services.compute import lookouts, reconcilers
from tiffin.services.compute.tables import ComputeHost, HostAgent
from tiffin.services.image.reconcilers import keep_caches, keep_own_caches

QUIET = 20.0
"""Seconds after which nobody has heard of a machine for long, where it counts as down after 60."""


def seen(cloud: Controllers) -> dict[str, float]:
    """How long ago each host was heard of."""
    with cloud.cloud.database.read() as session:
        rows = session.execute(select(ComputeHost.name, ComputeHost.seen_at))
        return {name: cloud.clock.now - at for name, at in rows}


def test_its_own_hosts_are_heard_of_and_compared(cloud: Controllers) -> None:
    id = cloud.server()
    cloud.host("east")
    cloud.worlds["host-1"].power_off_inside(id)
    cloud.clock.now += 50.0
    lookouts.own_hosts(cloud.cloud)
    cloud.settle()
    assert seen(cloud) == {"host-1": 0.0, "east": 50.0}
    assert cloud.states(id) == ("SHUTOFF", "stopped", None, 4)


def test_guests_of_others_are_not_its_affair(cloud: Controllers) -> None:
    cloud.host("east")
    id = boot(cloud, "east")
    cloud.worlds["east"].power_off_inside(id)
    lookouts.own_hosts(cloud.cloud)
    cloud.settle()
    assert cloud.states(id)[0] == "ACTIVE"
    reconcilers.guests(cloud.cloud)
    cloud.settle()
    assert cloud.states(id)[0] == "SHUTOFF"


@pytest.mark.parametrize(("ago", "tried"), [(QUIET - 1, False), (QUIET + 1, True)])
def test_a_machine_is_tried_of_which_nobody_has_heard(cloud: Controllers, ago: float, tried: bool) -> None:
    cloud.host("east")
    cloud.clock.now += ago
    lookouts.silent_hosts(cloud.cloud)
    assert seen(cloud) == {"host-1": ago, "east": 0.0 if tried else ago}


def test_a_machine_that_does_not_answer_here_either_goes_down(cloud: Controllers) -> None:
    cloud.host("east").stop()
    cloud.clock.now += 61.0
    lookouts.silent_hosts(cloud.cloud)
    assert seen(cloud)["east"] == 61.0
    listed = cloud.ok("GET", "/os-services?host=east", token="admin")["services"]
    assert [one["state"] for one in listed] == ["down"]


def test_one_among_many_that_are_dead_is_found(cloud: Controllers) -> None:
    cloud.host("s-east")
    with cloud.cloud.database.write() as session:
        (east,) = session.scalars(select(HostAgent))
        columns = {column.name: getattr(east, column.name) for column in HostAgent.__table__.columns}
        for n in range(20):
            session.add(HostAgent(**{**columns, "name": f"{'b' if n % 2 else 't'}-{n}", "address": "127.0.0.1:1"}))
    cloud.joined._read_at = -1e9
    for _ in range(11):
        cloud.clock.now += 10.0
        lookouts.silent_hosts(cloud.cloud)
    assert seen(cloud)["s-east"] < 110.0


def test_each_keeps_the_caches_of_its_own_hosts(cloud: Controllers) -> None:
    cloud.host("east")
    id = cloud.image_id
    for host in ("host-1", "east"):
        cloud.do("DELETE", f"/servers/{boot(cloud, host)}", token="admin")
    cloud.settle()
    assert cloud.ask("DELETE", f"/image/v2/images/{id}", "admin").status == 204
    cloud.settle()

    def kept() -> list[str]:
        return [host for host in ("host-1", "east") if cloud.worlds[host].images.keys() & {id}]

    assert kept() == ["host-1", "east"]
    keep_own_caches(cloud.cloud)
    assert kept() == ["east"]
    keep_caches(cloud.cloud)
    assert kept() == []
