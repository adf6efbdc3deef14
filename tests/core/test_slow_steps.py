"""Slow steps: they hold no thread of the engine, keep their lease, and wait in their rows when too many of them run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from core.toy import ToyDialect
from databases import side_by_side
from support import TestCloud
from tiffin.core import engine_statements, engine_threads
from tiffin.core.cloud import ServiceRef
from tiffin.core.engine import LEASE, Engine
from tiffin.core.lifecycle import Lifecycle, Outcome, begin, done, go, inside, outside, slow
from tiffin.core.service import Service
from tiffin.core.tables import LifecycleRow

PATIENCE = 20.0


class Workbench:
    """Where slow steps say that they have begun, and wait until they may end."""

    def __init__(self) -> None:
        self.begun, self.ended, self.free = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
        self.threads: list[str] = []

    def work(self) -> None:
        self.threads.append(threading.current_thread().name)
        self.begun.release()
        assert self.free.wait(PATIENCE)

    def await_beginnings(self, number: int) -> None:
        assert all(self.begun.acquire(timeout=PATIENCE) for _ in range(number))

    def await_ends(self, number: int) -> None:
        assert all(self.ended.acquire(timeout=PATIENCE) for _ in range(number))


class SlowLife(Lifecycle):
    kind = "slow.thing"

    @inside
    def start(self) -> Outcome:
        return go("work" if self.frame["slow"] else "end")

    @slow
    def work(self) -> Outcome:
        self.part(Workbench).work()
        return go("end")

    @outside
    def end(self) -> Outcome:
        self.part(Workbench).ended.release()
        return go("gone")

    @inside
    def gone(self) -> Outcome:
        return done()


service = Service("slow", "slow", "/slow", "", ToyDialect(), resources=(), lifecycles=(SlowLife,))


class SlowCloud(TestCloud):
    def __init__(self, folder: Path) -> None:
        super().__init__([ServiceRef("slow", "/slow", "core.test_slow_steps")], database=side_by_side(folder))
        self.bench = Workbench()
        self.cloud.add(Workbench, self.bench)

    def begin(self, *, slow: bool = True, number: int = 1) -> None:
        with self.cloud.database.write() as session:
            for _ in range(number):
                id = self.cloud.world.new_id()
                begin(session, self.cloud.world, "slow.thing", id, request_id="req-1", frame={"slow": slow})

    def rows(self) -> list[LifecycleRow]:
        with self.cloud.database.read() as session:
            return list(session.scalars(select(LifecycleRow)))


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SlowCloud]:
    made = SlowCloud(tmp_path)
    yield made
    made.bench.free.set()
    made.engine.stop()
    made.close()


def test_slow_steps_leave_the_engines_thread_to_others(cloud: SlowCloud) -> None:
    cloud.engine.start(1)
    cloud.begin()
    cloud.bench.await_beginnings(1)
    cloud.begin(slow=False)
    cloud.bench.await_ends(1)  # while the slow one is still working
    assert "work" in [row.step for row in cloud.rows()]
    cloud.bench.free.set()
    cloud.bench.await_ends(1)
    assert cloud.bench.threads == ["slow-slow.thing"]


def test_a_slow_step_keeps_its_lease(cloud: SlowCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud.engine._slow, "_lease", 0.06)  # a beat each hundredth of a second
    cloud.engine.start(1)
    cloud.begin()
    cloud.bench.await_beginnings(1)
    cloud.clock.now += LEASE * 2
    for _ in range(1000):
        (row,) = cloud.rows()
        if row.lease > cloud.clock.now:
            break
        threading.Event().wait(0.01)
    assert row.lease > cloud.clock.now
    assert not Engine(cloud.cloud, "other").turn()


def test_a_lease_that_was_lost_is_not_taken_back(cloud: SlowCloud) -> None:
    cloud.engine.start(1)
    cloud.begin()
    cloud.bench.await_beginnings(1)
    (ours,) = cloud.rows()
    assert cloud.engine._slow.renew(ours)
    later = cloud.clock.now + LEASE * 2  # for the other alone: else the first may find the lease that it lost before that
    taking = {"now": later, "now_ms": int(later * 1000), "new_lease": later + LEASE, "node": "other"}
    with cloud.cloud.database.statement() as session:
        theirs = session.scalar(engine_statements.TAKE, taking, execution_options={"synchronize_session": False})
    assert theirs is not None
    assert not cloud.engine._slow.renew(ours)
    cloud.bench.free.set()
    Engine(cloud.cloud, "other")._run(theirs)
    assert cloud.rows() == []


def test_too_many_slow_steps_wait_in_their_rows(cloud: SlowCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_threads, "SLOW", 2)
    cloud.engine.start(1)
    cloud.begin(number=3)
    cloud.bench.await_beginnings(2)
    cloud.clock.now += 0.001
    cloud.begin(slow=False)
    cloud.bench.await_ends(1)  # the engine has come past the third one
    assert len(cloud.bench.threads) == 2
    cloud.bench.free.set()
    cloud.bench.await_ends(2)
    for _ in range(1000):  # it looks again each second until a thread is free
        cloud.clock.now += 2
        if cloud.bench.ended.acquire(timeout=0.02):
            break
    assert len(cloud.bench.threads) == 3


def test_without_a_background_a_slow_step_runs_where_it_is(cloud: SlowCloud) -> None:
    cloud.bench.free.set()
    cloud.begin()
    cloud.engine.run_until_idle()
    assert cloud.rows() == []
    assert cloud.bench.threads == [threading.current_thread().name]


def test_stopping_does_not_wait_for_what_is_slow(cloud: SlowCloud) -> None:
    cloud.engine.start(1)
    cloud.begin()
    cloud.bench.await_beginnings(1)
    cloud.engine.stop()
    (row,) = cloud.rows()
    assert (row.step, row.owner) == ("work", "test")
    again = Engine(cloud.cloud, "test")
    again.adopt()
    cloud.bench.free.set()
    again.run_until_idle()
    assert cloud.rows() == []
