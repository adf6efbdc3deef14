"""Web servers on the loopback address, honest and hostile ones."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tiffin.services.image.web import WebRules

Handler = Callable[[str, socket.socket], None]
"""Gets the head of a request, and the connection to answer on."""


class WebServer:
    """Answers each connection by its handler, in a thread of its own."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None) -> None:
        self.handler, self._context = handler, context
        self.asked: list[str] = []
        self.gone: list[OSError] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def rules(self, **more: Any) -> WebRules:
        """Rules of an operator who lets this server be read."""
        return WebRules(**{"allowed_hosts": ("127.0.0.1",), "allowed_ports": (self.port,), "idle_seconds": 5.0, **more})

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, _ = self._socket.accept()
                self._threads.append(threading.Thread(target=self._answer, args=(wire,), daemon=True))
                self._threads[-1].start()

    def _answer(self, wire: socket.socket) -> None:
        wire.settimeout(20)
        try:
            if self._context is not None:
                wire = self._context.wrap_socket(wire, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head and (got := wire.recv(65536)):
                head += got
            self.asked.append(head.decode("latin-1"))
            self.handler(self.asked[-1], wire)
            wire.shutdown(socket.SHUT_WR)
        except OSError as gone:  # whoever asked may have gone, and that is what is tested
            self.gone.append(gone)
        finally:
            wire.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(20)


@contextlib.contextmanager
def serving(handler: Handler, context: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    server = WebServer(handler, context)
    try:
        yield server
    finally:
        server.close()


def says(*pieces: bytes) -> Handler:
    """The same whatever is asked."""

    def answer(head: str, wire: socket.socket) -> None:
        for piece in pieces:
            wire.sendall(piece)

    return answer


def falls_silent(first: bytes = b"") -> Handler:
    def answer(head: str, wire: socket.socket) -> None:
        wire.sendall(first)
        wire.recv(1)  # until the other side goes

    return answer


def reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def pages(**held: bytes) -> Handler:
    """Files by their names, with `HEAD` and ranges as RFC 9110 has them."""

    def answer(head: str, wire: socket.socket) -> None:
        method, path, _ = head.split(" ", 2)
        data = held.get(path.strip("/").partition("?")[0])
        if data is None:
            wire.sendall(reply("404 Not Found", b"no such page"))
            return
        asked = re.search(r"^Range: bytes=(\d+)-(\d*)\r$", head, re.M)
        if asked is None:
            wire.sendall(reply("200 OK", data)[: None if method == "GET" else -len(data) or None])
            return
        start, end = int(asked[1]), min(len(data), int(asked[2] or len(data)) + 1)
        if start >= len(data):
            wire.sendall(reply("416 Range Not Satisfiable", b"", f"Content-Range: bytes */{len(data)}"))
        else:
            span = f"Content-Range: bytes {start}-{end - 1}/{len(data)}"
            wire.sendall(reply("206 Partial Content", data[start:end], span))

    return answer


def certificate(folder: Path, name: str = "127.0.0.1") -> tuple[ssl.SSLContext, str]:
    """A server's context with a certificate of its own for this name, and the file by which it is trusted."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    try:
        known: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        known = x509.DNSName(name)
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([known]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted = folder / "server.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = folder / "server.key"
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, str(trusted)
