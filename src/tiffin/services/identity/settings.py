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
    passwords: PasswordSettings = PasswordSettings()
    """The table [identity.passwords]."""
