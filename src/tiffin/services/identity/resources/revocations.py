"""Which tokens were revoked, for services that check tokens by themselves. Nothing here is needed to refuse a token: the
events are told from the change log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import Forbidden
from tiffin.core.resource import Answer, Resource
from tiffin.core.tables import Change
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.rules import parse_time, time
from tiffin.services.identity.tables import RevokedToken

RULE = "rule:service_or_admin"
BUFFER = 1800.0
"""Seconds that an event is told beyond the life of the tokens that it is about."""
MOST_EVENTS = 10_000
WORDS = {
    "identity.user": "user_id",
    "identity.project": "project_id",
    "identity.domain": "domain_id",
    "identity.role": "role_id",
    "identity.trust": "OS-TRUST:trust_id",
    "identity.consumer": "OS-OAUTH1:consumer_id",
    "identity.access_token": "OS-OAUTH1:access_token_id",
}
"""What is gone, and how an event calls it."""

SKEW = 60.0
"""Seconds by which changes may stand in another order than they happened: the time is that of the request's begin."""
_NEXT = select(Change.at).where(Change.sequence >= bindparam("sequence")).order_by(Change.sequence).limit(1)

revocations = Resource("event", "events", "/v3/OS-REVOKE/events")
revoked_pki = Resource("revoked", "revoked", "/v3/auth/tokens/OS-PKI/revoked", rules=[("identity:revocation_list", RULE)])


@revoked_pki.operation("GET", policy=None, auth=False)
def list_pki(call: Call) -> Answer:
    """There are no PKI tokens; upstream keeps the address and refuses everybody."""
    raise Forbidden("You are not authorized to perform the requested action.")


@revocations.operation("GET", policy=("identity:list_revoke_events", RULE))
def index(call: Call) -> Answer:
    since = call.param("since")
    after = parse_time(since, "since") if since else 0.0
    oldest = call.now - call.part(Identity).settings.token_seconds - BUFFER
    events = sorted([*_given_back(call, max(after, oldest)), *_ended(call, max(after, oldest))], key=lambda e: e[0])
    links = {"self": f"{call.base_url}/v3/OS-REVOKE/events", "next": None, "previous": None}
    told = [{**what, "issued_before": time(at), "revoked_at": time(at)} for at, what in events[-MOST_EVENTS:]]
    return Answer({"events": told, "links": links})


def _given_back(call: Call, after: float) -> Iterator[tuple[float, dict[str, Any]]]:
    for row in call.db.scalars(select(RevokedToken).where(RevokedToken.revoked_at > after)):
        yield row.revoked_at, {"audit_id": row.audit_id}
        if row.cascade:
            yield row.revoked_at, {"audit_chain_id": row.audit_id}


def _ended(call: Call, after: float) -> Iterator[tuple[float, dict[str, Any]]]:
    """What was removed, or counts another generation since: a password was changed, something was disabled."""
    newest = (
        select(Change.at, Change.resource_type, Change.resource_id, Change.kind, Change.before, Change.after)
        .where(Change.sequence > _last_before(call.db, after - SKEW), Change.at > after)
        .where(Change.resource_type.in_(WORDS), Change.kind.in_(("delete", "update")))
        .order_by(Change.sequence.desc())
        .limit(MOST_EVENTS)
    )
    for at, kind, id, happened, before, now in call.db.execute(newest):
        if happened == "delete" or before is None or before.get("generation") != (now or {}).get("generation"):
            yield at, {WORDS[kind]: id}


def _last_before(session: Session, at: float) -> int:
    """The sequence of the last change before a time. The log has no index by time, but its order is that of time."""
    low, high = 0, session.scalar(select(func.max(Change.sequence))) or 0
    while low < high:
        middle = (low + high + 1) // 2
        found = session.scalar(_NEXT, {"sequence": middle})
        low, high = (low, middle - 1) if found is None or found >= at else (middle, high)
    return low
