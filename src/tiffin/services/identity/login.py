"""How a user proves who it is, and what for it asks a token. A login reads, checks the secret outside of any transaction,
and reads again."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.errors import BadRequest, Forbidden, Unauthorized
from tiffin.services.identity import authorization as authz
from tiffin.services.identity import claims as c
from tiffin.services.identity.authentication import REFUSED, Identity, Meaning, alive
from tiffin.services.identity.claims import Claims
from tiffin.services.identity.hierarchy import check_scope
from tiffin.services.identity.schemas import (
    AuthBody,
    CredentialProof,
    DomainRef,
    ProjectRef,
    ScopeRef,
    UserRef,
)
from tiffin.services.identity.tables import ApplicationCredential, Project, Trust, User


class Proof(msgspec.Struct, kw_only=True):
    """What one method has shown so far. `secret` must have the hash `kept`, or nothing needs checking (`settled`)."""

    method: str
    user_id: str | None = None
    generation: int = 0
    kept: str | None = None
    secret: str = ""
    settled: bool = False
    credential: ApplicationCredential | None = None
    parent: Claims | None = None


# --- who ------------------------------------------------------------------------------------------------------------


def domain_id(session: Session, ref: DomainRef) -> str | None:
    """The id of a domain named by id or by name; None when there is none. Raises `BadRequest` when it is not named."""
    if ref.id is not None:
        return ref.id
    if ref.name is None:
        raise BadRequest("Expecting to find id or name in domain. The server could not comply with the request.")
    return session.scalar(select(Project.id).where(Project.is_domain, Project.name == ref.name))


def find_user(session: Session, ref: UserRef) -> User | None:
    if ref.id is not None:
        return session.get(User, ref.id)
    if ref.name is None:
        raise BadRequest("Expecting to find id or name in user. The server could not comply with the request.")
    if ref.domain is None:
        raise BadRequest("Expecting to find domain in user. The server could not comply with the request.")
    within = domain_id(session, ref.domain)
    return session.scalar(select(User).where(User.domain_id == within, User.name == ref.name))


def _by_password(session: Session, body: AuthBody, identity: Identity) -> Proof:
    if body.identity.password is None:
        raise BadRequest("Expecting to find password in identity. The server could not comply with the request.")
    ref = body.identity.password.user
    return _of_user(session, find_user(session, ref), Proof(method="password", secret=ref.password))


def _of_user(session: Session, user: User | None, proof: Proof) -> Proof:
    """The proof about a user; about nobody when the user or its domain may not log in."""
    if user is None:
        return proof
    domain = session.get_one(Project, user.domain_id)
    proof.generation = user.generation + domain.generation
    if user.enabled and domain.enabled:
        proof.user_id = user.id
    if proof.method == "password":
        proof.kept = user.password_hash
    return proof


def _by_token(session: Session, body: AuthBody, identity: Identity) -> Proof:
    if body.identity.token is None:
        raise BadRequest("Expecting to find token in identity. The server could not comply with the request.")
    meaning = identity.meaning(session, body.identity.token.id)
    claims = meaning.claims
    if claims.kind == c.TRUST or claims.application_credential_id:
        raise Forbidden("A token of a trust or of an application credential cannot be exchanged for another token.")
    return Proof(
        method="token",
        user_id=claims.user_id,
        generation=claims.user_generation,
        settled=True,
        parent=claims,
    )


def _by_credential(session: Session, body: AuthBody, identity: Identity) -> Proof:
    ref = body.identity.application_credential
    if ref is None:
        raise BadRequest("Expecting to find application_credential in identity.")
    proof = Proof(method="application_credential", secret=ref.secret)
    found = _find_credential(session, ref)
    if found is None or (found.expires_at is not None and found.expires_at <= identity.world.clock()):
        return proof
    proof.credential, proof.kept = found, found.secret_hash
    return _of_user(session, session.get(User, found.user_id), proof)


def _find_credential(session: Session, ref: CredentialProof) -> ApplicationCredential | None:
    if ref.id is not None:
        return session.get(ApplicationCredential, ref.id)
    if ref.name is None or ref.user is None:
        raise BadRequest("Expecting to find id, or name and user, in application_credential.")
    user = find_user(session, ref.user)
    return session.scalar(
        select(ApplicationCredential).where(
            ApplicationCredential.user_id == (user.id if user else None), ApplicationCredential.name == ref.name
        )
    )


_METHODS = {"password": _by_password, "token": _by_token, "application_credential": _by_credential}


def look(session: Session, body: AuthBody, identity: Identity) -> list[Proof]:
    """What each method claims, before any secret was checked."""
    methods = list(dict.fromkeys(body.identity.methods))
    if not methods or any(m not in _METHODS for m in methods):
        raise Unauthorized("Attempted to authenticate with an unsupported method.")
    return [_METHODS[m](session, body, identity) for m in methods]


def settle(proofs: list[Proof], identity: Identity) -> None:
    """Check the secrets; slow, and outside of any transaction. Raises `Unauthorized`, as late for an unknown user as for
    a wrong password."""
    for proof in proofs:
        if not proof.settled:
            proof.settled = identity.passwords.check(proof.secret, proof.kept)
    if not all(p.settled and p.user_id for p in proofs) or len({p.user_id for p in proofs}) != 1:
        raise Unauthorized(REFUSED)


# --- what for -------------------------------------------------------------------------------------------------------


def _project_id(session: Session, ref: ProjectRef) -> str:
    if ref.id is not None:
        return ref.id
    if ref.name is None or ref.domain is None:
        raise BadRequest("Expecting to find id, or name and domain, in project.")
    within = domain_id(session, ref.domain)
    found = session.scalar(select(Project.id).where(Project.domain_id == within, Project.name == ref.name))
    if found is None:
        raise Unauthorized(REFUSED)
    return found


def scope_of(session: Session, wanted: ScopeRef | str | None, user: User) -> tuple[int, str]:
    """The kind and id of what is asked for; of the user's default project when nothing is."""
    if wanted is None:
        return _default_scope(session, user)
    if isinstance(wanted, str):
        if wanted != "unscoped":
            raise BadRequest(f"Invalid input for field/attribute scope: {wanted[:40]!r} is none of the known scopes.")
        return c.UNSCOPED, ""
    asked = [s for s in (wanted.project, wanted.domain, wanted.trust, wanted.system, wanted.unscoped) if s is not None]
    if len(asked) != 1:
        raise BadRequest("Invalid input for field/attribute scope: exactly one scope must be named.")
    if wanted.project is not None:
        return c.PROJECT, _project_id(session, wanted.project)
    if wanted.domain is not None:
        return c.DOMAIN, domain_id(session, wanted.domain) or ""
    if wanted.trust is not None:
        return c.TRUST, wanted.trust.id
    if wanted.system is not None:
        if wanted.system.all is not True:
            raise BadRequest('Invalid input for field/attribute system: only {"all": true} is known.')
        return c.SYSTEM, ""
    return c.UNSCOPED, ""


