"""How a consumer comes by an access token of OAuth 1.0a: it draws a request token, a user grants it some roles, and with the
verifier that the user has told it, the consumer draws the access token. Its requests are signed; they bear no token."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import msgspec
from msgspec import Meta
from sqlalchemy import delete, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, MethodNotAllowed, Unauthorized
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import lending, oauth, targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.authorization import project_roles
from tiffin.services.identity.oauth_tables import AccessToken, Consumer, RequestToken
from tiffin.services.identity.rules import new_id, time
from tiffin.services.identity.schemas import IdText, Loose, NameText
from tiffin.services.identity.tables import Project, Role

FORM = "application/x-www-form-urlencoded"


class RoleRef(Schema):
    id: IdText | None = None
    name: NameText | None = None


class GrantIn(Loose, kw_only=True):
    roles: Annotated[list[RoleRef], Meta(max_length=256)] = msgspec.field(default_factory=list)


request_tokens = Resource("request_token", "request_tokens", "/v3/OS-OAUTH1/request_token")
access_token_draws = Resource("access_token", "access_tokens", "/v3/OS-OAUTH1/access_token")
grants_of_tokens = Resource("token", "tokens", "/v3/OS-OAUTH1/authorize/{id}")


def _signed(call: Call) -> oauth.Signed:
    query = f"?{call.request.query_string}" if call.request.query_string else ""
    return oauth.read(call.request, f"{call.cloud_url}{call.request.path}{query}")


def _secret(call: Call, kept: bytes) -> str:
    return call.cloud.secrets.decrypt(kept).decode()


def _until(call: Call, seconds: int) -> float | None:
    return call.now + seconds if seconds > 0 else None


def _form(id: str, secret: str, expires_at: float | None) -> Answer:
    fields = {"oauth_token": id, "oauth_token_secret": secret}
    if expires_at is not None:
        fields["oauth_expires_at"] = time(expires_at) or ""
    return Answer(urlencode(fields, safe=":").encode(), 201, content_type=FORM)


# --- the consumer's requests ---------------------------------------------------------------------------------------------


@request_tokens.operation("POST", policy=None, auth=False, raw=True, transaction="none")
def draw_request_token(call: Call) -> Answer:
    signed = _signed(call)
    signed.need("oauth_consumer_key")
    project_id = call.request.get_header("Requested-Project-Id")
    if not project_id:
        raise BadRequest("Expecting to find Requested-Project-Id in request.")
    secret, settings = call.cloud.world.hex(16), call.part(Identity).settings.credentials
    with call.write() as session:
        if session.get(Project, project_id) is None:
            raise targets.missing("project", project_id)
        consumer = session.get(Consumer, signed.consumer_id)
        if consumer is None:
            raise targets.missing("consumer", signed.consumer_id)
        signed.check(call.now)
        signed.need("oauth_callback")
        if not signed.is_signed_by(_secret(call, consumer.secret)):
            raise Unauthorized("Invalid signature")
        session.execute(delete(RequestToken).where(RequestToken.expires_at < call.now))
        row = RequestToken(
            id=new_id(call.cloud.world), consumer_id=consumer.id, project_id=project_id, user_id=None, verifier=None,
            secret=call.cloud.secrets.encrypt(secret.encode()), expires_at=_until(call, settings.request_token_seconds),
        )  # fmt: skip
        session.add(row)
        call.record("create", ("identity.request_token", row.id))
    return _form(row.id, secret, row.expires_at)


@access_token_draws.operation("POST", policy=None, auth=False, raw=True, transaction="none")
def draw_access_token(call: Call) -> Answer:
    signed = _signed(call)
    signed.need("oauth_consumer_key", "oauth_token", "oauth_verifier")
    secret, settings = call.cloud.world.hex(16), call.part(Identity).settings.credentials
    with call.write() as session:
        request = _live(call, signed.token_id)
        _check(call, signed, request)
        if request.user_id is None:
            raise Unauthorized("Request Token does not have an authorizing user id.")
        row = AccessToken(
            id=new_id(call.cloud.world), consumer_id=request.consumer_id, user_id=request.user_id,
            project_id=request.project_id, role_ids=request.role_ids,
            secret=call.cloud.secrets.encrypt(secret.encode()), expires_at=_until(call, settings.access_token_seconds),
        )  # fmt: skip
        session.add(row)
        session.delete(request)
        call.record("create", ("identity.access_token", row.id))
    return _form(row.id, secret, row.expires_at)


def _live(call: Call, id: str) -> RequestToken:
    """Raises `NotFound`, and `Unauthorized` when it has expired."""
    row = call.db.get(RequestToken, id)
    if row is None:
        raise targets.missing("request token", id)
    if row.expires_at is not None and row.expires_at < call.now:
        raise Unauthorized("Request token is expired")
    return row


def _check(call: Call, signed: oauth.Signed, request: RequestToken) -> None:
    """Raises `Unauthorized` unless the request token's consumer has signed, and has been told the verifier."""
    signed.check(call.now)
    consumer = call.db.get(Consumer, signed.consumer_id)
    if consumer is None:
        raise Unauthorized("Provided consumer does not exist.")
    if request.consumer_id != consumer.id:
        raise Unauthorized("Provided consumer key does not match stored consumer key.")
    verifier = _secret(call, request.verifier) if request.verifier is not None else ""
    if not oauth.equal(verifier, signed.verifier):
        raise Unauthorized("Provided verifier does not match stored verifier")
    if not signed.is_signed_by(_secret(call, consumer.secret), _secret(call, request.secret)):
        raise Unauthorized("Invalid signature")


