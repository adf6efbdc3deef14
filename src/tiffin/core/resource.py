"""One resource of one service: its operations carry route, schema, policy, quota, success code and change together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tiffin.core.policy import Rule
from tiffin.core.schema import ALWAYS, NEVER, Schema, Shape, Version

if TYPE_CHECKING:
    from tiffin.core.call import Call

Body = Any
View = Callable[["Call", Any], Schema | dict[str, Any] | msgspec.Raw]
Transaction = Literal["read", "write", "none"]

DEFAULT_OK = {"GET": 200, "HEAD": 200, "POST": 201, "PUT": 200, "PATCH": 200, "DELETE": 204}


class Answer(msgspec.Struct):
    """Full control over what is sent. `body`: anything that encodes to JSON, bytes sent as they are, an iterator of bytes
    that is streamed, or None."""

    body: Any = None
    status: int | None = None
    headers: dict[str, str] = {}
    content_type: str = "application/json"
    length: int | None = None  # of a stream, in bytes


class Page(msgspec.Struct):
    """Part of a list: rows in order, and whether there are more behind the last."""

    rows: list[Any]
    more: bool = False
    links: bool = True  # whether this list carries a link to the next page
    extra: dict[str, Any] = {}  # other keys beside the list


@dataclasses.dataclass(frozen=True)
class Operation:
    """One thing that can be asked of a resource over HTTP. See `Resource.operation` for the fields."""

    resource: Resource
    method: str
    path: str
    do: Callable[..., Any]
    policy: Rule | None
    body: Shape | None = None
    root: str | None = None
    action: str | None = None
    about: Callable[..., Any] | None = None
    quota: str | Callable[..., Mapping[str, int]] | None = None
    event: str | None = None
    ok: int | Mapping[Version, int] | None = None
    since: Version = ALWAYS
    until: Version = NEVER
    auth: bool = True
    unbound: bool = False
    transaction: Transaction | None = None
    prepare: Callable[..., Any] | None = None
    raw: bool = False
    answer_root: str | None = None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}" + (f" {self.action}" if self.action else "")

    @property
    def session(self) -> Transaction:
        """In what the operation runs: a read or a write transaction, or none (it opens its own)."""
        return self.transaction or ("read" if self.method in ("GET", "HEAD") else "write")

    def status(self, version: Version) -> int:
        if isinstance(self.ok, Mapping):
            return max((at, code) for at, code in self.ok.items() if at <= version)[1]
        return self.ok or DEFAULT_OK[self.method]


class Resource:
    """A resource: its table, its view, its operations. `path` is under the service's prefix and starts with the API's
    version segment, e.g. `/v2.1/servers`."""

    def __init__(
        self, name: str, plural: str, path: str, view: View | None = None, *, rules: Iterable[Rule] = ()
    ) -> None:
        self.name, self.plural, self.path, self.view = name, plural, path, view
        self.rules = tuple(rules)  # further rules that its code asks for by name
        self.operations: list[Operation] = []

    def operation(
        self, method: str, path: str = "", *, policy: Rule | None, **more: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare one operation. The function gets the `Call`, the path's fields and `body=` by name.

        policy: (rule, default check string), or None for what needs no rule. body: the schema of the request, or a bounded
        dict or list of schemas; root: its root key ('' for none; default: the resource's name). action: the key of an
        `/action` body. about(call, **fields): whose thing it is, a row or a mapping; kept in `call.subject`; default: the
        actor's own project and user. quota: a name, or a function (call, **fields, body) -> {name: amount}. event: the
        kind of the change that is recorded. ok: the success code, or {version: code}. since/until: microversions.
        auth=False: no token needed. unbound: every token may ask it, whatever requests it is bound to. prepare(call, **fields,
        body): slow work, such as hashing, that the write transaction must not wait for; runs after a first look at the
        policy, and its result is `call.prepared`. transaction: "none" for what streams or waits. raw: the body is the
        function's own affair. answer_root: root key of the answer ('' for none).
        """

        def keep(do: Callable[..., Any]) -> Callable[..., Any]:
            self.operations.append(Operation(self, method, self.path + path, do, policy, **more))
            return do

        return keep

    def action(
        self, key: str, *, policy: Rule | None, path: str = "/{id}/action", **more: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare what `POST .../action` with the body `{key: ...}` does."""
        more.setdefault("ok", 202)
        return self.operation("POST", path, policy=policy, action=key, root=key, **more)
