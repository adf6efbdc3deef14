"""The harness itself, on the toy service."""

from __future__ import annotations

from sqlalchemy import select

from core.toy import ToyRow, Workshop
from lifecycles.harness import Fate, crash_tests
from support import TestCloud
from tiffin.core.cloud import ServiceRef
from tiffin.core.tables import Change, LifecycleRow


class FatefulWorkshop(Workshop):
    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self.fate = fate

    def ensure(self, id: str) -> None:
        self.fate("toy?")
        super().ensure(id)
        self.fate("toy!")


class ToyTrial:
    def __init__(self, fate: Fate) -> None:
        self.cloud = TestCloud([ServiceRef("toy", "/toy", "core.toy")])
        self.workshop = FatefulWorkshop(fate)
        self.cloud.cloud.add(Workshop, self.workshop)

    def begin(self) -> None:
        reply = self.cloud.ask("POST", "/toy/v1/toys", json={"toy": {"name": "bear", "color": "red"}})
        self.id = reply.json["toy"]["id"]

    def delete(self) -> None:
        self.cloud.ask("DELETE", f"/toy/v1/toys/{self.id}")

    def _rows(self) -> tuple[list[str], list[str]]:
        with self.cloud.cloud.database.read() as session:
            told = session.scalars(select(Change.kind).order_by(Change.sequence))
            return list(session.scalars(select(ToyRow.status))), list(told)

    def check_promise(self) -> None:
        assert self._rows() == (["ACTIVE"], ["create", "create.end"])
        assert self.workshop.made == {self.id}

    def check_failed(self) -> None:
        (status,), _ = self._rows()
        assert status == "ACTIVE" or status.startswith("ERROR: refused at")

    def check_gone(self) -> None:
        assert self._rows()[0] == []
        assert self.workshop.made == set()
        with self.cloud.cloud.database.read() as session:
            assert session.scalars(select(LifecycleRow)).all() == []


TestToy = crash_tests(ToyTrial)
