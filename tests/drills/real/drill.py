"""How a drill goes: a mixed load, trouble in the middle of it, and then everything must be as it was promised."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from audit import Audit
from mixed_storm import BusyTenant, MixedStorm
from running_cloud import RunningCloud, running_cloud, tiny
from storm import rows
from world import assert_becomes, world

ROUNDS = int(os.environ.get("TIFFIN_DRILL_ROUNDS", "1"))
"""How often each trouble comes while the load goes on; CONTRIBUTING.md tells of it."""
CLIENTS = 2
LOG = 1 << 20
"""Bytes of each machine's log that are shown when a drill fails."""
BEFORE, AFTER = 8, 4
"""What is promised to the clients before trouble comes, and after it."""


@dataclass
class Drill:
    """What is under load now: for those who make trouble."""

    cloud: RunningCloud
    owner: BusyTenant
    storms: list[MixedStorm]
    homes: list[Path]
    crashed: set[str] = field(default_factory=set)

    def promised(self) -> int:
        return sum(len(books.asked) for storm in self.storms for books in list(storm.books.values()))

    def go_on(self, number: int) -> None:
        """Let so many things be promised."""
        wanted, deadline = self.promised() + number, time.monotonic() + 60
        while self.promised() < wanted:
            assert time.monotonic() < deadline, f"only {self.promised()} of {wanted}"
            for storm in self.storms:
                if storm.failure is not None:
                    raise storm.failure
            time.sleep(0.05)


def real_cloud(head: str = "", tables: str = "", folder: Path | None = None) -> contextlib.AbstractContextManager[RunningCloud]:
    """One whose guests may take two seconds to stop, and which builds no guest image: drills bring their own. `head` and
    `tables`: more of its settings."""
    settings = f"{head}[compute]\nshutdown_seconds = 2\n{tables}"
    return running_cloud(simulated=False, settings=settings, folder=folder, image=tiny())


@contextlib.contextmanager
def load(cloud: RunningCloud, *machines: Path) -> Iterator[Drill]:
    """A mixed load for as long as the block lasts, on a cloud which has nothing of it left at the end."""
    world(cloud)  # a project's default security group comes to be at the first look
    assert_becomes(lambda: rows(cloud.home, "SELECT kind, step FROM lifecycle WHERE wake IS NOT NULL"), [])
    before = world(cloud, *machines)
    owner = BusyTenant(cloud)
    storms = [MixedStorm(owner, seed) for seed in range(CLIENTS)]
    drill = Drill(cloud, owner, storms, [cloud.home, *machines])
    try:
        for storm in storms:
            storm.start()
        drill.go_on(BEFORE)
        yield drill
        owner.leave(storms)
        assert_becomes(lambda: world(cloud, *machines), before, patience=60)
    except BaseException:
        for home in drill.homes:
            sys.stdout.write((home / "log/tiffin.log").read_text(errors="replace")[-LOG:])
        raise


def end(drill: Drill, patience: float = 60) -> Audit:
    """End the load and look at what was promised. Gives the audit, which has the reasons of what failed."""
    drill.go_on(AFTER)
    for storm in drill.storms:
        storm.stop()
    audit = Audit(drill.cloud, drill.owner, drill.storms, drill.homes, drill.crashed)
    audit.assert_kept(patience)
    return audit


def again(trouble: Callable[[], None]) -> None:
    """The trouble, as often as this run wants it."""
    chance = random.Random(ROUNDS)
    trouble()
    for _ in range(ROUNDS - 1):
        time.sleep(chance.uniform(1.0, 5.0))
        trouble()
