"""A cloud with identity alone, bootstrapped, and short words for what its tests do all the time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import Clock, TestCloud
from tiffin.core.cloud import ServiceRef
from tiffin.core.http.local import Reply
from tiffin.core.world import World
from tiffin.services.identity.public import BootstrapOptions, Identity, IdentitySettings, Keys, bootstrap

URL = "http://127.0.0.1:8000"
ADMIN_PASSWORD = "a long secret"


class IdentityCloud(TestCloud):
    """`admin` is a token; `login` makes others; `make` creates a resource as the administrator."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        clock = Clock()
        keys = Keys(folder)
        self.identity = Identity(keys, World(clock=clock), IdentitySettings(password_rounds=4))
        super().__init__(
            [ServiceRef("identity", "/identity", "tiffin.services.identity.service")],
            clock=clock,
            authenticator=self.identity.authenticate,
            secrets=self.identity.secrets,
        )
        self.cloud.add(Identity, self.identity)
        with self.cloud.database.write() as session:
            options = BootstrapOptions(rounds=4)
            bootstrap(session, self.cloud.world, ADMIN_PASSWORD, "RegionOne", URL, options)
        self.admin = self.token("admin", ADMIN_PASSWORD, project="admin")

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


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[IdentityCloud]:
    made = IdentityCloud(tmp_path / "keys")
    yield made
    made.close()
