"""The life of a request: `CHAIN` shows it all. Each link takes the exchange and may raise a fault; `answers.py`
turns that into an answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import falcon
import msgspec
import structlog

from tiffin.core import changes, idempotency
from tiffin.core.actor import Actor
from tiffin.core.call import Call
from tiffin.core.errors import (
    BadRequest,
    Fault,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)
from tiffin.core.http.answers import known_faults, refuse, send
from tiffin.core.http.exchange import Exchange, Front
from tiffin.core.http.routes import fields
from tiffin.core.idempotency import Rendered
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Operation, Page
from tiffin.core.schema import Schema, decode, decode_json, downgrade
from tiffin.core.tables import Table

MAX_BODY = 1 << 20
"""Bytes of a JSON body; Nova's user data and Heat's templates are the largest that fit upstream."""

MAX_QUERY = 16 << 10
"""Bytes of a query string: what web servers before upstream's services let through, and far below what databases take."""

log = structlog.get_logger("http")
_json = msgspec.json.Encoder()


# --- the links ----------------------------------------------------------------------------------------------------------


def find_service(x: Exchange) -> None:
    ref = x.front.ref(x.path)
    if ref is None:
        raise NotFound("There is no service at this path. GET / lists them.")
    x.service = x.cloud.service(ref.type)
    x.call = Call(x.cloud, x.service, x.request, x.request_id)
    if len(x.request.query_string) > MAX_QUERY:
        raise BadRequest(f"The query string has {len(x.request.query_string)} bytes; at most {MAX_QUERY} are accepted.")
    if "\0" in x.path:
        raise NotFound("The resource could not be found.")
    x.path = x.path[len(ref.prefix) :] or "/"


def negotiate_version(x: Exchange) -> None:
    x.call.version = x.service.dialect.negotiate(x.request)


def find_operations(x: Exchange) -> None:
    x.options = x.front.routes(x.service).find(x.path)


def authenticate(x: Exchange) -> None:
    method = x.options.get(x.request.method) or (x.options.get("GET") if x.request.method == "HEAD" else None)
    operation = method[0] if method else None
    token = x.request.get_header("X-Auth-Token")
    if not token and (x.service.dialect.routes_are_public if operation is None else not operation.auth):
        return
    if not token or len(token) > 8192:
        raise Unauthorized("The request you have made requires authentication.")
    try:
        actor = x.cloud.authenticate(x.view(), token)
        x.call.identify(actor, bound=not (operation and operation.unbound) and not _on_behalf(x, actor))
    except Unauthorized:
        if operation and not operation.auth:
            return
        raise
    finally:
        if x.request.method not in ("GET", "HEAD"):  # the body may come slowly, and the operation may write
            x.end_view()
    structlog.contextvars.bind_contextvars(user=actor.user_id, project=actor.project_id)


def _on_behalf(x: Exchange, actor: Actor) -> bool:
    """Whether a service sends this for a user with access rules, who asked something else of that service."""
    token = x.request.get_header("X-Service-Token") if actor.access_rules is not None else None
    if not token or len(token) > 8192:
        return False
    try:
        return "service" in x.cloud.authenticate(x.view(), token).roles
    except Unauthorized:
        return False


def find_operation(x: Exchange) -> None:
    if not x.options:
        raise NotFound("The resource could not be found.")
    method = x.request.method
    found = x.options.get(method)
    if found is None and method == "HEAD" and x.service.dialect.head_follows_get:
        found = x.options.get("GET")
    if found is None:
        raise MethodNotAllowed(f"{method} is not supported here.", headers={"Allow": ", ".join(sorted(x.options))})
    alive = [o for o in found if o.since <= x.call.version < o.until]
    if not alive:
        raise NotFound("The resource could not be found.")
    if alive[0].action is not None:
        read_body(x)
        alive = [_by_action(alive, decode_json(x.raw))]
    x.operation = alive[0]
    x.call.args = fields(x.operation, x.path)


def _by_action(operations: list[Operation], body: Any) -> Operation:
    if not isinstance(body, dict) or len(body) != 1:
        raise BadRequest("The body must be a JSON object with exactly one action.")
    key = next(iter(body))
    for operation in operations:
        if operation.action == key:
            return operation
    raise BadRequest(
        f"There is no such action: {key[:80]}. Known: {', '.join(sorted(str(o.action) for o in operations))}"
    )


