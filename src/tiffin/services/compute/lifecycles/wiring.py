"""What the drivers need to know of a server, and how its ports are plugged."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from tiffin.core.driver import StaleTurn, Turn
from tiffin.core.world import World
from tiffin.services.compute import metadata
from tiffin.services.compute.drivers.base import BaseImage, Guest, Hosts, Nic
from tiffin.services.compute.lifecycles.metadata import turn_of
from tiffin.services.compute.rules import instance_name
from tiffin.services.compute.tables import Server, ServerNic
from tiffin.services.network import public as network

_TOLD = ("hw_", "os_")
"""Prefixes of the image properties that a hypervisor understands."""


class Wiring(msgspec.Struct):
    """A server with its ports and their networks, read at once."""

    server: Server
    ports: list[network.PortInfo]
    networks: list[tuple[Turn, Any]]  # the newest turn that the network's own lifecycle has used, and its spec


SERVER = select(Server).where(Server.id == bindparam("server_id"))
_NICS = select(ServerNic.port_id).where(ServerNic.server_id == bindparam("server_id")).order_by(ServerNic.position)


def read(session: Session, server_id: str) -> Wiring:
    """Raises `NoResultFound` for a server without a row."""
    server = session.scalars(SERVER, {"server_id": server_id}).one()
    nics = session.scalars(_NICS, {"server_id": server_id}).all()
    found = {port.id: port for port in network.ports_of(session, server_id, server.project_id)} if nics else {}
    ports = [found[port_id] for port_id in nics if port_id in found]
    specs = [
        (turn_of(session, id), network.network_spec(session, id)) for id in dict.fromkeys(p.network_id for p in ports)
    ]
    return Wiring(server, ports, specs)


def plug(hosts: Hosts, turn: Turn, wiring: Wiring, *, host: str | None = None) -> tuple[Nic, ...]:
    """Have every port of the server plugged on a host (its own), and its networks' metadata answered there."""
    name = host or wiring.server.host
    assert name is not None
    there = hosts.network(name)
    for network_turn, spec in wiring.networks:
        # A network's metadata has many owners on a host, the servers there. Who was overtaken by a newer word about
        # the network has nothing to add.
        with contextlib.suppress(StaleTurn):
            there.ensure_metadata(network_turn, spec)
    return tuple(
        Nic(port.id, port.mac_address, port.mtu, there.ensure_plugged(turn, port.id, port.mac_address, port.mtu))
        for port in wiring.ports
    )


def base_image(kept: dict[str, Any] | None) -> BaseImage | None:
    """The image as the host's cache knows it."""
    if not kept:
        return None
    return BaseImage(
        id=kept["id"],
        disk_format=kept["disk_format"],
        sha512=kept["sha512"],
        size=kept["size"],
        virtual_size=kept["virtual_size"],
    )


def guest(server: Server, nics: tuple[Nic, ...]) -> Guest:
    """The same server and NICs give the same guest again."""
    properties = {k: str(v) for k, v in server.image.get("properties", {}).items() if k.startswith(_TOLD)}
    return Guest(
        id=server.id,
        name=instance_name(server.number),
        vcpus=server.vcpus,
        memory_mb=server.memory_mb,
        root_gb=server.root_gb,
        image=base_image(server.image),
        nics=nics,
        ephemeral_gb=server.ephemeral_gb,
        swap_mb=server.swap_mb,
        config_drive=server.config_drive,
        properties=properties,
        kernel=base_image(server.kernel),
        ramdisk=base_image(server.ramdisk),
        hostname=server.hostname,
    )


def images(server: Server) -> list[BaseImage]:
    """Every image that must be in the host's cache."""
    found = (base_image(kept) for kept in (server.image, server.kernel, server.ramdisk))
    return [image for image in found if image is not None]


def config_drive(wiring: Wiring, world: World, password: str | None) -> dict[str, bytes]:
    server, seed = wiring.server, world.random_bytes(metadata.SEED_BYTES)
    return metadata.config_drive(metadata.About(server, wiring.ports, server.availability_zone or "", seed, password))
