"""The agent of a host: executes what controllers ask of the hypervisor and the network of its machine.

It holds its own key and certificate, and no credential of a database or a user. It answers nobody but a controller of the
cloud that it has joined, and asks of it only what guests on this machine need."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator

import msgspec
import structlog

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

log = structlog.get_logger("agent")


class Membership(msgspec.Struct, frozen=True):
    """What a host knows of the cloud that it has joined; HOME/agent.json."""

    name: str
    listen: str  # HOST:PORT where the agent answers
    controller: str  # HOST:PORT of the controller's door
    simulated: bool = False
    underlay: str = ""  # INTERFACE=ADDRESS/PREFIX of the tunnels


class Controller:
    """The controller, as the agent may ask it."""

    def __init__(self, membership: Membership, identity: Identity) -> None:
        self._connection = Connection(CONTROLLER, parts(membership.controller), identity.client_context())

    def image(self, image_id: str) -> Iterator[bytes]:
        """The bytes of an image. Raises `Impossible` or `Refused`."""
        reply = self._connection.ask("GET", f"/images/{image_id}", stream=True)
        if reply.status != 200:
            raise fault_of(reply.status, reply.data, CONTROLLER)
        return chunks_of(reply, CONTROLLER)

    def disk(self, guest_id: str, name: str, offset: int, length: int) -> Iterator[bytes]:
        """A range of a disk of a guest that moves here (a `DiskSource`). Raises `Impossible` or `Refused`."""
        asked = {"guest_id": guest_id, "name": name, "offset": offset, "length": length}
        reply = self._connection.ask("POST", "/disks", msgspec.json.encode(asked), stream=True)
        if reply.status != 200:
            raise fault_of(reply.status, reply.data, CONTROLLER)
        return chunks_of(reply, CONTROLLER)

    def tunnel(self, guest_id: str, channel: Channel) -> socket.socket:
        """A stream to where a guest of this machine goes (a `TunnelSource`). Raises `Impossible` or `Refused`."""
        return self._connection.tunnel("/tunnels", msgspec.json.encode({"guest_id": guest_id, "channel": channel}))

    def metadata(
        self, network_id: str, remote: str, method: str, path: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        """What the metadata service answers a guest; 503 when the controller is away."""
        asked = {"network_id": network_id, "remote": remote, "method": method, "path": path, "headers": headers}
        try:
            reply = self._connection.ask("POST", "/metadata", msgspec.json.encode(asked))
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
        reply = self._connection.ask("POST", "/renew", request)
        if reply.status != 200:
            raise fault_of(reply.status, reply.data, CONTROLLER)
        return reply.data


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

    def close(self) -> None:
        """Let go of everything; guests go on."""
        self.agent.close()
        for part in self.parts:
            part.close()


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
