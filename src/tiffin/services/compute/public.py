"""What others may ask of compute."""

from __future__ import annotations

import base64
from urllib.parse import unquote

from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.cloud import Cloud
from tiffin.core.world import World
from tiffin.services.compute import metadata
from tiffin.services.compute.tables import Server, ServerNic
from tiffin.services.network import public as network

__all__ = ["answer_metadata"]

Response = tuple[int, dict[str, str], bytes]
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_JSON = {"Content-Type": "application/json"}
_NOT_FOUND: Response = (404, _TEXT, b"404 Not Found")


def about(session: Session, world: World, server: Server) -> metadata.About:
    """What a guest may know of itself."""
    ports = network.ports_of(session, server.id, server.project_id)
    return metadata.About(server, ports, server.availability_zone or "", world.random_bytes(metadata.SEED_BYTES))


def answer_metadata(
    cloud: Cloud, network_id: str, remote: str, method: str, path: str, headers: dict[str, str]
) -> Response:
    """Answer a guest's request to 169.254.169.254. `remote` is its real fixed address on that network, which the host's
    network has made sure of; nothing that the guest says about itself is believed."""
    if method not in ("GET", "HEAD"):
        return 405, {**_TEXT, "Allow": "GET, HEAD"}, b"405 Method Not Allowed"
    with cloud.database.read() as session:
        server = _server_at(session, network_id, remote)
        if server is None:
            return _NOT_FOUND
        found = about(session, cloud.world, server)
    status, sent, answer = _answer(found, [unquote(part) for part in path.partition("?")[0].split("/") if part])
    return status, sent, b"" if method == "HEAD" else answer


def _server_at(session: Session, network_id: str, remote: str) -> Server | None:
    port = network.port_by_address(session, network_id, remote)
    if port is None:
        return None
    plugged = select(ServerNic.server_id).where(ServerNic.port_id == port.id)  # what is written on the port is not proof
    return session.scalar(select(Server).where(Server.id.in_(plugged), Server.deleted_at.is_(None)))


def _answer(about: metadata.About, segments: list[str]) -> Response:
    if not segments:
        return 200, _TEXT, "\n".join((*metadata.EC2_VERSIONS, "latest")).encode()
    first, *rest = segments
    if first == "openstack":
        return _openstack(about, rest)
    if first in (*metadata.EC2_VERSIONS, "latest"):
        return _ec2(about, rest)
    return _NOT_FOUND


def _openstack(about: metadata.About, segments: list[str]) -> Response:
    if not segments:
        return 200, _TEXT, "\n".join((*metadata.VERSIONS, "latest")).encode()
    version, *rest = segments
    if version == "content":
        return _content(about, rest)
    if version not in (*metadata.VERSIONS, "latest") or len(rest) > 1:
        return _NOT_FOUND
    documents = metadata.documents(about, version)
    if not rest:
        return 200, _TEXT, "\n".join([*documents, "password"]).encode()
    if rest == ["password"]:
        return 200, _TEXT, (about.server.guest_password or "").encode()
    if rest[0] not in documents:
        return _NOT_FOUND
    return 200, _JSON if rest[0].endswith(".json") else {"Content-Type": "application/octet-stream"}, documents[rest[0]]


def _content(about: metadata.About, segments: list[str]) -> Response:
    files = {f"{n:04}": one for n, one in enumerate(about.server.files or [])}
    if len(segments) != 1 or segments[0] not in files:
        return _NOT_FOUND
    return 200, {"Content-Type": "application/octet-stream"}, base64.b64decode(files[segments[0]]["contents"])


def _ec2(about: metadata.About, segments: list[str]) -> Response:
    data = metadata.user_data(about)
    if not segments:
        return 200, _TEXT, b"meta-data/\nuser-data" if data is not None else b"meta-data/"
    if segments == ["user-data"] and data is not None:
        return 200, {"Content-Type": "application/octet-stream"}, data
    if segments[0] != "meta-data":
        return _NOT_FOUND
    found = metadata.ec2_answer(metadata.ec2(about), segments[1:])
    return _NOT_FOUND if found is None else (200, _TEXT, found)
