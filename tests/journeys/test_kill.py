"""kill -9 in the middle of work, on the simulator: what was accepted is kept, once.

A simulated cloud's guests live in the memory of its process and die with it: then a server is SHUTOFF, as after its
host has lost power. That it exists, its port, its address and its allocation are kept all the same.
"""

from __future__ import annotations

import time

from running_cloud import RunningCloud, running_cloud
from storm import Storm, Tenant, assert_kept, kill
from world import assert_becomes, processes_of, world


def test_what_was_accepted_is_kept_through_kill_9() -> None:
    with running_cloud(simulated=True) as cloud:
        before = world(cloud)
        tenant = Tenant(cloud, "m1.nano", "tiffin-tiny")
        storms = [Storm(tenant, seed) for seed in (1, 2)]
        for storm in storms:
            storm.start()
        for pause in (0.3, 0.05, 0.7, 0.2, 0.5):
            time.sleep(pause)
            kill(cloud, "cloud")
        _kill_supervisor(cloud)
        kill(cloud, "cloud")
        time.sleep(0.5)
        for storm in storms:
            storm.stop()
        assert sum(len(storm.alive) + len(storm.deleted) for storm in storms) > 5
        assert_kept(cloud, tenant, storms, ("ACTIVE", "SHUTOFF"), patience=30)
        for id in set().union(*(storm.alive for storm in storms)):
            tenant.delete_server(id)
        assert_becomes(tenant.ports, [])
        tenant.remove_network()
        assert_becomes(lambda: world(cloud), before)


def _kill_supervisor(cloud: RunningCloud) -> None:
    """The worker dies with the process that holds the socket; `up` starts both again."""
    time.sleep(0.3)
    kill(cloud, "supervisor")
    assert_becomes(lambda: [pid for pid, command in processes_of(cloud.home) if b"tiffin.server" in command], [])
    cloud.tiffin("up")
