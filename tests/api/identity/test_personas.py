"""Every operation of identity, asked by every persona."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.identity.conftest import IdentityCloud
from api.identity.personas import PERSONAS, Row, Scene, all_rows, allowed
from shapes import shape
from stored import Stored, stored
from tiffin.services.identity.service import service

ROWS = all_rows()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, Stored]]:
    """All personas, made once: they are most of what a row costs."""
    made = IdentityCloud(tmp_path_factory.mktemp("keys"))
    scene, kept = Scene(made), stored(made.cloud.database)
    kept.keep()
    yield scene, kept
    kept.close()
    made.close()


@pytest.fixture
def scene(stage: tuple[Scene, Stored]) -> Iterator[Scene]:
    """As it was made, whatever a row changes."""
    scene, kept = stage
    yield scene
    kept.restore()
    scene.cloud.forget()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_exactly_they_may(scene: Scene, row: Row) -> None:
    answers = {persona: scene.ask(persona, row) for persona in (*PERSONAS, "anonymous")}
    assert {persona for persona, status in answers.items() if status < 400} == allowed(row), answers
    wrong = {p: s for p, s in answers.items() if s >= 400 and s not in (*row.refused, 401 if p == "anonymous" else 0)}
    assert not wrong


def test_no_operation_is_left_out() -> None:
    asked = {row.shape for row in ROWS}
    declared = {shape(o.method, o.path) for resource in service.resources for o in resource.operations}
    assert declared - asked == set(), "tests/api/identity/asked/ has no row for these"
