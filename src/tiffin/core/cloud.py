"""What `main.py` composed: the database, the services, the drivers, and how they are found."""

from __future__ import annotations

import dataclasses
import importlib
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import msgspec
from sqlalchemy.orm import Session

from tiffin.core.actor import Actor
from tiffin.core.database import Database
from tiffin.core.lifecycle import Lifecycle
from tiffin.core.policy import Policy
from tiffin.core.quota import Quotas, UnifiedLimits
from tiffin.core.service import Service
from tiffin.core.settings import section
from tiffin.core.world import World

T = TypeVar("T")


class ServiceRef(msgspec.Struct, frozen=True):
    """A service that is imported when it is first needed."""

    type: str
    prefix: str
    module: str  # has an attribute `service`


class Authenticator(Protocol):
    """Who bears this token? Raises `Unauthorized`."""

    def __call__(self, session: Session, token: str) -> Actor: ...


class Secrets(Protocol):
    """Keeps secrets that must be stored and read back."""

    def encrypt(self, plain: bytes) -> bytes: ...
    def decrypt(self, kept: bytes) -> bytes: ...


class Cloud:
    def __init__(
        self,
        database: Database,
        world: World,
        services: Iterable[ServiceRef],
        *,
        authenticator: Authenticator,
        secrets: Secrets,
        policy_folder: Path | None = None,
        sections: Mapping[str, Any] | None = None,
    ) -> None:
        """`sections`: what an operator has set of each service, by its type (see core/settings.py)."""
        self.login_seconds = 90 * 86_400.0
        """For how long the change log keeps logins."""
        self.database, self.world, self.authenticate, self.secrets = database, world, authenticator, secrets
        self.last_round: float | None = None
        """When the last round of reconcilers began, in seconds since the epoch; None where there are no rounds."""
        self.refs = tuple(services)
        self.policy_folder, self._sections = policy_folder, sections or {}
        self._services: dict[str, Service] = {}
        self._policies: dict[str, Policy] = {}
        self._quotas: dict[str, Quotas] = {}
        self._parts: dict[type, Any] = {}
        self._makers: dict[type, Callable[[], Any]] = {}
        self._lock = threading.RLock()

    def service(self, type: str) -> Service:
        """The service of this type. Raises `SettingsError` when what was set of it cannot be meant."""
        found = self._services.get(type)
        if found is None:
            ref = next(r for r in self.refs if r.type == type)
            found = cast(Service, importlib.import_module(ref.module).service)
            if type in self._sections and found.settings is not None:
                own = section(self._sections, type, found.settings.__class__)
                found = dataclasses.replace(found, settings=own)
            self._services[type] = found
        return found

    def services(self) -> list[Service]:
        return [self.service(ref.type) for ref in self.refs]

    def policy(self, type: str) -> Policy:
        found = self._policies.get(type)
        if found is None:
            file = self.policy_folder / f"{type}.yaml" if self.policy_folder else None
            service = self.service(type)
            found = self._policies[type] = Policy(type, service.all_rules(), file, service.scopes)
        return found

    def quotas(self, type: str) -> Quotas:
        """The quotas of a service, with the limits that its operator chose."""
        found = self._quotas.get(type)
        if found is None:
            service = self.service(type)
            unified = self.part(UnifiedLimits) if service.unified_limits else None
            found = self._quotas[type] = Quotas(type, service.quotas, unified)
        return found

    def lifecycle(self, kind: str) -> type[Lifecycle]:
        """The class of a lifecycle kind, `<service type>.<resource>`."""
        service = self.service(kind.partition(".")[0])
        return next(c for c in service.lifecycles if c.kind == kind)

    def looked_at(self) -> float:
        """Until when news of the world outside could be heard, in seconds since the epoch: what was not heard of for long by
        then is gone. A clock that jumps ahead, as after a machine's sleep, makes nothing old before the next round has looked."""
        return self.world.clock() if self.last_round is None else self.last_round

    def add(self, kind: type[T], part: T) -> None:
        """Compose: what `part(kind)` gives."""
        self._parts[kind] = part

    def add_lazy(self, kind: type[T], make: Callable[[], T]) -> None:
        """Compose what is made when it is first asked for."""
        self._makers[kind] = make

    def part(self, kind: type[T]) -> T:
        found = self._parts.get(kind)
        if found is None:
            with self._lock:
                if kind not in self._parts:
                    self._parts[kind] = self._makers[kind]()
                found = self._parts[kind]
        return cast(T, found)

    def parts(self) -> list[Any]:
        """What has been made so far, for closing it."""
        return list(self._parts.values())
