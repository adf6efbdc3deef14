"""Tokens as JSON Web Signatures (RFC 7515, ES256): anybody can read them, and who has the public key can tell that they are
ours. What they say is what upstream's say; the generations are our own."""

from __future__ import annotations

import base64
import binascii

import msgspec

from tiffin.services.identity import claims as c
from tiffin.services.identity.claims import Claims
from tiffin.services.identity.keys import SigningKeys


class _Header(msgspec.Struct):
    alg: str
    kid: str
    typ: str = "JWT"


class _Payload(msgspec.Struct, omit_defaults=True):
    sub: str
    iat: float
    exp: int
    openstack_methods: tuple[str, ...]
    openstack_audit_ids: tuple[str, ...]
    openstack_system: str = ""
    openstack_domain_id: str = ""
    openstack_project_id: str = ""
    openstack_trust_id: str = ""
    openstack_access_token_id: str = ""
    openstack_app_cred_id: str = ""
    tiffin_generations: tuple[int, int] = (0, 0)


_SCOPES = {
    c.SYSTEM: "openstack_system",
    c.DOMAIN: "openstack_domain_id",
    c.PROJECT: "openstack_project_id",
    c.TRUST: "openstack_trust_id",
}
_encode = msgspec.json.Encoder().encode
_header = msgspec.json.Decoder(_Header).decode
_payload = msgspec.json.Decoder(_Payload).decode


def _text(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _raw(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def write(claims: Claims, keys: SigningKeys) -> str:
    scope = {_SCOPES[claims.kind]: claims.scope_id or "all"} if claims.kind != c.UNSCOPED else {}
    payload = _Payload(
        sub=claims.user_id,
        iat=claims.issued_at,
        exp=claims.expires_at,
        openstack_methods=claims.methods,
        openstack_audit_ids=claims.audit_ids,
        openstack_access_token_id=claims.access_token_id,
        openstack_app_cred_id=claims.application_credential_id,
        tiffin_generations=(claims.user_generation, claims.scope_generation),
        **scope,
    )
    body = _text(_encode(payload))
    data, signature = keys.sign(lambda kid: _text(_encode(_Header("ES256", kid))) + b"." + body)
    return (data + b"." + _text(signature)).decode()


def read(token: str, keys: SigningKeys) -> Claims | None:
    """The claims of a token; None when it is none of ours."""
    try:
        data, _, signature = token.encode().rpartition(b".")
        head, _, body = data.partition(b".")
        header = _header(_raw(head))
        if header.alg != "ES256" or not keys.verify(header.kid, data, _raw(signature)):
            return None
        payload = _payload(_raw(body))
    except (binascii.Error, UnicodeEncodeError, UnicodeDecodeError, msgspec.DecodeError):
        return None
    kind, scope_id = next(((k, getattr(payload, n)) for k, n in _SCOPES.items() if getattr(payload, n)), (c.UNSCOPED, ""))
    return Claims(
        user_id=payload.sub,
        methods=payload.openstack_methods,
        kind=kind,
        scope_id="" if kind == c.SYSTEM else scope_id,
        application_credential_id=payload.openstack_app_cred_id,
        issued_at=payload.iat,
        expires_at=payload.exp,
        audit_ids=payload.openstack_audit_ids,
        user_generation=payload.tiffin_generations[0],
        scope_generation=payload.tiffin_generations[1],
        access_token_id=payload.openstack_access_token_id,
    )
