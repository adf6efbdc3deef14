"""A way to talk to a running cloud that only who owns its folder has: a Unix socket in it. A request is a JSON list of
words, the answer {"ok": ..., "text": ...}; one of each on a connection."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import structlog

log = structlog.get_logger("channel")
LONGEST = 4096
"""Bytes of a request."""
LONGEST_ANSWER = 1 << 20
PATIENCE = 5.0
"""Seconds for a client to say what it wants."""

Do = Callable[[list[str]], str]
"""Does what the words say, and gives what to tell. Raises `Wrong`."""


class Wrong(Exception):
    """What was asked cannot be meant; the message is for people."""


def listen(folder: Path, name: str, do: Do) -> None:
    """Serve from now on, one client after another, in a thread that ends with the process."""
    with _place(folder, name) as path:
        with contextlib.suppress(FileNotFoundError):  # a predecessor that was killed left it
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.chmod(path, 0o600)
    listener.listen()
    threading.Thread(target=_serve, args=(listener, do), name=name, daemon=True).start()


def ask(folder: Path, name: str, words: list[str]) -> tuple[bool, str]:
    """Whether it was done, and what the cloud says to it. Raises `OSError` where none serves."""
    with _place(folder, name) as path, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(msgspec.json.encode(words))
        client.shutdown(socket.SHUT_WR)
        answer = msgspec.json.decode(_read(client, LONGEST_ANSWER))
    return bool(answer["ok"]), str(answer["text"])


def _serve(listener: socket.socket, do: Do) -> None:
    while True:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):  # who asks may go away
            client.settimeout(PATIENCE)
            client.sendall(_answer(do, _read(client, LONGEST)))


def _answer(do: Do, request: bytes) -> bytes:
    try:
        if len(request) > LONGEST:
            raise Wrong(f"At most {LONGEST} bytes are accepted.")
        text, ok = do(msgspec.json.decode(request, type=list[str])), True
    except (Wrong, msgspec.DecodeError) as wrong:
        text, ok = str(wrong), False
    except Exception:
        log.exception("channel.defect")
        text, ok = "Internal error; see the log of the cloud.", False
    return msgspec.json.encode({"ok": ok, "text": text})


def _read(client: socket.socket, most: int) -> bytes:
    """All until the other side has said it, at most this much."""
    found = b""
    while len(found) <= most and (more := client.recv(4096)):
        found += more
    return found


@contextlib.contextmanager
def _place(folder: Path, name: str) -> Iterator[str]:
    """The socket's path, short however long the folder's is: a Unix socket's name has 107 bytes."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
