"""What tests share: a cloud in memory, personas, a clock that tests move."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from databases import MemoryDatabase
from tiffin.core.actor import Actor
from tiffin.core.cloud import Authenticator, Cloud, Secrets, ServiceRef
from tiffin.core.database import Database
from tiffin.core.engine import Engine
from tiffin.core.errors import Unauthorized
from tiffin.core.http.app import make
from tiffin.core.http.local import LocalClient, Reply
from tiffin.core.tables import Change
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
