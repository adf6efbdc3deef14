"""The processes of guests: start one, find it again, end it. Nothing is remembered in memory.

A guest's QEMU has the guest's folder as working directory and `-uuid GUEST` on its command line: these two name it,
the file `pid` is only the quick way to it. QEMU removes its sockets when it ends in an orderly way (the guest powered
itself off, `quit`, SIGTERM); a monitor's socket without a process therefore means that it was killed or aborted.
"""
from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from tiffin.core.driver import Refused
from tiffin.services.compute.drivers import qmp

_TICKS = os.sysconf("SC_CLK_TCK")
_TELL_PID = 'echo $$ >pid && exec "$@"'  # all that follow on the command line replace each other in this process
_MOMENT = 0.004  # seconds between two looks
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


class Process(msgspec.Struct, frozen=True):
    """One process for ever: pids are used again, but not with the same start."""

    pid: int
    started: int  # clock ticks since the machine started


def look_up(pid: int, guest_folder: Path, guest_id: str) -> Process | None:
    """The process with this pid if it is the guest's living QEMU."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        folder = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if fields[0] in "ZX" or folder != str(guest_folder):
        return None
    # Only the program itself: the wrappers that lead to it (setsid, ip, setpriv) carry the same words for a moment.
    if not words[0].endswith(b"qemu-system-x86_64") or guest_id.encode() not in words:
        return None
    return Process(pid, int(fields[19]))


def find(guest_folder: Path, guest_id: str, seconds: float = 20.0) -> Process | None:
    """The guest's QEMU: by its file `pid`, else by walking /proc, since files may be lost and processes stay.

    Waits for a launch that is under way, which may be of a Tiffin that was killed. Raises `Refused` when that hangs.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = _by_file(guest_folder, guest_id) or dict(search(guest_folder.parent)).get(guest_id)
        if found or not _launched(guest_folder):
            return found
        if time.monotonic() > deadline:
            raise Refused(f"the launch of guest {guest_id} hangs")
        time.sleep(_MOMENT)


def search(guests_folder: Path) -> Iterator[tuple[str, Process]]:
    """Every QEMU of a guest below this folder, whether or not its files still exist. Walks /proc."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            folder = Path(os.readlink(f"/proc/{entry.name}/cwd").removesuffix(" (deleted)"))
            if folder.parent == guests_folder and (found := look_up(int(entry.name), folder, folder.name)):
                yield folder.name, found


def was_killed(guest_folder: Path) -> bool:
    """Whether the last QEMU of this folder, now gone, had no time to remove its sockets."""
    return os.path.lexists(guest_folder / "run" / qmp.CHANGE)


def usage(process: Process) -> tuple[int, int]:
    """Memory in KiB and CPU time in ns that the process has taken; zeros when it is gone."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    return int(fields[21]) * _PAGE_KB, (int(fields[11]) + int(fields[12])) * 1_000_000_000 // _TICKS


def start(command: Sequence[str], guest_folder: Path, guest_id: str, seconds: float = 20.0) -> Process:
    """Run QEMU detached from us and give its process when its monitor answers. Raises `Refused` with its last words.

    The programs that lead to QEMU and QEMU itself hold a lock on the file `alive`: whoever comes after us, should we be
    killed in the middle, sees that a launch is under way.
    """
    deadline = time.monotonic() + seconds
    alive = os.open(guest_folder / "alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    log = os.open(guest_folder / "qemu.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Not -daemonize: it forks under -sandbox spawn=deny, which kills it, and leaves the guest's folder. Not
        # -pidfile: it wants to reach the folder by its absolute path, whose parents may be closed.
        subprocess.run(("setsid", "--fork", "sh", "-c", _TELL_PID, "sh", *command), cwd=guest_folder,
                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(alive,), check=True, timeout=seconds)
    except (subprocess.SubprocessError, OSError) as error:
        raise Refused(f"guest {guest_id} cannot be launched: {error}") from error
    finally:
        os.close(alive)
        os.close(log)
    return _await_monitor(guest_folder, guest_id, deadline)


def _await_monitor(guest_folder: Path, guest_id: str, deadline: float) -> Process:
    process = None
    while time.monotonic() < deadline:
        process = _by_file(guest_folder, guest_id)
        if process is not None and (guest_folder / "run" / qmp.LOOK).exists():
            with suppress(Refused), qmp.connect(guest_folder, process.pid, qmp.CHANGE) as monitor:
                monitor.do("query-status")
                return process
        if not _launched(guest_folder):
            raise Refused(f"QEMU ended at once: {last_words(guest_folder)}")
        time.sleep(_MOMENT)
    if process is not None:
        end(process, guest_folder, guest_id)
    raise Refused(f"QEMU of guest {guest_id} does not answer in time: {last_words(guest_folder)}")


def _by_file(guest_folder: Path, guest_id: str) -> Process | None:
    try:
        text = (guest_folder / "pid").read_text().strip()
    except FileNotFoundError:
        return None
    return look_up(int(text), guest_folder, guest_id) if text else None


def _launched(guest_folder: Path) -> bool:
    """Whether QEMU of this folder, or a program that leads to it, lives."""
    try:
        file = os.open(guest_folder / "alive", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def end(process: Process, guest_folder: Path, guest_id: str, grace: float = 3.0) -> None:
    """Have no such process: SIGTERM, which lets QEMU write its caches out, after `grace` seconds SIGKILL."""
    try:
        with closing(_PidFd(process.pid)) as handle:
            if look_up(process.pid, guest_folder, guest_id) != process:
                return
            for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
                signal.pidfd_send_signal(handle.file, number)
                if handle.wait(seconds):
                    break
            else:
                raise Refused(f"process {process.pid} of guest {guest_id} does not die")
    except ProcessLookupError:
        pass
    forget_end(guest_folder)


def gone(process: Process, seconds: float) -> bool:
    """Whether the process is gone, or goes within `seconds`."""
    try:
        with closing(_PidFd(process.pid)) as handle:
            return _started(process.pid) != process.started or handle.wait(seconds)
    except (ProcessLookupError, FileNotFoundError):
        return True


def forget_end(guest_folder: Path) -> None:
    """Take note of how the last QEMU ended: from now on the guest counts as shut down, not as crashed."""
    shutil.rmtree(guest_folder / "run", ignore_errors=True)


def last_words(guest_folder: Path) -> str:
    """The end of what QEMU wrote on stderr, on one line, for the message of an error."""
    try:
        with open(guest_folder / "qemu.log", "rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 400))
            return " ".join(log.read().decode(errors="replace").split()) or "(it said nothing)"
    except FileNotFoundError:
        return "(it said nothing)"


def _started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


class _PidFd:
    def __init__(self, pid: int) -> None:
        self.file = os.pidfd_open(pid)

    def wait(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self.file, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        os.close(self.file)
