"""Every operation of images, asked by every persona."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.image.personas import PERSONAS, Row, Scene, all_rows
from shapes import shape
from tiffin.services.image.service import service

ALL = all_rows()
ROWS = [row for row in ALL if isinstance(row, Row)]


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.cloud.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_exactly_they_may(scene: Scene, row: Row) -> None:
    everybody = (*PERSONAS, "anonymous")
    answers = {who: scene.ask(who, row) for who in everybody}
    expected = {who: row.status(who) for who in everybody}
    assert answers == expected


def test_no_operation_is_left_out() -> None:
    asked = {row.shape for row in ALL}
    declared = {shape(o.method, o.path) for o in service.operations()}
    assert declared - asked == set(), "tests/api/image/asked/ has no row for these"


def test_every_row_is_of_an_operation() -> None:
    declared = {shape(o.method, o.path) for o in service.operations()}
    assert {row.shape for row in ALL} <= declared