@request_tokens.operation("GET", policy=None, auth=False)
@access_token_draws.operation("GET", policy=None, auth=False)
def refuse(call: Call) -> None:
    raise MethodNotAllowed("Send the signed request by POST.", headers={"Allow": "POST"})


# --- the user's part ----------------------------------------------------------------------------------------------------


@grants_of_tokens.operation("PUT", policy=("identity:authorize_request_token", "rule:admin_required"), body=GrantIn, root="")
def grant(call: Call, id: str, body: GrantIn) -> Answer:
    lending.refuse_lent(call, "Request tokens")
    row = _live(call, id)
    wanted = [_role(call, ref) for ref in body.roles]
    owned = {role.id for role in project_roles(call.db, call.actor.user_id, call.db.get_one(Project, row.project_id))}
    if not owned.issuperset(wanted):
        raise Unauthorized("The authorizing user does not have the roles that are to be granted.")
    verifier = _verifier(call)
    row.user_id, row.role_ids = call.actor.user_id, list(dict.fromkeys(wanted))
    row.verifier = call.cloud.secrets.encrypt(verifier.encode())
    call.record("authorize", ("identity.request_token", row.id), after={"user_id": row.user_id, "role_ids": row.role_ids})
    return Answer({"token": {"oauth_verifier": verifier}}, 200)


def _role(call: Call, ref: RoleRef) -> str:
    """The id of a role. Raises `BadRequest` unless it is named in one way, `NotFound` for a name that no role has."""
    if (ref.id is None) == (ref.name is None):
        raise BadRequest("Invalid input for field/attribute roles: each needs an id or a name.")
    if ref.id is not None:
        return ref.id
    found = call.db.scalar(select(Role.id).where(Role.name == ref.name, Role.domain_id.is_(None)))
    if found is None:
        raise targets.missing("role", str(ref.name))
    return found


def _verifier(call: Call) -> str:
    """Drawn so that each of the letters and digits is as likely: bytes beyond the last whole round count for nothing."""
    chars, drawn = oauth.VERIFIER_CHARS, ""
    while len(drawn) < oauth.VERIFIER_LENGTH:
        fair = (byte for byte in call.cloud.world.random_bytes(16) if byte < 256 - 256 % len(chars))
        drawn += "".join(chars[byte % len(chars)] for byte in fair)
    return drawn[: oauth.VERIFIER_LENGTH]
