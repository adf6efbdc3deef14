"""No request, whatever its bytes, gives a 500 or a traceback; and what is refused has changed nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fuzz.checks import brief, check
from fuzz.requests import Request, requests
from fuzz.victim import Attacker
from tiffin.core.resource import Operation
from tiffin.main import SERVICES

EXAMPLES = 15  # requests for each operation


@pytest.fixture(scope="module")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    attacker = Attacker(tmp_path_factory.mktemp("victim"))
    yield attacker
    attacker.close()


def _reaches(request: Request, prefix: str) -> bool:
    """Whether the path is one of the service; `/placement.json` is not."""
    return request.path.lstrip("/").partition("/")[0] == prefix.strip("/")


@pytest.mark.parametrize("service", [ref.type for ref in SERVICES])
def test_every_route_answers_nonsense_with_an_error_of_its_own(attacker: Attacker, service: str) -> None:
    found = attacker.composition.cloud.service(service)
    choices = [st.tuples(st.just(known), requests(known, service, found.prefix)) for known in found.operations()]
    failures: dict[str, str] = {}  # the first of each operation; the next request goes on: one run finds them all

    # What was sent before matters, so that a smaller request would be another one: no shrinking.
    @settings(
        max_examples=EXAMPLES * len(choices),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(choices))
    def throw(thrown: tuple[Operation, Request]) -> None:
        operation, request = thrown
        before = attacker.stored.fingerprint()
        reply = attacker.send(request)
        try:
            check(service if _reaches(request, found.prefix) else "", request.method, reply)
            assert reply.status < 400 or attacker.stored.fingerprint() == before, (
                f"{reply.status} has changed something: {brief(reply)}"
            )
        except AssertionError as failure:
            failures.setdefault(operation.name, f"{brief(request)}\n    {failure}")
        attacker.settle()

    throw()
    assert not failures, "\n".join(f"{name}: {failure}" for name, failure in failures.items())
