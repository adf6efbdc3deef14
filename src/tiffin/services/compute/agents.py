"""What the agents of hosts may ask of a controller: the images of guests that are to run on them and those that they are told
to fetch before, the disks of guests that move to them, ways for guests that leave them running, and what their guests ask of the
metadata service. So what a stolen agent can ask is about its own guests, and what all hosts are to have."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import msgspec
from sqlalchemy import or_, select

from tiffin.core.cloud import Cloud
from tiffin.core.driver import Impossible
from tiffin.services.compute import public
from tiffin.services.compute.drivers.base import Hosts
from tiffin.services.compute.drivers.departure import Channel
from tiffin.services.compute.lifecycles import cached_image, wiring
from tiffin.services.compute.lifecycles.moving import LIVE, unsettled
from tiffin.services.compute.tables import HostAgent, Migration, Server, ServerNic
from tiffin.services.image import public as image
from tiffin.services.network import public as network

_DISKS_TRAVEL = ("migrating", "preparing")
"""The statuses of a move at which its destination may read."""


def knows(cloud: Cloud, host: str) -> bool:
    """Whether a machine of this name takes part."""
    with cloud.database.read() as session:
        return session.get(HostAgent, host) is not None


def image_for(cloud: Cloud, host: str, image_id: str) -> Iterator[bytes]:
    """The bytes of an image that a guest of this host is made from, or that it is told to fetch. Raises `Impossible` for any
    other."""
    with cloud.database.read() as session:
        coming = select(Migration.server_id).where(Migration.dest == host, Migration.settled.is_(False))
        mine = or_(Server.host == host, Server.id.in_(coming))
        here = session.scalars(select(Server).where(mine, Server.deleted_at.is_(None)))
        told = image.is_queued(session, image_id) or cached_image.is_wanted(session, host, image_id)
        if not (told or any(one.id == image_id for server in here for one in wiring.images(server))):
            raise Impossible(f"No guest of {host} is made from the image {image_id}.")
    return image.open_image(cloud, image_id)


def disk_for(cloud: Cloud, host: str, range: DiskRange) -> Iterator[bytes]:
    """A range of a disk of a guest that moves to this host, from the host that has set it aside (or, of one that moves while
    it runs, of its config drive). Raises `Impossible` for any other."""
    with cloud.database.read() as session:
        move = unsettled(session, range.guest_id)
    if move is None or move.status not in _DISKS_TRAVEL or move.dest != host:
        raise Impossible(f"Guest {range.guest_id} does not move to {host}.")
    source = cloud.part(Hosts).hypervisor(move.source)
    return source.read_disk(range.guest_id, range.name, range.offset, range.length)


def tunnel_for(cloud: Cloud, host: str, way: Way) -> socket.socket:
    """A stream to the host that a guest of this host goes to while it runs. Raises `Impossible` for any other."""
    with cloud.database.read() as session:
        move = unsettled(session, way.guest_id)
    if move is None or move.kind != LIVE or move.status != "running" or move.source != host or move.dest is None:
        raise Impossible(f"Guest {way.guest_id} does not leave {host}.")
    return cloud.part(Hosts).hypervisor(move.dest).connect_incoming(way.guest_id, way.channel)


class Way(msgspec.Struct, frozen=True):
    """What a host wants to send of a guest."""

    guest_id: str
    channel: Channel


class DiskRange(msgspec.Struct, frozen=True):
    """What a host asks of a disk."""

    guest_id: str
    name: str
    offset: int
    length: int


class GuestRequest(msgspec.Struct, frozen=True):
    """What a guest asked of the metadata address on a host."""

    network_id: str
    remote: str
    method: str
    path: str
    headers: dict[str, str]


class GuestAnswer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes


def metadata_for(cloud: Cloud, host: str, asked: GuestRequest) -> GuestAnswer:
    """The metadata service's answer to a guest of this host; 404 for anybody else's."""
    with cloud.database.read() as session:
        port = network.port_by_address(session, asked.network_id, asked.remote)
        mine = select(Server.id).join(ServerNic, ServerNic.server_id == Server.id)
        here = port and session.scalar(mine.where(ServerNic.port_id == port.id, Server.host == host))
    if here is None:
        return GuestAnswer(404, {}, b"404 Not Found")
    return GuestAnswer(
        *public.answer_metadata(cloud, asked.network_id, asked.remote, asked.method, asked.path, asked.headers)
    )
