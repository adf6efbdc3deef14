"""One request on its way through the chain, and what outlives it."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import falcon
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.cloud import Cloud, ServiceRef
from tiffin.core.http.routes import Routes
from tiffin.core.resource import Answer, Operation
from tiffin.core.service import Service


class Exchange:
    """One request on its way to one answer."""

    def __init__(self, front: Front, request: falcon.Request) -> None:
        self.front, self.cloud, self.request = front, front.cloud, request
        self.path: str = request.path
        self.request_id = "req-" + self.cloud.world.new_id()
        self.service: Service
        self.call: Call
        self.operation: Operation
        self.options: dict[str, list[Operation]] = {}
        self.raw = b""
        self.arguments: dict[str, Any] = {}
        self.answer: Answer = Answer()
        self._looking = contextlib.ExitStack()
        self._view: Session | None = None

    def view(self) -> Session:
        """One read transaction, in which the token is checked and a reading operation reads."""
        if self._view is None:
            self._view = self._looking.enter_context(self.cloud.database.read())
        return self._view

    def end_view(self) -> None:
        """Raises `OperationalError` when the database went away meanwhile."""
        self._view = None
        self._looking.close()

    close = end_view


class Front:
    """What the chain needs that lives longer than a request."""

    def __init__(self, cloud: Cloud, short_requests: int = 1) -> None:
        """`short_requests`: how many requests without streams or password hashes run at a time. More only fight over
        the interpreter's lock."""
        self.cloud = cloud
        self.gate = threading.BoundedSemaphore(short_requests)
        self.writer = threading.Lock()  # taken before the gate: who waits for other writers keeps no reader waiting
        self._routes: dict[str, Routes] = {}
        self._prefixes = {ref.prefix.strip("/"): ref for ref in cloud.refs}

    def ref(self, path: str) -> ServiceRef | None:
        return self._prefixes.get(path.lstrip("/").partition("/")[0])

    def routes(self, service: Service) -> Routes:
        found = self._routes.get(service.type)
        if found is None:
            found = self._routes[service.type] = Routes(service.operations())
        return found
