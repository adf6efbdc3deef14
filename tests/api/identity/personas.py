"""Who may ask what of identity: every operation is asked by every persona, and exactly those named in its row succeed.

The rows stand in `asked/<topic>.py` as `ROWS`. Things that a path or a body speaks of are made on demand: `{user}` in a path
or a string of a body is the id of a new user. A topic adds its own kinds by `@thing("kind")`.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Callable
from typing import Any

import msgspec

from api.identity import asked
from api.identity.conftest import IdentityCloud
from shapes import shape
from tiffin.services.identity.scopes import scopes
from tiffin.services.identity.service import service

PERSONAS = (
    "admin",  # of a project, like all that follow up to `other`
    "manager",
    "member",
    "reader",
    "service",
    "nobody",  # has logged in, without a scope and without any role
    "other",  # a member of another project in another domain
    "domain_admin",
    "domain_manager",
    "domain_member",
    "domain_reader",
    "system_admin",
    "system_member",
    "system_reader",
)
"""`anonymous`, without a token, is asked as well."""

ANY = " ".join(PERSONAS)
"""Whoever has a token."""
ADMINS = "admin domain_admin system_admin"
"""Who has the role admin in whatever scope: what upstream's rule admin_required says. Of most rules the one of a domain is
left out by their scopes."""
READERS = f"{ADMINS} system_member system_reader"
"""Who may read the whole cloud: also a reader of the system."""


class Row(msgspec.Struct, frozen=True):
    """An operation, who may ask it, and what to send. `may` is what the rule says of them; whose token is of a scope that the
    rule is not for may be among them (see `allowed`). `body` may hold `{kind}` in its strings; `route` is the path as the
    service declares it where that is not `path` with {kind} for each field."""

    method: str
    path: str
    may: str
    body: Any = None
    refused: tuple[int, ...] = (403,)
    headers: dict[str, str] = {}
    route: str = ""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def shape(self) -> str:
        """The operation, with the names of its fields left out."""
        return shape(self.method, self.route or self.path.partition("?")[0])


Maker = Callable[["Scene"], str]
MAKERS: dict[str, Maker] = {}


def thing(kind: str) -> Callable[[Maker], Maker]:
    """Say how a thing of this kind is made; the function gives its id."""

    def keep(make: Maker) -> Maker:
        assert kind not in MAKERS, kind
        MAKERS[kind] = make
        return make

    return keep


class Scene:
    """A cloud with all personas. The domain `D` is theirs, with the project `P`; `me` in a path is who asks."""

    def __init__(self, cloud: IdentityCloud) -> None:
        self.cloud = cloud
        self.made = 0
        self.domain = cloud.make("domain", "/domains", name="D")["id"]
        self.other_domain = cloud.make("domain", "/domains", name="E")["id"]
        self.project = cloud.make("project", "/projects", name="P", domain_id=self.domain)["id"]
        other = cloud.make("project", "/projects", name="Q", domain_id=self.other_domain)["id"]
        self.user_ids: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        for name in PERSONAS:
            self._persona(name, other)

    def _persona(self, name: str, other: str) -> None:
        kind, _, role = name.rpartition("_")
        domain = self.other_domain if name == "other" else self.domain
        self.user_ids[name] = id = self.cloud.make("user", "/users", name=name, password="pw", domain_id=domain)["id"]
        scope: Any = None
        if name != "nobody":
            role_id = self.cloud.role("member" if name == "other" else role)
            where, scope = self._scope(kind, other if name == "other" else self.project)
            assert self.cloud.do("PUT", f"{where}/users/{id}/roles/{role_id}").status == 204
        reply = self.cloud.login(name, "pw", scope, domain=domain)
        assert reply.status == 201, reply.body
        self.tokens[name] = reply.headers["x-subject-token"]

    def _scope(self, kind: str, project: str) -> tuple[str, Any]:
        if kind == "system":
            return "/system", {"system": {"all": True}}
        if kind == "domain":
            return f"/domains/{self.domain}", {"domain": {"id": self.domain}}
        return f"/projects/{project}", {"project": {"id": project}}

    def new(self, kind: str) -> str:
        """The id of a new thing."""
        return MAKERS[kind](self)

    def name(self) -> str:
        """A name that nothing has."""
        self.made += 1
        return f"n{self.made}"

    def fill(self, value: Any, names: dict[str, str]) -> Any:
        """`value` with a thing for each {kind}; `names` keeps them, so that the same word is the same thing."""
        if isinstance(value, dict):
            return {k: self.fill(v, names) for k, v in value.items()}
        if isinstance(value, list):
            return [self.fill(v, names) for v in value]
        if not isinstance(value, str):
            return value
        for word in re.findall(r"{([A-Za-z0-9_]+)}", value):
            if word not in names:
                names[word] = self.new(word)
        return re.sub(r"{([A-Za-z0-9_]+)}", lambda found: names[found[1]], value)

    def ask(self, persona: str, row: Row) -> int:
        """The status that this persona gets; what a request that was refused leaves changed is a defect."""
        names = {"me": self.user_ids.get(persona, self.user_ids["nobody"]), "D": self.domain, "P": self.project}
        path, body = self.fill(row.path, names), self.fill(row.body, names)
        headers = self.fill(row.headers, names)
        before = self.cloud._rows_changed()
        token = self.tokens.get(persona)
        reply = self.cloud.ask(row.method, f"/identity{path}", token=token, json=body, **headers)
        assert reply.status < 400 or self.cloud._rows_changed() == before, f"{persona} was refused, and rows changed"
        return reply.status


@thing("name")
def _name(scene: Scene) -> str:
    return scene.name()


@thing("user")
def _user(scene: Scene) -> str:
    fields = {"name": scene.name(), "password": "pw", "domain_id": scene.domain}
    return str(scene.cloud.make("user", "/users", **fields)["id"])


@thing("group")
def _group(scene: Scene) -> str:
    return str(scene.cloud.make("group", "/groups", name=scene.name(), domain_id=scene.domain)["id"])


@thing("project")
def _project(scene: Scene) -> str:
    return str(scene.cloud.make("project", "/projects", name=scene.name(), domain_id=scene.domain)["id"])


@thing("role")
def _role(scene: Scene) -> str:
    return str(scene.cloud.make("role", "/roles", name=scene.name())["id"])


@thing("domain")
def _domain(scene: Scene) -> str:
    return str(scene.cloud.make("domain", "/domains", name=scene.name(), enabled=False)["id"])


@functools.cache
def _rules() -> dict[str, str]:
    """The rule of each operation that has one, by its shape."""
    return {shape(o.method, o.path): o.policy[0] for o in service.operations() if o.policy is not None}


def allowed(row: Row) -> set[str]:
    """The personas that may, in the end."""
    kinds = scopes(_rules().get(row.shape, "")) or ("system", "domain", "project")
    return {name for name in row.may.split() if (name.partition("_")[0] if "_" in name else "project") in kinds}


def all_rows() -> list[Row]:
    found: list[Row] = []
    for module in sorted(m.name for m in pkgutil.iter_modules(asked.__path__)):
        found += importlib.import_module(f"{asked.__name__}.{module}").ROWS
    return found
