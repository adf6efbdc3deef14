"""Tokens: issue, validate, check, revoke."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from sqlalchemy import delete

from tiffin.core import changes
from tiffin.core.call import Call
from tiffin.core.errors import Forbidden, NotFound, Unauthorized
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Resource
from tiffin.services.identity import claims as c
from tiffin.services.identity import factors, granting, login, outcomes, targets
from tiffin.services.identity.authentication import Identity, Meaning
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.filters import flag
from tiffin.services.identity.login import Proof, Refused
from tiffin.services.identity.rules import time
from tiffin.services.identity.schemas import AuthBody
from tiffin.services.identity.tables import RevokedToken, User

READ = "rule:admin_required or (role:reader and system_scope:all)"
REVOKE = ("identity:revoke_token", "rule:admin_required or rule:token_subject")
MOST_TOKEN = 8192
RULES_HEADER = "OpenStack-Identity-Access-Rules"
EXPIRED_WINDOW = 48 * 3600.0
"""Seconds after its end during which `allow_expired` still shows a token, for long-running work of other services."""

_encode = msgspec.json.Encoder().encode
tokens = Resource("token", "tokens", "/v3/auth/tokens")


def _named(thing: Any, domain: Any) -> dict[str, Any]:
    return {"id": thing.id, "name": thing.name, "domain": {"id": domain.id, "name": domain.name}}


def view(call: Call, meaning: Meaning) -> dict[str, Any]:
    """A token's body, with its catalogue unless the query says `nocatalog`."""
    claims, user = meaning.claims, meaning.user
    body: dict[str, Any] = {
        "methods": list(claims.methods),
        "user": {**_named(user, meaning.domain), "password_expires_at": _naive(user.password_expires_at)},
        "audit_ids": claims.shown_audit_ids,
        "expires_at": time(claims.expires_at),
        "issued_at": time(claims.issued_at),
    }
    if claims.kind != c.UNSCOPED:
        body["roles"] = [{"id": role.id, "name": role.name} for role in meaning.roles]
        if "nocatalog" not in call.query:
            project_id = meaning.project.id if meaning.project else None
            body["catalog"] = call.part(Identity).shown_catalog(call.db, project_id, user.id)
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
    if meaning.access_token is not None:
        lent = meaning.access_token
        body["OS-OAUTH1"] = {"access_token_id": lent.id, "consumer_id": lent.consumer_id}
    return body


def _answer(call: Call, meaning: Meaning, token: str, status: int) -> Answer:
    return Answer(_encode({"token": view(call, meaning)}), status, {"X-Subject-Token": token, "Vary": "X-Auth-Token"})


@tokens.operation("POST", policy=None, auth=False, body=AuthBody, root="auth", transaction="none")
def issue(call: Call, body: AuthBody) -> Answer:
    identity, proofs = call.part(Identity), list[Proof]()
    try:
        granting.check_scope(body)
        with call.read() as session:
            proofs = login.look(session, body, identity, call)
        login.settle(proofs, identity)
        return _grant(call, body, proofs)
    except factors.NeedsMore as more:
        _refused(call, proofs, outcomes.FACTORS)
        return _receipt(call, proofs[0], more.methods)
    except (Unauthorized, Forbidden, NotFound) as no:
        _refused(call, proofs, no.reason if isinstance(no, Refused) else outcomes.SCOPE if proofs else outcomes.REFUSED)
        raise


def _grant(call: Call, body: AuthBody, proofs: list[Proof]) -> Answer:
    with call.write() as session:
        token, meaning = granting.grant(session, call, body, proofs)
        user = login.claimed(proofs)
        assert user is not None
        try:
            outcomes.succeeded(session, call, user, proofs)
        except Unauthorized as no:
            raise Refused(outcomes.REFUSED, no.message) from None
        return _answer(call, meaning, token, 201)


def _refused(call: Call, proofs: list[Proof], reason: str) -> None:
    """What a refusal leaves behind. A passcode that was right, beside whatever else was asked, is used up."""
    with call.write() as session:
        for proof in proofs if all(p.settled for p in proofs) else ():
            with contextlib.suppress(Refused):
                granting.use_up(session, call, proof)
        outcomes.failed(session, call, login.claimed(proofs), reason)


