"""All that Tempest has of images, on two clouds: each proves what the other's settings leave out. Needs qemu-img."""

from __future__ import annotations

from pathlib import Path

import pytest

from running_cloud import ADMIN, running_cloud
from upstream.image_set_ups import (
    ALL_TESTS,
    FORMATS,
    LENIENT,
    NOWHERE,
    STRICT,
    SetUp,
    add_other_endpoint,
    images,
)
from upstream.tempest_run import run_tempest

pytestmark = pytest.mark.upstream
STRICT_TESTS = 76
LENIENT_TESTS = 29
AGAIN = 2
"""Tests that run in both set-ups."""


@pytest.mark.parametrize(
    ("set_up", "count"), [(STRICT, STRICT_TESTS), (LENIENT, LENIENT_TESTS)], ids=["strict", "lenient"]
)
def test_images(set_up: SetUp, count: int, tmp_path: Path) -> None:
    with images(tmp_path) as server, running_cloud(simulated=True, settings=set_up.settings(tmp_path, server)) as cloud:
        with cloud.connect(ADMIN) as admin:
            add_other_endpoint(admin)
        workspace = tmp_path / "tempest"
        outcome = run_tempest(cloud.home, workspace, set_up.regex, more=set_up.sections(tmp_path, server))
    assert outcome.good, outcome.output[-20_000:]
    assert (outcome.passed, outcome.skipped) == (count, 0), outcome.output[-20_000:]


def test_together_they_are_all() -> None:
    """Tests of formats count once for each image that they try."""
    once_more = 4 * (len(FORMATS) - 1) + AGAIN
    assert ALL_TESTS - len(NOWHERE) + once_more == STRICT_TESTS + LENIENT_TESTS
