"""A guest that goes to another host while it runs, as QEMU does it.

There a QEMU of the same devices waits, stopped, for its memory (migration) and for blocks of its disks (an NBD server that
writes into blank ones). Here a mirror job for each disk fills them; when they are the same, the memory goes, too; QEMU
stops the guest for the last of it, the mirrors end, and the rest follows. Nothing is executed there until we say so, and
here what QEMU has stopped it can continue: so the word which of the two is the guest is our caller's.

All of that goes on inside QEMU. `departing.json` tells how far we have led it: what has begun is not begun again, for
QEMU's memory of an attempt that failed looks like one of an attempt that never was.
"""
from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tiffin.core import qemu_img, tunnel
from tiffin.core.confinement import user_for
from tiffin.core.driver import Impossible, Refused
from tiffin.services.compute.drivers import qemu_moves, qemu_nics, qmp
from tiffin.services.compute.drivers.departure import Block, Board, Channel, Departure, Progress, TunnelSource
from tiffin.services.compute.drivers.qemu_command import Drive

SOCKETS = {"memory": "memory", "disks": "blocks"}
"""QEMU's sockets in its folder, by channel."""
_WAIT = 1.0
"""Seconds that one call watches a guest whose memory goes, to be there when it stops."""
_MOMENT, _PATIENCE = 0.01, 20.0
_UNDER_WAY = ("setup", "active", "pre-switchover", "device", "wait-unplug", "cancelling")
_BROKE_OFF = {os.strerror(code) for code in (errno.EIO, errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN, errno.ENOTCONN)}
"""What a mirror says whose NBD server is gone."""
_ABILITIES = ("pause-before-switchover", "auto-converge")


class _Lead(msgspec.Struct):
    """How far we have led a departure."""

    step: str = "prepared"  # prepared, mirrored: the memory goes, equal: the mirrors have ended well


def _lead(folder: Path) -> _Lead | None:
    try:
        return msgspec.json.decode((folder / "departing.json").read_bytes(), type=_Lead)
    except FileNotFoundError:
        return None


def _led(folder: Path, step: str) -> None:
    partial = folder / "departing.partial"
    partial.write_bytes(msgspec.json.encode(_Lead(step)))
    os.rename(partial, folder / "departing.json")


# --- here -----------------------------------------------------------------------------------------------------------------


def depart(folder: Path, pid: int, accelerator: str) -> Departure:
    """What the other host needs."""
    with qmp.connect(folder, pid) as monitor:
        type = str(monitor.do("qom-get", {"path": "/machine", "property": "type"})).removesuffix("-machine")
        ports, slots = qemu_nics.slots(monitor)
    if _lead(folder) is None:
        _led(folder, "prepared")
    return Departure(Board(type, accelerator, ports, slots), blocks(folder))


def blocks(folder: Path) -> tuple[Block, ...]:
    """The disks and their sizes."""
    found = (folder / name for name in qemu_moves.NAMES if (folder / name).exists())
    return tuple(Block(path.name, _size(path)) for path in found)


def _size(path: Path) -> int:
    return qemu_img.qcow2_size(path) if path.suffix == ".qcow2" else path.stat().st_size


def migrate(folder: Path, pid: int, tunnels: TunnelSource, hurry: bool) -> Progress:
    """Lead it on."""
    lead = _lead(folder)
    if lead is None:
        raise Impossible(f"guest {folder.name} does not depart")
    with qmp.connect(folder, pid, seconds=_PATIENCE) as monitor:
        if lead.step == "prepared":
            if (progress := _mirror(monitor, folder, tunnels)) is not None:
                return progress
            _send_memory(monitor, folder, tunnels)
        if hurry and monitor.do("query-status")["status"] == "running":
            monitor.do("stop")
        deadline = time.monotonic() + _WAIT
        while True:
            progress = _watch(monitor, folder)
            if progress.state != "going" or time.monotonic() > deadline:
                return progress
            time.sleep(_MOMENT)


