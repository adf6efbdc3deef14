"""Nothing of Glance's API is missing: each path and method of its description (2.17) is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.image.conftest import ImageCloud
from shapes import shape
from tiffin.services.image.service import service

FACTS = Path(__file__).with_name("facts") / "operations.txt"
"""A path and its methods on each line."""

UNDESCRIBED = {"GET /", "GET /versions", "GET /v2"}
"""Documents of versions, which the description leaves out."""


def described() -> Iterator[str]:
    for line in FACTS.read_text().splitlines():
        path, *methods = line.split()
        yield from (shape(method, path) for method in methods)


def declared() -> set[str]:
    return {shape(o.method, o.path or "/") for o in service.operations()}


def test_the_description_is_whole() -> None:
    found = list(described())
    assert (len(found), len(set(found))) == (81, 81)


def test_every_operation_is_there() -> None:
    missing = sorted(set(described()) - declared())
    assert not missing, "\n".join(missing)


def test_nothing_is_there_besides() -> None:
    assert declared() - set(described()) == UNDESCRIBED


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v2/nothing", 404), ("PATCH", "/v2/info/stores", 405)])
def test_who_has_no_token_is_not_told_what_is_not_there(cloud: ImageCloud, method: str, path: str, status: int) -> None:
    assert cloud.ask(method, f"/image{path}", token=None).status == 401
    assert cloud.ask(method, f"/image{path}").status == status


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text/html; charset=UTF-8"),
        ("text/html, application/json;q=0.5", "text/html; charset=UTF-8"),
        ("application/json", "application/json"),
        ("application/json;q=x", "application/json"),
    ],
)
def test_an_error_is_told_as_upstream_tells_it(cloud: ImageCloud, accept: str, kind: str) -> None:
    reply = cloud.ask("GET", "/image/v2/images/%3Cb%3E", Accept=accept)
    assert (reply.status, reply.headers["content-type"]) == (404, kind)
    assert b"404 Not Found" in reply.body
    assert b"<b>" not in reply.body or kind == "application/json"
