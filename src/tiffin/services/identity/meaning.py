"""What a token's claims are worth at this moment: read from the rows, so that a revocation of whatever cause holds at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, aliased

from tiffin.core.actor import AccessRule as Bound
from tiffin.core.actor import Actor
from tiffin.core.errors import Fault, Forbidden, Unauthorized
from tiffin.services.identity import authorization as authz
from tiffin.services.identity import claims as c
from tiffin.services.identity.authorization import RoleName
from tiffin.services.identity.claims import Claims
from tiffin.services.identity.oauth_tables import AccessToken
from tiffin.services.identity.tables import (
    AccessRule,
    ApplicationCredential,
    ApplicationCredentialAccessRule,
    ApplicationCredentialRole,
    Project,
    Trust,
    TrustRole,
    User,
)

REFUSED = "The request you have made requires authentication."
OTHERS_ONLY = frozenset({"identity"})
"""A token that was drawn by an EC2 key's signature may ask nothing of identity itself, as upstream since 2026."""

# Made once: to build a statement costs several times what it costs to run it.
_DOMAIN = aliased(Project)
_USER = select(User, Project).join(Project, Project.id == User.domain_id).where(User.id == bindparam("id"))
_PROJECT = select(Project, _DOMAIN).outerjoin(_DOMAIN, _DOMAIN.id == Project.domain_id).where(Project.id == bindparam("id"))


class Meaning(msgspec.Struct, kw_only=True):
    """What a token stands for at this moment."""

    claims: Claims
    user: User
    domain: Project  # of the user
    project: Project | None = None
    project_domain: Project | None = None
    scope_domain: Project | None = None
    system: bool = False
    roles: list[RoleName] = []
    credential: ApplicationCredential | None = None
    access_rules: list[dict[str, str]] | None = None
    trust: Trust | None = None
    access_token: AccessToken | None = None
    lender_generation: int = 0  # of all who must not have been disabled for what is lent to hold


def with_domain(session: Session, user_id: str) -> tuple[User, Project] | None:
    """A user and its domain."""
    found = session.execute(_USER, {"id": user_id}).first()
    return (found[0], found[1]) if found else None


def alive(session: Session, user_id: str) -> tuple[User, Project]:
    """Raises `Unauthorized` unless the user and its domain exist and are enabled."""
    found = with_domain(session, user_id)
    if found is None or not found[0].enabled or not found[1].enabled:
        raise Unauthorized(REFUSED)
    return found


def live_project(session: Session, project_id: str) -> tuple[Project, Project]:
    """A project and its domain (a domain is its own). Raises `Unauthorized` unless both are enabled."""
    found = session.execute(_PROJECT, {"id": project_id}).first()
    if found is None:
        raise Unauthorized(REFUSED)
    project, its_domain = found[0], found[1] or found[0]
    if not project.enabled or not its_domain.enabled:
        raise Unauthorized(REFUSED)
    return project, its_domain


def mean(session: Session, claims: Claims) -> Meaning:
    """What the claims are worth now; its claims have the generation that their scope has now, which a token must have had
    when it was issued. Raises `Unauthorized` when they were revoked, by whatever cause, and `Forbidden` where a trust does
    not lend what it says."""
    user, domain = alive(session, claims.user_id)
    meaning = Meaning(claims=claims, user=user, domain=domain)
    if claims.user_generation != user.generation + domain.generation:
        raise Unauthorized(REFUSED)
    if claims.kind == c.PROJECT:
        _mean_project(session, meaning, claims.scope_id)
    elif claims.kind == c.DOMAIN:
        meaning.scope_domain, _ = live_project(session, claims.scope_id)
        meaning.roles = authz.domain_roles(session, user.id, claims.scope_id)
    elif claims.kind == c.SYSTEM:
        meaning.system, meaning.roles = True, authz.system_roles(session, user.id)
    elif claims.kind == c.TRUST:
        _mean_trust(session, meaning)
    if claims.kind != c.UNSCOPED and not meaning.roles:
        raise Unauthorized(REFUSED)
    meaning.claims = msgspec.structs.replace(claims, scope_generation=_scope_generation(meaning))
    return meaning


def _scope_generation(meaning: Meaning) -> int:
    of_scope = (meaning.project, meaning.project_domain, meaning.scope_domain)
    return meaning.lender_generation + sum(row.generation for row in of_scope if row is not None)


def _mean_project(session: Session, meaning: Meaning, project_id: str) -> None:
    meaning.project, meaning.project_domain = live_project(session, project_id)
    if meaning.project.is_domain:  # a domain is scoped to as a domain
        raise Unauthorized(REFUSED)
    meaning.roles = authz.project_roles(session, meaning.user.id, meaning.project)
    if meaning.claims.application_credential_id:
        _narrow_to_credential(session, meaning, meaning.claims.application_credential_id)
    if meaning.claims.access_token_id:
        _narrow_to_access_token(session, meaning, meaning.claims.access_token_id)


# --- what is lent -------------------------------------------------------------------------------------------------------


def _narrow_to_credential(session: Session, meaning: Meaning, id: str) -> None:
    credential = meaning.credential = session.get(ApplicationCredential, id)
    if credential is None or credential.user_id != meaning.user.id or credential.project_id != meaning.claims.scope_id:
        raise Unauthorized(REFUSED)
    lent = session.scalars(
        select(ApplicationCredentialRole.role_id).where(ApplicationCredentialRole.application_credential_id == id)
    ).all()
    _narrow(session, meaning, lent)
    meaning.access_rules = access_rules(session, id)


