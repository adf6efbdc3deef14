"""Tokens: issue, validate, check, revoke."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete

from tiffin.core.call import Call
from tiffin.core.errors import NotFound, Unauthorized
from tiffin.core.resource import Answer, Resource
from tiffin.services.identity import catalog, login
from tiffin.services.identity import claims as c
from tiffin.services.identity.authentication import Identity, Meaning
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.rules import time
from tiffin.services.identity.schemas import AuthBody
from tiffin.services.identity.tables import RevokedToken

READ = "rule:admin_required or (role:reader and system_scope:all)"
EXPIRED_WINDOW = 48 * 3600.0
"""Seconds after its end during which `allow_expired` still shows a token, for long-running work of other services."""

tokens = Resource("token", "tokens", "/v3/auth/tokens")


def _named(thing: Any, domain: Any) -> dict[str, Any]:
    return {"id": thing.id, "name": thing.name, "domain": {"id": domain.id, "name": domain.name}}


def view(call: Call, meaning: Meaning) -> dict[str, Any]:
    """A token's body, with its catalogue unless the query says `nocatalog`."""
    claims, user = meaning.claims, meaning.user
    body: dict[str, Any] = {
        "methods": list(claims.methods),
        "user": {**_named(user, meaning.domain), "password_expires_at": _naive(user.password_expires_at)},
        "audit_ids": list(claims.audit_ids),
        "expires_at": time(claims.expires_at),
        "issued_at": time(claims.issued_at),
    }
    if claims.kind != c.UNSCOPED:
        body["roles"] = [{"id": role.id, "name": role.name} for role in meaning.roles]
        if "nocatalog" not in call.query:
            project_id = meaning.project.id if meaning.project else None
            body["catalog"] = catalog.show(call.part(Identity).catalog(call.db), project_id, user.id)
    if providers := call.part(Identity).service_providers(call.db):
        body["service_providers"] = providers
    if meaning.project is not None and meaning.project_domain is not None:
        body["project"] = _named(meaning.project, meaning.project_domain)
        body["is_domain"] = meaning.project.is_domain
    if meaning.scope_domain is not None:
        body["domain"] = {"id": meaning.scope_domain.id, "name": meaning.scope_domain.name}
    if meaning.system:
        body["system"] = {"all": True}
    return body | _delegation(meaning)


def _naive(at: float | None) -> str | None:
    text = time(at)
    return text.removesuffix("Z") if text else None


def _delegation(meaning: Meaning) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if meaning.credential is not None:
        credential = meaning.credential
        body["application_credential"] = {
            "id": credential.id,
            "name": credential.name,
            "restricted": not credential.unrestricted,
        }
        if meaning.access_rules is not None:
            body["application_credential"]["access_rules"] = meaning.access_rules
    if meaning.trust is not None:
        trust = meaning.trust
        body["OS-TRUST:trust"] = {
            "id": trust.id,
            "impersonation": trust.impersonation,
            "trustor_user": {"id": trust.trustor_user_id},
            "trustee_user": {"id": trust.trustee_user_id},
        }
    return body


def _answer(call: Call, meaning: Meaning, token: str, status: int) -> Answer:
    return Answer({"token": view(call, meaning)}, status, {"X-Subject-Token": token, "Vary": "X-Auth-Token"})


@tokens.operation("POST", policy=None, auth=False, body=AuthBody, root="auth", transaction="none")
def issue(call: Call, body: AuthBody) -> Answer:
    identity = call.part(Identity)
    with call.read() as session:
        proofs = login.look(session, body, identity)
    login.settle(proofs, identity)
    with call.write() if login.uses_trust(body) else call.read() as session:
        token, meaning = login.grant(session, proofs, body, identity)
        if meaning.trust is not None and login.uses_trust(body):
            call.record("use", ("identity.trust", meaning.trust.id), after={"remaining_uses": meaning.trust.remaining_uses})
        return _answer(call, meaning, token, 201)


def _subject(call: Call) -> str:
    token = call.request.get_header("X-Subject-Token")
    if not token or len(token) > 8192:
        raise NotFound("Could not recognize token.")
    return token


def about(call: Call) -> dict[str, Any]:
    """The subject token's bearer. A token that nobody can read is nobody's."""
    try:
        claims = call.part(Identity).read(_subject(call))
    except Unauthorized:
        return {}
    return {"target.token.user_id": claims.user_id}


def _meaning(call: Call, *, expired: bool = False) -> Meaning:
    """What the subject token means. Raises `NotFound` when it is not valid any more."""
    try:
        meaning = call.part(Identity).meaning(call.db, _subject(call), allow_expired=expired)
    except Unauthorized:
        raise NotFound("Could not recognize token.") from None
    if meaning.claims.expires_at + EXPIRED_WINDOW <= call.now:
        raise NotFound("Could not recognize token.")
    return meaning


@tokens.operation(
    "GET", policy=("identity:validate_token", f"{READ} or rule:service_role or rule:token_subject"), about=about
)
def validate(call: Call) -> Answer:
    expired = (call.param("allow_expired") or "").lower() in ("1", "true", "yes")
    return _answer(call, _meaning(call, expired=expired), _subject(call), 200)


@tokens.operation("HEAD", policy=("identity:check_token", f"{READ} or rule:token_subject"), about=about)
def check(call: Call) -> Answer:
    _meaning(call, expired=(call.param("allow_expired") or "").lower() in ("1", "true", "yes"))
    return Answer(None, 200, {"X-Subject-Token": _subject(call), "Vary": "X-Auth-Token"})


@tokens.operation(
    "DELETE", policy=("identity:revoke_token", "rule:admin_required or rule:token_subject"), about=about, event="delete"
)
def revoke(call: Call) -> None:
    claims = _meaning(call).claims
    call.db.execute(delete(RevokedToken).where(RevokedToken.expires_at <= call.now - EXPIRED_WINDOW))
    call.db.add(RevokedToken(audit_id=claims.audit_ids[0], expires_at=claims.expires_at))
    touch(call.db)
