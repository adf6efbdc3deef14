"""A small HTTP server for the metadata address of many networks: one thread, one process, sockets in many namespaces.

Who speaks to it is hostile. So a request is a head of bounded size, without a body, that arrives in bounded time; every
answer closes its connection; and no guest holds more than a few connections at once. HTTP/1.1: RFC 9112."""

from __future__ import annotations

import asyncio
import contextlib
import http
import re
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from tiffin.services.network.drivers.base import MetadataListener

_HEAD_BYTES = 8192
_REQUEST_SECONDS = 10.0
_CONNECTIONS_PER_GUEST = 8
_CONNECTIONS = 512
_HEADERS = 64
_REQUEST = re.compile(r"(GET|HEAD|POST|PUT|DELETE|OPTIONS) (/[!-~]*) HTTP/1\.[01]")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")

Answer = tuple[int, dict[str, str], bytes]
_log = structlog.get_logger()


class _Bad(Exception):
    """The request cannot be answered; `status` says why."""

    def __init__(self, status: int) -> None:
        self.status = status


class MetadataServer:
    """Serves every socket given to it; requests are answered by `listener` on a few threads."""

    def __init__(self, listener: MetadataListener) -> None:
        self._listener = listener
        self._servers: dict[str, list[asyncio.Server]] = {}
        self._open: Counter[tuple[str, str]] = Counter()
        self._workers = ThreadPoolExecutor(4, thread_name_prefix="metadata")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="metadata", daemon=True)
        self._thread.start()

    def serve(self, network_id: str, sockets: list[socket.socket]) -> None:
        """Answer on these listening sockets, in the name of this network."""
        self._await(self._serve(network_id, sockets))

    def served(self) -> frozenset[str]:
        return frozenset(self._servers)

    def connections(self) -> int:
        """How many guests' connections are open now."""
        return self._open.total()

    def stop(self, network_id: str) -> None:
        """Close the sockets of this network; fine when there are none."""
        self._await(self._stop(network_id))

    def close(self) -> None:
        """Stop serving; fine when it has stopped already."""
        if self._loop.is_closed():
            return
        for network_id in list(self._servers):
            self.stop(network_id)
        self._await(self._end_talks())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _await(self, work: Awaitable[None]) -> None:
        async def wrapped() -> None:
            await work

        asyncio.run_coroutine_threadsafe(wrapped(), self._loop).result()

    async def _serve(self, network_id: str, sockets: list[socket.socket]) -> None:
        talk = self._talk_of(network_id)
        self._servers[network_id] = [await asyncio.start_server(talk, sock=one, limit=_HEAD_BYTES) for one in sockets]

    async def _stop(self, network_id: str) -> None:
        for server in self._servers.pop(network_id, []):
            server.close()

    async def _end_talks(self) -> None:
        talks = asyncio.all_tasks() - {asyncio.current_task()}
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    def _talk_of(self, network_id: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            remote = str(writer.get_extra_info("peername")[0]).partition("%")[0]
            guest = (network_id, remote)
            if self._open[guest] >= _CONNECTIONS_PER_GUEST or self._open.total() >= _CONNECTIONS:
                writer.transport.abort()
                return
            self._open[guest] += 1
            try:
                async with asyncio.timeout(_REQUEST_SECONDS):
                    await self._one(guest, reader, writer)
            except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                writer.transport.abort()
            finally:
                self._open[guest] -= 1
                if not self._open[guest]:
                    del self._open[guest]

        return talk

    async def _one(self, guest: tuple[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method = ""
        try:
            method, path, headers = _parsed(await reader.readuntil(b"\r\n\r\n"))
            answer = await self._loop.run_in_executor(self._workers, self._answer, guest, (method, path), headers)
        except asyncio.LimitOverrunError:
            answer = _failure(431)
        except _Bad as bad:
            answer = _failure(bad.status)
        writer.write(_wire(answer, with_body=method != "HEAD"))
        await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def _answer(self, guest: tuple[str, str], request: tuple[str, str], headers: dict[str, str]) -> Answer:
        try:
            return self._listener(*guest, *request, headers)
        except Exception:
            _log.exception("metadata.failed", network_id=guest[0], remote=guest[1], path=request[1])
            return _failure(500)


def _parsed(head: bytes) -> tuple[str, str, dict[str, str]]:
    lines = head[:-4].decode("latin-1").split("\r\n")
    request = _REQUEST.fullmatch(lines[0])
    if request is None:
        raise _Bad(400)
    if len(lines) > _HEADERS:
        raise _Bad(431)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        header = _HEADER.fullmatch(line)
        if header is None or header[1].lower() in headers:
            raise _Bad(400)
        headers[header[1].lower()] = header[2].rstrip()
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise _Bad(413)
    return request[1], request[2], headers


def _failure(status: int) -> Answer:
    return status, {"Content-Type": "text/plain"}, http.HTTPStatus(status).phrase.encode()


def _wire(answer: Answer, *, with_body: bool) -> bytes:
    status, headers, body = answer
    lines = [
        f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
        *(f"{name}: {value}" for name, value in headers.items() if name.lower() != "content-length"),
        f"Content-Length: {len(body)}",
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1") + (body if with_body else b"")
