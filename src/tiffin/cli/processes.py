"""Our own processes as the kernel shows them: is it still the one we mean, end it, how much memory it uses."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path


def command_line(pid: int) -> list[str]:
    """The arguments of a process; empty when there is none (a zombie has none either)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def read_pid(file: Path, *words: str) -> int | None:
    """The pid in a pid file, if that process lives and all `words` stand in its command line: pids are used again."""
    try:
        pid = int(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    line = "\0".join(command_line(pid))
    return pid if line and all(word in line for word in words) else None


def end(pids: Iterable[int], patience: float) -> None:
    """Ask processes to end (SIGTERM), and after `patience` seconds end them (SIGKILL). Returns when none is left."""
    left = [pid for pid in pids if _signal(pid, signal.SIGTERM)]
    left = wait_gone(left, patience)
    wait_gone([pid for pid in left if _signal(pid, signal.SIGKILL)], patience)


def wait_gone(pids: Iterable[int], seconds: float) -> list[int]:
    """Wait until these processes are gone, or the time is over. Gives those that are left."""
    deadline = time.monotonic() + seconds
    left = [pid for pid in pids if command_line(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [pid for pid in left if command_line(pid)]
    return left


def memory(pid: int) -> int:
    """Bytes of memory, shared pages counted in proportion (PSS); by RSS where the kernel does not tell us more."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    except (OSError, StopIteration):
        pass  # another user's process, or an older kernel
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0  # it ended meanwhile


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
