"""What a process remembers of who may what, for as long as nothing that could matter has changed."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

import msgspec

from tiffin.core.actor import Actor
from tiffin.services.identity.catalog import Catalog
from tiffin.services.identity.claims import Claims
from tiffin.services.identity.meaning import Meaning
from tiffin.services.identity.tables import ApplicationCredential, Project, User

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST = 5_000
"""Things of one kind that are remembered at least, and half of those at most: some 30 MB if all are as many."""


class Recent(Generic[K, V]):
    """A mapping that forgets what was not asked for lately. When it is full, what is old goes, and what is young gets old;
    so that nothing is counted or sorted when it is asked. Safe for threads: each step is one of a dict."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.keep(key, found)
        return found

    def keep(self, key: K, value: V) -> V:
        if len(self._young) >= self._most:
            self._young, self._old = {}, self._young
        self._young[key] = value
        return value


class Memory:
    """What is true as long as the epoch's row and the keys stay as they are."""

    def __init__(self, epoch: tuple[int, frozenset[str]]) -> None:
        self.epoch = epoch
        self.tokens: Recent[bytes, tuple[Actor, Meaning]] = Recent()
        self.scopes: Recent[tuple[Any, ...], Meaning] = Recent()  # what tokens of the same user for the same scope are worth
        self.users: Recent[tuple[str, ...], tuple[User, Project]] = Recent()
        self.credentials: Recent[str, ApplicationCredential] = Recent()
        self.projects: Recent[tuple[str, str], str] = Recent()  # (domain id, name) -> id
        self.domains: Recent[str, str] = Recent()  # name -> id
        self.catalog: Catalog | None = None
        self.service_providers: list[dict[str, str]] | None = None
        self.catalogs: Recent[tuple[str | None, str], msgspec.Raw] = Recent(500)  # as JSON, for a project and a user


class Readable:
    """The claims of tokens that were read, whatever they are worth. They change with the keys only."""

    def __init__(self, keys: frozenset[str]) -> None:
        self.keys = keys
        self.claims: Recent[bytes, Claims] = Recent()
