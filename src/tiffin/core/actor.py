"""Who sends a request, as their token says."""

from __future__ import annotations

from typing import Any

import msgspec


class AccessRule(msgspec.Struct, frozen=True):
    """One kind of request that a token is bound to. In `path` a segment `*` or `{name}` stands for any one segment, and
    `**` for any number of them."""

    service: str
    method: str
    path: str

    def allows(self, service: str, method: str, path: str) -> bool:
        return service == self.service and method == self.method and _match(self.path.split("/"), path.split("/"))


def _match(rule: list[str], path: list[str]) -> bool:
    # goes back to the last ** only: tenants write these rules, and a regular expression may take for ever
    at = last = -1
    i = j = 0
    while j < len(path):
        if i < len(rule) and rule[i] == "**":
            at, last = i, j
            i += 1
        elif i < len(rule) and _segment(rule[i], path[j]):
            i, j = i + 1, j + 1
        elif at >= 0:
            last += 1
            i, j = at + 1, last
        else:
            return False
    return all(segment == "**" for segment in rule[i:])


def _segment(rule: str, segment: str) -> bool:
    return rule == segment or (segment != "" and (rule == "*" or (rule[:1] == "{" and rule[-1:] == "}")))


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
    lent: dict[str, str] = msgspec.field(default_factory=dict)  # ids of what the token was lent by, such as a trust
    token: dict[str, Any] = msgspec.field(default_factory=dict)  # what the identity service adds for its own rules

    @property
    def scope(self) -> str:
        """What its token is for, as the scopes of rules are named: system, domain or project. One without counts as the last."""
        return "system" if self.system_scope else "domain" if self.domain_id else "project"

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
