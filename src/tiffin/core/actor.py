"""Who sends a request, as their token says."""

from __future__ import annotations

import functools
import re
from typing import Any

import msgspec


class AccessRule(msgspec.Struct, frozen=True):
    """One kind of request that a token is bound to. In `path` a `*` or a `{name}` stands for one or more characters but a
    slash, and a `**` for any characters."""

    service: str
    method: str
    path: str

    def allows(self, service: str, method: str, path: str) -> bool:
        return service == self.service and method == self.method and _compiled(self.path).fits(path)


_WILD = re.compile(r"\*\*|\*|\{[^}]*\}")
LONGEST_PATH = 2_000
"""No request has a longer path for which a token with access rules is good."""


class _Pattern:
    """A path with wildcards as an automaton: tenants write these, and a regular expression may take for ever.

    Bit i of `here` says that the first i steps have been walked. A step is a character, one character of a segment, or a
    loop that may be walked any number of times.
    """

    def __init__(self, path: str) -> None:
        wild = _WILD.search(path)
        self.prefix = path[: wild.start()] if wild else path
        self.length = 0
        self.chars: dict[str, int] = {}
        self.any_of_segment = self.loops_in_segment = self.loops = 0
        at = len(self.prefix)
        while at < len(path):
            wild = _WILD.match(path, at)
            if wild is None:
                self.chars[path[at]] = self.chars.get(path[at], 0) | self._step()
                at += 1
                continue
            at = wild.end()
            if wild[0] == "**":
                if not self.length or self.loops.bit_length() < self.length:  # one loop is as good as two in a row
                    self.loops |= self._step()
            else:
                self.any_of_segment |= self._step()
                self.loops_in_segment |= self._step()

    def _step(self) -> int:
        self.length += 1
        return 1 << (self.length - 1)

    def fits(self, path: str) -> bool:
        if not self.length:
            return path == self.prefix
        if not path.startswith(self.prefix) or len(path) > LONGEST_PATH:
            return False
        looping = self.loops | self.loops_in_segment
        here = self._pass(1, looping)
        for char in path[len(self.prefix) :]:
            steps, stay = self.chars.get(char, 0), self.loops
            if char != "/":
                steps, stay = steps | self.any_of_segment, looping
            here = self._pass(((here & steps) << 1) | (here & stay), looping)
            if not here:
                return False
        return bool(here >> self.length & 1)

    @staticmethod
    def _pass(here: int, looping: int) -> int:
        """A loop may be walked no time at all; no more than two of them follow each other."""
        here |= (here & looping) << 1
        return here | (here & looping) << 1


_compiled = functools.lru_cache(maxsize=10_000)(_Pattern)


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """The bearer of a token: a user in one scope (a project, a domain, the system, or none)."""

    user_id: str
    user_name: str
    user_domain_id: str
    user_domain_name: str = ""
    roles: frozenset[str] = frozenset()
    role_ids: frozenset[str] = frozenset()
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    project_domain_name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None
    system_scope: str | None = None
    is_admin_project: bool = True
    methods: tuple[str, ...] = ()
    audit_ids: tuple[str, ...] = ()
    issued_at: float = 0.0
    expires_at: float = 0.0
    access_rules: tuple[AccessRule, ...] | None = None  # the only requests that the token is good for; None: any
    closed_to: frozenset[str] = frozenset()  # the types of services that refuse the token
    token: dict[str, Any] = msgspec.field(default_factory=dict)  # what the identity service adds for its own rules

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles

    def credentials(self) -> dict[str, Any]:
        """The words that policy rules may use about the actor."""
        return {
            "user_id": self.user_id,
            "user_domain_id": self.user_domain_id,
            "project_id": self.project_id,
            "tenant_id": self.project_id,
            "tenant": self.project_id,
            "user": self.user_id,
            "project_domain_id": self.project_domain_id,
            "domain_id": self.domain_id,
            "system_scope": self.system_scope,
            "roles": list(self.roles),
            "is_admin": self.is_admin,
            "is_admin_project": self.is_admin_project,
            "token": self.token,
        }


ENGINE = Actor(user_id="tiffin", user_name="tiffin", user_domain_id="default", roles=frozenset({"admin"}))
"""The cloud itself, when a lifecycle or a start-up step changes something."""
