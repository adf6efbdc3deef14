"""Who may ask what of images: every operation is asked by every persona, and each gets the status that its row says.

The rows stand in `asked/<topic>.py` as `ROWS`. Things that a path or a body speaks of are made on demand: `{private}` is the id
of a new private image of p1. A topic adds its own kinds by `@thing("kind")`. Persona's names are their tokens.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from api.image import asked
from api.image.conftest import ImageCloud
from shapes import shape
from support import PERSONAS as PROJECT_PERSONAS
from support import authenticate_persona, persona
from tiffin.core.actor import Actor
from tiffin.core.cloud import ServiceRef
from tiffin.host.joined import JoinedHosts, LocalHosts
from tiffin.services.compute.drivers.base import Hosts
from tiffin.services.compute.image_caches import HostCaches
from tiffin.services.image.drivers.base import ImageCaches

ALL_ROLES = ("admin", "manager", "member", "reader")
WIDE = {
    "system_admin": persona("system_admin", None, ALL_ROLES, system_scope="all"),
    "system_reader": persona("system_reader", None, ("reader",), system_scope="all"),
    "domain_admin": persona("domain_admin", None, ALL_ROLES, domain_id="default"),
}
"""Whose tokens are for no project; upstream's rules of images are for projects only."""
PERSONAS = (*PROJECT_PERSONAS, *WIDE)
"""`anonymous`, without a token, is asked as well."""

ANY = " ".join(PERSONAS)
"""Whoever has a token."""
READERS = "admin manager member member2 reader"
"""Who may look at what is p1's own."""
MEMBERS = "admin manager member member2"
"""Who may change what is p1's own."""
PROJECTS = f"{READERS} other"
"""Who may look at what is everybody's."""

DEFAULT_OK = {"GET": 200, "POST": 201, "PUT": 204, "PATCH": 200, "DELETE": 204}


class Row(msgspec.Struct, frozen=True):
    """An operation and who may ask it. `may` succeed with `ok`; `see` what it is about, but are refused by 403; for all others
    it is not there: 404. Where nothing can be hidden, all others `see` it. `route` is the path as the service declares it
    where that is not `path` with a {kind} for each field."""

    method: str
    path: str
    may: str
    see: str = ANY
    body: Any = None
    headers: dict[str, str] = {}
    ok: int | None = None
    route: str = ""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def shape(self) -> str:
        """The operation, with the names of its fields left out."""
        return shape(self.method, self.route or self.path.partition("?")[0])

    def status(self, who: str) -> int:
        if who in self.may.split():
            return self.ok or DEFAULT_OK[self.method]
        if who == "anonymous":
            return 401
        return 403 if who in self.see.split() else 404


Maker = Callable[[ImageCloud], str]
MAKERS: dict[str, Maker] = {}


def thing(kind: str) -> Callable[[Maker], Maker]:
    """Say how a thing of this kind is made; the function gives its id."""

    def keep(make: Maker) -> Maker:
        assert kind not in MAKERS, kind
        MAKERS[kind] = make
        return make

    return keep


def _authenticate(session: Session, token: str) -> Actor:
    return WIDE[token] if token in WIDE else authenticate_persona(session, token)


class Scene:
    """A cloud in which rows are asked."""

    def __init__(self, sections: dict[str, Any] | None = None, services: Iterable[ServiceRef] = ()) -> None:
        """`sections`: what an operator has set. `services`: further ones."""
        self.cloud = ImageCloud(sections, services, authenticator=_authenticate)
        self.cloud.cloud.add(Hosts, JoinedHosts(self.cloud.cloud, Path("/nowhere"), LocalHosts({}), self.cloud.clock))
        self.cloud.cloud.add(ImageCaches, HostCaches(self.cloud.cloud))

    def fill(self, value: Any, names: dict[str, str]) -> Any:
        """`value` with a thing for each {kind}; `names` keeps them, so that the same word is the same thing."""
        if isinstance(value, dict):
            return {k: self.fill(v, names) for k, v in value.items()}
        if isinstance(value, list):
            return [self.fill(v, names) for v in value]
        if not isinstance(value, str):
            return value
        for word in re.findall(r"{([a-z0-9_]+)}", value):
            if word not in names:
                names[word] = MAKERS[word](self.cloud)
        return re.sub(r"{([a-z0-9_]+)}", lambda found: names[found[1]], value)

    def ask(self, who: str, row: Row) -> int:
        """The status that this persona gets; what a request that was refused leaves changed is a defect."""
        names: dict[str, str] = {}
        path, body = self.fill(row.path, names), self.fill(row.body, names)
        before = self.cloud._rows_changed()
        headers = dict(row.headers)
        headers |= {} if who == "anonymous" else {"X-Auth-Token": who}
        raw = body if isinstance(body, bytes) else None
        reply = self.cloud.client.request(
            row.method, f"/image{path}", headers=headers, body=raw, json=body if raw is None else None
        )
        assert reply.status < 400 or self.cloud._rows_changed() == before, f"{who} was refused, and rows changed"
        assert reply.status < 400 or reply.json["message"]
        return reply.status


def all_rows() -> list[Any]:
    """The rows of every topic. A topic may have an exam of its own: its rows are of another class, with a `shape` too."""
    found: list[Any] = []
    for module in sorted(m.name for m in pkgutil.iter_modules(asked.__path__)):
        found += importlib.import_module(f"{asked.__name__}.{module}").ROWS
    return found


# --- images in every state ----------------------------------------------------------------------------------------------


def _image(cloud: ImageCloud, visibility: str, **more: Any) -> str:
    return str(cloud.make("admin", visibility=visibility, owner="p1", **more)["id"])


@thing("private")
def _private(cloud: ImageCloud) -> str:
    return _image(cloud, "private")


@thing("public")
def _public(cloud: ImageCloud) -> str:
    return _image(cloud, "public")


@thing("community")
def _community(cloud: ImageCloud) -> str:
    return _image(cloud, "community")


@thing("shared")
def _shared(cloud: ImageCloud) -> str:
    """With p2, which has not accepted it."""
    id = _image(cloud, "shared")
    assert cloud.ask("POST", f"/image/v2/images/{id}/members", json={"member": "p2"}).status == 200
    return id


@thing("tagged")
def _tagged(cloud: ImageCloud) -> str:
    return _image(cloud, "public", tags=["t"])


@thing("active")
def _active(cloud: ImageCloud) -> str:
    """With bytes; private."""
    return str(cloud.active(visibility="private")["id"])


@thing("published")
def _published(cloud: ImageCloud) -> str:
    """With bytes; public."""
    return str(cloud.active(token="admin", visibility="public", owner="p1")["id"])


@thing("deactivated")
def _deactivated(cloud: ImageCloud) -> str:
    id = _active(cloud)
    assert cloud.ask("POST", f"/image/v2/images/{id}/actions/deactivate").status == 204
    return id


@thing("staged")
def _staged(cloud: ImageCloud) -> str:
    id = _private(cloud)
    assert cloud.put(id, b"some bytes", what="stage").status == 204
    return id
