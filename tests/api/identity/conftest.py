"""A cloud with identity alone, bootstrapped, and short words for what its tests do all the time."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.identity import answers
from support import Clock, TestCloud
from tiffin.core.cloud import ServiceRef
from tiffin.core.database import Database
from tiffin.core.http.local import Reply
from tiffin.core.world import World
from tiffin.services.identity import tables
from tiffin.services.identity.public import BootstrapOptions, Identity, IdentitySettings, Keys, bootstrap

URL = "http://127.0.0.1:8000"
ADMIN_PASSWORD = "a long secret"


THINGS = (tables.User, tables.Project, tables.Role, tables.ApplicationCredential, tables.Trust)
"""What tokens speak of: a new one changes no token, another one or one less may."""
RELATIONS = (
    tables.Membership, tables.Assignment, tables.ImpliedRole, tables.CatalogService, tables.Endpoint, tables.RevokedToken,
)  # fmt: skip
NO_MATTER = ("remaining_uses", "failed_logins", "failed_at", "last_active_at")
MOST_COMPARED = 300


def _query(table: Any) -> str:
    columns = ", ".join(c.name for c in table.__table__.columns if c.name not in NO_MATTER)
    return f"SELECT {columns} FROM {table.__tablename__} LIMIT {MOST_COMPARED}"


_THINGS, _RELATIONS = ([_query(table) for table in tables_] for tables_ in (THINGS, RELATIONS))
_EPOCH = "SELECT value FROM " + tables.Epoch.__tablename__


def what_matters(database: Database) -> tuple[set[Any], set[Any], int]:
    """The rows that tokens depend on, and the epoch. Asked of the driver itself: it is done for each request of a test."""
    with contextlib.closing(database.engine.raw_connection()) as connection:
        cursor = connection.cursor()
        things, relations = (
            {(query, repr(row)) for query in queries for row in cursor.execute(query)}
            for queries in (_THINGS, _RELATIONS)
        )
        epoch = list(cursor.execute(_EPOCH))
        return things, relations, epoch[0][0] if epoch else 0


class IdentityCloud(TestCloud):
    """`admin` is a token; `login` makes others; `make` creates a resource as the administrator. After each request it is
    checked that what tokens depend on has not changed without a word to other processes."""

    __test__ = False

    def __init__(self, folder: Path, settings: IdentitySettings | None = None) -> None:
        clock = Clock()
        keys = Keys(folder)
        settings = msgspec.structs.replace(settings or IdentitySettings(), password_rounds=4)
        self.identity = Identity(keys, World(clock=clock), settings)
        super().__init__(
            [ServiceRef("identity", "/identity", "tiffin.services.identity.service")],
            clock=clock,
            authenticator=self.identity.authenticate,
            secrets=self.identity.secrets,
        )
        self.cloud.add(Identity, self.identity)
        self._matters: tuple[set[Any], set[Any], int] | None = None
        self.cloud.database.on_commit(self._changed)
        self.sent: set[str] = set()
        with self.cloud.database.write() as session:
            options = BootstrapOptions(rounds=4)
            bootstrap(session, self.cloud.world, ADMIN_PASSWORD, "RegionOne", URL, options)
        self.admin = self.token("admin", ADMIN_PASSWORD, project="admin")

    def ask(self, method: str, url: str, token: str | None = "member", json: Any = None, **headers: str) -> Reply:
        """As of every cloud; what is answered has the fields that Keystone shows."""
        reply = self._ask_and_watch(method, url, token, json, **headers)
        self.sent |= fields_of(json)
        if reply.status < 300 and reply.body and "json" in reply.headers.get("content-type", ""):
            answers.check(reply.json, self.sent)
        return reply

    def _ask_and_watch(self, method: str, url: str, token: str | None, json: Any, **headers: str) -> Reply:
        """What changes who may what calls `touch`."""
        if method in ("GET", "HEAD"):
            return super().ask(method, url, token, json, **headers)
        things, relations, epoch = self._what_matters()
        reply = super().ask(method, url, token, json, **headers)
        things_now, relations_now, epoch_now = self._what_matters()
        if len(things) < MOST_COMPARED and len(relations) < MOST_COMPARED:
            same = things <= things_now and relations == relations_now
            assert same or epoch != epoch_now, f"{method} {url} changes who may what, and does not `touch`"
        return reply

    def _what_matters(self) -> tuple[set[Any], set[Any], int]:
        """As it is now; read anew only when something has been committed since."""
        if self._matters is None:
            self._matters = what_matters(self.cloud.database)
        return self._matters

    def forget(self) -> None:
        """What was remembered of rows, here and in the service: they may have changed."""
        self._changed()
        self.identity.forget()

    def _changed(self) -> None:
        self._matters = None

    def auth(self, identity: dict[str, Any], scope: Any = None, query: str = "") -> Reply:
        body: dict[str, Any] = {"identity": identity}
        if scope is not None:
            body["scope"] = scope
        return self.ask("POST", f"/identity/v3/auth/tokens{query}", token=None, json={"auth": body})

    def login(self, user: str, password: str, scope: Any = None, domain: str = "default") -> Reply:
        who = {"name": user, "domain": {"id": domain}, "password": password}
        return self.auth({"methods": ["password"], "password": {"user": who}}, scope)

    def token(self, user: str, password: str, project: str | None = None, scope: Any = None) -> str:
        if project is not None:
            scope = {"project": {"name": project, "domain": {"id": "default"}}}
        reply = self.login(user, password, scope)
        assert reply.status == 201, reply.body
        return reply.headers["x-subject-token"]

    def do(self, method: str, path: str, json: Any = None, token: str | None = None, **headers: str) -> Reply:
        """A request below /identity/v3, as the administrator unless another token is given."""
        return self.ask(method, f"/identity/v3{path}", token=token or self.admin, json=json, **headers)

    def make(self, kind: str, path: str, **fields: Any) -> dict[str, Any]:
        reply = self.do("POST", path, {kind: fields})
        assert reply.status == 201, reply.body
        found: dict[str, Any] = reply.json[kind]
        return found

    def role(self, name: str) -> str:
        return str(self.do("GET", f"/roles?name={name}").json["roles"][0]["id"])

    def member(self, name: str, project: str, role: str = "member") -> tuple[str, str, str]:
        """A user with a role on a new project: (user id, project id, token)."""
        project_id = self.make("project", "/projects", name=project)["id"]
        user_id = self.make("user", "/users", name=name, password="pw")["id"]
        assert self.do("PUT", f"/projects/{project_id}/users/{user_id}/roles/{self.role(role)}").status == 204
        return user_id, project_id, self.token(name, "pw", project)


def fields_of(body: Any) -> set[str]:
    """The names of all fields of what stands under the root of a request, as they are kept."""
    inner = [value for value in body.values() if isinstance(value, dict)] if isinstance(body, dict) else []
    return {kept for value in inner for name in value for kept in (name, re.sub("[:-]", "_", name))}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[IdentityCloud]:
    made = IdentityCloud(tmp_path / "keys")
    yield made
    made.close()


class People(msgspec.Struct):
    """Ann lends what she has on her project to Bob; Cleo is a third, Dan a fourth."""

    ann: str
    bob: str
    cleo: str
    dan: str
    project: str
    token: str  # of ann


@pytest.fixture
def people(cloud: IdentityCloud) -> People:
    ann, project, token = cloud.member("ann", "p", "manager")
    bob, _, _ = cloud.member("bob", "q")
    cleo, _, _ = cloud.member("cleo", "r")
    dan, _, _ = cloud.member("dan", "s")
    return People(ann, bob, cleo, dan, project, token)
