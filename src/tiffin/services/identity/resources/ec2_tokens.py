"""Tokens for requests that were signed by an EC2 key: a service that speaks EC2 or S3 sends what it got, and learns who it
was. Only services may ask: who has seen a signed URL must not get a token by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Forbidden, MethodNotAllowed, NotFound, Unauthorized
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Resource
from tiffin.services.identity import claims as c
from tiffin.services.identity import outcomes, signatures
from tiffin.services.identity.authentication import REFUSED, Identity, alive
from tiffin.services.identity.claims import Claims
from tiffin.services.identity.login import Proof
from tiffin.services.identity.oauth_tables import AccessToken
from tiffin.services.identity.resources.credentials import EC2, ec2_id
from tiffin.services.identity.resources.tokens import view as token_view
from tiffin.services.identity.rules import parse_time
from tiffin.services.identity.schemas import LongString, Loose
from tiffin.services.identity.tables import ApplicationCredential, Credential, Trust

Words = Annotated[dict[Annotated[str, Meta(max_length=255)], LongString], Meta(max_length=512)]
CHECK = "rule:service_or_admin"


class SignedIn(Loose, kw_only=True):
    access: LongString | None = None
    signature: LongString | None = None
    params: Words = msgspec.field(default_factory=dict)
    headers: Words = msgspec.field(default_factory=dict)
    verb: Annotated[str, Meta(max_length=16)] = ""
    host: Annotated[str, Meta(max_length=1024)] = ""
    path: LongString = ""
    body_hash: Annotated[str, Meta(max_length=255)] = ""
    token: LongString | None = None  # of S3: the string that was signed


class Ec2Body(Loose, kw_only=True):
    """Clients use any of the three names."""

    credentials: SignedIn | None = None
    credential: SignedIn | None = None
    ec2_credentials: SignedIn | None = msgspec.field(name="ec2Credentials", default=None)

    @property
    def given(self) -> SignedIn | None:
        return self.credentials or self.credential or self.ec2_credentials


class Key(msgspec.Struct):
    """An EC2 key, and whose it is."""

    row: Credential
    kept: dict[str, Any]
    proof: Proof

    @property
    def secret(self) -> str:
        """Raises `Unauthorized` where a user has written a key without any."""
        found = self.kept.get("secret")
        if not isinstance(found, str):
            raise Unauthorized("Invalid EC2 signature.")
        return found


def _about(call: Call, body: Ec2Body) -> Target:
    """The key, which is nobody's affair: only services may ask."""
    given = body.given
    row = call.db.get(Credential, ec2_id(given.access)) if given is not None and given.access is not None else None
    if row is None or row.type != EC2 or row.project_id is None:
        return Target(None)
    who = call.part(Identity).user(call.db, row.user_id)
    kept = msgspec.json.decode(call.cloud.secrets.decrypt(row.blob))
    return Target(Key(row, kept, Proof(method="ec2credential", settled=True).about(who)))


ec2_tokens = Resource("ec2token", "ec2tokens", "/v3/ec2tokens")
s3_tokens = Resource("s3token", "s3tokens", "/v3/s3tokens")


@ec2_tokens.operation("POST", policy=("identity:ec2tokens_validate", CHECK), body=Ec2Body, root="", about=_about,
                      transaction="none")  # fmt: skip
def authenticate_ec2(call: Call, body: Ec2Body) -> Answer:
    answer, token = _answer(call, body, _check_ec2)
    answer.headers = {"X-Subject-Token": token}
    return answer


@s3_tokens.operation("POST", policy=("identity:s3tokens_validate", CHECK), body=Ec2Body, root="", about=_about,
                     transaction="none")  # fmt: skip
def authenticate_s3(call: Call, body: Ec2Body) -> Answer:
    return _answer(call, body, _check_s3)[0]


@ec2_tokens.operation("GET", policy=None, auth=False)
@s3_tokens.operation("GET", policy=None, auth=False)
def refuse(call: Call) -> None:
    raise MethodNotAllowed("Send the signed request by POST.", headers={"Allow": "POST"})


# --- the signature ------------------------------------------------------------------------------------------------------


def _check_ec2(key: Key, given: SignedIn) -> None:
    """Raises `Unauthorized` for a wrong signature. Some clients sign the host without its port."""
    if not given.signature:
        raise Unauthorized("EC2 signature not supplied.")
    hosts = [given.host]
    if ":" in given.host:
        hosts.append(_without_port(given.host))
    for host in hosts:
        request = signatures.Signed(given.params, given.headers, given.verb, host, given.path, given.body_hash)
        if signatures.fits(given.signature, signatures.ec2(key.secret, request)):
            return
    raise Unauthorized("Invalid EC2 signature.")


