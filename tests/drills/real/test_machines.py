"""Two machines under load, while the agent of one and its network's daemons are killed, and while it is cut off."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drills.real.drill import again, end, load, real_cloud
from real.test_two_machines import OtherMachine, hosts
from running_cloud import RunningCloud
from world import assert_becomes

pytestmark = pytest.mark.real
HERE, THERE = "198.18.78.1", "198.18.78.2"  # of RFC 2544's block
DOOR = f"{HERE}:8443"
CUT_OFF = 6.0
"""Seconds for which a machine is cut off."""


@pytest.fixture(scope="module")
def machines() -> Iterator[tuple[RunningCloud, OtherMachine]]:
    other = OtherMachine(HERE, THERE)
    wires = f'[compute.machines]\nlisten = "{DOOR}"\nunderlay = "{other.cable}=10.99.77.1/24"\n'
    try:
        with real_cloud(tables=wires) as cloud:
            word = cloud.tiffin("host", "token").stdout.strip()
            words = ("--listen", f"{THERE}:8443", "--token", word, "--name", "other")
            other.tiffin("host", "join", DOOR, *words, "--underlay", f"{other.cable_far}=10.99.77.2/24")
            assert_becomes(lambda: hosts(cloud).get("other"), "up", patience=60)
            yield cloud, other
            other.tiffin("host", "leave")
    finally:
        other.remove()


def pid(file: Path) -> int:
    return int(file.read_text())


def test_an_agent(machines: tuple[RunningCloud, OtherMachine]) -> None:
    """Its guests run on; when a person has started it again, all goes on but what was tried for too long."""
    cloud, other = machines
    with load(cloud, other.home) as drill:

        def trouble() -> None:
            os.kill(pid(other.home / "run/agent.pid"), signal.SIGKILL)
            time.sleep(1.0)
            other.tiffin("host", "start")

        again(trouble)
        errors = end(drill).errors
        assert all("does not answer" in why for why in errors), errors


@pytest.mark.parametrize("role", ["conf-db", "vswitchd", "ovn-controller"])
def test_a_daemon_of_its_network(machines: tuple[RunningCloud, OtherMachine], role: str) -> None:
    """The agent starts it again."""
    cloud, other = machines
    file = other.home / f"ovn/chassis/{role}.pid"
    with load(cloud, other.home) as drill:

        def trouble() -> None:
            before = pid(file)
            os.kill(before, signal.SIGKILL)
            assert_becomes(lambda: pid(file) != before, True, patience=10)

        again(trouble)
        assert end(drill).errors == []


def test_a_machine_that_is_cut_off(machines: tuple[RunningCloud, OtherMachine]) -> None:
    """Its guests run on; what was asked of them is done when it is back, or has failed with a reason."""
    cloud, other = machines
    with load(cloud, other.home) as drill:

        def wires(state: str) -> None:
            for name in (other.near, other.cable):
                where = [] if name == other.near else ["-n", _switch_of(cloud)]
                subprocess.run(["ip", *where, "link", "set", name, state], check=True)

        def trouble() -> None:
            wires("down")
            time.sleep(CUT_OFF)
            wires("up")

        again(trouble)
        errors = end(drill, patience=120).errors
        assert all("does not answer" in why for why in errors), errors


def _switch_of(cloud: RunningCloud) -> str:
    """The namespace of the switch, which has taken the underlay's cable."""
    from tiffin.core.settings import load as settings_of

    return f"{settings_of(cloud.home).tag}-hv"
