"""Tokens: what they mean now, and how they are issued. What they mean is read from the rows each time that anything which
could matter has changed."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from tiffin.core.actor import AccessRule as Bound
from tiffin.core.actor import Actor
from tiffin.core.errors import Unauthorized
from tiffin.core.world import World
from tiffin.services.identity import authorization as authz
from tiffin.services.identity import catalog
from tiffin.services.identity import claims as c
from tiffin.services.identity.authorization import RoleName
from tiffin.services.identity.claims import Claims
from tiffin.services.identity.keys import InvalidToken, Keys
from tiffin.services.identity.passwords import Passwords
from tiffin.services.identity.settings import IdentitySettings
from tiffin.services.identity.tables import (
    AccessRule,
    ApplicationCredential,
    ApplicationCredentialAccessRule,
    ApplicationCredentialRole,
    Project,
    RevokedToken,
    Trust,
    TrustRole,
    User,
)

MOST_REMEMBERED = 2_000
REFUSED = "The request you have made requires authentication."


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


def with_domain(session: Session, user_id: str) -> tuple[User, Project] | None:
    """A user and its domain."""
    found = session.execute(
        select(User, Project).join(Project, Project.id == User.domain_id).where(User.id == user_id)
    ).first()
    return (found[0], found[1]) if found else None


def alive(session: Session, user_id: str) -> tuple[User, Project]:
    """Raises `Unauthorized` unless the user and its domain exist and are enabled."""
    found = with_domain(session, user_id)
    if found is None or not found[0].enabled or not found[1].enabled:
        raise Unauthorized(REFUSED)
    return found


def live_project(session: Session, project_id: str) -> tuple[Project, Project]:
    """A project and its domain (a domain is its own). Raises `Unauthorized` unless both are enabled."""
    domain = aliased(Project)
    found = session.execute(
        select(Project, domain).outerjoin(domain, domain.id == Project.domain_id).where(Project.id == project_id)
    ).first()
    if found is None:
        raise Unauthorized(REFUSED)
    project, its_domain = found[0], found[1] or found[0]
    if not project.enabled or not its_domain.enabled:
        raise Unauthorized(REFUSED)
    return project, its_domain


def mean(session: Session, claims: Claims, *, fresh: bool = False) -> Meaning:
    """What the claims are worth now. Raises `Unauthorized` when they were revoked, by whatever cause.

    Fresh claims, of a token that is about to be issued, get their scope's generation here.
    """
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
    generation = _scope_generation(meaning)
    if fresh:
        meaning.claims = msgspec.structs.replace(claims, scope_generation=generation)
    elif claims.scope_generation != generation:
        raise Unauthorized(REFUSED)
    return meaning


def _scope_generation(meaning: Meaning) -> int:
    if meaning.project is not None and meaning.project_domain is not None:
        own = 0 if meaning.project_domain is meaning.project else meaning.project.generation
        return own + meaning.project_domain.generation
    return meaning.scope_domain.generation if meaning.scope_domain is not None else 0


def _mean_project(session: Session, meaning: Meaning, project_id: str) -> None:
    meaning.project, meaning.project_domain = live_project(session, project_id)
    meaning.roles = authz.project_roles(session, meaning.user.id, meaning.project)
    id = meaning.claims.application_credential_id
    if not id:
        return
    credential = meaning.credential = session.get(ApplicationCredential, id)
    if credential is None or credential.user_id != meaning.user.id or credential.project_id != project_id:
        raise Unauthorized(REFUSED)
    lent = session.scalars(
        select(ApplicationCredentialRole.role_id).where(ApplicationCredentialRole.application_credential_id == id)
    ).all()
    allowed = set(authz.expand(session, lent))
    meaning.roles = [role for role in meaning.roles if role in allowed]
    meaning.access_rules = access_rules(session, id)


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
    trust = meaning.trust = session.get(Trust, meaning.claims.scope_id)
    if trust is None or trust.project_id is None or trust.trustee_user_id != meaning.user.id:
        raise Unauthorized(REFUSED)
    trustor, trustor_domain = alive(session, trust.trustor_user_id)
    meaning.project, meaning.project_domain = live_project(session, trust.project_id)
    lent = session.scalars(select(TrustRole.role_id).where(TrustRole.trust_id == trust.id)).all()
    allowed = set(authz.expand(session, lent))
    owned = set(authz.project_roles(session, trustor.id, meaning.project))
    if not allowed or not allowed <= owned:
        raise Unauthorized(REFUSED)
    meaning.roles = sorted(allowed)
    if trust.impersonation:
        meaning.user, meaning.domain = trustor, trustor_domain


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
    return words


class _Memory:
    """What a process knows of tokens and of the catalogue, as long as the epoch's row and the keys stay as they are."""

    def __init__(self, epoch: tuple[int, frozenset[str]]) -> None:
        self.epoch = epoch
        self.tokens: dict[bytes, tuple[Actor, Meaning]] = {}
        self.scopes: dict[tuple[Any, ...], Meaning] = {}  # what logins of the same user for the same scope deserved
        self.catalog: list[Any] | None = None
        self.service_providers: list[dict[str, str]] | None = None


