"""What tests share: a cloud in memory, personas, a clock that tests move."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import StaticPool, create_engine, make_url, select
from sqlalchemy.orm import Session

from tiffin.core.actor import Actor
from tiffin.core.cloud import Authenticator, Cloud, Secrets, ServiceRef
from tiffin.core.database import Database
from tiffin.core.engine import Engine
from tiffin.core.errors import Unauthorized
from tiffin.core.http.app import make
from tiffin.core.http.local import LocalClient, Reply
from tiffin.core.tables import Change, Table
from tiffin.core.world import World


def persona(name: str, project: str | None = "p1", roles: Iterable[str] = (), **more: Any) -> Actor:
    return Actor(
        user_id=f"{name}-id",
        user_name=name,
        user_domain_id="default",
        user_domain_name="Default",
        roles=frozenset(roles),
        project_id=project,
        project_name=project,
        project_domain_id="default",
        project_domain_name="Default",
        expires_at=2e9,
        **more,
    )


PERSONAS = {
    "admin": persona("admin", "admin-project", ("admin", "manager", "member", "reader")),
    "manager": persona("manager", "p1", ("manager", "member", "reader")),
    "member": persona("member", "p1", ("member", "reader")),
    "member2": persona("member2", "p1", ("member", "reader")),
    "reader": persona("reader", "p1", ("reader",)),
    "other": persona("other", "p2", ("member", "reader")),
    "service": persona("service", "service-project", ("service",)),
    "nobody": persona("nobody", "p1", ()),
}
"""Their names are their tokens. The identity service's own tests use real tokens."""


def authenticate_persona(session: Session, token: str) -> Actor:
    try:
        return PERSONAS[token]
    except KeyError:
        raise Unauthorized("The request you have made requires authentication.") from None


class Clock:
    """Seconds since the epoch, moved by the test."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class PlainSecrets:
    """Keeps nothing secret: for databases that live in the memory of one test."""

    def encrypt(self, plain: bytes) -> bytes:
        return plain[::-1]

    def decrypt(self, kept: bytes) -> bytes:
        return kept[::-1]


@functools.cache
def _template(tables: int) -> sqlite3.Connection:
    """A database with this many tables (they only ever become more, by importing services) and no rows."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Table.metadata.create_all(engine)
    found: sqlite3.Connection = engine.raw_connection().driver_connection
    return found


class MemoryDatabase(Database):
    """A database in memory with every known table. Once closed it is emptied and serves the next test, since SQLAlchemy
    keeps the SQL that it has compiled with the engine, and compiling is most of what a test would do."""

    _free: ClassVar[list[MemoryDatabase]] = []
    on_server = "TIFFIN_TEST_DATABASE" in os.environ

    @classmethod
    def take(cls) -> Database:
        """An empty one. Pages are copied from a template: a hundredth of the time that CREATE TABLE takes."""
        if cls.on_server:
            return ServerDatabase.take()
        database = cls._free.pop() if cls._free else cls("sqlite://")
        with contextlib.closing(database.engine.raw_connection()) as connection:
            _template(len(Table.metadata.tables)).backup(connection.driver_connection)
        return database

    def close(self) -> None:
        self._after.clear()
        self._free.append(self)


@contextlib.contextmanager
def in_memory() -> Iterator[None]:
    """Databases in memory for this block, wherever the tests themselves run: they do all in the same order each time."""
    before, MemoryDatabase.on_server = MemoryDatabase.on_server, False
    yield
    MemoryDatabase.on_server = before


_COUNTED = "SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL"
"""The sequences that have given a number."""


