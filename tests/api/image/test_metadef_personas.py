"""Every operation on metadata definitions, asked by every persona."""

from __future__ import annotations

import pytest

from api.identity.personas import Row
from shapes import shape
from support import PERSONAS
from tiffin.services.image.service import METADEFS

from .asked.metadefs import ANYBODY, OURS, ROWS, SEERS, prepare
from .conftest import ImageCloud


def status(row: Row, persona: str) -> int:
    """What who may not is told: that it may not, or, of what it does not see, that there is no such thing."""
    if persona == "anonymous":
        return 401
    if "/namespaces/" not in row.path:
        return 403
    seers = SEERS if "/Open" in row.path else OURS
    return 403 if persona in seers.split() else 404


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_exactly_they_may(row: Row) -> None:
    for persona in (*PERSONAS, "anonymous"):
        cloud = ImageCloud()
        try:
            prepare(cloud)
            before = cloud._rows_changed()
            token = None if persona == "anonymous" else persona
            reply = cloud.ask(row.method, f"/image{row.path}", token, row.body)
            if persona in row.may.split():
                assert reply.status < 400, (persona, reply.body)
            else:
                assert reply.status == status(row, persona), (persona, reply.body)
                assert cloud._rows_changed() == before, f"{persona} was refused, and rows changed"
        finally:
            cloud.close()


def test_no_operation_is_left_out() -> None:
    asked = {shape(row.method, row.route or row.path) for row in ROWS}
    declared = {shape(o.method, o.path) for resource in METADEFS for o in resource.operations}
    assert declared - asked == set(), "tests/api/image/asked/metadefs.py has no row for these"
    assert set(ANYBODY.split()) == set(PERSONAS)
