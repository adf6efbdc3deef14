"""How a machine joins a cloud: by a token that a person carries to it from a controller."""

from __future__ import annotations

import http.client
import ssl

import msgspec

from tiffin.core.certificates import BadCertificate, Identity, fingerprint
from tiffin.core.driver import Refused
from tiffin.core.remote import CONNECT, Connection, fault_of
from tiffin.host.door import CONTROLLER
from tiffin.services.compute.joining import read_token

MOST = 64 << 10
"""Bytes of a certificate that are read."""


class JoinFailed(Exception):
    """The controller did not let this machine in; the message says why, for the person who asked."""


class _Joined(msgspec.Struct, frozen=True):
    certificate: str
    trusted: str


def join(controller: tuple[str, int], word: str, name: str, address: str, identity: Identity) -> None:
    """Become the host `name`, whose agent answers at `address`, by the word that `host token` printed. May be repeated.
    Raises `JoinFailed`.

    The secret is sent only to who has shown a certificate of the authority that the token names."""
    try:
        token = read_token(word)
    except ValueError as no:
        raise JoinFailed(str(no)) from no
    authority = _authority(controller, token.fingerprint)
    body = {"secret": token.secret, "name": name, "address": address, "request": identity.request(name).decode()}
    context = ssl.create_default_context(cadata=authority.decode())
    reply = _asked(Connection(CONTROLLER, controller, context), "/join", msgspec.json.encode(body))
    found = msgspec.json.decode(reply, type=_Joined)
    identity.keep(found.certificate.encode(), authority)


def _authority(controller: tuple[str, int], wanted: str) -> bytes:
    """The certificate of the controllers' authority, which anybody may hand out: the token says which it is."""
    stranger = ssl.create_default_context()
    stranger.check_hostname, stranger.verify_mode = (
        False,
        ssl.CERT_NONE,
    )  # nothing secret is said, and the answer is checked
    connection = http.client.HTTPSConnection(*controller, timeout=CONNECT, context=stranger)
    try:
        connection.request("GET", "/authority")
        found = connection.getresponse().read(MOST)
    except (OSError, http.client.HTTPException) as no:
        raise JoinFailed(f"{controller[0]}:{controller[1]} does not answer: {no}") from no
    finally:
        connection.close()
    try:
        if fingerprint(found) == wanted:
            return found
    except BadCertificate:
        pass  # told below: whatever answers there is not the cloud that is meant
    raise JoinFailed(f"What answers at {controller[0]}:{controller[1]} is not the cloud that this token is for.")


def _asked(connection: Connection, path: str, body: bytes) -> bytes:
    try:
        reply = connection.ask("POST", path, body)
    except Refused as no:
        raise JoinFailed(str(no)) from no
    finally:
        connection.close()
    if reply.status != 200:
        raise JoinFailed(str(fault_of(reply.status, reply.data, connection.machine)))
    return reply.data
