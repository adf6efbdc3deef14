"""One question by HTTP and its answer, of a server that may be slow, lie, or never end (see web.py)."""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tiffin.core.driver import Impossible, Refused
from tiffin.services.image.drivers.base import CHUNK, Missing
from tiffin.services.image.web import Span, Target, WebRules

CONNECT = 10.0
"""Seconds for each address to answer at all."""
MOST_ADDRESSES = 4
SLOWEST = 1 << 16
"""Bytes a second that a server has to give in the long run."""
GATHER = 1.0
"""Seconds for which small pieces are put together before they are passed on."""
FRAMING = 8 << 20
"""Bytes that may come without one of the body among them: headers, sizes of chunks, trailers."""
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same question may be answered later."""
_BROKEN = (OSError, http.client.HTTPException, ValueError)
"""What reading from a bad server raises."""
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:\d{1,18}|\*)", re.ASCII)


class Question(msgspec.Struct, frozen=True):
    """What is asked, whoever answers."""

    method: str
    most: int  # bytes of a body that are accepted
    span: Span | None
    headers: Mapping[str, str]
    rules: WebRules

    def text(self, target: Target) -> bytes:
        """The question as it is sent. Raises ValueError on a header that is not one line."""
        said = {
            "Host": target.authority,
            "User-Agent": "tiffin",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
            **self.headers,
        }
        if self.span is not None:
            end = "" if self.span.length is None else self.span.start + self.span.length - 1
            said["Range"] = f"bytes={self.span.start}-{end}"
        lines = [f"{self.method} {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
        if not all(line.isprintable() for line in lines):
            raise ValueError("a header that is not one line")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


class _Timed(io.RawIOBase):
    """What comes over a connection, which has to come fast enough: in each window of some seconds, of which the headers have
    one, and in all."""

    def __init__(self, wire: socket.socket, rules: WebRules) -> None:
        self._wire, self._seconds, self._least = wire, rules.idle_seconds, 0
        self._last = time.monotonic() + rules.most_seconds
        self._start()
        self.room = FRAMING
        """Bytes that may come before somebody says that they are good for something."""

    def _start(self) -> None:
        self._ends, self._came = time.monotonic() + self._seconds, 0

    def body(self) -> None:
        """The headers are there: from here on there is another window whenever enough came in the last one."""
        self._least = max(1, int(SLOWEST * self._seconds))
        self._start()

    def forgive(self, seconds: float) -> None:
        """For so long nobody read: that is not the other side's fault."""
        self._ends += seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        now = time.monotonic()
        if now >= self._last or (now >= self._ends and (not self._least or self._came < self._least)):
            raise TimeoutError("too slow")
        if now >= self._ends:
            self._start()
        if self.room <= 0:
            raise ValueError("headers without end")
        self._wire.settimeout(min(self._ends, self._last) - now)
        got = self._wire.recv_into(buffer)
        if not got and not self._least:
            raise ConnectionError("the end of the connection within the headers")
        self._came += got
        self.room -= got
        return got

    def makefile(self, mode: str) -> io.BufferedReader:
        """What `HTTPResponse` asks a socket for."""
        return io.BufferedReader(self, 1 << 16)

    def close(self) -> None:
        if not self.closed:
            self._wire.close()
        super().close()


