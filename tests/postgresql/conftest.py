"""A PostgreSQL server of the tests' own, where its programs are installed: `./tiffin test --postgresql` installs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tiffin.cli.postgresql import Server, binaries, private_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    if binaries() is None:
        pytest.skip("there is no PostgreSQL server on this machine")
    with private_server() as server:
        yield server
