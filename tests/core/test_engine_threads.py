"""The engine's threads: all of them work where there is work for all, and none looks for work where there can be none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.toy import ToyDialect
from databases import side_by_side
from support import TestCloud
from tiffin.core import engine
from tiffin.core.cloud import ServiceRef
from tiffin.core.lifecycle import DUE, Lifecycle, Outcome, begin, done, go, inside, outside, rest
from tiffin.core.service import Service

PATIENCE = 20.0
THREADS = 4


class Meeting(threading.Barrier):
    """Where all threads must be at once."""


class MeetingLife(Lifecycle):
    kind = "meeting.thing"

    @inside
    def start(self) -> Outcome:
        return go("meet") if self.frame["meets"] else go("pause")

    @outside
    def meet(self) -> Outcome:
        self.part(Meeting).wait(PATIENCE)
        return go("gone")

    @outside
    def pause(self) -> Outcome:
        return rest()

    @inside
    def gone(self) -> Outcome:
        return done()


service = Service("meeting", "meeting", "/meeting", "", ToyDialect(), resources=(), lifecycles=(MeetingLife,))


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[TestCloud]:
    services = [ServiceRef("meeting", "/meeting", "core.test_engine_threads")]
    made = TestCloud(services, database=side_by_side(tmp_path))
    made.cloud.add(Meeting, Meeting(THREADS + 1))
    yield made
    made.cloud.part(Meeting).abort()
    made.engine.stop()
    made.close()


def _begin(cloud: TestCloud, number: int, *, meets: bool) -> None:
    with cloud.cloud.database.write() as session:
        for _ in range(number):
            id = cloud.cloud.world.new_id()
            begin(session, cloud.cloud.world, "meeting.thing", id, request_id="req-1", frame={"meets": meets})


def test_what_one_transaction_began_wakes_as_many_threads(cloud: TestCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "LOOK", 10 * PATIENCE)  # nobody looks by himself
    cloud.engine.start(THREADS)
    _begin(cloud, THREADS, meets=True)
    cloud.cloud.part(Meeting).wait(PATIENCE)


def test_a_step_that_goes_on_wakes_nobody(cloud: TestCloud) -> None:
    woken: list[str] = []
    cloud.cloud.database.on_commit(lambda: woken.append("began"), DUE)
    _begin(cloud, 1, meets=False)
    cloud.engine.run_until_idle()
    assert woken == ["began"]
