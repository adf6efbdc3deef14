"""What an operator may set of identity: the table [identity] of tiffin.toml, and [identity.passwords]."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=10_000)]
UrlSafe = Literal["off", "new", "strict"]


class HierarchySettings(msgspec.Struct, frozen=True):
    """The table [identity.hierarchy]: how domains, projects and roles may be built upon one another."""

    max_project_tree_depth: Annotated[int, Meta(ge=1, le=50)] = 5
    """Projects on the way from a domain to a leaf. Operators lower it where quotas or bills know fewer levels."""
    project_name_url_safe: UrlSafe = "off"
    """Whether a project's name may hold characters that are reserved in URLs. Operators who put names into paths choose
    `new` (no such name is given any more) or `strict` (and none can be logged in to by that name)."""
    domain_name_url_safe: UrlSafe = "off"
    """The same for names of domains."""
    prohibited_implied_roles: tuple[str, ...] = ("admin",)
    """Roles that nothing may imply: who may add an implication would become that. Operators add powerful roles of theirs."""


class PasswordSettings(msgspec.Struct, frozen=True):
    """What is demanded of passwords and of accounts that have one. Set by operators who must comply with rules such as
    PCI DSS; all is off unless they do. Names and defaults are those of upstream's [security_compliance]; 0 is off."""

    password_regex: Annotated[str, Meta(max_length=1000)] = ""
    """What the beginning of a new password must match, as Python's `re` reads it."""
    password_regex_description: Annotated[str, Meta(max_length=1000)] = ""
    """The same in words, for the user whose password was refused."""
    unique_last_password_count: Annotated[int, Meta(ge=0, le=50)] = 0
    """How many of a user's last passwords, the present one included, it may not choose again. Each costs one hash when a
    password is changed."""
    password_expires_days: Count = 0
    """How many days a new password is good for."""
    lockout_failure_attempts: Count = 0
    """How many wrong passwords, one after the other, lock an account."""
    lockout_duration: Annotated[int, Meta(ge=0, le=315_360_000)] = 1800
    """How many seconds after the last of them it is open again. 0: when an administrator updates the user."""
    minimum_password_age: Count = 0
    """How many days a user must keep a password that it chose, so that it cannot run through the history at once."""
    change_password_upon_first_use: bool = False
    """Whether a password that an administrator chose must be changed before the first login."""
    disable_user_account_days_inactive: Count = 0
    """After how many days without a login by password an account is disabled."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.password_regex)
        except re.error as wrong:
            raise ValueError(f"password_regex is no regular expression: {wrong}") from None


class ShareSettings(msgspec.Struct, frozen=True):
    """What projects and domains get of the cloud: the table [identity.shares]."""

    all_endpoints_without_filter: bool = True
    """Whether a project for which nobody chose endpoints sees all of them in its catalogue, or none. Operators who show each
    project only what it is entitled to set it to false (upstream's `return_all_endpoints_if_no_filter`)."""
    catalog_url: str = ""
    """Where the catalogue says that the cloud is, such as https://cloud.example.org. Operators set it who have a proxy before
    the cloud, or an address that several controllers share. Nothing: where this controller listens."""
    enforcement_model: Literal["flat", "strict_two_level"] = "flat"
    """How the unified limits of projects and their domains relate. Operators who resell whole domains set strict_two_level:
    what the projects of a domain use together then stays within the domain's limit."""


class CredentialSettings(msgspec.Struct, frozen=True):
    """`[identity.credentials]`: keys of users and programs."""

    user_limit: int = -1
    """How many credentials (EC2 keys among them) a user may keep. Operators set it who let strangers in. -1: any number."""
    application_limit: int = -1
    """The same for application credentials."""
    signature_seconds: float = 900.0
    """How old a signed request to EC2 may be. Operators shorten it where signed requests may leak."""
    request_token_seconds: int = 28800
    """How long the user has to grant what an OAuth 1.0a consumer asked for. 0: for ever."""
    access_token_seconds: int = 86400
    """How long the consumer may use what was granted. Operators lengthen it for programs that nobody watches. 0: for ever."""


class LoginSettings(msgspec.Struct, frozen=True):
    """`[identity.logins]`: what is taken for a proof."""

    rescope_scoped_tokens: bool = True
    """Whether a token of a project or a domain can be exchanged for one of another scope. Operators who want passwords to
    be asked again for that say no."""
    trust_remote_user: bool = False
    """Whether REMOTE_USER (and REMOTE_DOMAIN, a domain's name) of the WSGI environment logs that user in. Only for who
    runs the application in a WSGI server that authenticates by itself; no header of a client ever counts."""


class IdentitySettings(msgspec.Struct, frozen=True):
    token_seconds: Annotated[int, Meta(ge=1)] = 3600
    """How long a token is valid. Operators shorten it where tokens may leak, and lengthen it for long uploads."""
    password_rounds: Annotated[int, Meta(ge=4, le=31)] = 12
    """The cost of a password hash: each step doubles it (12: a quarter of a second on a small machine)."""
    remember_seconds: Annotated[float, Meta(ge=0)] = 300.0
    """How long a process remembers that a password was right, so that the next login need not hash. 0: never."""
    keep_keys: Annotated[int, Meta(ge=1)] = 3
    """How many token keys stay after a rotation; tokens of an older key end with it."""
    logins: LoginSettings = LoginSettings()
    """The table [identity.logins]."""
    signed_tokens: bool = False
    """Whether new tokens are signed (JWS, ES256), so that others can read and verify them by the public key, instead of
    encrypted (Fernet), which is shorter. Tokens of both kinds are valid whatever is set."""
    shares: ShareSettings = ShareSettings()
    """The table [identity.shares]."""
    hierarchy: HierarchySettings = HierarchySettings()
    """The table [identity.hierarchy]."""
    passwords: PasswordSettings = PasswordSettings()
    """The table [identity.passwords]."""
    credentials: CredentialSettings = CredentialSettings()
    """The table [identity.credentials]."""
