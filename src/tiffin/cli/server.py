"""The cloud's server process as seen from the command line: start it, wait for it, end it."""

from __future__ import annotations

import compileall
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from tiffin.cli import api, processes
from tiffin.cli.cloud import Cloud, command
from tiffin.cli.errors import CliError
from tiffin.cli.logs import render
from tiffin.cli.progress import Step

STUCK = 60.0  # seconds in one and the same step of the start before we call it stuck
PATIENCE = 15.0  # seconds for a server that was asked to end
LOG_LIMIT = 64 << 20  # bytes; a longer log is put aside at the next start


class Ended(Exception):
    """The server that was there is no more: it was about to end."""


def running(cloud: Cloud) -> int | None:
    """The pid of this cloud's server, if it runs."""
    return processes.read_pid(cloud.folder.server_pid, "tiffin.server", str(cloud.folder.root))


def check_port(cloud: Cloud) -> None:
    """Raise `CliError` when somebody else listens where this cloud shall, or the address is not this machine's."""
    host, port = cloud.settings.address
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CliError(f"cannot listen on {cloud.settings.listen} ({reason}); choose by --listen HOST:PORT.") from None


def start(cloud: Cloud) -> subprocess.Popen[bytes]:
    """Start the server as a session of its own; what it says goes to the log."""
    _have_byte_code()
    log = cloud.folder.log
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    with open(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as out:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "tiffin.server", "--home", str(cloud.folder.root)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            start_new_session=True,
        )


def wait_until_works(cloud: Cloud, server: subprocess.Popen[bytes] | None, current: Step) -> None:
    """Wait until /healthz says ok, and show its steps. Raises `CliError` when the server ends or stays in one step;
    `Ended` when it is not one that we have started."""
    said, since = "", time.monotonic()
    while True:
        try:
            code, body = api.health(cloud)
            if code == 200:
                return
            now_in = str(body.get("step", ""))
        except api.Unreachable:
            now_in = ""
        if server is None and running(cloud) is None:
            raise Ended
        if server is not None and server.poll() is not None:
            raise CliError(f"the server ended with code {server.returncode}. {_last_words(cloud)}")
        if now_in != said:
            said, since = now_in, time.monotonic()
        if time.monotonic() - since > STUCK:
            doing = f"is still at `{said}`" if said else "does not answer"
            raise CliError(f"the server {doing} after {STUCK:.0f} seconds. {_last_words(cloud)}")
        current.tell(said)
        time.sleep(0.02)


def stop(pid: int) -> None:
    """End a server; guests and the network's daemons go on."""
    processes.end([pid], PATIENCE)


def _have_byte_code() -> None:
    """Compile what changed since the last start: PYTHONDONTWRITEBYTECODE may keep the server from doing so, and then
    every start would pay for it. A source tree that is not ours to write to stays as it is."""
    package = Path(__file__).resolve().parents[1]
    if os.access(package, os.W_OK):
        compileall.compile_dir(package, quiet=2)


def _last_words(cloud: Cloud) -> str:
    try:
        lines = cloud.folder.log.read_text(errors="replace").splitlines()[-12:]
    except FileNotFoundError:
        lines = []
    words = "\n".join(f"    {line}" for line in map(render, lines))
    more = command("logs", cloud.folder.root)
    return f"`{more}` shows all; its last words:\n{words}" if words else "It said nothing."
