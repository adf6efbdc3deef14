"""The database goes away in the middle of a step and comes back: nothing is lost, no attempt is counted, no lease is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from core.toy import Workshop
from support import TestCloud
from tiffin.core.cloud import ServiceRef
from tiffin.core.engine import Engine
from tiffin.core.tables import LifecycleRow


@pytest.fixture
def cloud() -> Iterator[TestCloud]:
    made = TestCloud((ServiceRef("toy", "/toy", "core.toy"),))
    made.cloud.add(Workshop, Workshop())
    yield made
    made.close()


class Away:
    """A database that is away once, at one point of an engine's work."""

    def __init__(self, point: str) -> None:
        self._point = point

    def __call__(self, point: str) -> None:
        if point == self._point:
            self._point = ""
            raise OperationalError("COMMIT", {}, Exception("database or disk is full"))


@pytest.mark.parametrize("point", ["start before commit", "finish within commit", "finish after commit"])
def test_the_next_turn_goes_on_at_once(cloud: TestCloud, point: str) -> None:
    id = cloud.ask("POST", "/toy/v1/toys", json={"toy": {"name": "a", "color": "red"}}).json["toy"]["id"]
    cloud.engine = Engine(cloud.cloud, "test", fate=Away(point))
    with pytest.raises(OperationalError):
        cloud.settle()
    cloud.settle()
    assert cloud.ask("GET", f"/toy/v1/toys/{id}").json["toy"]["status"] == "ACTIVE"
    with cloud.cloud.database.read() as session:
        assert session.execute(select(LifecycleRow.attempts, LifecycleRow.owner)).all() == [(0, None)]
