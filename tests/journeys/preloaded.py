"""The command line in a process that has imported the OpenStack client, which is most of what a command of it costs.

`serve` waits at a unix socket and runs each command in a fork of itself, with the words, folder, environment and standard
streams of the caller; `ask` is that caller, and ends as the command ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MOST = 1 << 20


@contextlib.contextmanager
def script(path: Path) -> Iterator[None]:
    """While the block runs, `path` is `./tiffin` without a virtual environment of its own."""
    waiting = path.with_name("preloaded")
    path.write_text(
        f'#!/bin/sh\n[ "$1" != openstack ] || exec {sys.executable} -IS {__file__} {waiting} "$@"\n'
        f'exec {sys.executable} -m tiffin.cli "$@"\n'
    )
    path.chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, waiting], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not waiting.exists():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait()


def serve(path: str) -> None:
    from openstackclient import shell

    from tiffin.cli.main import main

    with contextlib.suppress(SystemExit):
        shell.main(["complete"])  # imports what any command needs
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.bind(f"{path}.new")
        door.listen(16)
        os.rename(f"{path}.new", path)
        while True:
            caller, _ = door.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                said, streams, _, _ = socket.recv_fds(caller, MOST, 3)
                for number, stream in enumerate(streams):
                    os.dup2(stream, number)
                    os.close(stream)
                words, folder, environment = json.loads(said)
                os.chdir(folder)
                os.environ.clear()
                os.environ.update(environment)
                try:
                    code = main(words)
                except SystemExit as end:
                    code = int(end.code or 0)
                sys.stdout.flush()
                sys.stderr.flush()
                caller.send(bytes([code]))
                os._exit(code)
            caller.close()


def ask(path: str, words: list[str]) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        door.connect(path)
        socket.send_fds(door, [json.dumps([words, os.getcwd(), dict(os.environ)]).encode()], [0, 1, 2])
        return int.from_bytes(door.recv(1) or b"\1", "big")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    sys.exit(ask(sys.argv[1], sys.argv[2:]))
