"""A client inside the process: a request to the application without a socket. Start-up and tests use it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import msgspec


class Reply(msgspec.Struct):
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body) if self.body else None


class LocalClient:
    def __init__(self, app: Callable[..., Iterable[bytes]], host: str = "127.0.0.1:8000") -> None:
        self.app, self.host = app, host

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        json: Any = None,
        body: bytes | None = None,
    ) -> Reply:
        """`url` is a path with an optional query; `json` is encoded as the body."""
        path, _, query = url.partition("?")
        raw = msgspec.json.encode(json) if json is not None else body
        environ = self._environ(method, path, query, headers or {}, raw)
        if json is not None:
            environ.setdefault("CONTENT_TYPE", "application/json")
        seen: list[Any] = []

        def start_response(status: str, sent: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
            seen[:] = [status, sent]
            return lambda data: None

        chunks = self.app(environ, start_response)
        data = b"".join(chunks)
        close = getattr(chunks, "close", None)
        if close:
            close()
        return Reply(int(seen[0].split()[0]), {k.lower(): v for k, v in seen[1]}, data)

    def _environ(
        self, method: str, path: str, query: str, headers: dict[str, str], raw: bytes | None
    ) -> dict[str, Any]:
        host, _, port = self.host.partition(":")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path.encode().decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": host,
            "SERVER_PORT": port or "80",
            "HTTP_HOST": self.host,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(raw or b""),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "REMOTE_ADDR": "127.0.0.1",
        }
        if raw is not None:
            environ["CONTENT_LENGTH"] = str(len(raw))
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        return environ
