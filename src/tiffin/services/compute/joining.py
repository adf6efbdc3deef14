"""How machines become hosts: tokens, certificates, and the way out."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets

import msgspec
from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from tiffin.core import changes
from tiffin.core.certificates import Authority, BadCertificate, fingerprint, key_digest
from tiffin.core.cloud import Cloud
from tiffin.core.errors import BadRequest, Conflict, Forbidden
from tiffin.services.compute.settings import HOST_NAME
from tiffin.services.compute.tables import ComputeHost, Controller, HostAgent, HostToken, Migration, Server

CERTIFICATE_DAYS = 365
TOKEN_SECONDS = 3600.0
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]{2,45}\]|[0-9A-Za-z.-]{1,253}):[0-9]{1,5}")


class JoinToken(msgspec.Struct, frozen=True):
    """What a person carries from the controller to the machine that joins."""

    secret: str
    fingerprint: str  # of the controllers' authority, so that the machine knows to whom it speaks

    def text(self) -> str:
        return base64.urlsafe_b64encode(f"{self.fingerprint}.{self.secret}".encode()).decode().rstrip("=")


class Join(msgspec.Struct, frozen=True):
    """What a machine asks that wants to take part."""

    secret: str
    name: str
    address: str
    request: str  # PEM


class Joined(msgspec.Struct, frozen=True):
    certificate: str  # PEM, by the hosts' authority
    trusted: str  # PEM: the controllers' authority


def read_token(text: str) -> JoinToken:
    """The words that `host token` printed. Raises ValueError."""
    try:
        found, _, secret = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(".")
    except ValueError:
        found = secret = ""
    if not re.fullmatch(r"[0-9a-f]{64}", found) or not secret:
        raise ValueError("This is no token to join with; copy the whole word that `tiffin host token` printed.")
    return JoinToken(secret, found)


def make_token(session: Session, now: float, controllers: Authority, host: str | None, seconds: float) -> JoinToken:
    """A token that lets one machine join within `seconds`. Old ones go."""
    if host is not None:
        _check_name(host)
    session.execute(delete(HostToken).where(HostToken.expires_at < now))
    made = JoinToken(secrets.token_urlsafe(24), fingerprint(controllers.certificate()))
    session.add(HostToken(digest=_digest(made.secret), host=host, created_at=now, expires_at=now + seconds))
    return made


def join(cloud: Cloud, asked: Join, hosts: Authority, controllers: Authority) -> Joined:
    """Let a machine take part. May be repeated with the same key. Raises `Forbidden`, `BadRequest` or `Conflict`."""
    now = cloud.world.clock()
    _check_name(asked.name)
    if not _ADDRESS.fullmatch(asked.address):
        raise BadRequest(f"The address {asked.address[:80]!r} is not HOST:PORT.")
    try:
        key = key_digest(asked.request.encode())
        certificate = hosts.sign(asked.request.encode(), asked.name, now, CERTIFICATE_DAYS)
    except BadCertificate as no:
        raise BadRequest(str(no)) from no
    with cloud.database.write() as session:
        token = session.get(HostToken, _digest(asked.secret), with_for_update=True)
        if token is None or token.expires_at < now or token.host not in (None, asked.name):
            raise Forbidden("This token lets nobody join (any more). Make another one by `tiffin host token`.")
        row = session.get(HostAgent, asked.name)
        if token.used_by is not None and (row is None or token.used_by != asked.name or row.key_digest != key):
            raise Forbidden("Another machine has joined with this token. Make one for each by `tiffin host token`.")
        taken = session.scalar(select(ComputeHost.id).where(ComputeHost.name == asked.name))
        if row is None and taken is not None:
            raise Conflict(f"There is a host {asked.name} already; choose another name by --name.")
        if row is not None and row.key_digest != key:
            raise Conflict(
                f"The host {asked.name} has joined with another key; `tiffin host remove {asked.name}` first."
            )
        if row is None:
            row = HostAgent(name=asked.name, key_digest=key, joined_at=now)
            session.add(row)
        row.address, row.certified_at, token.used_by = asked.address, now, asked.name
        _record(session, now, "join", asked.name, {"address": asked.address, "key": key})
    return Joined(certificate.decode(), controllers.certificate().decode())


def renew(cloud: Cloud, host: str, request: bytes, hosts: Authority) -> bytes:
    """A new certificate for the same key. Raises `Forbidden`."""
    now = cloud.world.clock()
    with cloud.database.write() as session:
        row = session.get(HostAgent, host)
        try:
            if row is None or key_digest(request) != row.key_digest:
                raise Forbidden("This host has not joined with this key.")
        except BadCertificate as no:
            raise BadRequest(str(no)) from no
        row.certified_at = now
    return hosts.sign(request, host, now, CERTIFICATE_DAYS)


def remove(session: Session, now: float, host: str) -> bool:
    """Take part no more: whatever its certificate says, the machine is not asked, and is not answered; a controller, until
    it is started again. Raises `Conflict` while servers are on it."""
    row: HostAgent | Controller | None = session.get(HostAgent, host) or session.get(Controller, host)
    if row is None:
        return False
    its = row.hosts if isinstance(row, Controller) else [host]
    if session.scalar(select(Server.id).where(Server.host.in_(its), Server.deleted_at.is_(None)).limit(1)):
        raise Conflict(f"There are servers on {host}; move or delete them first.")
    there = or_(Migration.source.in_(its), Migration.dest.in_(its))
    if session.scalar(select(Migration.id).where(there, Migration.settled.is_(False)).limit(1)):
        raise Conflict(f"Servers are moving from or to {host}; confirm or revert that first.")
    session.delete(row)
    session.flush()
    _record(session, now, "remove", host, None)
    return True


def _check_name(name: str) -> None:
    if not HOST_NAME.fullmatch(name):
        raise BadRequest(f"{name[:80]!r} is no name for a host: letters, digits, dots and hyphens, at most 63.")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _record(session: Session, now: float, kind: str, host: str, after: dict[str, str] | None) -> None:
    origin = changes.Origin(at=now, request_id="req-host-" + host[:40], actor_id=None, project_id=None)
    changes.record(session, origin, kind, ("compute.host", host), after=after)
