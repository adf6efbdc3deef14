"""Logging in by an identity provider, and vouching for a user at another cloud. No method for either is enabled here: each
path answers as upstream does then."""

from __future__ import annotations

from typing import Annotated, Any, NoReturn

from msgspec import UNSET, Meta, UnsetType

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Forbidden, NotFound, NotImplementedHere, Unauthorized
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.federation_tables import ServiceProvider
from tiffin.services.identity.schemas import AnyText

OF_PROVIDER = "/identity_providers/{idp_id}/protocols/{protocol_id}"

federated_login = Resource("federated_login", "federated_logins", "/v3")


class TokenId(Schema, kw_only=True):
    id: Annotated[str, Meta(max_length=8192)]


class Exchanged(Schema, kw_only=True):
    token: TokenId
    methods: Annotated[list[Any], Meta(max_length=16)] | UnsetType = UNSET


class Provider(Schema, kw_only=True):
    id: AnyText


class Audience(Schema, kw_only=True):
    service_provider: Provider


class AssertionIn(Schema, kw_only=True):
    identity: Exchanged
    scope: Audience


@federated_login.operation("GET", f"/OS-FEDERATION{OF_PROVIDER}/auth", policy=None, auth=False)
@federated_login.operation(
    "POST", f"/OS-FEDERATION{OF_PROVIDER}/auth", policy=None, auth=False, raw=True, transaction="none"
)
def log_in(call: Call, idp_id: str, protocol_id: str) -> NoReturn:
    """The protocol is the name of the method, whether there is such an identity provider or not."""
    raise Unauthorized("Attempted to authenticate with an unsupported method.")


@federated_login.operation("GET", "/auth/OS-FEDERATION/websso/{protocol_id}", policy=None, auth=False)
@federated_login.operation(
    "POST", "/auth/OS-FEDERATION/websso/{protocol_id}", policy=None, auth=False, raw=True, transaction="none"
)
def sign_on(call: Call, protocol_id: str) -> NoReturn:
    """The web server before us names nobody who vouches for the browser's user."""
    raise Unauthorized("Nobody outside has vouched for the sender of this request.")


@federated_login.operation("GET", f"/auth/OS-FEDERATION{OF_PROVIDER}/websso", policy=None, auth=False)
@federated_login.operation(
    "POST", f"/auth/OS-FEDERATION{OF_PROVIDER}/websso", policy=None, auth=False, raw=True, transaction="none"
)
def sign_on_by(call: Call, idp_id: str, protocol_id: str) -> NoReturn:
    origin = call.param("origin")
    if not origin:
        raise BadRequest("The query must say where the dashboard is: origin=URL.")
    raise Unauthorized(f"This cloud trusts no dashboard at {origin[:255]}.")


@federated_login.operation("GET", "/OS-FEDERATION/saml2/metadata", policy=None, auth=False)
def metadata(call: Call) -> NoReturn:
    raise NotFound("This cloud has no metadata of a SAML identity provider.")


@federated_login.operation(
    "POST", "/auth/OS-FEDERATION/saml2/ecp", policy=None, auth=False, body=AssertionIn, root="auth", transaction="read"
)
@federated_login.operation(
    "POST", "/auth/OS-FEDERATION/saml2", policy=None, auth=False, body=AssertionIn, root="auth", transaction="read"
)
def vouch(call: Call, body: AssertionIn) -> NoReturn:
    """Everything is checked but what would sign the assertion."""
    id = body.scope.service_provider.id
    provider = call.db.get(ServiceProvider, id)
    if provider is None:
        raise targets.missing("service_provider", id)
    if not provider.enabled:
        raise Forbidden(f"The service provider {id} is disabled.")
    try:
        meaning = call.part(Identity).meaning(call.db, body.identity.token.id)
    except Unauthorized:
        raise NotFound("Could not recognize token.") from None
    if meaning.project is None:
        raise Forbidden("An assertion can be made of a token of a project only.")
    raise NotImplementedHere("This cloud issues no SAML assertions.")
