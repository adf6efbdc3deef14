"""A PostgreSQL server of our own for as long as it is needed: in a folder of its own, on a unix socket, and without any care for
power cuts. For tests; a cloud's own server is its operator's."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tiffin.cli.errors import CliError

FOLDER = Path("/usr/lib/postgresql")
"""Where Debian keeps the programs of each version."""
PATIENCE = 60.0
"""Seconds for a server to begin or to end."""
OPTIONS = (
    "listen_addresses=",
    "max_connections=400",
    "shared_buffers=256MB",
    *("fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=8GB"),
)


def binaries() -> Path | None:
    """The folder of the newest server's programs; None when there is none on this machine."""
    found = [folder for folder in FOLDER.glob("*/bin") if (folder / "initdb").exists()]
    return max(found, key=lambda folder: float(folder.parent.name), default=None)


class Server:
    """A database server in `folder`. It refuses to run as root, so that root has it run as `postgres`."""

    def __init__(self, folder: Path) -> None:
        programs = binaries()
        if programs is None:
            raise CliError("there is no PostgreSQL server here; install Debian's package `postgresql`.")
        self.folder, self._programs = folder, programs
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            shutil.chown(folder, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", str(folder / "data"), "-U", "tiffin", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://tiffin@/{database}?host={self.folder}"

    def make(self, database: str) -> str:
        """The URL of a new database."""
        self._run("createdb", "-h", str(self.folder), "-U", "tiffin", database)
        return self.url(database)

    def start(self) -> None:
        options = [word for option in OPTIONS for word in ("-c", option)]
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", self.folder / "data", "-k", self.folder, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **self._as,
        )
        deadline = time.monotonic() + PATIENCE
        while self._call("pg_isready", "-q", "-h", str(self.folder)).returncode:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise CliError(f"the PostgreSQL server in {self.folder} does not start.")
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, whatever is connected."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast": it breaks off what runs
            self._process.wait(PATIENCE)
            self._process = None

    def kill(self) -> None:
        """Its first process, as by a machine without memory; the others end when they notice."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE)
        self._process = None

    def _run(self, program: str, *words: str) -> None:
        done = self._call(program, *words)
        if done.returncode:
            raise CliError(f"{program} failed: {done.stderr.strip()}")

    def _call(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._programs / program), *words]
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, cwd="/", capture_output=True, text=True, check=False, **self._as
        )
        return done


@contextlib.contextmanager
def private_server() -> Iterator[Server]:
    """A server that runs until the end of the block; then nothing is left of it. Raises `CliError`."""
    folder = Path(tempfile.mkdtemp(prefix="tf-pg-", dir="/var/tmp"))
    try:
        server = Server(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