def _mirror(monitor: qmp.Monitor, folder: Path, tunnels: TunnelSource) -> Progress | None:
    """Have every disk mirrored. None once all are the same here and there."""
    disks = _disks(monitor)
    jobs = _jobs(monitor)
    for name in disks - jobs.keys():
        _begin(monitor, folder, name, tunnels)
    jobs = _jobs(monitor)
    if (lost := _lost(jobs)) is not None:
        return lost
    if all(job["status"] == "ready" for job in jobs.values()):
        return None
    return _progress("going", {}, jobs)


def _begin(monitor: qmp.Monitor, folder: Path, name: str, tunnels: TunnelSource) -> None:
    target = f"to-{name}"
    _forget_node(monitor, target)
    with tunnel.at(folder, target, tunnels(folder.name, "disks"), user_for(folder.name)):
        server = {"type": "unix", "path": target}
        monitor.do("blockdev-add", {"driver": "nbd", "node-name": target, "server": server, "export": name})
    monitor.do("blockdev-mirror", {"job-id": f"move-{name}", "device": name, "target": target,
                                   "sync": "top" if name == "root" else "full", "auto-dismiss": False})


def _send_memory(monitor: qmp.Monitor, folder: Path, tunnels: TunnelSource) -> None:
    wanted = [{"capability": name, "state": True} for name in _ABILITIES]
    monitor.do("migrate-set-capabilities", {"capabilities": wanted})
    with tunnel.at(folder, "to-memory", tunnels(folder.name, "memory"), user_for(folder.name)):
        _led(folder, "mirrored")  # first: what is begun twice may be two
        monitor.do("migrate", {"uri": "unix:to-memory"})


def _watch(monitor: qmp.Monitor, folder: Path) -> Progress:
    """How it goes, led on where QEMU waits for us."""
    said, jobs = monitor.do("query-migrate"), _jobs(monitor)
    status, lead = said.get("status", "none"), _lead(folder)
    assert lead is not None
    if status == "completed":
        return _progress("gone", said, jobs)
    if status not in _UNDER_WAY:
        return Progress("broken", f"QEMU says {status}: {said.get('error-desc', 'nothing more')}")
    if lead.step == "mirrored" and (lost := _lost(jobs)) is not None:
        return lost
    if status == "pre-switchover":
        if lead.step == "mirrored" and not _ended(monitor, jobs):
            return _progress("going", said, jobs)
        _led(folder, "equal")
        for name in _disks(monitor):
            _forget_mirror(monitor, name)
        monitor.do("migrate-continue", {"state": "pre-switchover"})
    return _progress("going", said, jobs)


def _ended(monitor: qmp.Monitor, jobs: dict[str, dict[str, Any]]) -> bool:
    """Whether every mirror has ended with all that the guest, which stands still, has written."""
    for name, job in jobs.items():
        if job["status"] == "ready":
            monitor.do("block-job-cancel", {"device": f"move-{name}"})
    return all(job["status"] == "concluded" for job in _jobs(monitor).values())


def _lost(jobs: dict[str, dict[str, Any]]) -> Progress | None:
    for name, job in jobs.items():
        if why := job.get("error"):
            return Progress("broken" if why in _BROKE_OFF else "failed", f"disk {name}: {why}")
    return None


def forget(folder: Path, pid: int | None, running: bool) -> None:
    """Have it stay."""
    if _lead(folder) is None:
        return
    if pid is not None:
        with qmp.connect(folder, pid, seconds=_PATIENCE) as monitor:
            _stop_migration(monitor)
            for name in _disks(monitor):
                _forget_mirror(monitor, name)
            if running and monitor.do("query-status")["status"] in ("paused", "postmigrate"):
                monitor.do("cont")
    (folder / "departing.json").unlink()