def _narrow_to_access_token(session: Session, meaning: Meaning, id: str) -> None:
    lent = meaning.access_token = session.get(AccessToken, id)
    if lent is None or lent.user_id != meaning.user.id or lent.project_id != meaning.claims.scope_id:
        raise Unauthorized(REFUSED)
    _narrow(session, meaning, lent.role_ids)


def _narrow(session: Session, meaning: Meaning, role_ids: Iterable[str]) -> None:
    """Leave of the user's roles those that are lent."""
    allowed = set(authz.expand(session, role_ids))
    meaning.roles = [role for role in meaning.roles if role in allowed]


def access_rules(session: Session, credential_id: str) -> list[dict[str, str]] | None:
    """What an application credential is restricted to; None when to nothing but its roles."""
    rules = session.execute(
        select(AccessRule.id, AccessRule.service, AccessRule.path, AccessRule.method)
        .join(ApplicationCredentialAccessRule, ApplicationCredentialAccessRule.access_rule_id == AccessRule.id)
        .where(ApplicationCredentialAccessRule.application_credential_id == credential_id)
        .order_by(AccessRule.id)
    ).all()
    return [dict(rule._mapping) for rule in rules] or None


def _mean_trust(session: Session, meaning: Meaning) -> None:
    """Raises `Forbidden` where the trust lends nothing (any more)."""
    trust = meaning.trust = session.get(Trust, meaning.claims.scope_id)
    if trust is None or trust.project_id is None:
        raise Unauthorized(REFUSED)
    if trust.trustee_user_id != meaning.user.id:
        raise Forbidden("User is not a trustee.")
    chain = pedigree(session, trust)
    people = {user_id: _agent(session, user_id) for t in chain for user_id in (t.trustor_user_id, t.trustee_user_id)}
    meaning.project, meaning.project_domain = live_project(session, trust.project_id)
    lent = session.scalars(select(TrustRole.role_id).where(TrustRole.trust_id == trust.id)).all()
    allowed = set(authz.expand(session, lent))
    owned = set(authz.project_roles(session, chain[-1].trustor_user_id, meaning.project))
    if not allowed or not allowed <= owned:
        raise Forbidden("Trustee has no delegated roles.")
    meaning.roles = sorted(allowed)
    lenders = [people[id] for id in people if id != meaning.user.id]
    meaning.lender_generation = sum(user.generation + domain.generation for user, domain in lenders)
    if trust.impersonation:
        meaning.user, meaning.domain = people[trust.trustor_user_id]


def pedigree(session: Session, trust: Trust) -> list[Trust]:
    """The trust, the one that it was redelegated from, and so on up to the first."""
    chain = [trust]
    while chain[-1].redelegated_trust_id is not None:
        chain.append(session.get_one(Trust, chain[-1].redelegated_trust_id))
    return chain


def _agent(session: Session, user_id: str) -> tuple[User, Project]:
    try:
        return alive(session, user_id)
    except Fault:
        raise Forbidden("One of the trust agents is disabled or deleted.") from None


# --- what the services see ----------------------------------------------------------------------------------------------


def actor_of(meaning: Meaning) -> Actor:
    """The actor that every service's policy speaks about."""
    project, domain = meaning.project, meaning.scope_domain
    its = meaning.project_domain
    return Actor(
        user_id=meaning.user.id,
        user_name=meaning.user.name,
        user_domain_id=meaning.domain.id,
        user_domain_name=meaning.domain.name,
        roles=frozenset(role.name for role in meaning.roles),
        role_ids=frozenset(role.id for role in meaning.roles),
        project_id=project.id if project else None,
        project_name=project.name if project else None,
        project_domain_id=its.id if its else None,
        project_domain_name=its.name if its else None,
        domain_id=domain.id if domain else None,
        domain_name=domain.name if domain else None,
        system_scope="all" if meaning.system else None,
        methods=meaning.claims.methods,
        audit_ids=meaning.claims.audit_ids,
        issued_at=meaning.claims.issued_at,
        expires_at=float(meaning.claims.expires_at),
        access_rules=_bounds(meaning),
        closed_to=OTHERS_ONLY if "ec2credential" in meaning.claims.methods else frozenset(),
        token=_words(meaning),
    )


def _bounds(meaning: Meaning) -> tuple[Bound, ...] | None:
    if meaning.access_rules is None:
        return None
    return tuple(Bound(rule["service"], rule["method"], rule["path"]) for rule in meaning.access_rules)


def _words(meaning: Meaning) -> dict[str, Any]:
    """What identity's own policy and operations ask of the actor's token."""
    words: dict[str, Any] = {}
    if meaning.project is not None and meaning.project_domain is not None:
        words["project"] = {"id": meaning.project.id, "domain": {"id": meaning.project_domain.id}}
    if meaning.scope_domain is not None:
        words["domain"] = {"id": meaning.scope_domain.id}
    if meaning.credential is not None:
        words["application_credential"] = {
            "id": meaning.credential.id,
            "restricted": not meaning.credential.unrestricted,
        }
        if meaning.access_rules is not None:
            words["access_rules"] = meaning.access_rules
    if meaning.trust is not None:
        words["trust_id"] = meaning.trust.id
    if meaning.access_token is not None:
        words["access_token_id"] = meaning.access_token.id
    return words
