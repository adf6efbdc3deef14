"""How a user proves who it is. A login reads, checks the secrets outside of any transaction, and then gets what it deserves
(granting.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Forbidden, NotFound, Unauthorized
from tiffin.services.identity import claims as c
from tiffin.services.identity import compliance, oauth_login, outcomes, passcodes
from tiffin.services.identity.authentication import REFUSED, Identity
from tiffin.services.identity.claims import Claims
from tiffin.services.identity.schemas import AuthBody, CredentialProof, DomainRef, IdentityProof, ScopeRef, UserRef
from tiffin.services.identity.tables import ApplicationCredential, Project, User

DEFAULT_DOMAIN = "default"


class Proof(msgspec.Struct, kw_only=True):
    """What one method has shown so far. It holds when it is `settled`; else `secret` must have the hash `kept`."""

    method: str
    user: User | None = None  # who it is about, whether that one may log in or not; only to be read
    domain: Project | None = None  # the user's
    generation: int = 0
    kept: str | None = None
    secret: str = ""
    settled: bool = False
    barred: str = ""  # why the secret is checked against nothing: a word of outcomes.py
    refusal: str = ""  # what is said when the secret is right, and not enough
    parent: Claims | None = None  # of the token that proves it
    passcode: tuple[str, int] | None = None  # credential and time step; used up by this login
    credential: ApplicationCredential | None = None
    access_token_id: str = ""
    scope: tuple[int, str] | None = None  # the only one that this proof is good for, as claims have it
    expires_at: float | None = None  # what it gives ends then at the latest

    @property
    def may_log_in(self) -> bool:
        return self.user is not None and self.user.enabled and self.domain is not None and self.domain.enabled

    def about(self, who: tuple[User, Project] | None) -> Proof:
        """The proof, about this user; about nobody for None."""
        if who is not None:
            self.user, self.domain = who
            self.generation = who[0].generation + who[1].generation
        return self


class Refused(Unauthorized):
    """`reason` is a word of outcomes.py."""

    def __init__(self, reason: str, message: str = REFUSED) -> None:
        super().__init__(message)
        self.reason = reason


# --- who ------------------------------------------------------------------------------------------------------------


def expected(what: str, where: str) -> BadRequest:
    return BadRequest(
        f"Expecting to find {what} in {where}. The server could not comply with the request since it is either malformed "
        "or otherwise incorrect. The client is assumed to be in error."
    )


def domain_id(session: Session, ref: DomainRef, identity: Identity) -> str | None:
    """The id of a domain named by id or by name; None when there is none. Raises `BadRequest` when it is not named."""
    if ref.id is not None:
        return ref.id
    if ref.name is None:
        raise expected("id or name", "domain")
    return identity.domain_named(session, ref.name)


def find_user(session: Session, ref: UserRef, identity: Identity) -> tuple[User, Project] | None:
    """A user and its domain, only to be read. Raises `BadRequest` when it is not named."""
    if ref.id is not None:
        return identity.user(session, ref.id)
    if ref.name is None:
        raise expected("id or name", "user")
    if ref.domain is None:
        raise expected("domain", "user")
    within = domain_id(session, ref.domain, identity)
    return identity.user_named(session, within, ref.name) if within is not None else None


# --- by what --------------------------------------------------------------------------------------------------------


def _by_password(session: Session, body: AuthBody, identity: Identity, call: Call) -> Proof:
    assert body.identity.password is not None
    ref = body.identity.password.user
    proof = Proof(method="password", secret=ref.password).about(find_user(session, ref, identity))
    if proof.user is None:
        return proof
    now, rules = call.now, identity.settings.passwords
    user = proof.user
    proof.barred = compliance.DISABLED
    if proof.may_log_in:
        proof.barred = compliance.barred(compliance.current(session, user, rules), now, rules)
    if not proof.barred:
        proof.kept = user.password_hash
        proof.refusal = compliance.EXPIRED.format(user.id) if compliance.is_expired(user, now) else ""
    return proof


def _by_token(session: Session, body: AuthBody, identity: Identity, call: Call) -> Proof:
    """Raises `NotFound` for what is no valid token, and `Forbidden` for one that gives no other."""
    assert body.identity.token is not None
    try:
        claims = identity.meaning(session, body.identity.token.id).claims
    except Unauthorized:
        raise NotFound("Could not recognize token.") from None
    _refuse_exchange(claims, body.scope, identity)
    proof = Proof(method="token", settled=True, parent=claims, expires_at=claims.expires_at)
    proof.about(identity.user(session, claims.user_id)).generation = claims.user_generation
    return proof


def _refuse_exchange(claims: Claims, wanted: ScopeRef | str | None, identity: Identity) -> None:
    """What was lent must not grow, and whoever acts for the system must not become somebody in a project by that."""
    if claims.kind == c.TRUST:
        raise Forbidden("A token of a trust cannot be exchanged for another token: log in by the trust again.")
    if claims.delegated:
        raise Forbidden("A token of a delegated credential cannot be exchanged for another token.")
    if claims.kind == c.SYSTEM and isinstance(wanted, ScopeRef) and (wanted.project or wanted.domain):
        raise Forbidden("A token of the system cannot be exchanged for one of a project or of a domain.")
    if claims.kind in (c.PROJECT, c.DOMAIN) and not identity.settings.rescope_scoped_tokens:
        raise Forbidden("You are not authorized to perform the requested action: rescope a scoped token.")


def _by_credential(session: Session, body: AuthBody, identity: Identity, call: Call) -> Proof:
    ref = body.identity.application_credential
    assert ref is not None
    proof = Proof(method="application_credential", secret=ref.secret)
    found = _find_credential(session, ref, identity)
    if found is None or (found.expires_at is not None and found.expires_at <= identity.world.clock()):
        return proof
    proof.credential, proof.kept, proof.expires_at = found, found.secret_hash, found.expires_at
    proof.scope = (c.PROJECT, found.project_id)
    return proof.about(identity.user(session, found.user_id))


def _find_credential(session: Session, ref: CredentialProof, identity: Identity) -> ApplicationCredential | None:
    """Raises `NotFound` for an unknown id, which nobody guesses; a name that is unknown is a wrong one."""
    if ref.id is not None:
        known = identity.credential(session, ref.id)
        if known is None:
            raise NotFound(f"Could not find Application Credential: {ref.id}.")
        return known
    if ref.name is None or ref.user is None:
        raise expected("id, or name and user,", "application_credential")
    who = find_user(session, ref.user, identity)
    own = select(ApplicationCredential).where(ApplicationCredential.name == ref.name)
    return session.scalar(own.where(ApplicationCredential.user_id == who[0].id)) if who is not None else None


def _by_passcode(session: Session, body: AuthBody, identity: Identity, call: Call) -> Proof:
    assert body.identity.totp is not None
    ref = body.identity.totp.user
    proof = Proof(method="totp").about(find_user(session, ref, identity))
    if proof.user is not None:
        proof.passcode = passcodes.find(session, call.cloud.secrets, proof.user.id, ref.passcode, call.now)
    proof.settled = proof.passcode is not None
    return proof


def _by_remote_user(session: Session, body: AuthBody, identity: Identity, call: Call) -> Proof:
    """Who the WSGI server says it is. Headers of clients have other names (HTTP_...) in its environment."""
    environment = call.request.env
    name, domain = environment.get("REMOTE_USER"), environment.get("REMOTE_DOMAIN")
    within = identity.domain_named(session, domain) if domain else DEFAULT_DOMAIN
    who = identity.user_named(session, within, name) if within and name else None
    return Proof(method="external", settled=who is not None).about(who)


def _by_oauth1(session: Session, body: AuthBody, identity: Identity, call: Call) -> Proof:
    """Who lent the access token with which the request is signed."""
    lent = oauth_login.find_access_token(session, call)
    proof = Proof(method="oauth1", settled=True, access_token_id=lent.id, expires_at=lent.expires_at)
    proof.scope = (c.PROJECT, lent.project_id)
    return proof.about(identity.user(session, lent.user_id))


Method = Callable[[Session, AuthBody, Identity, Call], Proof]
"""What a method finds, in a read transaction. It raises `BadRequest` for a body that makes no sense, and gives a proof that
does not hold for one that is wrong, so that both take as long."""

METHODS: dict[str, Method] = {
    "password": _by_password,
    "token": _by_token,
    "application_credential": _by_credential,
    "totp": _by_passcode,
    "external": _by_remote_user,
    "oauth1": _by_oauth1,
}
"""By its name in a body, where a section of the same name (schemas.py) says the proof. Each has its bit in claims.METHODS."""


_SECTIONS = frozenset(field.name for field in msgspec.structs.fields(IdentityProof)) - {"methods"}


def enabled(identity: Identity) -> frozenset[str]:
    return frozenset(METHODS) if identity.settings.trust_remote_user else frozenset(METHODS) - {"external"}


def look(session: Session, body: AuthBody, identity: Identity, call: Call) -> list[Proof]:
    """What each method claims, before any secret was checked."""
    methods, known = list(dict.fromkeys(body.identity.methods)), enabled(identity)
    for method in methods:
        if not _has_section(body, method, call):
            raise expected(method[:64], "identity")
    if not known.issuperset(methods):
        raise Refused(outcomes.REFUSED, "Attempted to authenticate with an unsupported method.")
    proofs = [METHODS[method](session, body, identity, call) for method in methods]
    if "external" in known and "external" not in methods and call.request.env.get("REMOTE_USER"):
        remote = METHODS["external"](session, body, identity, call)
        proofs = [remote, *proofs] if remote.settled else proofs
    return proofs


def _has_section(body: AuthBody, method: str, call: Call) -> bool:
    if method in _SECTIONS:
        return getattr(body.identity, method) is not None
    raw: Any = msgspec.json.decode(call.raw)
    return method in raw["auth"]["identity"]


def settle(proofs: list[Proof], identity: Identity) -> None:
    """Check the secrets; slow, and outside of any transaction. Raises `Refused`, as late for an unknown user as for a wrong
    password."""
    for proof in proofs:
        if not proof.settled:
            proof.settled = identity.passwords.check(proof.secret, proof.kept)
    wrong = {p.method: p for p in proofs if not p.settled}
    if "password" in wrong:
        raise Refused(wrong["password"].barred or outcomes.PASSWORD)
    if wrong or not proofs:
        raise Refused(outcomes.WRONG if wrong else outcomes.REFUSED)
    if not all(p.may_log_in for p in proofs):
        raise Refused(outcomes.DISABLED)
    if len({p.user.id for p in proofs if p.user is not None}) != 1:
        raise Refused(outcomes.REFUSED)
    for proof in proofs:
        if proof.refusal:
            raise Refused(outcomes.EXPIRED, proof.refusal)


def claimed(proofs: list[Proof]) -> User | None:
    """The user that the proofs are about, whether they are right or wrong; None when there is none. Only to be read.

    When they are about several: that of a wrong password, so that nobody's guesses are counted against another.
    """
    guessed = [p for p in proofs if p.method == "password" and not p.settled]
    return next((p.user for p in guessed or proofs if p.user is not None), None)
