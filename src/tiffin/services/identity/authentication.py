"""Tokens, as a process reads and writes them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from tiffin.core.actor import Actor
from tiffin.core.errors import Forbidden, Unauthorized
from tiffin.core.world import World
from tiffin.services.identity import authorization as authz
from tiffin.services.identity import claims as c
from tiffin.services.identity import jws
from tiffin.services.identity.catalog import Catalog, service_providers
from tiffin.services.identity.claims import Claims
from tiffin.services.identity.keys import InvalidToken, Keys, SigningKeys
from tiffin.services.identity.meaning import REFUSED, Meaning, actor_of, alive, mean, with_domain
from tiffin.services.identity.memory import Memory, Readable
from tiffin.services.identity.passwords import Passwords
from tiffin.services.identity.settings import IdentitySettings
from tiffin.services.identity.tables import ApplicationCredential, Project, RevokedToken, User

__all__ = ["REFUSED", "Identity", "Meaning", "alive", "mean"]

_NAMES = "identity.keys"
_REVOKED = select(RevokedToken.audit_id, RevokedToken.cascade).where(
    RevokedToken.audit_id.in_(bindparam("ids", expanding=True))
)
_NAMED_USER = (
    select(User, Project)
    .join(Project, Project.id == User.domain_id)
    .where(User.domain_id == bindparam("domain_id"), User.name == bindparam("name"))
)
_NAMED_PROJECT = select(Project.id).where(Project.domain_id == bindparam("domain_id"), Project.name == bindparam("name"))
_NAMED_DOMAIN = select(Project.id).where(Project.is_domain, Project.name == bindparam("name"))


def secret_keys(keys: Keys) -> Keys:
    """The keys of what must be read back. Not those of the tokens, which are dropped some time after a rotation; but they
    open what the first release kept by them."""
    return Keys(keys.folder / "secrets", older=keys)


class Identity:
    """The part of a process that reads and writes tokens."""

    def __init__(self, keys: Keys, world: World, settings: IdentitySettings | None = None) -> None:
        self.keys, self.world, self.settings = keys, world, settings or IdentitySettings()
        self.secrets = secret_keys(keys)
        self.signing = SigningKeys(keys.folder)
        if self.settings.signed_tokens:
            self.signing.repository.ensure()
        self.passwords = Passwords(world, self.settings)
        self._memory = Memory((-1, frozenset()))
        self._readable = Readable(frozenset())

    # --- tokens ---------------------------------------------------------------------------------------------------------

    def authenticate(self, session: Session, token: str) -> Actor:
        """Who bears this token, at this moment. Raises `Unauthorized`."""
        return self._known(session, token, allow_expired=False)[0]

    def meaning(self, session: Session, token: str, *, allow_expired: bool = False) -> Meaning:
        """What a token means now. Raises `Unauthorized` when it is none of ours, expired or revoked."""
        return self._known(session, token, allow_expired=allow_expired)[1]

    def deserve(self, session: Session, claims: Claims) -> Meaning:
        """What a token that is about to be issued will mean. Raises `Unauthorized` for a scope without roles, `Forbidden`
        for a trust that lends nothing."""
        found = self._worth(session, claims)
        generation = found.claims.scope_generation
        return msgspec.structs.replace(found, claims=msgspec.structs.replace(claims, scope_generation=generation))

    def read(self, token: str) -> Claims:
        """The claims of a token, whatever they are worth. Raises `Unauthorized` when it is none of ours."""
        return self._read(token, _digest(token), self.keys.names())

    def write(self, claims: Claims) -> str:
        if self.settings.signed_tokens:
            return jws.write(claims, self.signing)
        return self.keys.encrypt(c.pack(claims)).rstrip(b"=").decode()

    def _known(self, session: Session, token: str, *, allow_expired: bool) -> tuple[Actor, Meaning]:
        memory, digest = self._remembered(session), _digest(token)
        known = memory.tokens.get(digest)
        if known is None:
            meaning = self._look_up(session, self._read(token, digest, memory.epoch[1]))
            known = memory.tokens.keep(digest, (actor_of(meaning), meaning))
        if known[0].expires_at <= self.world.clock() and not allow_expired:
            raise Unauthorized(REFUSED)
        return known

    def _look_up(self, session: Session, claims: Claims) -> Meaning:
        rows = session.execute(_REVOKED, {"ids": list(claims.audit_ids)})
        if any(cascade or audit_id == claims.audit_ids[0] for audit_id, cascade in rows):
            raise Unauthorized(REFUSED)
        try:
            found = self._worth(session, claims)
        except Forbidden:
            raise Unauthorized(REFUSED) from None
        if claims.scope_generation != found.claims.scope_generation:
            raise Unauthorized(REFUSED)
        return msgspec.structs.replace(found, claims=claims)

    def _worth(self, session: Session, claims: Claims) -> Meaning:
        key = (
            claims.user_id, claims.user_generation, claims.kind, claims.scope_id,
            claims.application_credential_id, claims.access_token_id,
        )  # fmt: skip
        scopes = self._remembered(session).scopes
        return scopes.get(key) or scopes.keep(key, mean(session, claims))

    def _read(self, token: str, digest: bytes, names: frozenset[str]) -> Claims:
        readable = self._readable
        if readable.keys != names:
            readable = self._readable = Readable(names)
        found = readable.claims.get(digest)
        if found is None:
            found = jws.read(token, self.signing) if "." in token else self._decrypt(token)
            if found is None:
                raise Unauthorized(REFUSED)
            readable.claims.keep(digest, found)
        return found

    def _decrypt(self, token: str) -> Claims | None:
        try:
            return c.unpack(self.keys.decrypt(token.encode() + b"=" * (-len(token) % 4)))
        except (InvalidToken, UnicodeEncodeError, msgspec.DecodeError):
            return None

    # --- what else a login asks -------------------------------------------------------------------------------------------

    def user(self, session: Session, id: str) -> tuple[User, Project] | None:
        """A user and its domain. They may come from an earlier transaction: read them only."""
        users = self._remembered(session).users
        found = users.get((id,))
        if found is None:
            found = with_domain(session, id)
            if found is not None:
                users.keep((id,), found)
        return found

    def user_named(self, session: Session, domain_id: str, name: str) -> tuple[User, Project] | None:
        users = self._remembered(session).users
        found = users.get((domain_id, name))
        if found is None:
            row = session.execute(_NAMED_USER, {"domain_id": domain_id, "name": name}).first()
            if row is not None:
                found = users.keep((domain_id, name), (row[0], row[1]))
        return found

    def credential(self, session: Session, id: str) -> ApplicationCredential | None:
        credentials = self._remembered(session).credentials
        found = credentials.get(id)
        if found is None:
            found = session.get(ApplicationCredential, id)
            if found is not None:
                credentials.keep(id, found)
        return found

    def domain_named(self, session: Session, name: str) -> str | None:
        """The id of a domain."""
        domains = self._remembered(session).domains
        return domains.get(name) or _kept(domains, name, session.scalar(_NAMED_DOMAIN, {"name": name}))

    def project_named(self, session: Session, domain_id: str, name: str) -> str | None:
        """The id of a project."""
        projects, key = self._remembered(session).projects, (domain_id, name)
        known = projects.get(key)
        return known or _kept(projects, key, session.scalar(_NAMED_PROJECT, {"domain_id": domain_id, "name": name}))

    def shown_catalog(self, session: Session, project_id: str | None, user_id: str) -> msgspec.Raw:
        """The catalogue as a token of this user on this project shows it."""
        memory, key = self._remembered(session), (project_id, user_id)
        found = memory.catalogs.get(key)
        if found is None:
            if memory.catalog is None:
                memory.catalog = Catalog(session)
            unfiltered = self.settings.shares.all_endpoints_without_filter
            shown = memory.catalog.show(session, project_id, user_id, unfiltered=unfiltered)
            found = memory.catalogs.keep(key, msgspec.Raw(msgspec.json.encode(shown)))
        return found

    def service_providers(self, session: Session) -> list[dict[str, str]]:
        """The other clouds that trust this one, as a token's body lists them."""
        memory = self._remembered(session)
        if memory.service_providers is None:
            memory.service_providers = service_providers(session)
        return memory.service_providers

    def forget(self) -> None:
        """Remember nothing, after the rows were put back from elsewhere."""
        self._memory = Memory((-1, frozenset()))

    def _remembered(self, session: Session) -> Memory:
        """What this transaction reads belongs to the memory of its epoch, whatever other threads make of `self._memory`; of
        a transaction that changed something, to nobody, since it may not commit."""
        names: frozenset[str] | None = session.info.get(_NAMES)
        if names is None:
            names = session.info[_NAMES] = self.keys.names()
        if authz.touched(session):
            return Memory((-1, names))
        epoch, memory = (authz.epoch(session), names), self._memory
        if epoch != memory.epoch:
            memory = self._memory = Memory(epoch)
        return memory


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _kept(kept: Any, key: Any, value: str | None) -> str | None:
    return None if value is None else kept.keep(key, value)
