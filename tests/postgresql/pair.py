"""Two controllers, each a server process of its own with its own folder, port and simulated host, on one database; and
machines that join them."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from running_cloud import ADMIN, RunningCloud, free_address, tiffin
from storm import Tenant
from tiffin.cli.postgresql import Server
from tiffin.core.database import Database
from world import assert_becomes

SHARED = ("keys", "images")


class Agent:
    """A host on a machine of its own, as far as processes tell: it has joined, and outlives controllers."""

    def __init__(self, name: str, door: str, word: str, home: Path) -> None:
        self.name, self.home = name, home
        self._do("join", door, "--simulated", "--name", name, "--listen", free_address(), "--token", word)

    def _do(self, *words: str, check: bool = True) -> None:
        tiffin("host", *words, "--home", str(self.home), check=check)

    def restart(self) -> None:
        self._do("stop")
        self._do("start")

    def stop(self) -> None:
        self._do("stop", check=False)


@dataclass
class Two:
    first: RunningCloud  # runs the networks
    second: RunningCloud
    url: str
    doors: list[str]
    folder: Path
    agents: list[Agent] = field(default_factory=list)

    @property
    def addresses(self) -> list[str]:
        return [self.first.address, self.second.address]

    def join(self, name: str, at: int) -> Agent:
        """A machine joins at the first controller (0) or at the second (1), and takes guests."""
        word = (self.first, self.second)[at].tiffin("host", "token").stdout.split()[0]
        agent = Agent(name, self.doors[at], word, self.folder / name)
        self.agents.append(agent)
        assert_becomes(lambda: name in self.hosts_up(), True, patience=40)
        return agent

    def hosts_up(self) -> set[str]:
        with self.first.connect(ADMIN) as admin:
            return {str(one.name) for one in admin.compute.hypervisors() if one.state == "up"}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(Database(self.url)) as database, database.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]


@contextlib.contextmanager
def two_controllers(server: Server) -> Iterator[Two]:
    url = server.make(f"two_{uuid.uuid4().hex[:8]}")
    folder = Path(tempfile.mkdtemp(prefix="tf-", dir="/var/tmp"))
    clouds = [RunningCloud(folder / name, free_address(), simulated=True) for name in ("a", "b")]
    doors = [free_address(), free_address()]
    for cloud, door, network in zip(clouds, doors, ("", doors[0]), strict=True):
        cloud.home.mkdir(mode=0o700)
        (cloud.home / "tiffin.toml").write_text(
            f'simulated = true\ndatabase = "{url}"\n[identity.shares]\ncatalog_url = "http://{clouds[0].address}"\n'
            f'[compute.machines]\nname = "{cloud.home.name}"\nlisten = "{door}"\nnetwork = "{network}"\n'
        )
    first, second = clouds
    two = Two(first, second, url, doors, folder)
    try:
        first.tiffin("up", "--listen", first.address)
        for name in SHARED:
            (second.home / name).symlink_to(first.home / name)
        shutil.copy(first.home / "secrets.json", second.home)
        second.tiffin("up", "--listen", second.address)
        yield two
    finally:
        for agent in two.agents:
            agent.stop()
        for cloud in reversed(clouds):
            cloud.tiffin("down", check=False)
        shutil.rmtree(folder)


class Anywhere(Tenant):
    """`demo`, who asks whichever controller answers."""

    def __init__(self, two: Two) -> None:
        self.addresses = two.addresses
        self.asked: list[str] = []
        self.tried: list[str] = []
        self.last: dict[int, str] = {}  # by thread
        super().__init__(two.first, "m1.nano", "tiffin-tiny")

    def ask(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        self.asked.append(path)
        return super().ask(method, path, body, key)

    def where(self) -> str:
        address = random.choice(self.addresses)
        self.tried.append(address)
        self.last[threading.get_ident()] = address
        return address


def guests_at(address: str) -> list[str]:
    """The guests that are real on any host, as one controller sees them once it has begun: twice, if one is on two hosts."""
    assert_becomes(lambda: healthz(address)[0], 200, patience=60)
    told = healthz(address)[1]
    assert not [host for host in told["hosts"] if "silent" in host], told["hosts"]
    return sorted(one["id"] for one in told["guests"])


def healthz(address: str) -> tuple[int, Any]:
    """No answer is status 0: nobody listens there now."""
    try:
        return ask(address, "GET", "/healthz?detail=1")
    except (OSError, http.client.HTTPException):
        return 0, None


def ask(address: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        sent = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, path, None if body is None else json.dumps(body), sent)
        reply = connection.getresponse()
        raw = reply.read()
        return reply.status, json.loads(raw) if raw else None
    finally:
        connection.close()
