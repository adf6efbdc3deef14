"""A driver protocol spoken to another machine: its calls go over HTTPS and do there what they say.

`Remote(protocol, ...)` stands for an object elsewhere; `Dispatcher` executes what such a one asks. Both derive everything
from the annotations of the protocol, so that nothing is written twice. The repeatable calls of a driver protocol make it
simple: a call that takes long is answered by "ask again", and a call whose answer was lost is asked again."""

from __future__ import annotations

import collections.abc
import functools
import hashlib
import inspect
import socket
import threading
import typing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import msgspec
import structlog
import urllib3

from tiffin.core import tunnel
from tiffin.core.driver import Impossible, Refused, StaleTurn
from tiffin.core.https import MAX_BODY, Reply, Request

WAIT = 10.0
"""Seconds that the other side works on a call before it says "ask again"."""
CONNECT = 3.0
"""Seconds until a machine that does not answer counts as gone."""
PATIENCE = 240.0
"""Seconds of asking again; then the caller's lifecycle tries later."""
CHUNK = 1 << 20
_STATUS: dict[type[Exception], int] = {Refused: 503, Impossible: 422, StaleTurn: 409}
_FAULTS = {status: kind for kind, status in _STATUS.items()}
_AGAIN = 202
_BYTES = "application/octet-stream"
LOCAL = frozenset({"close"})
"""Calls that are the stand-in's own affair."""

log = structlog.get_logger("remote")


class Method:
    """One call of a protocol: how its arguments and its result travel."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self._signature = inspect.signature(function)
        hints = typing.get_type_hints(function)
        kinds = [hints[p] for p in list(self._signature.parameters)[1:]]
        result = hints.get("return", type(None))
        self.streams = typing.get_origin(result) is collections.abc.Iterator
        self.tunnels = result is socket.socket
        self._arguments = msgspec.json.Decoder(tuple[tuple(kinds)] if kinds else tuple[()])  # type: ignore[misc]
        self._result = None if self.streams or self.tunnels else msgspec.json.Decoder(result)

    def pack(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> bytes:
        bound = self._signature.bind(None, *args, **named)
        bound.apply_defaults()
        body = msgspec.json.encode(bound.args[1:])
        if len(body) > MAX_BODY:
            raise Impossible(f"{self.name}: {len(body)} bytes are more than a host takes.")
        return body

    def unpack(self, body: bytes) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._arguments.decode(body)
        return found

    def result(self, body: bytes) -> Any:
        assert self._result is not None
        return self._result.decode(body)


@functools.cache
def methods(protocol: type) -> dict[str, Method]:
    """The calls of a protocol that can be made from elsewhere: functions do not travel."""
    found = inspect.getmembers(protocol, inspect.isfunction)
    public = {name: call for name, call in found if not name.startswith("_") and name not in LOCAL}
    return {name: Method(name, call) for name, call in public.items() if not _takes_a_function(call)}


def _takes_a_function(call: Callable[..., Any]) -> bool:
    kinds = typing.get_type_hints(call).values()
    return any(typing.get_origin(kind) is collections.abc.Callable for kind in kinds)


class Connection:
    """To one machine, at an address, whose certificate must name `machine`."""

    def __init__(self, machine: str, address: tuple[str, int], context: Any) -> None:
        self.machine, self._address, self._context = machine, address, context
        self._pool = urllib3.HTTPSConnectionPool(
            address[0],
            address[1],
            maxsize=8,
            ssl_context=context,
            server_hostname=machine,
            assert_hostname=machine,
            retries=False,
        )

    def ask(self, method: str, path: str, body: bytes = b"", *, stream: bool = False) -> urllib3.BaseHTTPResponse:
        """One exchange. Raises `Refused` when the machine cannot be reached, or is not who it should be."""
        timeout = urllib3.Timeout(connect=CONNECT, read=WAIT + 20.0)
        try:
            return self._pool.urlopen(
                method, path, body=body, headers={"Host": self.machine}, timeout=timeout, preload_content=not stream
            )
        except urllib3.exceptions.HTTPError as no:
            raise Refused(f"{self.machine} does not answer: {_plain(no)}") from no

    def tunnel(self, path: str, body: bytes = b"") -> socket.socket:
        """A stream of bytes to what the path names there. Raises as `ask`, and what the other machine raises."""
        try:
            found = tunnel.opened(self._address, self._context, self.machine, (path, body), WAIT)
        except OSError as no:
            raise Refused(f"{self.machine} does not answer: {no}") from no
        if isinstance(found, tuple):
            raise fault_of(*found, self.machine)
        return found

    def close(self) -> None:
        self._pool.close()


class Remote:
    """Stands for an object of a protocol on another machine. Its calls raise what the real ones raise, and `Refused` when
    the machine cannot be reached."""

    def __init__(self, protocol: type, name: str, connection: Connection) -> None:
        """`name`: by which the other machine's `Dispatcher` knows the object."""
        self._name, self._connection = name, connection
        for method in methods(protocol).values():
            setattr(self, method.name, self._caller(method))

    def _caller(self, method: Method) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            return self._call(method, method.pack(args, named))

        return call

    def _call(self, method: Method, body: bytes) -> Any:
        path = f"/{self._name}/{method.name}"
        if method.tunnels:
            return self._connection.tunnel(path, body)
        for _ in range(int(PATIENCE / WAIT)):
            reply = self._connection.ask("POST", path, body, stream=method.streams)
            if reply.status == _AGAIN:
                continue
            if reply.status == 200:
                return chunks_of(reply, self._connection.machine) if method.streams else method.result(reply.data)
            raise fault_of(reply.status, reply.data, self._connection.machine)
        raise Refused(f"{self._connection.machine} is still busy with {method.name}.")

    def close(self) -> None:
        """The connection is its machine's, which closes it."""


