"""What an operator may set of identity."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

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
    """What is demanded of passwords. Set by operators who must comply with rules such as PCI DSS. Names and defaults are
    those of upstream's [security_compliance]; everybody may read these two."""

    password_regex: Annotated[str, Meta(max_length=1000)] = ""
    """What the beginning of a new password must match, as Python's `re` reads it."""
    password_regex_description: Annotated[str, Meta(max_length=1000)] = ""
    """The same in words, for the user whose password was refused."""


class ShareSettings(msgspec.Struct, frozen=True):
    """What projects and domains get of the cloud: the table [identity.shares]."""

    all_endpoints_without_filter: bool = True
    """Whether a project for which nobody chose endpoints sees all of them in its catalogue, or none. Operators who show each
    project only what it is entitled to set it to false (upstream's `return_all_endpoints_if_no_filter`)."""
    enforcement_model: Literal["flat", "strict_two_level"] = "flat"
    """How the unified limits of projects and their domains relate. Operators who resell whole domains set strict_two_level:
    what the projects of a domain use together then stays within the domain's limit."""


class IdentitySettings(msgspec.Struct, frozen=True):
    token_seconds: int = 3600
    """How long a token is valid. Operators shorten it where tokens may leak, and lengthen it for long uploads."""
    password_rounds: int = 12
    """The cost of a password hash: each step doubles it (12: a quarter of a second on a small machine)."""
    remember_seconds: float = 300.0
    """How long a process remembers that a password was right, so that the next login need not hash. 0: never."""
    keep_keys: int = 3
    """How many token keys stay after a rotation; tokens of an older key end with it."""
    hierarchy: HierarchySettings = HierarchySettings()
    """The table [identity.hierarchy]."""
    signed_tokens: bool = False
    """Whether new tokens are signed (JWS, ES256), so that others can read and verify them by the public key, instead of
    encrypted (Fernet), which is shorter. Tokens of both kinds are valid whatever is set."""
    rescope_scoped_tokens: bool = True
    """Whether a token of a project or a domain can be exchanged for one of another scope. Operators who want passwords to
    be asked again for that say no."""
    trust_remote_user: bool = False
    """Whether REMOTE_USER (and REMOTE_DOMAIN, a domain's name) of the WSGI environment logs that user in. Only for who
    runs the application in a WSGI server that authenticates by itself; no header of a client ever counts."""
    shares: ShareSettings = ShareSettings()
    """The table [identity.shares]."""
    passwords: PasswordSettings = PasswordSettings()
    """The table [identity.passwords]."""
