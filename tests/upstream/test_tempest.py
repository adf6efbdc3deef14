"""Tempest's smoke tests of identity, image, compute and network pass on the simulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from running_cloud import running_cloud
from upstream.tempest_run import run_tempest

pytestmark = pytest.mark.upstream
SMOKE_TESTS = 80  # of Tempest 47, without what its own configuration skips


def test_smoke(tmp_path: Path) -> None:
    with running_cloud(simulated=True) as cloud:
        outcome = run_tempest(cloud.home, tmp_path)
    assert outcome.good, outcome.output[-20_000:]
    assert outcome.passed >= SMOKE_TESTS, outcome.output[-20_000:]