class WebAnswer(Iterator[bytes]):
    """An answer whose headers have come: an iterator over its bytes. Close it to let go early."""

    def __init__(self, question: Question, target: Target, response: http.client.HTTPResponse, timed: _Timed) -> None:
        self._question, self._target, self._response, self._timed = question, target, response, timed
        self.status = response.status
        self.length: int | None = None
        """Bytes that were announced."""
        self._chunks = self._bytes()

    def header(self, name: str) -> str:
        """Its last value; empty when it is not there."""
        return (self._response.headers.get_all(name) or [""])[-1].strip()

    def close(self) -> None:
        self._response.close()
        self._timed.close()

    # --- what was announced -------------------------------------------------------------------------------------------

    def checked(self) -> WebAnswer:
        """The same, when it is what was asked for. Raises `Missing`, `Refused` or `Impossible`, and is closed then."""
        try:
            self._check_status()
            self._check_form()
        except (Refused, Impossible):
            self.close()
            raise
        return self

    def _check_status(self) -> None:
        where, status, span = self._target.shown, self.status, self._question.span
        if status in _LATER:
            raise Refused(f"{where} is not available now: it answers {status}.")
        if status in (404, 410):
            raise Missing(f"{where} is not there: it answers {status}.")
        if status == 200 and span is not None and span.start:
            raise Impossible(f"{where} can only be read from its beginning.")
        if status == 206 and span is not None:
            given = _CONTENT_RANGE.fullmatch(self.header("Content-Range"))
            if given is None or int(given[1]) != span.start:
                raise Impossible(f"{where} gives another part of itself than was asked for.")
        elif status != 200 and (status != 416 or span is None):
            raise Impossible(f"{where} cannot be read: it answers {status}.")

    def _check_form(self) -> None:
        where, most = self._target.shown, self._question.most
        if self.header("Content-Encoding").lower() not in ("", "identity"):
            raise Impossible(f"{where} answers in a packed form that was not asked for.")
        if self.header("Transfer-Encoding").lower() not in ("", "chunked"):
            raise Impossible(f"{where} answers in a transfer coding that was not asked for.")
        self.length = self._announced()
        if self.length is not None and self.length > most and self.status != 416:
            raise Impossible(f"{where} has {self.length} bytes; at most {most} are accepted.")

    def _announced(self) -> int | None:
        given = {text.strip() for text in self._response.headers.get_all("Content-Length") or []}
        if not given or self.header("Transfer-Encoding"):
            return None
        text = given.pop()
        if given or not text.isascii() or not text.isdecimal() or len(text) > 18:
            raise Impossible(f"{self._target.shown} announces a length that is not a number, or several.")
        return int(text)

    # --- the bytes ----------------------------------------------------------------------------------------------------

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except (StopIteration, Refused, Impossible):
            self.close()
            raise

    def _bytes(self) -> Iterator[bytes]:
        if self.status == 416:  # nothing lies behind the end
            return
        where, most, size = self._target.shown, self._question.most, 0
        wanted = None if self._question.span is None else self._question.span.length
        for chunk in self._read():
            size += len(chunk)
            if size > most:
                raise Impossible(f"{where} has more than the {most} bytes that are accepted.")
            if wanted is not None and size >= wanted:  # it may have been the whole, of which the beginning was wanted
                yield chunk[: len(chunk) - (size - wanted)]
                return
            yield chunk
        if self.length is not None and size != self.length:
            raise Refused(f"{where} broke off after {size} of {self.length} bytes.")

    def _read(self) -> Iterator[bytes]:
        """The body in pieces of a useful size, but never held back for long: who passes them on shows that he lives."""
        held, since = bytearray(), time.monotonic()
        self._timed.body()
        while piece := self._piece(CHUNK - len(held)):
            held += piece
            now = time.monotonic()
            if len(held) >= CHUNK or now - since >= GATHER:
                yield bytes(held)
                held.clear()
                self._timed.forgive(time.monotonic() - now)
                since = time.monotonic()
        if held:
            yield bytes(held)

    def _piece(self, most: int) -> bytes:
        self._timed.room = FRAMING
        try:
            return self._response.read1(most)
        except TimeoutError as late:
            raise Refused(f"{self._target.shown} sends too slowly, or no more.") from late
        except _BROKEN as broken:
            raise Refused(f"{self._target.shown} broke off.") from broken


def ask(question: Question, target: Target, addresses: list[str]) -> WebAnswer:
    """Send a question to the first address that takes it. Raises `Refused` or `Impossible`."""
    try:
        wire = _connected(target, addresses, question.rules)
    except ssl.SSLCertVerificationError as no:
        raise Impossible(f"The certificate of {target.host} is not trusted: {no.verify_message}.") from no
    except OSError as no:
        raise Refused(f"{target.authority} does not answer: {no.strerror or no}.") from no
    timed = _Timed(wire, question.rules)
    response = http.client.HTTPResponse(timed, method=question.method)  # type: ignore[arg-type]  # asks for `makefile` only
    try:
        wire.sendall(question.text(target))
        response.begin()
    except _BROKEN as no:
        response.close()
        timed.close()
        raise Refused(f"{target.shown} does not answer as HTTP servers do: {type(no).__name__}.") from no
    return WebAnswer(question, target, response, timed)


def _connected(target: Target, addresses: list[str], rules: WebRules) -> socket.socket:
    last: OSError | None = None
    for address in addresses[:MOST_ADDRESSES]:
        try:
            wire = socket.create_connection((address, target.port), CONNECT)
        except OSError as no:
            last = no
            continue
        with contextlib.ExitStack() as undo:
            undo.callback(wire.close)
            wire.settimeout(rules.idle_seconds)
            if target.scheme == "https":
                trusted = ssl.create_default_context(cafile=rules.ca_file or None)
                wire = trusted.wrap_socket(wire, server_hostname=target.host, suppress_ragged_eofs=False)
            undo.pop_all()
        return wire
    raise last or OSError("no address")