def read_body(x: Exchange) -> None:
    """Read a JSON body of bounded size; the body of a raw operation is left to it."""
    if x.raw or x.request.method in ("GET", "HEAD") or (hasattr(x, "operation") and x.operation.raw):
        return
    try:
        length = x.request.content_length
    except falcon.HTTPInvalidHeader:
        raise BadRequest("Content-Length is not a number of bytes.") from None
    if length is not None and length > MAX_BODY:
        raise TooLarge(f"The body has {length} bytes; at most {MAX_BODY} are accepted.")
    chunked = length is None and x.request.get_header("Transfer-Encoding") is not None
    x.raw = x.request.stream.read(MAX_BODY + 1) if chunked else x.request.stream.read(length) if length else b""
    if len(x.raw) > MAX_BODY:
        raise TooLarge(f"At most {MAX_BODY} bytes are accepted in a body.")
    if length is not None and len(x.raw) < length:
        raise BadRequest(f"The body ended after {len(x.raw)} of {length} bytes.")
    kind = x.request.content_type
    if x.raw and kind and "json" not in kind.lower():
        raise UnsupportedMediaType(f"Unsupported Content-Type {kind[:80]!r}. Send application/json.")


def decode_body(x: Exchange) -> None:
    operation = x.operation
    x.arguments = dict(x.call.args)
    x.call.raw = x.raw
    if operation.body is not None and not operation.raw:
        if not x.raw:
            raise BadRequest("A request body is required.")
        root = operation.resource.name if operation.root is None else operation.root
        x.arguments["body"] = decode(operation.body, root, x.raw, x.call.version)
    elif operation.action is not None:
        x.arguments["body"] = decode_json(x.raw)[operation.action]


def act_in_transaction(x: Exchange) -> None:
    """The links of `TRANSACTION`, in the kind of transaction that the operation says."""
    kind = x.operation.session
    if kind == "read":
        with x.front.gate, x.call.transaction(x.view()):
            run(x, TRANSACTION)
        return
    x.end_view()
    if kind == "none":
        run(x, TRANSACTION_FREE)
        return
    if x.operation.prepare is not None and not prepare(x, x.operation.prepare):
        return
    with x.front.writer, x.cloud.database.write() as session, x.front.gate, x.call.transaction(session):
        if not _replay(x):
            run(x, TRANSACTION)


def prepare(x: Exchange, slow_work: Callable[..., Any]) -> bool:
    """Whether there is anything left to do: not for who may not, nor for what was done before."""
    with x.call.read(), x.front.gate:
        if _replay(x):
            return False
        find_target(x)
        check_policy(x)
    x.call.prepared = slow_work(x.call, **x.arguments)
    return True


def run(x: Exchange, links: list[Link]) -> None:
    for link in links:
        link(x)


def _keys(x: Exchange) -> tuple[str, str] | None:
    key = x.request.get_header("Idempotency-Key")
    if not key or x.call.actor_or_none is None:
        return None
    where = f"{x.request.path}?{x.request.query_string}"
    return idempotency.key_id(x.call.actor, key), idempotency.fingerprint(key, (x.request.method, where), x.raw)


def _replay(x: Exchange) -> bool:
    """Whether the request was served before; then its answer is that one."""
    keys = _keys(x)
    known = idempotency.replay(x.call.db, x.cloud.secrets, *keys) if keys else None
    if known is not None:
        x.answer = Answer(known.body, known.status, known.headers)
    return known is not None


def find_target(x: Exchange) -> None:
    if x.operation.about is not None:
        x.call.subject = x.operation.about(x.call, **x.arguments)


def check_policy(x: Exchange) -> None:
    if x.operation.policy is not None:
        subject = x.call.subject
        target = subject if subject is None or isinstance(subject, dict) else Target(subject)
        x.call.enforce(getattr(target, "rule", None) or x.operation.policy[0], target)


