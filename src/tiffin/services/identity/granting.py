"""What a proven login gets: a token for the scope that it asks for."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import update
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Forbidden, Unauthorized
from tiffin.services.identity import claims as c
from tiffin.services.identity import factors, login, outcomes, passcodes
from tiffin.services.identity.authentication import REFUSED, Identity, Meaning
from tiffin.services.identity.claims import Claims
from tiffin.services.identity.hierarchy import refuse_unsafe
from tiffin.services.identity.login import Proof, Refused, expected
from tiffin.services.identity.schemas import AuthBody, ProjectRef, ScopeRef
from tiffin.services.identity.tables import Trust

MOST_RECEIPT = 4096


def check_scope(body: AuthBody) -> None:
    """Raises `BadRequest` for a scope that makes no sense, whoever asks for it."""
    wanted = body.scope
    if wanted is not None and "application_credential" in body.identity.methods:
        raise Refused(
            outcomes.SCOPE,
            "Error authenticating with application credential: Application credentials cannot request a scope.",
        )
    if isinstance(wanted, str):
        if wanted != "unscoped":
            raise BadRequest(f"Invalid input for field/attribute scope: {wanted[:40]!r} is none of the known scopes.")
    elif wanted is not None:
        _check_one(wanted)


def _check_one(wanted: ScopeRef) -> None:
    asked = [s for s in (wanted.project, wanted.domain, wanted.trust, wanted.system, wanted.unscoped) if s is not None]
    if len(asked) != 1:
        raise expected("system, project, domain, OS-TRUST:trust or unscoped", "scope")
    project, domain = wanted.project, wanted.domain
    if project is not None and project.id is None:
        if project.name is None:
            raise expected("id or name", "project")
        if project.domain is None:
            raise expected("domain", "project")
        domain = project.domain
    if domain is not None and domain.id is None and domain.name is None:
        raise expected("id or name", "domain")
    if wanted.system is not None and wanted.system.all is not True:
        raise BadRequest('Invalid input for field/attribute system: only {"all": true} is known.')


def grant(session: Session, call: Call, body: AuthBody, proofs: list[Proof]) -> tuple[str, Meaning]:
    """The token that the proofs deserve, and what it means. Raises `Unauthorized` for a scope without roles, `Forbidden` for
    a trust that does not lend it, `NeedsMore` when the user must prove more."""
    identity, now = call.part(Identity), call.now
    methods = _methods(call, proofs, identity)
    user = proofs[0].user
    assert user is not None
    factors.check(user, methods, login.enabled(identity))
    parent = next((p.parent for p in proofs if p.parent), None)
    claims = Claims(
        user_id=user.id,
        methods=methods,
        issued_at=now,
        expires_at=int(now) + identity.settings.token_seconds,
        audit_ids=c.descent(c.audit_id(identity.world.random_bytes(16)), parent),
        user_generation=proofs[0].generation,
        application_credential_id=next((p.credential.id for p in proofs if p.credential), ""),
        access_token_id=next((p.access_token_id for p in proofs if p.access_token_id), ""),
    )
    bound = next((p.scope for p in proofs if p.scope), None)
    claims = _scoped(session, claims, bound or _asked(session, body.scope, identity), identity)
    ends = [p.expires_at for p in proofs if p.expires_at is not None]
    if claims.kind == c.TRUST:
        ends += _use_trust(session, call, claims)
    claims = _ending(claims, ends)
    for proof in proofs:
        use_up(session, call, proof)
    meaning = identity.deserve(session, claims)
    return identity.write(meaning.claims), meaning


def _methods(call: Call, proofs: list[Proof], identity: Identity) -> tuple[str, ...]:
    """All methods by which the user has proved who it is: now, for the token that it exchanges, and for its receipt."""
    every = {p.method for p in proofs}.union(*(p.parent.methods for p in proofs if p.parent))
    text = call.request.get_header(factors.HEADER)
    if text:
        receipt = factors.read(identity.keys, text[:MOST_RECEIPT], call.now)
        user = proofs[0].user
        if user is None or receipt.user_id != user.id or receipt.generation != proofs[0].generation:
            raise Unauthorized("Could not find auth receipt.")
        every |= set(c.unpack_methods(receipt.methods))
    return tuple(m for m in c.METHODS if m in every)


def uses_up(body: AuthBody, proofs: list[Proof]) -> bool:
    """Whether a login takes something away, a passcode or a use of a trust, which no power cut may give back. Else all that
    it writes is that it was; and what is done with its token is a write that keeps this one too."""
    return any(p.passcode for p in proofs) or (isinstance(body.scope, ScopeRef) and body.scope.trust is not None)


def use_up(session: Session, call: Call, proof: Proof) -> None:
    """Raises `Refused` for a passcode that was used meanwhile."""
    if proof.passcode is None:
        return
    if not passcodes.use_up(session, *proof.passcode):
        raise Refused(outcomes.REFUSED)
    call.record("use", ("identity.credential", proof.passcode[0]))


# --- what for -------------------------------------------------------------------------------------------------------


def _asked(session: Session, wanted: ScopeRef | str | None, identity: Identity) -> tuple[int, str] | None:
    """The kind and id of what is asked for; None when nothing is. Raises `Unauthorized` for a name that nothing has."""
    if wanted is None:
        return None
    if isinstance(wanted, str) or wanted.unscoped is not None:
        return c.UNSCOPED, ""
    refuse_unsafe(wanted, identity.settings.hierarchy)
    if wanted.project is not None:
        return c.PROJECT, _project_id(session, wanted.project, identity)
    if wanted.domain is not None:
        return c.DOMAIN, login.domain_id(session, wanted.domain, identity) or ""
    return (c.TRUST, wanted.trust.id) if wanted.trust is not None else (c.SYSTEM, "")


def _project_id(session: Session, ref: ProjectRef, identity: Identity) -> str:
    if ref.id is not None:
        return ref.id
    assert ref.name is not None
    assert ref.domain is not None
    within = login.domain_id(session, ref.domain, identity)
    found = identity.project_named(session, within, ref.name) if within is not None else None
    if found is None:
        raise Unauthorized(REFUSED)
    return found


def _scoped(session: Session, claims: Claims, scope: tuple[int, str] | None, identity: Identity) -> Claims:
    """The claims with a scope: without any, with the user's default project where it may use that, else unscoped."""
    if scope is not None:
        return msgspec.structs.replace(claims, kind=scope[0], scope_id=scope[1])
    who = identity.user(session, claims.user_id)
    default = who[0].default_project_id if who is not None else None
    if not default:
        return claims
    wanted = msgspec.structs.replace(claims, kind=c.PROJECT, scope_id=default)
    try:
        identity.deserve(session, wanted)
    except Unauthorized:
        return claims
    return wanted


def _use_trust(session: Session, call: Call, claims: Claims) -> list[float]:
    """Take one use of the trust, and give when it ends. Raises `Unauthorized` when it is over, and `Forbidden` when somebody
    else was faster with the last use."""
    trust = session.get(Trust, claims.scope_id)
    if trust is None or over(trust, call.now):
        raise Unauthorized(f"Could not find trust: {claims.scope_id[:64]}.")
    call.part(Identity).deserve(session, claims)
    if trust.remaining_uses is not None:
        less: Any = session.execute(
            update(Trust)
            .where(Trust.id == trust.id, Trust.remaining_uses > 0)
            .values(remaining_uses=Trust.remaining_uses - 1)
            .execution_options(synchronize_session=False)
        )
        if not less.rowcount:
            raise Forbidden(f"No remaining uses for trust: {trust.id}.")
        call.record("use", ("identity.trust", trust.id))
    return [trust.expires_at] if trust.expires_at is not None else []


def over(trust: Trust, now: float) -> bool:
    """Whether a trust has ended, by time or by its uses."""
    return (trust.expires_at is not None and trust.expires_at <= now) or trust.remaining_uses == 0


def _ending(claims: Claims, ends: list[float]) -> Claims:
    """A token never outlives what it comes from."""
    expires = int(min([claims.expires_at, *ends]))
    if expires <= claims.issued_at:
        raise Unauthorized(REFUSED)
    return msgspec.structs.replace(claims, expires_at=expires)
