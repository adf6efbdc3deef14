"""A data centre of three machines under load, while its agents and its controller are killed, stopped and started again.

The hosts' guests live in the memory of their agents: when one is killed its servers are SHUTOFF, as after their host has lost
power. That they exist, their ports, addresses and allocations are kept all the same, and nothing waits for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from running_cloud import ADMIN, REPOSITORY, RunningCloud, free_address, running_cloud
from storm import Storm, Tenant, assert_kept, kill
from world import assert_becomes, world

STATES = ("ACTIVE", "SHUTOFF")


class Agent:
    """Another machine of the data centre, with a state folder of its own."""

    def __init__(self, cloud: RunningCloud, home: Path, door: str) -> None:
        self.home, self.name = home, home.name
        word = cloud.tiffin("host", "token").stdout.strip()
        self.do("join", door, "--listen", free_address(), "--token", word, "--name", self.name, "--simulated")

    def do(self, *words: str) -> None:
        line = [sys.executable, "-m", "tiffin.cli", "host", *words, "--home", str(self.home)]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def signal(self, number: signal.Signals) -> None:
        os.kill(int((self.home / "run/agent.pid").read_text()), number)

    def die_and_come_back(self) -> None:
        self.signal(signal.SIGKILL)
        self.do("start")

    def be_away(self, seconds: float) -> None:
        """As a host that is cut off: it answers nothing, and then all at once."""
        self.signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.signal(signal.SIGCONT)


@pytest.fixture
def data_centre(tmp_path: Path) -> Iterator[tuple[RunningCloud, list[Agent]]]:
    door = free_address()
    agents: list[Agent] = []
    with running_cloud(simulated=True, settings=f'[compute.machines]\nlisten = "{door}"\n') as cloud:
        try:
            for name in ("second", "third"):
                agents.append(Agent(cloud, tmp_path / name, door))
            assert_becomes(lambda: len(_up(cloud)), 3, patience=60)
            yield cloud, agents
        finally:
            for agent in agents:
                agent.do("stop")


def _up(cloud: RunningCloud) -> list[str]:
    with cloud.connect(ADMIN) as admin:
        return [str(one.name) for one in admin.compute.hypervisors() if one.state == "up"]


def test_what_was_accepted_is_kept(data_centre: tuple[RunningCloud, list[Agent]]) -> None:
    cloud, (second, third) = data_centre
    before = world(cloud)
    tenant = Tenant(cloud, "m1.nano", "tiffin-tiny")
    storms = [Storm(tenant, seed) for seed in (1, 2)]
    for storm in storms:
        storm.start()
    time.sleep(1.0)
    second.die_and_come_back()
    third.be_away(3.0)
    kill(cloud, "cloud")
    time.sleep(0.5)
    third.die_and_come_back()
    second.be_away(1.0)
    kill(cloud, "cloud")
    time.sleep(1.0)
    for storm in storms:
        storm.stop()
    assert sum(len(storm.alive) + len(storm.deleted) for storm in storms) > 5
    assert_kept(cloud, tenant, storms, STATES, patience=90)
    for id in set().union(*(storm.alive for storm in storms)):
        tenant.delete_server(id)
    assert_becomes(tenant.ports, [], patience=60)
    tenant.remove_network()
    assert_becomes(lambda: world(cloud), before, patience=60)
