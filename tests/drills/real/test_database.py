"""kill -9 of the PostgreSQL server of a real cloud, and of a process of it, under load."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psycopg
import pytest

from drills.real.drill import again, end, load, real_cloud
from running_cloud import RunningCloud
from tiffin.cli.errors import CliError
from tiffin.cli.postgresql import Server, private_server

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with private_server() as server:
        yield server


@pytest.fixture(scope="module")
def cloud(server: Server) -> Iterator[RunningCloud]:
    with real_cloud(f'database = "{server.make("drill")}"\n') as cloud:
        yield cloud


def kill_the_server(server: Server) -> None:
    """And start it again, when its processes have noticed."""
    server.kill()
    deadline = time.monotonic() + 20
    while True:
        try:
            server.start()
            return
        except CliError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def kill_a_backend(server: Server) -> None:
    """The oldest of the cloud's; the server then ends all others, and recovers."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = 'drill' ORDER BY backend_start LIMIT 1"
    with psycopg.connect(server.url()) as connection:
        found = connection.execute(query).fetchone()
    assert found is not None
    os.kill(int(found[0]), signal.SIGKILL)


@pytest.mark.parametrize("trouble", [kill_the_server, kill_a_backend])
def test_the_database_server(cloud: RunningCloud, server: Server, trouble: object) -> None:
    """Who asks meanwhile is told to ask again; nothing that was accepted fails."""
    assert callable(trouble)
    with load(cloud) as drill:
        again(lambda: trouble(server))
        assert end(drill).errors == []