def fault_of(status: int, body: bytes, machine: str) -> Exception:
    """What the other machine raised."""
    try:
        words = msgspec.json.decode(body, type=str)
    except msgspec.MsgspecError:
        words = f"status {status}"
    if status not in _FAULTS:
        return Refused(f"{machine}: {words}")
    return _FAULTS[status](words)


def chunks_of(reply: urllib3.BaseHTTPResponse, machine: str) -> Iterator[bytes]:
    """The body of a streamed answer. Raises `Refused` when it breaks off."""
    try:
        yield from reply.stream(CHUNK)
    except urllib3.exceptions.HTTPError as no:
        raise Refused(f"{machine} broke off: {_plain(no)}") from no
    finally:
        reply.release_conn() if reply.closed else reply.close()


def _plain(no: Exception) -> str:
    """Without the object's address that urllib3 puts before its words."""
    return str(no).rpartition(">: ")[2] or type(no).__name__


class Dispatcher:
    """Executes calls that come over HTTPS, on objects by name. The same call twice at once is executed once."""

    def __init__(self, threads: int = 16) -> None:
        self._objects: dict[str, tuple[Any, dict[str, Method]]] = {}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self._running: dict[str, Future[Any]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, protocol: type, one: Any) -> None:
        self._objects[name] = (one, methods(protocol))

    def __call__(self, request: Request) -> Reply:
        name, _, call = request.path.removeprefix("/").rpartition("/")
        one, known = self._objects.get(name, (None, {}))
        method = known.get(call)
        if method is None or request.method != "POST":
            return Reply(404, b'"There is no such call."')
        try:
            args = method.unpack(request.body)
        except msgspec.MsgspecError as no:
            return Reply(400, msgspec.json.encode(str(no)))
        return self._execute(one, method, args, hashlib.sha256(request.path.encode() + request.body).hexdigest())

    def _execute(self, one: Any, method: Method, args: tuple[Any, ...], key: str) -> Reply:
        running = self._begin(one, method, args, key)
        if not wait([running], WAIT).done:
            return Reply(_AGAIN)
        with self._lock:
            self._running.pop(key, None)
        no = running.exception()
        if no is None:
            result = running.result()
            if method.tunnels:
                return Reply(101, tunnel=result)
            return Reply(200, result, _BYTES) if method.streams else Reply(200, msgspec.json.encode(result))
        status = next((status for kind, status in _STATUS.items() if isinstance(no, kind)), None)
        if status is not None:
            return Reply(status, msgspec.json.encode(str(no)))
        log.error("remote.defect", call=method.name, exc_info=no)
        return Reply(500, msgspec.json.encode(f"Internal error in {method.name}; see the log of this host."))

    def _begin(self, one: Any, method: Method, args: tuple[Any, ...], key: str) -> Future[Any]:
        """The call, begun now, or before by who asked the same. A stream or tunnel is its asker's own."""
        work = getattr(one, method.name)
        if method.streams or method.tunnels:
            return self._pool.submit(work, *args)
        with self._lock:
            running = self._running.get(key)
            if running is None:
                running = self._running[key] = self._pool.submit(work, *args)
            return running

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
