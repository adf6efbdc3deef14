"""Crash tests that are generated, not written.

A `Trial` says how one lifecycle is begun, deleted and what was promised. The harness counts every point where the process
could die or the world could refuse, then kills at each, refuses at each, deletes at each, kills during teardown at each,
and lets a slow runner lose its lease at each; after each it compares the world with the promise.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
import pytest
from sqlalchemy import select

from databases import in_memory
from support import TestCloud
from tiffin.core.driver import Refused
from tiffin.core.engine import LEASE, Engine
from tiffin.core.tables import LifecycleRow


class Crash(BaseException):
    """The process dies here."""


class Fate:
    """Counts every point, and lets a rule act on it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.rule: Callable[[int, str], None] = lambda number, point: None
        self.last_breath: Callable[[], None] = lambda: None
        """What else ends with the process."""

    def __call__(self, point: str) -> None:
        self.seen.append(point)
        try:
            self.rule(len(self.seen), point)
        except Crash:
            self.last_breath()
            raise

    def plan(self, rule: Callable[[int, str], None]) -> None:
        """Count from here, by this rule."""
        self.seen.clear()
        self.rule = rule

    def spare(self) -> None:
        self.plan(lambda number, point: None)


class Trial(Protocol):
    """One lifecycle under trial, in a cloud of its own. `fate` goes into its drivers."""

    cloud: TestCloud

    def begin(self) -> None: ...
    def delete(self) -> None: ...

    def check_promise(self) -> None:
        """Assert that what `begin` asked for is there, exactly once, in rows, changes and the outside world."""

    def check_failed(self) -> None:
        """Assert that it failed with a reason for people, or is as promised; nothing in between."""

    def check_gone(self) -> None:
        """Assert that nothing is left anywhere."""


Make = Callable[[Fate], Trial]


def _crash_at(at: int) -> Callable[[int, str], None]:
    def rule(number: int, point: str) -> None:
        if number == at:
            raise Crash(point)

    return rule


def _is_effect(point: str) -> bool:
    """Drivers call their fate with `what?` before and `what!` after an effect: there the world may refuse."""
    return point.endswith(("?", "!"))


def _is_under_lease(point: str) -> bool:
    """Before the commit of a step that called the world is the time to be too late."""
    return point.endswith("before commit")


def _refuse_at(at: int, *, for_good: bool) -> Callable[[int, str], None]:
    """At this point, or at the next one where the world may: of what is due at the same time a server runs any first."""
    chosen: list[str] = []

    def rule(number: int, point: str) -> None:
        now = number >= at and not chosen and _is_effect(point)
        if now:
            chosen.append(point)
        if now or (for_good and point in chosen):
            raise Refused(f"refused at {point}")

    return rule


def run(trial: Trial, *, rounds: int = 60) -> None:
    """Run the engine until nothing is due any more, or for a good while, dying and restarting as fate will."""
    for done in range(1, rounds + 1):
        try:
            trial.cloud.engine.run_until_idle()
        except Crash:
            trial.cloud.engine.adopt()
            continue
        if not _waits(trial):
            trial.cloud.clock.now += 20.0 * (rounds - done + 1)
            return
        trial.cloud.clock.now += 20.0


def _waits(trial: Trial) -> bool:
    with trial.cloud.cloud.database.read() as session:
        return session.scalar(select(LifecycleRow.id).where(LifecycleRow.wake.is_not(None)).limit(1)) is not None


def _count(make: Make, during_teardown: bool) -> list[str]:
    fate = Fate()
    trial = _new(make, fate)
    trial.begin()
    if during_teardown:
        run(trial, rounds=10)
        trial.delete()
    fate.spare()  # from here, as in the tests
    run(trial, rounds=10)
    trial.cloud.close()
    return list(fate.seen)


def _counted(make: Make, during_teardown: bool) -> list[str]:
    """The points. The first of pytest's processes that comes here counts for all of them."""
    name = f"{make.__module__}.{make.__qualname__}.{during_teardown}"
    with Path(os.environ["TIFFIN_TEST_POINTS"], name).open("a+b") as shared:
        fcntl.flock(shared, fcntl.LOCK_EX)
        shared.seek(0)
        if found := shared.read():
            return msgspec.json.decode(found, type=list[str])
        with in_memory():  # counted there alone, things come in the same order each time
            seen = _count(make, during_teardown)
        shared.write(msgspec.json.encode(seen))
        return seen


