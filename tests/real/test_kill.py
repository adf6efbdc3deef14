"""kill -9 of the worker in the middle of building real guests: they are adopted, and nothing is doubled or left over."""

from __future__ import annotations

import time

import pytest

from running_cloud import running_cloud, tiny
from storm import Storm, Tenant, assert_kept, kill, rows
from world import assert_becomes, guest_processes, world


@pytest.mark.real
def test_guests_and_their_networks_survive_kill_9() -> None:
    with running_cloud(simulated=False, image=tiny()) as cloud:
        world(cloud)  # a project's default security group comes to be at the first look
        assert_becomes(lambda: rows(cloud.home, "SELECT kind, step FROM lifecycle WHERE wake IS NOT NULL"), [])
        before = world(cloud)
        tenant = Tenant(cloud, "m1.nano", "tiffin-tiny")
        storm = Storm(tenant, 1, most=3)
        storm.start()
        for pause in (0.6, 0.9, 0.3):
            time.sleep(pause)
            kill(cloud, "cloud")
        storm.stop()
        assert_kept(cloud, tenant, [storm], ("ACTIVE",), patience=120)
        guests = guest_processes(cloud.home)
        assert len(guests) == len(storm.alive)
        kill(cloud, "cloud")
        assert_kept(cloud, tenant, [storm], ("ACTIVE",), patience=60)
        assert guest_processes(cloud.home) == guests
        for id in storm.alive:
            tenant.delete_server(id)
        assert_becomes(tenant.ports, [], patience=60)
        tenant.remove_network()
        assert_becomes(lambda: world(cloud), before, patience=60)
