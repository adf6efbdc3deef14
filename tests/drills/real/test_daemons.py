"""kill -9 of each process of a real cloud on one machine, under load."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from drills.real.drill import again, end, load, real_cloud
from running_cloud import RunningCloud
from storm import kill, pid_of
from tiffin.services.compute.drivers import qemu_process
from world import assert_becomes

pytestmark = pytest.mark.real
DAEMONS = ("northd", "nb-db", "sb-db", "conf-db", "ovn-controller", "vswitchd")


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    with real_cloud() as cloud:
        yield cloud


@pytest.mark.parametrize("role", DAEMONS)
def test_a_daemon_of_the_network(cloud: RunningCloud, role: str) -> None:
    """It is started again, nothing fails, and packets find their way."""
    with load(cloud) as drill:

        def trouble() -> None:
            before = pid_of(cloud, role)
            kill(cloud, role)
            assert_becomes(lambda: pid_of(cloud, role) not in (0, before), True, patience=10)

        again(trouble)
        drill.owner.reaches_outside()
        assert end(drill).errors == []


def test_the_server_process(cloud: RunningCloud) -> None:
    """Requests, lifecycles and reconcilers in one."""
    with load(cloud) as drill:
        again(lambda: kill(cloud, "cloud"))
        assert end(drill).errors == []


def test_the_supervisor(cloud: RunningCloud) -> None:
    """With it goes the server process; a person starts the cloud again, and it takes over what runs."""
    with load(cloud) as drill:

        def trouble() -> None:
            kill(cloud, "supervisor")
            cloud.tiffin("up")

        again(trouble)
        assert end(drill).errors == []


def test_a_guest(cloud: RunningCloud) -> None:
    """Its server is SHUTOFF, and `start` brings it back."""
    with load(cloud) as drill:

        def trouble() -> None:
            assert_becomes(lambda: bool(_guests(cloud)), True)
            id, pid = min(_guests(cloud).items())
            drill.crashed.add(id)
            os.kill(pid, signal.SIGKILL)

        again(trouble)
        end(drill)
        owner = drill.owner
        victim = owner.make_server("victim")
        assert victim is not None
        assert_becomes(lambda: owner.servers()[victim]["status"], "ACTIVE")
        os.kill(_guests(cloud)[victim], signal.SIGKILL)
        assert_becomes(lambda: owner.servers()[victim]["status"], "SHUTOFF")
        assert owner.act(victim, "os-start") is not None
        assert_becomes(lambda: owner.servers()[victim]["status"], "ACTIVE")
        assert _guests(cloud)[victim]
        owner.delete_server(victim)


def _guests(cloud: RunningCloud) -> dict[str, int]:
    return {id: process.pid for id, process in qemu_process.search(cloud.home / "host/guests")}