def _without_port(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _check_s3(key: Key, given: SignedIn) -> None:
    if not given.signature or given.token is None:
        raise BadRequest("Expecting to find signature and token in credentials.")
    if not signatures.fits(given.signature, signatures.s3(key.secret, given.token)):
        raise Unauthorized("Credential signature mismatch.")


def _check_time(call: Call, given: SignedIn) -> None:
    """Raises `Unauthorized` for a request that was signed too long ago. One that does not say when was meant so."""
    text = given.params.get("Timestamp") or given.headers.get("X-Amz-Date") or given.params.get("X-Amz-Date")
    if not text:
        return
    try:
        at = parse_time(text, "Timestamp")
    except BadRequest as wrong:
        raise Unauthorized(f"Credential timestamp is invalid: {wrong.message}") from None
    if call.now > at + call.part(Identity).settings.credentials.signature_seconds:
        raise Unauthorized("Credential is expired.")


# --- the token -----------------------------------------------------------------------------------------------------------


def _answer(call: Call, body: Ec2Body, check: Callable[[Key, SignedIn], None]) -> tuple[Answer, str]:
    given, key = body.given, call.subject.row
    if given is None:
        raise BadRequest("The request must include a request body with credentials.")
    if given.access is None:
        raise Unauthorized("EC2 signature not supplied.")
    if not isinstance(key, Key):
        raise NotFound("EC2 access key not found.")
    reason = outcomes.WRONG
    try:
        check(key, given)
        reason = outcomes.REFUSED
        _check_time(call, given)
        with call.write() as session:
            return _grant(call, session, key)
    except (Unauthorized, Forbidden) as wrong:
        with call.write() as session:
            outcomes.failed(session, call, key.proof.user, reason, [key.proof.method], wrong.message)
        raise


def _grant(call: Call, session: Session, key: Key) -> tuple[Answer, str]:
    """Raises `Unauthorized` when the key's owner may not (any more)."""
    identity = call.part(Identity)
    user = key.proof.user
    if user is None or not key.proof.may_log_in:
        raise Unauthorized(REFUSED)
    claims = _lent(session, _claims(call, key), key.row, key.kept)
    if claims.expires_at <= call.now:
        raise Unauthorized(REFUSED)
    meaning = identity.deserve(session, claims)
    outcomes.succeeded(session, call, user, [key.proof], meaning)
    return Answer({"token": token_view(call, meaning)}, 200), identity.write(meaning.claims)


def _claims(call: Call, key: Key) -> Claims:
    """Those of the key's owner in the key's project."""
    return Claims(
        user_id=key.row.user_id,
        methods=("ec2credential",),
        kind=c.PROJECT,
        scope_id=key.row.project_id or "",
        issued_at=call.now,
        expires_at=int(call.now) + call.part(Identity).settings.token_seconds,
        audit_ids=(c.audit_id(call.cloud.world.random_bytes(16)),),
        user_generation=key.proof.generation,
    )


def _lent(session: Session, claims: Claims, row: Credential, kept: dict[str, Any]) -> Claims:
    """The claims within what the key says that it was lent by: a trust, an application credential, an access token. Raises
    `Unauthorized` when that is gone, or was never its owner's: a user may write any id into a key."""
    trust_id, app_id, access_id = kept.get("trust_id"), kept.get("app_cred_id"), kept.get("access_token_id")
    if trust_id:
        return _by_trust(session, claims, session.get(Trust, str(trust_id)))
    if app_id:
        app = session.get(ApplicationCredential, str(app_id))
        if app is None or (app.user_id, app.project_id) != (row.user_id, row.project_id):
            raise Unauthorized("The EC2 key is not of the project of its application credential.")
        return _until(msgspec.structs.replace(claims, application_credential_id=app.id), app.expires_at)
    if access_id:
        access = session.get(AccessToken, str(access_id))
        if access is None or (access.user_id, access.project_id) != (row.user_id, row.project_id):
            raise Unauthorized("The EC2 key is not of the project of its OAuth1 access token.")
        return _until(msgspec.structs.replace(claims, access_token_id=access.id), access.expires_at)
    return claims


def _by_trust(session: Session, claims: Claims, trust: Trust | None) -> Claims:
    """What the trustee has by the trust; the key's owner is the trustor where the trustee drew it in the trustor's name. A
    trust whose uses are counted is for logins only."""
    if trust is None or trust.remaining_uses is not None:
        raise Unauthorized(REFUSED)
    if claims.user_id != (trust.trustor_user_id if trust.impersonation else trust.trustee_user_id):
        raise Unauthorized(REFUSED)
    trustee, domain = alive(session, trust.trustee_user_id)
    changes = {"user_id": trustee.id, "user_generation": trustee.generation + domain.generation}
    lent = msgspec.structs.replace(claims, kind=c.TRUST, scope_id=trust.id, **changes)
    return _until(lent, trust.expires_at)


def _until(claims: Claims, end: float | None) -> Claims:
    """A token never outlives what it comes from."""
    return claims if end is None else msgspec.structs.replace(claims, expires_at=min(claims.expires_at, int(end)))
