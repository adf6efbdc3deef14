"""A small HTTPS server for machines of the same cloud: certificates say who speaks, a thread serves a connection.

It is not the API's server: bodies are small JSON documents (answers may be streams), and every peer but one that joins has
shown a certificate before its first byte is read. The handshake happens in the connection's own thread and in bounded
time, so that a silent stranger keeps nobody waiting."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

import msgspec
import structlog

from tiffin.core import tunnel

MAX_BODY = 96 << 20
"""Bytes of a request; the largest config drive fits."""
MAX_STRANGER = 64 << 10
"""Bytes of a request of who has shown no certificate."""
IDLE = 75.0
"""Seconds that a connection may say nothing."""
HANDSHAKE = 10.0
"""Seconds for the handshake, and for the rest of a request that has begun."""
CONNECTIONS = 256

log = structlog.get_logger("https")


class Request(msgspec.Struct, frozen=True):
    peer: str  # the common name of the peer's certificate; empty for a stranger
    method: str
    path: str
    body: bytes
    authority: str = ""  # the common name of who signed that certificate


class Reply(msgspec.Struct, frozen=True):
    status: int
    body: bytes | Iterable[bytes] = b""  # what is not bytes is streamed
    content_type: str = "application/json"
    tunnel: socket.socket | None = None  # with status 101: what the connection leads to from now on (tunnel.py)


Answer = Callable[[Request], Reply]


class HttpsServer(ThreadingMixIn, TCPServer):
    """Serves from `start` until `stop`."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], context: Callable[[], ssl.SSLContext], answer: Answer) -> None:
        """`context` is asked for each connection, so that a renewed certificate counts at once. Raises OSError when nobody
        can listen at `address`."""
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._context, self.answer = context, answer
        self._room = threading.BoundedSemaphore(CONNECTIONS)
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, name="https", daemon=True).start()

    def stop(self) -> None:
        """Listen no more, and hang up on everybody."""
        self.shutdown()
        self.server_close()
        for one in list(self._open):
            with contextlib.suppress(OSError):  # it has hung up itself
                one.shutdown(socket.SHUT_RDWR)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self._room.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            request.settimeout(HANDSHAKE)
            # what is no TLS, or shows no certificate of ours, is not answered
            with contextlib.suppress(OSError), self._context().wrap_socket(request, server_side=True) as secured:
                self._open.add(secured)
                self.finish_request(secured, client_address)
        finally:
            self._open -= {one for one in self._open if one.fileno() < 0}
            self.shutdown_request(request)
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.exception("https.defect", peer=str(client_address[0]))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE
    disable_nagle_algorithm = True  # an answer is its head and its body, and would wait for the word that the head has come
    server: HttpsServer
    connection: ssl.SSLSocket

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        self.connection.settimeout(HANDSHAKE)
        length, (peer, authority) = self.headers.get("Content-Length", "0"), _names(self.connection)
        most = MAX_BODY if peer else MAX_STRANGER
        if not length.isdecimal() or int(length) > most or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self._send(Reply(413, b"{}"))
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return
        try:
            reply = self.server.answer(Request(peer, self.command, self.path, body, authority))
        except Exception:
            log.exception("https.defect", path=self.path)
            reply = Reply(500, b'"Internal error; see the log of this machine."')
        self._send(reply)
        self.connection.settimeout(IDLE)

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        if reply.tunnel is not None:
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", tunnel.PROTOCOL)
            self.end_headers()
            self.close_connection = True
            tunnel.pump(self.connection, reply.tunnel)
            return
        self.send_header("Content-Type", reply.content_type)
        if isinstance(reply.body, bytes):
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.connection.settimeout(IDLE)
        try:
            for chunk in reply.body:
                if chunk:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")
        except Exception:  # the reader sees that the end is missing
            self.close_connection = True
            log.exception("https.stream_broke", path=self.path)
        finally:
            if close := getattr(reply.body, "close", None):
                close()

    def log_message(self, format: str, *args: Any) -> None:
        """What was asked is logged by who answers it."""


def _names(connection: ssl.SSLSocket) -> tuple[str, str]:
    """The common names of the peer's certificate, and of the authority that signed it."""
    certificate: Any = connection.getpeercert() or {}
    return _common_name(certificate.get("subject", ())), _common_name(certificate.get("issuer", ()))


def _common_name(parts: Any) -> str:
    return next((value for part in parts for key, value in part if key == "commonName"), "")
