"""Where other machines knock: the controller's HTTPS port for those that join, for agents, and for other controllers."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

import msgspec

from tiffin.core.certificates import Authority, Identity
from tiffin.core.cloud import Cloud
from tiffin.core.driver import Impossible, Refused
from tiffin.core.errors import BadRequest, Fault
from tiffin.core.https import Answer, HttpsServer, Reply, Request
from tiffin.services.compute.settings import Machines

CONTROLLER = "controller"
"""What certificates of controllers name."""
RENEW_WHEN_LEFT = 180 * 86_400.0
DAYS = 3650
"""How long a controller's certificates live, who makes a new one at a start in the last `RENEW_WHEN_LEFT` seconds."""
_PEM = "application/x-pem-file"
T = TypeVar("T")


class Keys:
    """The authorities of a cloud and its controller's own identity, in a folder of the state folder."""

    def __init__(self, folder: Path) -> None:
        self.hosts = Authority(folder / "hosts", "tiffin hosts")
        self.controllers = Authority(folder / "controllers", "tiffin controllers")
        self.own = Identity(folder / CONTROLLER)

    def ensure(self, now: float) -> None:
        """Have them all, and a certificate that does not end soon."""
        self.hosts.ensure(now)
        self.controllers.ensure(now)
        if self.own.expires_at() - now < RENEW_WHEN_LEFT:
            request = self.own.request(CONTROLLER)
            self.own.keep(self.controllers.sign(request, CONTROLLER, now, DAYS), self.hosts.certificate())


class Door:
    """Answers agents, and who wants to become one; other controllers by `exports`."""

    def __init__(self, cloud: Cloud, keys: Keys, machines: Machines, exports: Answer) -> None:
        self._cloud, self._keys, self._machines, self._exports = cloud, keys, machines, exports

    def open(self, address: tuple[str, int]) -> HttpsServer:
        """Raises OSError when nobody can listen there."""
        server = HttpsServer(address, self._context, self)
        server.start()
        return server

    def _context(self) -> ssl.SSLContext:
        context = self._keys.own.server_context(strangers=True)
        context.load_verify_locations(self._keys.controllers.file)
        return context

    def __call__(self, request: Request) -> Reply:
        try:
            return self._answer(request)
        except Fault as no:
            return Reply(no.status, msgspec.json.encode(no.message))
        except Impossible as no:
            return Reply(422, msgspec.json.encode(str(no)))
        except Refused as no:
            return Reply(503, msgspec.json.encode(str(no)))

    def _answer(self, request: Request) -> Reply:
        from tiffin.services.compute import agents, controllers, joining

        if request.authority == self._keys.controllers.name:
            return self._exports(request)
        if (request.method, request.path) == ("GET", "/authority"):
            return Reply(200, self._keys.controllers.certificate(), _PEM)
        if (request.method, request.path) == ("POST", "/join"):
            asked = _decoded(request.body, joining.Join)
            return _json(joining.join(self._cloud, asked, self._keys.hosts, self._keys.controllers))
        if not request.peer or not agents.knows(self._cloud, request.peer):
            return Reply(403, b'"Only hosts that have joined are answered here."')
        if (request.method, request.path) == ("GET", "/controllers"):
            return _json(controllers.directory(self._cloud, self._machines))
        if (request.method, request.path) == ("POST", "/renew"):
            renewed = joining.renew(self._cloud, request.peer, request.body, self._keys.hosts)
            return Reply(200, renewed, _PEM)
        if (request.method, request.path) == ("POST", "/metadata"):
            asked_by_guest = _decoded(request.body, agents.GuestRequest)
            return _json(agents.metadata_for(self._cloud, request.peer, asked_by_guest))
        if (request.method, request.path) == ("POST", "/disks"):
            range = _decoded(request.body, agents.DiskRange)
            return Reply(200, agents.disk_for(self._cloud, request.peer, range), "application/octet-stream")
        if (request.method, request.path) == ("POST", "/tunnels"):
            way = _decoded(request.body, agents.Way)
            return Reply(101, tunnel=agents.tunnel_for(self._cloud, request.peer, way))
        if request.method == "GET" and request.path.startswith("/images/"):
            id = unquote(request.path.removeprefix("/images/"))
            return Reply(200, agents.image_for(self._cloud, request.peer, id), "application/octet-stream")
        return Reply(404, b'"There is nothing here."')


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as no:
        raise BadRequest(str(no)) from no


def _json(answer: msgspec.Struct) -> Reply:
    return Reply(200, msgspec.json.encode(answer))
