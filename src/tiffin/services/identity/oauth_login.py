"""A login by OAuth 1.0a: the request itself is signed with an access token that a user has granted."""

from __future__ import annotations

from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import NotFound, Unauthorized
from tiffin.services.identity import oauth
from tiffin.services.identity.oauth_tables import AccessToken, Consumer


def find_access_token(session: Session, call: Call) -> AccessToken:
    """The access token that the request is signed with. Raises `Unauthorized` for a wrong signature and for one that has
    expired, `NotFound` for one that is gone, as upstream."""
    signed = oauth.read(call.request, f"{call.cloud_url}{call.request.path}")  # clients sign without the query
    signed.need("oauth_token")
    row = session.get(AccessToken, signed.token_id)
    if row is None:
        raise NotFound(f"Could not find access token: {signed.token_id[:64]}.")
    if row.expires_at is not None and row.expires_at < call.now:
        raise Unauthorized("Access token is expired")
    signed.check(call.now)
    consumer = session.get(Consumer, signed.consumer_id)
    if consumer is None or consumer.id != row.consumer_id:
        raise Unauthorized("Could not validate the access token")
    secrets = (call.cloud.secrets.decrypt(kept).decode() for kept in (consumer.secret, row.secret))
    if not signed.is_signed_by(*secrets):
        raise Unauthorized("Could not validate the access token")
    return row
