"""What the processes of one cloud use, as the kernel counts it."""

from __future__ import annotations

import os
from pathlib import Path

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def own_processes(home: Path) -> dict[int, str]:
    """pid -> command of every process of the cloud in `home`, but guests: those whose command names the folder, and
    their children."""
    commands: dict[int, str] = {}
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            commands[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended while we looked
            continue
    own = {pid for pid, command in commands.items() if str(home) in command} - {os.getpid()}
    while children := {pid for pid, parent in parents.items() if parent in own and pid in commands} - own:
        own |= children
    return {pid: commands[pid] for pid in own if "qemu-system" not in commands[pid].partition(" ")[0]}


def cpu_ms(pids: dict[int, str]) -> float:
    """Milliseconds of CPU that the processes have used, threads that ended included; exact to 10 ms each."""
    total = 0
    for pid in pids:
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        total += int(user) + int(system)
    return total * TICK_MS


def exact_cpu_ms(pids: dict[int, str]) -> float:
    """The same of the threads that live, exact to the nanosecond: for stretches that are shorter than a clock tick."""
    total = 0
    for pid in pids:
        for task in Path("/proc").glob(f"{pid}/task/*"):  # none of a process that has ended, such as an `ip` of a moment
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except OSError:  # the thread ended while we looked
                continue
    return total / 1e6


def pss_mb(pids: dict[int, str]) -> float:
    """Proportional set size in MB (10^6 bytes): shared pages count once."""
    return sum(_field(pid, "smaps_rollup", "Pss:") for pid in pids) / 1000


def peak_rss_mb(pids: dict[int, str]) -> float:
    """The largest resident sizes since `forget_peaks`, in MB."""
    return sum(_field(pid, "status", "VmHWM:") for pid in pids) / 1000


def forget_peaks(pids: dict[int, str]) -> None:
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _field(pid: int, file: str, name: str) -> float:
    """A field in kB (1024 bytes) of a file below /proc/PID, as thousands of bytes."""
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1.024
    raise ValueError(f"/proc/{pid}/{file} has no {name}")
