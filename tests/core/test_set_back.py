"""The clock is set back, as by a person or by NTP after a boot with a wrong one: nothing waits for the time to come again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from core.toy import Workshop
from support import TestCloud
from tiffin.core.cloud import ServiceRef
from tiffin.core.engine import Engine
from tiffin.core.tables import LifecycleRow

HOUR = 3600.0


@pytest.fixture
def cloud() -> Iterator[TestCloud]:
    made = TestCloud((ServiceRef("toy", "/toy", "core.toy"),))
    made.cloud.add(Workshop, Workshop())
    yield made
    made.close()


def refused_once(cloud: TestCloud) -> str:
    """A toy that is to be tried again in a moment."""
    cloud.cloud.part(Workshop).refusing = 1
    id = str(cloud.ask("POST", "/toy/v1/toys", json={"toy": {"name": "a", "color": "red"}}).json["toy"]["id"])
    cloud.settle()
    assert status(cloud, id) == "BUILD"
    return id


def status(cloud: TestCloud, id: str) -> str:
    return str(cloud.ask("GET", f"/toy/v1/toys/{id}").json["toy"]["status"])


def deadline(cloud: TestCloud) -> float:
    with cloud.cloud.database.read() as session:
        found = session.scalar(select(LifecycleRow.deadline))
    assert found is not None
    return found


def test_what_sleeps_is_woken(cloud: TestCloud) -> None:
    id = refused_once(cloud)
    cloud.clock.now -= HOUR
    cloud.settle()
    assert status(cloud, id) == "ACTIVE"


def test_a_deadline_is_as_far_away_as_before(cloud: TestCloud) -> None:
    refused_once(cloud)
    cloud.cloud.part(Workshop).refusing = 1
    before = deadline(cloud) - cloud.clock.now
    cloud.clock.now -= HOUR
    cloud.settle()
    assert deadline(cloud) - cloud.clock.now == pytest.approx(before)


def test_a_moment_back_is_none(cloud: TestCloud) -> None:
    id = refused_once(cloud)
    cloud.clock.now -= 0.05
    cloud.settle()
    assert status(cloud, id) == "BUILD"
    cloud.clock.now += 0.5
    cloud.settle()
    assert status(cloud, id) == "ACTIVE"


def test_an_engine_that_begins_wakes_what_sleeps(cloud: TestCloud) -> None:
    """Nobody knows what the clock did while none ran."""
    id = refused_once(cloud)
    cloud.clock.now -= HOUR
    engine = Engine(cloud.cloud, "test")
    engine.run_until_idle()
    assert status(cloud, id) == "BUILD"
    engine.start(1)
    engine.stop()
    engine.run_until_idle()
    assert status(cloud, id) == "ACTIVE"
