"""Nothing of Keystone's API is missing: each path and method of its description (3.14) is there, or refused as it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.identity.conftest import IdentityCloud
from shapes import shape
from tiffin.services.identity.service import service

FACTS = Path(__file__).with_name("facts") / "operations.txt"
"""A path and its methods on each line."""

ONLY_POST = (
    "/v3/OS-OAUTH1/access_token",
    "/v3/OS-OAUTH1/request_token",
    "/v3/auth/OS-FEDERATION/saml2",
    "/v3/auth/OS-FEDERATION/saml2/ecp",
    "/v3/ec2tokens",
    "/v3/s3tokens",
)
REFUSED = {f"{method} {path}" for path in ONLY_POST for method in ("GET", "HEAD")} | {
    f"{method} /v3/OS-OAUTH2/token" for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE")
}
"""What the description lists because Keystone has a function there, which answers 405."""


def described() -> Iterator[str]:
    for line in FACTS.read_text().splitlines():
        path, *methods = line.split()
        yield from (f"{method} {path}" for method in methods)


def declared() -> set[str]:
    found = {shape(o.method, o.path or "/") for resource in service.resources for o in resource.operations}
    return found | {f"HEAD {name.removeprefix('GET ')}" for name in found if name.startswith("GET ")}


def test_the_description_is_whole() -> None:
    found = list(described())
    assert len(found) == 368
    assert set(found) >= REFUSED


def test_every_operation_is_there() -> None:
    there = declared()
    missing = [name for name in described() if shape(*name.split()) not in there and name not in REFUSED]
    assert not missing, "\n".join(missing)


def test_nothing_is_there_besides() -> None:
    known = {shape(*name.split()) for name in described()}
    assert declared() <= known, "\n".join(sorted(declared() - known))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_as_keystone_refuses(cloud: IdentityCloud, name: str) -> None:
    method, path = name.split()
    reply = cloud.ask(method, f"/identity{path}", token=cloud.admin)
    assert reply.status == 405, reply.body


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v3/nothing", 404), ("PUT", "/v3/users", 405)])
def test_who_has_no_token_is_told_what_is_not_there(
    cloud: IdentityCloud, method: str, path: str, status: int
) -> None:
    assert cloud.ask(method, f"/identity{path}", token=None).status == status
    assert cloud.ask("GET", "/identity/v3/users", token=None).status == 401