class ServerDatabase(Database):
    """A database of this process on the server that TIFFIN_TEST_DATABASE names. Once closed it is emptied and serves the next
    test; that of a test which failed to close it is left alone."""

    _free: ClassVar[list[ServerDatabase]] = []
    _made = 0
    _tables: tuple[str, ...] = ()

    @classmethod
    def take(cls) -> Database:
        if not cls._free:
            cls._made += 1
            cls._free.append(cls(_own_database(os.environ["TIFFIN_TEST_DATABASE"], cls._made)))
        database = cls._free.pop()
        if len(database._tables) != len(Table.metadata.tables):
            Table.metadata.create_all(database.writer)
            database._tables = tuple(Table.metadata.tables)
        return database

    def close(self) -> None:
        self._after.clear()
        look = " UNION ALL ".join(f"SELECT '{n}' WHERE EXISTS (SELECT 1 FROM \"{n}\")" for n in self._tables)
        with self.writer.begin() as connection:
            connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            for name in list(connection.exec_driver_sql(look).scalars()):
                connection.exec_driver_sql(f'DELETE FROM "{name}"')
            for sequence in connection.exec_driver_sql(_COUNTED).scalars().all():
                connection.exec_driver_sql(f'ALTER SEQUENCE "{sequence}" RESTART')
        self._free.append(self)


def _own_database(server: str, number: int) -> str:
    """A new database on the server, named after this process."""
    name = f"test{os.getpid()}_{number}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return str(make_url(server).set(database=name).render_as_string(hide_password=False))


OWN_QUOTAS = {"quotas": "own"}
"""Of a service in a cloud without the identity service, which keeps the unified limits."""


class TestCloud:
    """A cloud in this process with its clock, engine and client."""

    __test__ = False

    def __init__(
        self,
        services: Iterable[ServiceRef],
        *,
        clock: Clock | None = None,
        authenticator: Authenticator = authenticate_persona,
        secrets: Secrets | None = None,
        database: Database | None = None,
        sections: Mapping[str, Any] | None = None,
        policy_folder: Path | None = None,
    ) -> None:
        """`database` where one in memory will not do: it has every table. `sections` and `policy_folder`: what an operator
        has set."""
        self.clock = clock or Clock()
        services = tuple(services)
        for ref in services:
            importlib.import_module(ref.module)
        self.cloud = Cloud(
            database or MemoryDatabase.take(),
            World(clock=self.clock),
            services,
            authenticator=authenticator,
            secrets=secrets or PlainSecrets(),
            sections={**(sections or {}), "image": {**OWN_QUOTAS, **(sections or {}).get("image", {})}},
            policy_folder=policy_folder,
        )
        self.engine = Engine(self.cloud, "test")
        self.client = LocalClient(make(self.cloud, lambda detail: (200, {"status": "ok"})))

    def ask(self, method: str, url: str, token: str | None = "member", json: Any = None, **headers: str) -> Reply:
        """A request as a persona; `headers` with _ for -."""
        sent = {k.replace("_", "-"): v for k, v in headers.items()}
        if token is not None:
            sent["X-Auth-Token"] = token
        before = self._rows_changed()
        reply = self.client.request(method, url, headers=sent, json=json)
        if reply.status < 400 and self._rows_changed() != before:
            self._assert_recorded(method, url, reply)
        return reply

    def _rows_changed(self) -> int:
        """How many rows have been changed so far, by whatever."""
        if not isinstance(self.cloud.database, MemoryDatabase):
            return 0
        connection = self.cloud.database.engine.raw_connection()
        try:
            return int(connection.driver_connection.total_changes)  # type: ignore[union-attr]  # sqlite3.Connection
        finally:
            connection.close()

    def _assert_recorded(self, method: str, url: str, reply: Reply) -> None:
        """Whatever a request changes is in the change log."""
        of_request = select(Change.sequence).where(Change.request_id == reply.headers["x-openstack-request-id"])
        with self.cloud.database.read() as session:
            assert session.scalar(of_request.limit(1)), f"{method} {url} is not in the change log"

    def settle(self) -> None:
        """Let every lifecycle run until it waits."""
        self.engine.run_until_idle()

    def close(self) -> None:
        self.cloud.database.close()
