"""The agent of a host: executes what controllers ask of the hypervisor and the network of its machine.

It holds its own key and certificate, and no credential of a database or a user. It answers nobody but a controller of the
cloud that it has joined, and asks of it only what guests on this machine need."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog
import urllib3

from tiffin.core.certificates import Identity, write_private
from tiffin.core.driver import Refused
from tiffin.core.https import HttpsServer
from tiffin.core.remote import Connection, Dispatcher, chunks_of, fault_of
from tiffin.core.settings import parts
from tiffin.host.door import CONTROLLER
from tiffin.host.joined import HYPERVISOR, NETWORK
from tiffin.services.compute.drivers.base import Hypervisor
from tiffin.services.compute.drivers.departure import Channel
from tiffin.services.network.drivers.base import HostNetwork

RENEW_WHEN_LEFT = 120 * 86_400.0
"""Seconds before the end of its certificate when an agent asks for another."""

T = TypeVar("T")
log = structlog.get_logger("agent")


class Membership(msgspec.Struct, frozen=True):
    """What a host knows of the cloud that it has joined; HOME/agent.json."""

    name: str
    listen: str  # HOST:PORT where the agent answers
    controller: str  # HOST:PORT of the door at which it joined
    simulated: bool = False
    underlay: str = ""  # INTERFACE=ADDRESS/PREFIX of the tunnels
    controllers: tuple[str, ...] = ()  # HOST:PORT of the doors of all, as far as is known
    network: str = ""  # that of the controller that runs the networks; empty: where it joined


class Controller:
    """The cloud's controllers, as the agent may ask them: the one that answered last, or else the next."""

    def __init__(self, membership: Membership, identity: Identity) -> None:
        self.membership, self._identity = membership, identity
        self._connections: dict[str, Connection] = {}
        self._last = membership.controller

    def learn(self) -> bool:
        """Ask which controllers there are, and whether that is news: then `membership` has it."""
        try:
            reply = self._ask("GET", "/controllers")
        except Refused as no:
            log.warning("controllers.unknown", why=str(no))
            return False
        if reply.status != 200:
            log.warning("controllers.unknown", status=reply.status)
            return False
        found = msgspec.json.decode(reply.data, type=_Directory)
        before = self.membership
        self.membership = msgspec.structs.replace(before, controllers=found.controllers, network=found.network)
        return self.membership != before

    def image(self, image_id: str) -> Iterator[bytes]:
        """The bytes of an image. Raises `Impossible` or `Refused`."""
        return self._stream("GET", f"/images/{image_id}")

    def disk(self, guest_id: str, name: str, offset: int, length: int) -> Iterator[bytes]:
        """A range of a disk of a guest that moves here (a `DiskSource`). Raises `Impossible` or `Refused`."""
        asked = {"guest_id": guest_id, "name": name, "offset": offset, "length": length}
        return self._stream("POST", "/disks", msgspec.json.encode(asked))

    def tunnel(self, guest_id: str, channel: Channel) -> socket.socket:
        """A stream to where a guest of this machine goes (a `TunnelSource`). Raises `Impossible` or `Refused`."""
        asked = msgspec.json.encode({"guest_id": guest_id, "channel": channel})
        return self._of_first(lambda controller: controller.tunnel("/tunnels", asked))

    def metadata(
        self, network_id: str, remote: str, method: str, path: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """What the metadata service answers a guest; 503 when no controller is there."""
        asked = {"network_id": network_id, "remote": remote, "method": method, "path": path, "headers": headers}
        try:
            reply = self._ask("POST", "/metadata", msgspec.json.encode(asked))
        except Refused as no:
            log.warning("metadata.unanswered", why=str(no))
            return 503, {"Retry-After": "5"}, b"503 Service Unavailable"
        if reply.status != 200:
            log.warning("metadata.unanswered", status=reply.status)
            return 503, {"Retry-After": "5"}, b"503 Service Unavailable"
        found = msgspec.json.decode(reply.data, type=_Answer)
        return found.status, found.headers, found.body

    def renewed(self, request: bytes) -> bytes:
        """A new certificate. Raises `Refused`."""
        reply = self._ask("POST", "/renew", request)
        if reply.status != 200:
            raise fault_of(reply.status, reply.data, CONTROLLER)
        return reply.data

    def _stream(self, method: str, path: str, body: bytes = b"") -> Iterator[bytes]:
        reply = self._ask(method, path, body, stream=True)
        if reply.status != 200:
            raise fault_of(reply.status, reply.data, CONTROLLER)
        return chunks_of(reply, CONTROLLER)

    def _ask(self, method: str, path: str, body: bytes = b"", *, stream: bool = False) -> urllib3.BaseHTTPResponse:
        def ask(controller: Connection) -> urllib3.BaseHTTPResponse:
            reply = controller.ask(method, path, body, stream=stream)
            if reply.status >= 500:  # it is there, and cannot: as one whose way to the database is cut
                raise Refused(str(fault_of(reply.status, reply.data, CONTROLLER)))
            return reply

        return self._of_first(ask)

    def _of_first(self, ask: Callable[[Connection], T]) -> T:
        """The answer of the first that has one. Raises `Refused` when none does."""
        why: Refused | None = None
        for address in dict.fromkeys((self._last, *self.membership.controllers, self.membership.controller)):
            try:
                answer = ask(self._to(address))
            except Refused as no:
                why = no
                continue
            self._last = address
            return answer
        assert why is not None
        raise why

    def _to(self, address: str) -> Connection:
        found = self._connections.get(address)
        if found is None:
            found = Connection(CONTROLLER, parts(address), self._identity.client_context())
            self._connections[address] = found
        return found


class _Directory(msgspec.Struct, frozen=True):
    controllers: tuple[str, ...]
    network: str


class _Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes


class Agent:
    """Serves the drivers of this machine."""

    def __init__(
        self, membership: Membership, identity: Identity, hypervisor: Hypervisor, network: HostNetwork
    ) -> None:
        self._membership, self._identity = membership, identity
        self._dispatcher = Dispatcher()
        self._dispatcher.add(HYPERVISOR, Hypervisor, hypervisor)
        self._dispatcher.add(NETWORK, HostNetwork, network)

    def open(self) -> HttpsServer:
        """Raises OSError when nobody can listen there."""
        server = HttpsServer(parts(self._membership.listen), self._identity.server_context, self._dispatcher)
        server.start()
        return server

    def close(self) -> None:
        self._dispatcher.close()


@dataclasses.dataclass(frozen=True)
class AgentHost:
    """A host's agent, and what it is made of."""

    membership: Membership
    identity: Identity
    controller: Controller
    agent: Agent
    parts: tuple[Hypervisor | HostNetwork, ...]
    daemons: Any = None  # of its network, on a real host

    def close(self) -> None:
        """Let go of everything; guests go on."""
        self.agent.close()
        for part in self.parts:
            part.close()


def learn(controller: Controller, file: Path) -> None:
    """Know which controllers there are now, and keep that in a file for the next start."""
    if controller.learn():
        log.info("controllers.learned", controllers=controller.membership.controllers)
        write_private(file, msgspec.json.format(msgspec.json.encode(controller.membership)))


def renew(identity: Identity, membership: Membership, controller: Controller, now: float) -> None:
    """Have a certificate that does not end soon. What the controller does not give now it is asked for again later."""
    if identity.expires_at() - now > RENEW_WHEN_LEFT:
        return
    try:
        certificate = controller.renewed(identity.request(membership.name))
    except Refused as no:
        log.warning("certificate.not_renewed", why=str(no))
        return
    write_private(identity.certificate, certificate)