def _new(make: Make, fate: Fate) -> Trial:
    trial = make(fate)
    trial.cloud.engine = Engine(trial.cloud.cloud, "test", fate)
    return trial


def _points(seen: list[str], every: int, counts: Callable[[str], bool] = lambda point: True) -> list[object]:
    """Named without the ids that points may have in them: a test keeps its name from run to run."""
    names = [re.sub(r"/[0-9a-f-]{36}", "", point).replace(" ", "-") for point in seen]
    chosen = [(n, name) for n, name in enumerate(names, 1) if counts(seen[n - 1])]
    return [
        pytest.param(n, id=f"{n}-{name}", marks=[pytest.mark.long] if at % every else [])
        for at, (n, name) in enumerate(chosen)
    ]


def crash_tests(make: Make, *, every: int = 1) -> type:
    """A test class with every crash test of this lifecycle; `TestServer = crash_tests(ServerTrial)`. `every`: each point so
    far from the last one belongs to the short form of the suite, all to the long one."""
    seen, ends = _counted(make, during_teardown=False), _counted(make, during_teardown=True)
    building, ending = _points(seen, every), _points(ends, every)
    effects, leased = _points(seen, every, _is_effect), _points(seen, every, _is_under_lease)

    class CrashTests:
        def test_nothing_goes_wrong(self) -> None:
            trial = _new(make, Fate())
            trial.begin()
            run(trial, rounds=10)
            trial.check_promise()
            trial.delete()
            run(trial, rounds=10)
            trial.check_gone()
            trial.cloud.close()

        @pytest.mark.parametrize("at", building)
        def test_killed_anywhere_it_is_still_built_once(self, at: int) -> None:
            fate = Fate()
            trial = _new(make, fate)
            trial.begin()
            fate.plan(_crash_at(at))
            run(trial)
            trial.check_promise()
            trial.cloud.close()

        @pytest.mark.parametrize("at", building)
        def test_deleted_anywhere_nothing_is_left(self, at: int) -> None:
            fate = Fate()
            trial = _new(make, fate)
            trial.begin()
            fate.plan(_crash_at(at))
            try:
                trial.cloud.engine.run_until_idle()
            except Crash:
                trial.cloud.engine.adopt()
            fate.spare()
            trial.delete()
            run(trial)
            trial.check_gone()
            trial.cloud.close()

        @pytest.mark.parametrize("at", effects)
        def test_refused_once_anywhere_it_is_still_built(self, at: int) -> None:
            fate = Fate()
            trial = _new(make, fate)
            trial.begin()
            fate.plan(_refuse_at(at, for_good=False))
            run(trial)
            trial.check_promise()
            trial.cloud.close()

        @pytest.mark.parametrize("at", effects)
        def test_refused_for_good_anywhere_it_fails_with_a_reason_and_can_be_deleted(self, at: int) -> None:
            fate = Fate()
            trial = _new(make, fate)
            trial.begin()
            fate.plan(_refuse_at(at, for_good=True))
            run(trial)
            trial.check_failed()
            fate.spare()
            trial.delete()
            run(trial)
            trial.check_gone()
            trial.cloud.close()

        @pytest.mark.parametrize("at", ending)
        def test_killed_while_torn_down_nothing_is_left(self, at: int) -> None:
            fate = Fate()
            trial = _new(make, fate)
            trial.begin()
            run(trial, rounds=10)
            trial.delete()
            fate.plan(_crash_at(at))
            run(trial)
            trial.check_gone()
            trial.cloud.close()

        @pytest.mark.parametrize("at", leased)
        def test_a_slow_runner_loses_its_lease_and_its_word(self, at: int) -> None:
            fate = Fate()
            trial = _new(make, fate)
            trial.begin()
            other = Engine(trial.cloud.cloud, "other")

            def dawdle(number: int, point: str) -> None:
                if number >= at and _is_under_lease(point):
                    fate.spare()
                    trial.cloud.clock.now += LEASE + 1.0
                    other.run_until_idle()

            fate.plan(dawdle)
            run(trial)
            trial.check_promise()
            trial.cloud.close()

    if not effects:  # it asks nothing of the world
        del CrashTests.test_refused_once_anywhere_it_is_still_built
        del CrashTests.test_refused_for_good_anywhere_it_fails_with_a_reason_and_can_be_deleted
    if not leased:
        del CrashTests.test_a_slow_runner_loses_its_lease_and_its_word
    return CrashTests
