"""A data centre of five hosts under load, while calls fail, hosts are cut off, guests crash and the clock jumps."""

from __future__ import annotations

import time

from running_cloud import running_cloud
from storm import Storm, Tenant, assert_kept, kill
from world import assert_becomes, world

STATES = ("ACTIVE", "SHUTOFF", "ERROR")
"""ERROR, with a reason: of what was being built for longer than its deadline when the clock jumped."""


def test_what_was_accepted_is_kept() -> None:
    with running_cloud(simulated=True, settings="hosts = 5\n") as cloud:
        before = world(cloud)
        tenant = Tenant(cloud, "m1.nano", "tiffin-tiny")
        storms = [Storm(tenant, seed) for seed in (1, 2)]
        for storm in storms:
            storm.start()
        for words in (
            ("fail", "host-0001", "ensure_running", "3"),
            ("cut", "host-0002"),
            ("fail", "host-0003", "forget_guest", "3"),
            ("mend", "host-0002"),
            ("advance", "900"),
            ("cut", "host-0004"),
        ):
            time.sleep(0.7)
            cloud.tiffin("simulator", *words)
        kill(cloud, "cloud")  # with it goes what was cut
        assert_becomes(lambda: cloud.tiffin("simulator", "show", check=False).returncode, 0)
        time.sleep(0.7)
        cloud.tiffin("simulator", "advance", "1800")
        for storm in storms:
            storm.stop()
        assert sum(len(storm.alive) + len(storm.deleted) for storm in storms) > 5
        assert_kept(cloud, tenant, storms, STATES, patience=90)
        for one in tenant.servers().values():
            assert one["status"] != "ERROR" or one["fault"]["message"]
            tenant.delete_server(one["id"])
        assert_becomes(tenant.ports, [], patience=60)
        tenant.remove_network()
        assert_becomes(lambda: world(cloud), before, patience=60)
