"""What a token says by itself: who, what for, until when. Packed small, so that a token stays below 255 characters."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

METHODS = ("password", "token", "application_credential", "external", "totp", "oauth1", "mapped", "ec2credential")
"""A token's methods are bits; the order must never change, and what is new comes last."""

PRIMARY = frozenset({"password", "token", "external", "totp", "mapped"})
"""The methods by which a user proves who it is. By the others somebody acts for it who was lent a part of what it may."""

UNSCOPED, PROJECT, DOMAIN, SYSTEM, TRUST = range(5)

MOST_ANCESTORS = 8
"""How far back a token remembers the tokens that it was made from."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """`user_generation` and `scope_generation` must be those of the rows, or the token has been revoked."""

    user_id: str
    methods: tuple[str, ...]
    kind: int = UNSCOPED
    scope_id: str = ""  # of the project, the domain or the trust
    application_credential_id: str = ""
    issued_at: float
    expires_at: int
    audit_ids: tuple[str, ...]  # its own, that of the token it was made from, that of the one before, ...
    user_generation: int = 0
    scope_generation: int = 0
    access_token_id: str = ""  # of OAuth 1.0a

    @property
    def shown_audit_ids(self) -> list[str]:
        """Its own, and that of the first token of its chain."""
        return [self.audit_ids[0], self.audit_ids[-1]] if len(self.audit_ids) > 1 else list(self.audit_ids)

    @property
    def delegated(self) -> bool:
        """Whether somebody bears it who was lent a part of what the user may, other than by a trust."""
        return not self.methods or not PRIMARY.issuperset(self.methods)


def descent(own: str, parent: Claims | None) -> tuple[str, ...]:
    """The audit ids of a new token: the nearest ancestors, and the first one in any case."""
    if parent is None:
        return (own,)
    above = parent.audit_ids
    return (own, *above) if len(above) < MOST_ANCESTORS else (own, *above[: MOST_ANCESTORS - 2], above[-1])


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


def pack_methods(methods: tuple[str, ...]) -> int:
    return sum(1 << METHODS.index(m) for m in methods)


def unpack_methods(bits: int) -> tuple[str, ...]:
    return tuple(m for n, m in enumerate(METHODS) if bits >> n & 1)


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
    access_token_id: Any = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed).decode


def pack(claims: Claims) -> bytes:
    packed = _Packed(
        user_id=_pack_id(claims.user_id),
        methods=pack_methods(claims.methods),
        kind=claims.kind,
        scope_id=_pack_id(claims.scope_id),
        application_credential_id=_pack_id(claims.application_credential_id),
        issued_at=claims.issued_at,
        expires_at=claims.expires_at,
        audit_ids=[_audit_bytes(a) for a in claims.audit_ids],
        user_generation=claims.user_generation,
        scope_generation=claims.scope_generation,
        access_token_id=_pack_id(claims.access_token_id),
    )
    return _encode(packed)


def unpack(raw: bytes) -> Claims:
    """Raises `msgspec.DecodeError` for what `pack` has not made."""
    packed = _decode(raw)
    return Claims(
        user_id=_unpack_id(packed.user_id),
        methods=unpack_methods(packed.methods),
        kind=packed.kind,
        scope_id=_unpack_id(packed.scope_id),
        application_credential_id=_unpack_id(packed.application_credential_id),
        issued_at=packed.issued_at,
        expires_at=packed.expires_at,
        audit_ids=tuple(audit_id(a) for a in packed.audit_ids),
        user_generation=packed.user_generation,
        scope_generation=packed.scope_generation,
        access_token_id=_unpack_id(packed.access_token_id),
    )