def _receipt(call: Call, proof: Proof, methods: tuple[str, ...]) -> Answer:
    identity = call.part(Identity)
    assert proof.user is not None
    assert proof.domain is not None
    who = (proof.user, proof.domain)
    receipt = factors.write(identity.keys, who, methods, call.now)
    body = factors.show(who, methods, login.enabled(identity), call.now)
    return Answer(body, 401, {factors.HEADER: receipt})


# --- look at one ----------------------------------------------------------------------------------------------------------


def _subject(call: Call) -> Meaning:
    """What the subject token means. Raises `NotFound` when it is not valid (any more)."""
    token = call.request.get_header("X-Subject-Token")
    expired = call.request.method != "DELETE" and _truth(call.param("allow_expired"))
    if not token or len(token) > MOST_TOKEN:
        raise NotFound("No token in the request." if not token else "Could not recognize token.")
    try:
        meaning = call.part(Identity).meaning(call.db, token, allow_expired=expired)
    except Unauthorized:
        raise NotFound("Could not recognize token.") from None
    if meaning.claims.expires_at + EXPIRED_WINDOW <= call.now or not _understands_rules(call, meaning):
        raise NotFound("Could not recognize token.")
    return meaning


def _truth(text: str | None) -> bool:
    return text is not None and text.strip().lower() in ("1", "t", "true", "on", "y", "yes")


def _understands_rules(call: Call, meaning: Meaning) -> bool:
    """A token that is bound to access rules is shown to those only who say that they observe them."""
    if meaning.access_rules is None:
        return True
    try:
        return float(call.request.get_header(RULES_HEADER) or 0) >= 1.0
    except ValueError:
        return False


def about(call: Call) -> Target:
    """The subject token's bearer. Unlike elsewhere, what is no token is 404 for everybody, as upstream."""
    if not call.request.get_header("X-Subject-Token"):
        return Target(None)
    meaning = _subject(call)
    return Target(meaning, **{"target.token.user_id": meaning.user.id})


def _of_subject(call: Call) -> tuple[str, Meaning]:
    """The subject token that `about` has found, and what it means. Raises `NotFound` when there is none."""
    meaning = call.subject.row or _subject(call)
    return str(call.request.get_header("X-Subject-Token")), meaning


@tokens.operation(
    "GET", policy=("identity:validate_token", f"{READ} or rule:service_role or rule:token_subject"), about=about,
    unbound=True,
)  # fmt: skip
def validate(call: Call) -> Answer:
    token, meaning = _of_subject(call)
    return _answer(call, meaning, token, 200)


@tokens.operation("HEAD", policy=("identity:check_token", f"{READ} or rule:token_subject"), about=about, unbound=True)
def check(call: Call) -> Answer:
    token, _ = _of_subject(call)
    return Answer(None, 200, {"X-Subject-Token": token, "Vary": "X-Auth-Token"})


# --- give back ------------------------------------------------------------------------------------------------------------


@tokens.operation("DELETE", policy=REVOKE, about=about, event="delete")
def revoke(call: Call) -> None:
    """Kill a token, and unless the query says `cascade=false` all that were made from it."""
    _, meaning = _of_subject(call)
    claims, cascade = meaning.claims, flag(call.param("cascade") or "true")
    call.db.execute(delete(RevokedToken).where(RevokedToken.expires_at <= call.now - EXPIRED_WINDOW))
    row = call.db.get(RevokedToken, claims.audit_ids[0])
    if row is None:
        row = RevokedToken(audit_id=claims.audit_ids[0], cascade=cascade, revoked_at=call.now, expires_at=claims.expires_at)
        call.db.add(row)
    touch(call.db)


user_tokens = Resource("user", "users", "/v3/users/{id}/tokens")


def _about_user(call: Call, id: str) -> Target:
    """Upstream has no rule of its own for this: whoever may give a token of the user back may give them all back."""
    row = call.db.get(User, id)
    return Target(row, **{"target.token.user_id": id}) if row is not None else Target(None)


@user_tokens.operation("DELETE", policy=REVOKE, about=_about_user)
def revoke_all(call: Call, id: str) -> None:
    """Kill all tokens of a user: for who cannot change the password, or has none here."""
    row = targets.found(call, "user", User, id)
    before = changes.picture(row)
    row.generation += 1
    touch(call.db)
    call.record("update", ("identity.user", id), before=before, after=changes.picture(row))
