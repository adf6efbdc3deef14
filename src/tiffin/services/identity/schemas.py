"""The words that several request bodies of identity share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tiffin.core.schema import Schema

IdText = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-zA-Z0-9-]+$")]
NameText = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")]
ShortName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\S")]
AnyText = Annotated[str, Meta(max_length=255)]
LongString = Annotated[str, Meta(max_length=65535)]
Password = Annotated[str, Meta(max_length=4096)]
Options = Annotated[dict[AnyText, Any], Meta(max_length=64)]
Flag = bool | Literal["True", "TRUE", "true", "False", "FALSE", "false", "", "1", "0", "y", "Y", "n", "N", "on", "ON",
                      "off", "OFF", "yes", "no"] | None  # fmt: skip
"""What upstream takes for a boolean."""


def truth(flag: Flag | UnsetType, default: bool) -> bool:
    if flag is UNSET or flag is None:
        return default
    return flag if isinstance(flag, bool) else flag.lower() in ("true", "1", "y", "on", "yes")


class Loose(Schema):
    """Where upstream lets unknown fields pass."""

    _unknown_ = "ignore"


class DomainRef(Loose, kw_only=True):
    id: AnyText | None = None
    name: AnyText | None = None


class ProjectRef(Loose, kw_only=True):
    id: AnyText | None = None
    name: AnyText | None = None
    domain: DomainRef | None = None


class UserRef(Loose, kw_only=True):
    id: AnyText | None = None
    name: AnyText | None = None
    domain: DomainRef | None = None


class PasswordUser(UserRef, kw_only=True):
    password: Password = ""


class PasswordProof(Loose, kw_only=True):
    user: PasswordUser


class PasscodeUser(UserRef, kw_only=True):
    passcode: AnyText = ""


class PasscodeProof(Loose, kw_only=True):
    user: PasscodeUser


class TokenProof(Loose, kw_only=True):
    id: Annotated[str, Meta(max_length=8192)]


class CredentialProof(Loose, kw_only=True):
    id: AnyText | None = None
    name: AnyText | None = None
    user: UserRef | None = None
    secret: Password


Nothing = Annotated[dict[AnyText, Any], Meta(max_length=16)]
"""The section of a method whose proof does not stand in the body."""


class IdentityProof(Loose, kw_only=True):
    """`methods` are to be tried; each has a section of its own name, in which its proof stands."""

    methods: Annotated[list[AnyText], Meta(max_length=16)]
    password: PasswordProof | None = None
    token: TokenProof | None = None
    application_credential: CredentialProof | None = None
    totp: PasscodeProof | None = None
    external: Nothing | None = None
    oauth1: Nothing | None = None


class SystemRef(Loose, kw_only=True):
    all: bool | None = None


class TrustRef(Loose, kw_only=True):
    id: AnyText


class ScopeRef(Loose, kw_only=True):
    project: ProjectRef | None = None
    domain: DomainRef | None = None
    trust: TrustRef | None = msgspec.field(name="OS-TRUST:trust", default=None)
    system: SystemRef | None = None
    unscoped: Annotated[dict[AnyText, Any], Meta(max_length=8)] | None = None


class AuthBody(Loose, kw_only=True):
    identity: IdentityProof
    scope: ScopeRef | AnyText | None = None
