"""Everything that an operation may know about the request it serves."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.orm import Session

from tiffin.core import changes, lifecycle
from tiffin.core.actor import Actor
from tiffin.core.asker import Asker
from tiffin.core.errors import BadRequest, Forbidden, Unauthorized
from tiffin.core.policy import Target
from tiffin.core.quota import Quotas
from tiffin.core.schema import Version

if TYPE_CHECKING:
    import falcon

    from tiffin.core.cloud import Cloud
    from tiffin.core.service import Service

T = TypeVar("T")


def _line(text: str) -> str:
    """What a client said, fit for one line of a log."""
    text = text[:255]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


class Call(Asker):
    def __init__(self, cloud: Cloud, service: Service, request: falcon.Request, request_id: str) -> None:
        self.cloud, self.service, self.request, self.request_id = cloud, service, request, request_id
        self.version: Version = (0, 0)
        self.args: dict[str, str] = {}
        self.subject: Any = None
        self.prepared: Any = None
        self.raw = b""  # the JSON body as it came, for an operation whose schema is no struct
        self.now = cloud.world.clock()
        self.response_headers: dict[str, str] = {}
        self._db: Session | None = None
        self._actor: Actor | None = None

    @property
    def db(self) -> Session:
        """The open transaction."""
        assert self._db is not None, "this operation runs without a transaction: use call.read() or call.write()"
        return self._db

    @property
    def actor(self) -> Actor:
        assert self._actor is not None, "this operation needs no token"
        return self._actor

    @property
    def actor_or_none(self) -> Actor | None:
        return self._actor

    @contextlib.contextmanager
    def transaction(self, session: Session) -> Iterator[None]:
        self._db = session
        try:
            yield
        finally:
            self._db = None

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A read transaction, for what runs outside of one: a `prepare`, an operation with transaction="none"."""
        with self.cloud.database.read() as session, self.transaction(session):
            yield session

    @contextlib.contextmanager
    def write(self, *, lax: bool = False) -> Iterator[Session]:
        """A write transaction, for an operation with transaction="none"."""
        with self.cloud.database.write(lax=lax) as session, self.transaction(session):
            yield session

    def identify(self, actor: Actor, *, bound: bool = True) -> None:
        """Take the actor for who sends this request. Raises `Unauthorized` when its token is bound to other requests, and
        `Forbidden` when this service refuses such tokens; `bound=False`: whatever the token is bound to."""
        if bound and actor.access_rules is not None:
            path = self.request.path
            paths = (path, path.removeprefix(self.service.prefix))
            if not any(rule.allows(self.service.type, self.request.method, p) for rule in actor.access_rules for p in paths):
                raise Unauthorized("The access rules of this application credential do not allow the request.")
        if bound and self.service.type in actor.closed_to:
            raise Forbidden("A token of this kind is good for other services only.")
        self._actor = actor

    def within(self, service: str) -> Call:
        """The same request in the same transaction as another service sees it: under that service's policy and quotas.
        For an API that upstream answers by calling that service for the user."""
        inner = Call(self.cloud, self.cloud.service(service), self.request, self.request_id)
        inner.now, inner._db, inner._actor = self.now, self._db, self._actor
        return inner

    def part(self, kind: type[T]) -> T:
        """A driver or another thing that `main.py` composed, by its protocol."""
        return self.cloud.part(kind)

    def new_id(self) -> str:
        return self.cloud.world.new_id()

    # --- the query string -------------------------------------------------------------------------------------------

    @functools.cached_property
    def query(self) -> dict[str, list[str]]:
        """The query string, each name with its values in order. Raises `BadRequest` on what is not text."""
        import urllib.parse

        try:
            pairs = urllib.parse.parse_qsl(
                self.request.query_string, keep_blank_values=True, max_num_fields=200, errors="strict"
            )
        except ValueError:
            raise BadRequest("The query string is not valid UTF-8, or has more than 200 fields.") from None
        found: dict[str, list[str]] = {}
        for name, value in pairs:
            if "\0" in name or "\0" in value:
                raise BadRequest("A NUL character is not allowed in the query string.")
            found.setdefault(name, []).append(value)
        return found

    def param(self, name: str, default: str | None = None) -> str | None:
        """The last value of a query parameter."""
        values = self.query.get(name)
        return values[-1] if values else default

    @functools.cached_property
    def base_url(self) -> str:
        """Where this service is, as the client sees it: http://host:port/compute."""
        return f"{self.request.forwarded_prefix.rstrip('/')}{self.service.prefix}"

    @functools.cached_property
    def cloud_url(self) -> str:
        return str(self.request.forwarded_prefix).rstrip("/")

    @functools.cached_property
    def via(self) -> dict[str, Any]:
        """How the request came, for the change log: from where, by what program, by which token. None of it is secret."""
        request, actor = self.request, self._actor
        facts = {
            "address": request.remote_addr,
            "forwarded_for": request.get_header("X-Forwarded-For"),  # what a client or its proxy says, true or not
            "agent": request.user_agent,
            "request": f"{request.method} {request.path}",
        }
        if actor is not None:
            facts |= {
                "user": actor.user_name,
                "token": actor.audit_ids[0] if actor.audit_ids else None,
                "domain_id": actor.domain_id,
                "system_scope": actor.system_scope,
                **actor.lent,
            }
        return {name: _line(text) for name, text in facts.items() if text}

    # --- policy, quota, changes, lifecycles --------------------------------------------------------------------------

    def own(self) -> Target:
        """The target of what is the actor's own."""
        return Target(
            None, project_id=self.actor.project_id, tenant_id=self.actor.project_id, user_id=self.actor.user_id
        )

    def allows(self, rule: str, target: Mapping[str, Any] | None = None) -> bool:
        return self.cloud.policy(self.service.type).allows(rule, self.actor, self.own() if target is None else target)

    def enforce(self, rule: str, target: Mapping[str, Any] | None = None) -> None:
        """Raises `Forbidden`, or what the service tells instead, unless the rule holds; the default target is the actor's own."""
        target = self.own() if target is None else target
        try:
            self.cloud.policy(self.service.type).enforce(rule, self.actor, target)
        except Forbidden as fault:
            raise self.service.dialect.refusal(self, rule, target, fault) from None

    def reserve(self, name: str, amount: int, *, project_id: str | None = None, counted: str | None = None) -> None:
        """Raise `OverQuota` unless `amount` more of the quota `name` fits into the project (default: the actor's)."""
        project = project_id or self.actor.project_id or ""
        self.quotas.reserve(self.db, name, (project, counted or project), amount)

    @property
    def quotas(self) -> Quotas:
        """The quotas of this service."""
        return self.cloud.quotas(self.service.type)

    @property
    def origin(self) -> changes.Origin:
        actor = self._actor
        return changes.Origin(
            at=self.now,
            request_id=self.request_id,
            actor_id=actor.user_id if actor else None,
            project_id=actor.project_id if actor else None,
            via=self.via,
        )

    def begin(self, kind: str, resource_id: str, **frame: Any) -> None:
        """Start the lifecycle of a new resource; it runs after this transaction has committed."""
        lifecycle.begin(self.db, self.cloud.world, kind, resource_id, request_id=self.request_id, frame=frame)