def look_first(x: Exchange) -> None:
    """Target and policy of an operation without a transaction of its own, in one that ends before it begins."""
    if x.operation.policy is not None or x.operation.about is not None:
        with x.call.read(), x.front.gate:
            find_target(x)
            check_policy(x)


def check_quota(x: Exchange) -> None:
    wanted = x.operation.quota
    if wanted is None:
        return
    amounts = {wanted: 1} if isinstance(wanted, str) else wanted(x.call, **x.arguments)
    for name, amount in amounts.items():
        x.call.reserve(name, amount)


def do(x: Exchange) -> None:
    """The operation's own words; what it returned becomes an answer."""
    operation, subject = x.operation, x.call.subject
    subject = subject.row if isinstance(subject, Target) else subject
    recorded = operation.event is not None
    before = changes.picture(subject) if recorded and isinstance(subject, Table) else None
    result = operation.do(x.call, **x.arguments)
    if recorded:
        _record(x, before, result)
    x.answer = _answer(x, result)
    if x.answer.status is None:
        x.answer.status = operation.status(x.call.version)


def _record(x: Exchange, before: dict[str, Any] | None, result: Any) -> None:
    operation = x.operation
    x.call.db.flush()
    after = changes.picture(result) if isinstance(result, Table) else None
    args = x.call.args
    if before is None and after is None:
        after = args or None  # of what has no row, such as a grant, the path says all
    id = getattr(result, "id", None) or (before or {}).get("id") or args.get("id") or next(reversed(args.values()), "")
    x.call.record(
        str(operation.event), (f"{x.service.type}.{operation.resource.name}", str(id)), before=before, after=after
    )


def _answer(x: Exchange, result: Any) -> Answer:
    operation, view = x.operation, x.operation.resource.view
    if isinstance(result, Answer):
        return result
    if result is None:
        return Answer()
    if isinstance(result, Page):
        assert view is not None
        views = [view(x.call, row) for row in result.rows]
        return Answer(x.service.dialect.many(x.call, operation, views, result))
    if isinstance(result, (dict, Schema)):
        return Answer(result)
    assert view is not None
    return Answer(x.service.dialect.one(operation, view(x.call, result)))


def render(x: Exchange) -> None:
    """Encode the answer, at the version that was asked for."""
    body = x.answer.body
    if body is None or isinstance(body, (bytes, Iterator)):
        return
    x.answer.body = _json.encode(downgrade(body, x.call.version))


def remember(x: Exchange) -> None:
    """Keep the answer of a mutation that has an Idempotency-Key, in its own transaction."""
    keys = _keys(x) if x.operation.session == "write" else None
    if keys and isinstance(x.answer.body, (bytes, type(None))):
        kept = Rendered(x.answer.status or 200, {**x.answer.headers, **x.call.response_headers}, x.answer.body or b"")
        idempotency.remember(x.call.db, x.cloud.secrets, keys, kept, x.call.now)


Link = Callable[[Exchange], None]

CHAIN: list[Link] = [
    find_service,
    negotiate_version,
    find_operations,
    authenticate,
    find_operation,
    read_body,
    decode_body,
    act_in_transaction,
]
TRANSACTION: list[Link] = [find_target, check_policy, check_quota, do, render, remember]
TRANSACTION_FREE: list[Link] = [look_first, do, render]


# --- from the socket to the chain and back --------------------------------------------------------------------------------


def serve(front: Front, request: falcon.Request, response: falcon.Response) -> None:
    x = Exchange(front, request)
    started, cpu = time.perf_counter(), time.thread_time()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=x.request_id)
    try:
        with known_faults(), contextlib.closing(x):
            run(x, CHAIN)
    except Fault as fault:
        refuse(x, fault)
    except Exception:
        log.exception("request.defect", method=request.method, path=request.path)
        refuse(
            x,
            Fault(
                "An unexpected error prevented the server from fulfilling your request. "
                f"Tell the operator the request id {x.request_id}."
            ),
        )
    send(x, response)
    log.info(
        "request",
        method=request.method,
        path=request.path,
        status=x.answer.status,
        ms=round((time.perf_counter() - started) * 1000, 2),
        cpu_ms=round((time.thread_time() - cpu) * 1000, 2),
    )
