"""For every test: in which process it runs, and logs as the server writes them (pytest shows those of a test that fails)."""

from __future__ import annotations

import gc
import os
import re
import tempfile
import zlib
from typing import TYPE_CHECKING

import pytest
import structlog

from databases import SERVER
from tiffin.core import logs

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

REAL = re.compile(r"^tests/(drills/)?(real|upstream)/|[\[-]real[]-]")
"""Tests with the marks `real` and `upstream` by their names, which is all that the scheduler sees."""
MACHINES = re.compile(r"/test_(two_\w+|live_migration|machines)\.py")
"""Of the real tests those that have several machines, with the same addresses."""
TOGETHER = re.compile(r"^tests/(journeys|fuzz|postgresql|drills)/|^tests/cli/test_script\.py")
"""Files whose tests share a fixture that costs seconds."""

SPARSE = {
    re.compile(r"^tests/(lifecycles/.*\[|api/\w+/test_(\w*personas|cves|hostile|plugins|import_plugins|web_reading)\.py)"): 16,
    re.compile(r"^tests/api/identity/"): 6,
    re.compile(r"^tests/api/(compute|image)/"): 4,
}
"""One of so many belongs to the short form on PostgreSQL: of tests of a kind, in which it has little part, the fewest."""

structlog.configure(processors=logs.PROCESSORS)


def pytest_configure(config: pytest.Config) -> None:
    """A folder for what one of pytest's processes finds out for all (lifecycles/harness.py)."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory(prefix="tiffin-points-")
        config.add_cleanup(folder.cleanup)
        os.environ["TIFFIN_TEST_POINTS"] = folder.name


def pytest_collection() -> None:
    """Until all tests are there nothing is garbage, and nothing of them later: looking for it would be a quarter of the CPU."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # tests make much and keep little
    gc.enable()


def _is_left_out(nodeid: str) -> bool:
    every = next((every for kind, every in SPARSE.items() if kind.search(nodeid)), 1)
    return zlib.crc32(nodeid.encode()) % every != 0


@pytest.hookimpl(tryfirst=True)  # before those are left out that have a mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SERVER is not None and _is_left_out(item.nodeid):
            item.add_marker("long")
        if item.get_closest_marker("real") or item.get_closest_marker("upstream"):
            assert REAL.search(item.nodeid), f"{item.nodeid} is real: its parameter must be called so, to take turns"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Every test goes to the next process that is free. Real tests take turns, for they use what the machine has once: those
    with several machines in one process, Tempest's in another, the rest in a third."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if found := REAL.search(nodeid):
                return "upstream" if "upstream" in found[0] else "machines" if MACHINES.search(nodeid) else "real"
            return nodeid.partition("::")[0] if TOGETHER.search(nodeid) else nodeid

    return Scheduling(config, log)