def _default_scope(session: Session, user: User) -> tuple[int, str]:
    """The default project where the user may use it, else none."""
    if not user.default_project_id:
        return c.UNSCOPED, ""
    project = session.get(Project, user.default_project_id)
    domain = session.get(Project, project.domain_id) if project and project.domain_id else project
    if project is None or domain is None or not project.enabled or not domain.enabled:
        return c.UNSCOPED, ""
    return (c.PROJECT, project.id) if authz.project_roles(session, user.id, project) else (c.UNSCOPED, "")


def grant(session: Session, proofs: list[Proof], body: AuthBody, identity: Identity) -> tuple[str, Meaning]:
    """The token that the proofs deserve, and what it means. Raises `Unauthorized` for a scope without roles."""
    now, first = identity.world.clock(), proofs[0]
    assert first.user_id is not None
    user, _ = alive(session, first.user_id)
    claims = Claims(
        user_id=user.id,
        methods=_methods(proofs),
        issued_at=now,
        expires_at=int(now) + identity.settings.token_seconds,
        audit_ids=(c.audit_id(identity.world.random_bytes(16)),),
        user_generation=first.generation,
    )
    credential = next((p.credential for p in proofs if p.credential), None)
    parent = next((p.parent for p in proofs if p.parent), None)
    changes: dict[str, Any] = {}
    if parent is not None:
        changes = {"expires_at": parent.expires_at, "audit_ids": (claims.audit_ids[0], parent.audit_ids[-1])}
    if credential is not None:
        if body.scope is not None and body.scope != "unscoped":
            raise Unauthorized("Application credentials cannot request a scope.")
        changes |= {"kind": c.PROJECT, "scope_id": credential.project_id, "application_credential_id": credential.id}
    else:
        check_scope(body, identity.settings.hierarchy)
        changes["kind"], changes["scope_id"] = scope_of(session, body.scope, user)
    claims = msgspec.structs.replace(claims, **changes)
    _check_factors(user, claims.methods)
    claims = msgspec.structs.replace(claims, expires_at=_expiry(session, claims, credential))
    meaning = identity.deserve(session, claims)
    if meaning.trust is not None:
        _use_up(session, meaning.trust)
    return identity.write(meaning.claims), meaning


def _check_factors(user: User, methods: tuple[str, ...]) -> None:
    """Raises `Unauthorized` when the user must prove more. Rules with methods that we do not know count for nothing."""
    if not user.options.get("multi_factor_auth_enabled"):
        return
    rules = [set(rule) for rule in user.options.get("multi_factor_auth_rules") or [] if set(rule) <= set(c.METHODS)]
    if rules and not any(rule <= set(methods) for rule in rules):
        raise Unauthorized("Additional authentications steps required.")


def uses_trust(body: AuthBody) -> bool:
    """Whether this login uses up one use of a trust, and thus must write."""
    return isinstance(body.scope, ScopeRef) and body.scope.trust is not None


def _use_up(session: Session, trust: Trust) -> None:
    """Raises `Forbidden` when no use of the trust is left."""
    if trust.remaining_uses is not None:
        if trust.remaining_uses < 1:
            raise Forbidden(f"No remaining uses for trust {trust.id}.")
        trust.remaining_uses -= 1


def _methods(proofs: list[Proof]) -> tuple[str, ...]:
    every = [p.method for p in proofs] + [m for p in proofs if p.parent for m in p.parent.methods]
    return tuple(m for m in c.METHODS if m in every)


def _expiry(session: Session, claims: Claims, credential: ApplicationCredential | None) -> int:
    """A token never outlives the credential or the trust that it comes from."""
    limits: list[float] = [claims.expires_at]
    if credential is not None and credential.expires_at is not None:
        limits.append(credential.expires_at)
    if claims.kind == c.TRUST:
        trust = session.get(Trust, claims.scope_id)
        if trust is not None and trust.expires_at is not None:
            limits.append(trust.expires_at)
    expires = int(min(limits))
    if expires <= claims.issued_at:
        raise Unauthorized(REFUSED)
    return expires