class Identity:
    """The part of a process that reads and writes tokens."""

    def __init__(self, keys: Keys, world: World, settings: IdentitySettings | None = None) -> None:
        self.keys, self.world, self.settings = keys, world, settings or IdentitySettings()
        self.secrets = Keys(keys.folder / "secrets")
        """Encrypts what must be read back. Not the tokens' keys: those are dropped some time after a rotation."""
        self.passwords = Passwords(world, self.settings)
        self._memory = _Memory((-1, frozenset()))

    def authenticate(self, session: Session, token: str) -> Actor:
        """Who bears this token, at this moment. Raises `Unauthorized`."""
        return self._known(session, token, allow_expired=False)[0]

    def meaning(self, session: Session, token: str, *, allow_expired: bool = False) -> Meaning:
        """What a token means now. Raises `Unauthorized` when it is none of ours, expired or revoked."""
        return self._known(session, token, allow_expired=allow_expired)[1]

    def deserve(self, session: Session, claims: Claims) -> Meaning:
        """What a token that is about to be issued will mean. Raises `Unauthorized` for a scope without roles."""
        if claims.kind == c.TRUST:
            return mean(session, claims, fresh=True)
        scopes = self._remembered(session).scopes
        key = (claims.user_id, claims.user_generation, claims.kind, claims.scope_id, claims.application_credential_id)
        found = scopes.get(key)
        if found is None:
            found = scopes[key] = mean(session, claims, fresh=True)
        generation = found.claims.scope_generation
        return msgspec.structs.replace(found, claims=msgspec.structs.replace(claims, scope_generation=generation))

    def catalog(self, session: Session) -> list[Any]:
        """The rows of the catalogue."""
        memory = self._remembered(session)
        if memory.catalog is None:
            memory.catalog = catalog.load(session)
        return memory.catalog

    def service_providers(self, session: Session) -> list[dict[str, str]]:
        """The other clouds that trust this one, as a token's body lists them."""
        memory = self._remembered(session)
        if memory.service_providers is None:
            memory.service_providers = catalog.service_providers(session)
        return memory.service_providers

    def _remembered(self, session: Session) -> _Memory:
        # what this transaction reads belongs to the memory of this epoch, whatever other threads make of self._memory
        epoch, memory = (authz.epoch(session), self.keys.names()), self._memory
        if epoch != memory.epoch or len(memory.tokens) + len(memory.scopes) >= MOST_REMEMBERED:
            memory = self._memory = _Memory(epoch)
        return memory

    def _known(self, session: Session, token: str, *, allow_expired: bool) -> tuple[Actor, Meaning]:
        memory, digest = self._remembered(session), hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = memory.tokens.get(digest)
        if known is None:
            meaning = self._look_up(session, token)
            known = memory.tokens[digest] = (actor_of(meaning), meaning)
        if known[0].expires_at <= self.world.clock() and not allow_expired:
            raise Unauthorized(REFUSED)
        return known

    def _look_up(self, session: Session, token: str) -> Meaning:
        claims = self.read(token)
        if claims.audit_ids and session.get(RevokedToken, claims.audit_ids[0]) is not None:
            raise Unauthorized(REFUSED)
        return mean(session, claims)

    def read(self, token: str) -> Claims:
        """The claims of a token, whatever they are worth. Raises `Unauthorized` when it is none of ours."""
        try:
            raw = self.keys.decrypt(token.encode() + b"=" * (-len(token) % 4))
            return c.unpack(raw)
        except (InvalidToken, UnicodeEncodeError, msgspec.DecodeError):
            raise Unauthorized(REFUSED) from None

    def write(self, claims: Claims) -> str:
        return self.keys.encrypt(c.pack(claims)).rstrip(b"=").decode()
