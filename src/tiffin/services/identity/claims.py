"""What a token says by itself: who, what for, until when. Packed small, so that a token stays below 255 characters."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

METHODS = ("password", "token", "application_credential", "external", "totp", "oauth1", "mapped")
"""A token's methods are bits; the order must never change."""

UNSCOPED, PROJECT, DOMAIN, SYSTEM, TRUST = range(5)


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """`user_generation` and `scope_generation` must be those of the rows, or the token has been revoked."""

    user_id: str
    methods: tuple[str, ...]
    kind: int = UNSCOPED
    scope_id: str = ""  # of the project, the domain or the trust
    application_credential_id: str = ""
    issued_at: float
    expires_at: int
    audit_ids: tuple[str, ...]
    user_generation: int = 0
    scope_generation: int = 0


def _pack_id(id: str) -> bytes | str:
    """A UUID in hexadecimal as its 16 bytes; anything else as it is."""
    if len(id) == 32:
        try:
            raw = bytes.fromhex(id)
        except ValueError:
            return id
        if raw.hex() == id:
            return raw
    return id


def _unpack_id(packed: bytes | str) -> str:
    return packed.hex() if isinstance(packed, bytes) else packed


def audit_id(random: bytes) -> str:
    """16 random bytes as upstream writes them: 22 characters."""
    return base64.urlsafe_b64encode(random).rstrip(b"=").decode()


def _audit_bytes(id: str) -> bytes:
    return base64.urlsafe_b64decode(id + "==")


class _Packed(msgspec.Struct, array_like=True):
    user_id: Any  # bytes or str; msgspec has no union of these
    methods: int
    kind: int
    scope_id: Any
    application_credential_id: Any
    issued_at: float
    expires_at: int
    audit_ids: list[bytes]
    user_generation: int
    scope_generation: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def pack(claims: Claims) -> bytes:
    packed = _Packed(
        user_id=_pack_id(claims.user_id),
        methods=sum(1 << METHODS.index(m) for m in claims.methods),
        kind=claims.kind,
        scope_id=_pack_id(claims.scope_id),
        application_credential_id=_pack_id(claims.application_credential_id),
        issued_at=claims.issued_at,
        expires_at=claims.expires_at,
        audit_ids=[_audit_bytes(a) for a in claims.audit_ids],
        user_generation=claims.user_generation,
        scope_generation=claims.scope_generation,
    )
    return _encode(packed)


def unpack(raw: bytes) -> Claims:
    """Raises `msgspec.DecodeError` for what `pack` has not made."""
    try:
        packed = _decode(raw)
    except UnicodeDecodeError as wrong:
        raise msgspec.DecodeError(str(wrong)) from wrong
    return Claims(
        user_id=_unpack_id(packed.user_id),
        methods=tuple(m for n, m in enumerate(METHODS) if packed.methods >> n & 1),
        kind=packed.kind,
        scope_id=_unpack_id(packed.scope_id),
        application_credential_id=_unpack_id(packed.application_credential_id),
        issued_at=packed.issued_at,
        expires_at=packed.expires_at,
        audit_ids=tuple(audit_id(a) for a in packed.audit_ids),
        user_generation=packed.user_generation,
        scope_generation=packed.scope_generation,
    )
