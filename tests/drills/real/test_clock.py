"""The clock of a real cloud's server jumps ahead and back, under load. Only its own does, and that of what it starts, since the
machine has one clock for all."""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from drills.real.drill import Drill, again, end, load, real_cloud
from running_cloud import RunningCloud
from world import assert_becomes

pytestmark = pytest.mark.real
JUMP = 2400
"""Seconds: beyond every lease and the deadlines of what is asked of servers, within the life of a token."""
UNDER_LOAD = 2.0
"""Seconds until the clock jumps again."""
PATIENCE = 150
"""Seconds for what was late to be undone: a guest of one sector never lets go of an interface, and is asked for 50 s."""


class ItsClock:
    """The server's, as `clock.c` beside this file has it: ahead of the machine's by what a file says."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)  # guests have users of their own, and this clock
        self._library, self._file = folder / "clock.so", folder / "ahead"
        source = Path(__file__).with_name("clock.c")
        subprocess.run(["tcc", "-nostdlib", "-shared", "-o", self._library, source], check=True)
        self._file.write_bytes(bytes(8))

    def set(self, ahead: int) -> None:
        """In seconds; from now on."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", ahead))

    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "CLOCK_AHEAD": str(self._file)}


@pytest.fixture(scope="module")
def its_clock() -> Iterator[ItsClock]:
    folder = Path(tempfile.mkdtemp(prefix="tf-clock-", dir="/var/tmp"))
    yield ItsClock(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cloud(its_clock: ItsClock) -> Iterator[RunningCloud]:
    """The daemons of its network have the machine's clock: they were there first."""
    with real_cloud() as cloud:
        server = int((cloud.home / "run/server.pid").read_text())
        os.kill(server, signal.SIGTERM)
        assert_becomes(lambda: Path(f"/proc/{server}").exists(), False)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in its_clock.environment().items():
                patch.setenv(name, value)
            cloud.tiffin("up")
        yield cloud


def ahead_of_ours(drill: Drill) -> float:
    """By how many seconds its clock is, by the time that it gives a new network."""
    made = drill.owner.make("/network/v2.0/networks", {"network": {"name": "clock"}})["network"]
    drill.owner.delete(f"/network/v2.0/networks/{made['id']}")
    return datetime.datetime.fromisoformat(made["created_at"]).timestamp() - time.time()


def make_one(drill: Drill) -> None:
    """A server that is made now runs: the host that nobody has heard of since then is not taken for lost."""
    made = drill.owner.make_server("clock")
    assert made is not None
    assert_becomes(lambda: drill.owner.servers()[made]["status"], "ACTIVE", patience=60)
    drill.owner.delete_server(made)


def test_back_and_forth(cloud: RunningCloud, its_clock: ItsClock) -> None:
    """Set back, nothing waits for the time to come again. Set ahead, what was on its way may have been late, and says so."""
    with load(cloud) as drill:

        def trouble() -> None:
            its_clock.set(JUMP)
            make_one(drill)
            assert ahead_of_ours(drill) == pytest.approx(JUMP, abs=10)
            time.sleep(UNDER_LOAD)
            its_clock.set(0)
            assert ahead_of_ours(drill) == pytest.approx(0, abs=10)

        again(trouble)
        audit = end(drill, PATIENCE)
        assert all("in time" in why for why in audit.errors), audit.errors
