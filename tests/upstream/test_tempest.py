"""Tempest on the simulator: its smoke tests of identity, image, compute and network, and all that it has of identity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from running_cloud import RunningCloud, running_cloud
from upstream.tempest_conf import PASSWORDS
from upstream.tempest_run import IDENTITY, MOVES, SMOKE, run_tempest

pytestmark = pytest.mark.upstream
SMOKE_TESTS = 80  # of Tempest 47, without what its own configuration skips
MOVES_TESTS = 31  # without what needs volumes, shelving or suspending
MANAGERS = {
    "enforce_scope": {"nova": "true"},
    "compute-feature-enabled": {"nova_policy_roles": "admin,manager,member,reader"},
}
"""That managers of projects may move servers, as upstream's rules say now."""
IDENTITY_TESTS = 138  # all that it has


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    """With rules for passwords, and hashes that cost little."""
    passwords = "".join(f"{name} = {value}\n" for name, value in PASSWORDS.items())
    settings = f"[identity]\npassword_rounds = 4\n[identity.passwords]\n{passwords}"
    with running_cloud(simulated=True, settings=settings) as cloud:
        yield cloud


def test_smoke(cloud: RunningCloud, tmp_path: Path) -> None:
    outcome = run_tempest(cloud.home, tmp_path, SMOKE)
    assert outcome.good, outcome.output[-20_000:]
    assert outcome.passed >= SMOKE_TESTS, outcome.output[-20_000:]


def test_identity(cloud: RunningCloud, tmp_path: Path) -> None:
    outcome = run_tempest(cloud.home, tmp_path, IDENTITY)
    assert outcome.good, outcome.output[-20_000:]
    assert (outcome.passed, outcome.skipped) == (IDENTITY_TESTS, 0), outcome.output[-20_000:]


def test_moves(tmp_path: Path) -> None:
    with running_cloud(simulated=True, settings="hosts = 2\n") as cloud:
        outcome = run_tempest(cloud.home, tmp_path, MOVES, more=MANAGERS)
    assert outcome.good, outcome.output[-20_000:]
    assert outcome.passed >= MOVES_TESTS, outcome.output[-20_000:]
