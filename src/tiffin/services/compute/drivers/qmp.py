"""The QEMU Machine Protocol, synchronously: one short connection for each piece of work.

QEMU serves one client per monitor; a second one waits in the listen queue until the first hangs up. So nobody keeps a
connection, every read has a deadline, and a guest has two monitors: one to change things, one to look.
Source: QEMU's docs/interop/qmp-spec.txt (7.2).
"""
from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tiffin.core.driver import Refused

CHANGE = "monitor"
LOOK = "monitor-look"
_LONGEST_LINE = 16 * 1024 * 1024  # bytes; QEMU is not trusted: its guest may have taken it over


class CommandFailed(Refused):
    """QEMU understood the command and said no. `kind` is QMP's error class."""

    def __init__(self, command: str, kind: str, description: str) -> None:
        super().__init__(f"{command}: {description}")
        self.kind = kind
        self.description = description


class Monitor:
    """An open conversation with one QEMU."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        """`deadline` is in seconds of `time.monotonic`, for the whole conversation."""
        self._socket = connection
        self._deadline = deadline
        self._buffer = b""
        self._events: list[dict[str, Any]] = []

    def do(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Execute `command` and give its return value.

        Raises `CommandFailed` when QEMU says no, `Refused` when it does not answer in time or hangs up.
        """
        self._send(json.dumps({"execute": command, "arguments": dict(arguments or {})}).encode() + b"\n")
        while True:
            answer = self._read()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise CommandFailed(command, answer["error"].get("class", ""), answer["error"].get("desc", ""))
            self._events.append(answer)

    def wait_event(self, wanted: Callable[[dict[str, Any]], bool], seconds: float) -> bool:
        """Whether an event that `wanted` accepts came on this connection, within `seconds`."""
        whole, self._deadline = self._deadline, min(self._deadline, time.monotonic() + seconds)
        try:
            while not any(wanted(event) for event in self._events):
                self._events.append(self._read())
        except TimeoutError:
            return False
        finally:
            self._deadline = whole
        return True

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self._seconds_left())
            self._socket.sendall(data)
        except OSError as error:
            raise Refused(f"QEMU's monitor does not listen: {error}") from error

    def _read(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LONGEST_LINE:
                raise Refused("QEMU's monitor talks without end")
            self._socket.settimeout(self._seconds_left())
            if not (data := self._socket.recv(65536)):
                raise Refused("QEMU's monitor hung up")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except ValueError as error:
            raise Refused("QEMU's monitor does not speak QMP") from error
        if not isinstance(message, dict):
            raise Refused("QEMU's monitor does not speak QMP")
        return message

    def _seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline passed")
        return left

    def greet(self) -> None:
        """Take the greeting and leave negotiation mode."""
        self._read()
        self.do("qmp_capabilities")


@contextmanager
def connect(guest_folder: Path, pid: int, name: str = CHANGE, seconds: float = 10.0) -> Iterator[Monitor]:
    """Talk to the QEMU with this pid over the monitor `name` of its folder; at most `seconds` in all. Raises `Refused` when
    nobody answers."""
    deadline = time.monotonic() + seconds
    try:
        with dial(guest_folder, pid, name, seconds) as connection:
            monitor = Monitor(connection, deadline)
            monitor.greet()
            yield monitor
    except TimeoutError as error:
        raise Refused("QEMU's monitor does not answer in time") from error
    except ConnectionError as error:
        raise Refused(f"QEMU's monitor does not listen: {error}") from error


def dial(guest_folder: Path, pid: int, name: str, seconds: float) -> socket.socket:
    """A connection to a socket of the QEMU with this pid. Raises `Refused` when it is not there.

    The folder of the sockets belongs to QEMU's own user, who could replace a socket by a link to another program's:
    whoever listens must be `pid`.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        folder = os.open(guest_folder / "run", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            connection.settimeout(seconds)
            # By descriptor: a socket's address holds 107 bytes, a home folder's path may be longer.
            connection.connect(f"/proc/self/fd/{folder}/{name}")
        finally:
            os.close(folder)
        peer = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        if peer != pid:
            raise Refused(f"socket {name} belongs to process {peer}, not to the guest's {pid}")
    except (ConnectionError, FileNotFoundError) as error:
        connection.close()
        raise Refused(f"QEMU's socket {name} does not listen: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection
