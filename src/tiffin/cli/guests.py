"""The guests of a cloud whose server does not run: find them, and end them in good order."""

from __future__ import annotations

from pathlib import Path

from tiffin.cli import processes
from tiffin.cli.progress import step
from tiffin.core.driver import Refused

PATIENCE = 10.0  # seconds for a guest to power itself off; the tiny image takes five under TCG


def running(host: Path) -> dict[str, int]:
    """The pid of QEMU by guest id, below the host's state folder."""
    if not (host / "guests").exists():
        return {}
    from tiffin.services.compute.drivers.qemu_process import search

    return {guest: process.pid for guest, process in search(host / "guests")}


def stop(host: Path) -> None:
    """Press every guest's power button, and pull the plug of those that go on. Returns when none is left."""
    alive = running(host)
    if not alive:
        return
    with step(f"Stopping {len(alive)} guest{'s' if len(alive) > 1 else ''}") as current:
        for guest, pid in alive.items():
            _press_power_button(host / "guests" / guest, pid)
        left = list(alive.values())
        while left and current.elapsed < PATIENCE:
            current.tell(f"{len(left)} still run{'s' if len(left) == 1 else ''}")
            left = processes.wait_gone(left, 0.5)
        processes.end(left, PATIENCE)


def _press_power_button(folder: Path, pid: int) -> None:
    from tiffin.services.compute.drivers.qmp import CommandFailed, connect

    try:
        with connect(folder, pid, seconds=2.0) as monitor:
            monitor.do("system_powerdown")
    except (Refused, CommandFailed, OSError):
        return  # it cannot be asked, or it just ended: whoever is left is ended anyway