def _moments() -> Iterator[None]:
    """Looks at what ends by itself, for as long as one call may take. Raises `Refused` then: it is asked again."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        yield
        time.sleep(_MOMENT)
    raise Refused("the guest's process takes long to let go of its migration")


def _stop_migration(monitor: qmp.Monitor) -> None:
    for _ in _moments():
        status = monitor.do("query-migrate").get("status")
        if status not in _UNDER_WAY:
            break
        if status != "cancelling":
            monitor.do("migrate_cancel")
    for _ in _moments():
        if monitor.do("query-status")["status"] != "finish-migrate":
            return


def _forget_mirror(monitor: qmp.Monitor, name: str) -> None:
    for _ in _moments():
        job = _jobs(monitor).get(name)
        if job is None:
            break
        if job["status"] == "concluded":
            monitor.do("job-dismiss", {"id": f"move-{name}"})
        elif job["status"] not in ("aborting", "null"):
            monitor.do("block-job-cancel", {"device": f"move-{name}", "force": True})
    _forget_node(monitor, f"to-{name}")


def _forget_node(monitor: qmp.Monitor, node: str) -> None:
    if any(one.get("node-name") == node for one in monitor.do("query-named-block-nodes", {"flat": True})):
        monitor.do("blockdev-del", {"node-name": node})


def _disks(monitor: qmp.Monitor) -> set[str]:
    """The disks that the guest may write to, by the names of their nodes."""
    found = (one.get("inserted", {}) for one in monitor.do("query-block"))
    return {one["node-name"] for one in found if one and not one["ro"]}


def _jobs(monitor: qmp.Monitor) -> dict[str, dict[str, Any]]:
    """Our mirrors by the disk."""
    found = monitor.do("query-jobs")
    return {job["id"].removeprefix("move-"): job for job in found if job["id"].startswith("move-")}


def _progress(state: Any, said: dict[str, Any], jobs: dict[str, dict[str, Any]]) -> Progress:
    memory = said.get("ram", {})
    disks = [(int(job["total-progress"]), int(job["current-progress"])) for job in jobs.values()]
    total, done = sum(disk[0] for disk in disks), sum(disk[1] for disk in disks)
    return Progress(
        state, "", memory.get("total", 0), memory.get("transferred", 0), memory.get("remaining", 0),
        total, done, max(0, total - done))


# --- there ----------------------------------------------------------------------------------------------------------------


def await_guest(folder: Path, pid: int, drives: tuple[Drive, ...]) -> None:
    """Have QEMU listen for what comes."""
    with qmp.connect(folder, pid) as monitor:
        if monitor.do("query-status")["status"] != "inmigrate":
            raise Impossible(f"guest {folder.name} is here already")
        address = {"type": "unix", "data": {"path": f"run/{SOCKETS['disks']}"}}
        _once(monitor, "already running", "nbd-server-start", {"addr": address})
        exported = {one["id"] for one in monitor.do("query-block-exports")}
        for drive in drives:
            if not drive.read_only and f"in-{drive.name}" not in exported:
                monitor.do("block-export-add", {"type": "nbd", "id": f"in-{drive.name}", "node-name": drive.name,
                                                "name": drive.name, "writable": True})
        _once(monitor, "already", "migrate-incoming", {"uri": f"unix:run/{SOCKETS['memory']}"})


def _once(monitor: qmp.Monitor, said_if_done: str, command: str, arguments: dict[str, Any]) -> None:
    try:
        monitor.do(command, arguments)
    except qmp.CommandFailed as failed:
        if said_if_done not in failed.description:
            raise


def dial(folder: Path, pid: int, channel: Channel) -> socket.socket:
    """A stream to who waits."""
    name = SOCKETS[channel]
    if not (folder / "run" / name).exists():
        raise Impossible(f"guest {folder.name} is not awaited here")
    return qmp.dial(folder, pid, name, _PATIENCE)


def arrived(folder: Path, pid: int) -> bool:
    """Whether all is here."""
    deadline = time.monotonic() + _WAIT
    with qmp.connect(folder, pid) as monitor:
        while monitor.do("query-status")["status"] == "inmigrate":
            if time.monotonic() > deadline:
                return False
            time.sleep(_MOMENT)
        return True


def land(folder: Path, pid: int, running: bool) -> None:
    """Have it be ours."""
    with qmp.connect(folder, pid) as monitor:
        status = monitor.do("query-status")["status"]
        if status == "inmigrate":
            raise Impossible(f"guest {folder.name} has not arrived")
        _once(monitor, "not running", "nbd-server-stop", {})
        if status == "paused" and running:
            monitor.do("cont")
            monitor.do("announce-self", {"initial": 50, "max": 550, "rounds": 5, "step": 50})
