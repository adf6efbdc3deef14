"""`Idempotency-Key` on any mutation: the same key gives the same answer, and nothing is done twice."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import delete
from sqlalchemy.orm import Session

from tiffin.core.actor import Actor
from tiffin.core.cloud import Secrets
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.tables import IdempotentAnswer

KEEP = 24 * 3600.0
"""Seconds for which an answer is remembered."""


class Rendered(msgspec.Struct):
    """An answer as it goes over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


def key_id(actor: Actor, key: str) -> str:
    if not 1 <= len(key) <= 255:
        raise BadRequest("Idempotency-Key must have 1 to 255 characters.")
    scope = "\n".join((actor.user_id, actor.project_id or actor.domain_id or "", key))
    return hashlib.sha256(scope.encode()).hexdigest()


def fingerprint(key: str, request: tuple[str, str], body: bytes) -> str:
    """What tells one request, (method, path), from another. A body may hold a password: salted by the client's key."""
    method, path = request
    return hashlib.sha256(
        b"\n".join((key.encode(), method.encode(), path.encode("utf-8", "replace"), body))
    ).hexdigest()


def replay(session: Session, secrets: Secrets, id: str, print_: str) -> Rendered | None:
    """The remembered answer. Raises `Conflict` when the key was used for another request."""
    known = session.get(IdempotentAnswer, id)
    if known is None:
        return None
    if known.fingerprint != print_:
        raise Conflict("This Idempotency-Key was used for a different request. Use a new key.")
    return msgspec.json.decode(secrets.decrypt(known.answer), type=Rendered)


def remember(session: Session, secrets: Secrets, ids: tuple[str, str], answer: Rendered, now: float) -> None:
    id, print_ = ids
    kept: Any = secrets.encrypt(msgspec.json.encode(answer))
    session.add(IdempotentAnswer(id=id, fingerprint=print_, at=now, answer=kept))


def forget_old(session: Session, now: float) -> None:
    session.execute(delete(IdempotentAnswer).where(IdempotentAnswer.at < now - KEEP))
