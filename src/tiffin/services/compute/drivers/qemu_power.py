"""Powering off and rebooting, over many calls and over our own restarts.

What was asked when, and of which process, is on disk.
"""
from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tiffin.core.driver import Refused
from tiffin.services.compute.drivers import qemu_process, qmp
from tiffin.services.compute.drivers.base import GuestState
from tiffin.services.compute.drivers.qemu_process import Process

_PRESS_AGAIN = 10.0  # seconds; a guest that still boots does not hear the power button
_LAST_BREATH = 0.5  # seconds between the end of QEMU's monitor and the end of its process
_POWER = {
    "running": "running", "suspended": "running", "prelaunch": "running",
    "finish-migrate": "paused", "postmigrate": "paused", "inmigrate": "paused",  # of a guest on its way
    "paused": "paused", "io-error": "paused", "watchdog": "paused", "debug": "paused",
    "shutdown": "shutdown",
}  # all others (internal-error, guest-panicked) are a crash; QEMU's qapi/run-state.json


class Request(msgspec.Struct, frozen=True):
    """That a process shall end, since when, and when its power button was pressed last (seconds since the epoch)."""

    since: float
    process: Process | None
    key: str = ""
    pressed: float | None = None
    done: bool = False


def load(path: Path) -> Request | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Request)
    except FileNotFoundError:
        return None


def save(path: Path, request: Request) -> None:
    """Write the request whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(request))
    os.rename(partial, path)


def ended(path: Path, request: Request, graceful: float, now: float) -> bool:
    """Whether the process of the request is gone: its button is pressed; after `graceful` seconds the plug is pulled.

    A guest that does not execute cannot hear the button: it is ended at once. The folder of `path` is the guest's.
    """
    folder, process = path.parent, request.process
    assert process is not None
    if 0 <= now - request.since < graceful:  # less than 0: the clock was set back
        try:
            if _asked(path, request, process, now):
                return False
        except Refused:
            if not qemu_process.gone(process, _LAST_BREATH):
                raise
    qemu_process.end(process, folder, folder.name)
    return True


def _asked(path: Path, request: Request, process: Process, now: float) -> bool:
    """Press the button, unless that was done lately; whether the guest executes, so that it could hear it."""
    with qmp.connect(path.parent, process.pid) as monitor:
        if monitor.do("query-status")["status"] != "running":
            return False
        if request.pressed is None or not 0 <= now - request.pressed < _PRESS_AGAIN:
            monitor.do("system_powerdown")
            save(path, msgspec.structs.replace(request, pressed=now))
        return True


def state(folder: Path, process: Process | None) -> GuestState:
    """How the guest of this folder is. `process` is its QEMU, if there is one."""
    id = folder.name
    if process is None:
        if not folder.exists():
            return GuestState(id, "absent")
        if qemu_process.was_killed(folder):
            return GuestState(id, "crashed", _why_killed(folder))
        return GuestState(id, "shutdown")
    memory_kb, cpu_ns = qemu_process.usage(process)
    try:
        with qmp.connect(folder, process.pid, qmp.LOOK, seconds=5) as monitor:
            status = monitor.do("query-status")["status"]
    except (Refused, OSError) as silent:
        if qemu_process.gone(process, _LAST_BREATH):
            return state(folder, None)
        # It holds its memory and disks: it runs, as far as anybody can tell.
        return GuestState(id, "running", f"its monitor is silent: {silent}", memory_kb, cpu_ns)
    power = _POWER.get(status, "crashed")
    reason = "" if status in ("running", "paused", "shutdown") else f"QEMU says {status}"
    return GuestState(id, power, reason, memory_kb, cpu_ns)  # type: ignore[arg-type]


def boot_id() -> str:
    """What tells one start of this machine from the next."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _why_killed(folder: Path) -> str:
    try:
        if (folder / "boot_id").read_text() != boot_id():
            return "the host was restarted under it"
    except FileNotFoundError:
        pass
    return f"QEMU was killed or aborted: {qemu_process.last_words(folder)}"
