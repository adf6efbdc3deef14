"""Snapshots of root disks: standalone qcow2 files in the guest's folder, made while the caller does other things.

Of a running guest QEMU makes a backup of the disk as of that moment (blockdev-backup copies a block away before the
guest overwrites it); a stopped guest's disk is copied by qemu-img in a process of its own. Both go on without us, and a
new Tiffin finds them again: the job by QMP's query-jobs, the process by its pid file. If the guest ends in the middle
of a backup, the copy is made from its stopped disk instead.
"""
from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tiffin.core import qemu_img
from tiffin.core.confinement import give, user_for
from tiffin.core.driver import Impossible, Refused
from tiffin.services.compute.drivers import qmp
from tiffin.services.compute.drivers.base import Snapshot
from tiffin.services.compute.drivers.qemu_command import File, block_node

_COPY_LIMITS = qemu_img.Limits(cpu_seconds=1800)  # of CPU
_CHUNK = 1 << 20
# Tells its own pid, then copies, then tells how it went. "$@" is the command.
_COPY = 'echo $$ >copy.pid; echo; exec >/dev/null; "$@"; echo $? >copy.status'


def ensure(guest_folder: Path, pid: int | None, snapshot_id: str) -> Snapshot | None:
    """Have the snapshot of the guest, whose QEMU is `pid` if it runs; None while it is being made."""
    if not (guest_folder / "root.qcow2").exists():
        raise Impossible(f"guest {guest_folder.name} has no root disk on this host")
    folder = _folder(guest_folder, snapshot_id)
    if not (folder / "disk.qcow2").exists():
        if _copied(folder):
            os.rename(folder / "partial.qcow2", folder / "disk.qcow2")
        elif not (_back_up(folder, pid) if pid else _copy(folder)):
            return None
    disk = folder / "disk.qcow2"
    return Snapshot("qcow2", disk.stat().st_size, qemu_img.qcow2_size(disk))


def read(guests_folder: Path, snapshot_id: str) -> Iterator[bytes]:
    """The bytes of a complete snapshot. Raises `Impossible` when there is none."""
    found = next(guests_folder.glob(f"*/snapshots/{snapshot_id}/disk.qcow2"), None)
    if found is None:
        raise Impossible(f"there is no snapshot {snapshot_id} on this host")
    return _chunks(found)


def forget(guest_folder: Path, pid: int | None, snapshot_id: str) -> None:
    """Have no such snapshot, complete or not."""
    folder = _folder(guest_folder, snapshot_id)
    end_copy(folder)
    if pid is not None:
        with qmp.connect(guest_folder, pid, seconds=30) as monitor:
            _abandon(monitor, snapshot_id)
    shutil.rmtree(folder, ignore_errors=True)


def end_copy(folder: Path) -> None:
    """End the process that copies into this folder, if there is one."""
    if (pid := _copying(folder)) is not None:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def owner(guests_folder: Path, snapshot_id: str) -> Path | None:
    """The folder of the guest that a snapshot, complete or not, is of."""
    found = next(guests_folder.glob(f"*/snapshots/{snapshot_id}"), None)
    return found.parent.parent if found else None


def _folder(guest_folder: Path, snapshot_id: str) -> Path:
    return guest_folder / "snapshots" / snapshot_id


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _prepare(folder: Path) -> None:
    """An empty folder with an empty qcow2 of the disk's size, which the guest's user may write."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in (folder.parent, folder):
        path.chmod(0o711)
    guest_folder = folder.parent.parent
    user = user_for(guest_folder.name)
    size = qemu_img.qcow2_size(guest_folder / "root.qcow2")
    qemu_img.run(folder, None, "create", "-q", "-f", "qcow2", "partial.qcow2", str(size))
    for name in ("partial.qcow2", "copy.pid", "copy.status"):
        (folder / name).touch()
        give(folder / name, user, 0o600)


def _back_up(folder: Path, pid: int) -> bool:
    """Start the backup inside QEMU, or see how it goes; whether it is complete."""
    guest_folder, id = folder.parent.parent, folder.name
    with qmp.connect(guest_folder, pid, seconds=30) as monitor:
        job = _job(monitor, id)
        if job is None:
            _abandon(monitor, id)
            _prepare(folder)
            target = File(f"snapshots/{id}/partial.qcow2", "qcow2")
            monitor.do("blockdev-add", block_node(_node(id), target))
            monitor.do("blockdev-backup", {"device": "root", "target": _node(id), "sync": "full", "job-id": _job_id(id),
                                           "auto-dismiss": False})
            return False
        if job["status"] != "concluded":
            return False
        if job.get("error"):
            _abandon(monitor, id)
            raise Refused(f"the snapshot of guest {guest_folder.name} failed: {job['error']}")
        # Removing the node writes QEMU's caches out. The job goes last: without it the copy would be made anew.
        _forget_node(monitor, id)
        os.rename(folder / "partial.qcow2", folder / "disk.qcow2")
        monitor.do("job-dismiss", {"id": _job_id(id)})
    return True


def _abandon(monitor: qmp.Monitor, id: str) -> None:
    """Have neither the job nor the node of this snapshot in QEMU."""
    job = _job(monitor, id)
    if job is not None and job["status"] != "concluded":
        monitor.do("job-cancel", {"id": _job_id(id)})
        monitor.wait_event(lambda event: event["event"] == "JOB_STATUS_CHANGE" and event["data"]["id"] == _job_id(id)
                           and event["data"]["status"] == "concluded", seconds=20)
    if job is not None:
        monitor.do("job-dismiss", {"id": _job_id(id)})
    _forget_node(monitor, id)


def _forget_node(monitor: qmp.Monitor, id: str) -> None:
    if any(each.get("node-name") == _node(id) for each in monitor.do("query-named-block-nodes", {"flat": True})):
        monitor.do("blockdev-del", {"node-name": _node(id)})


def _job(monitor: qmp.Monitor, id: str) -> dict[str, Any] | None:
    return next((each for each in monitor.do("query-jobs") if each["id"] == _job_id(id)), None)


def _copy(folder: Path) -> bool:
    """Start copying the stopped guest's disk, unless that goes on already."""
    if _copying(folder) is not None:
        return False
    _prepare(folder)
    guest_folder = folder.parent.parent
    command = (*qemu_img.leash(user_for(guest_folder.name), _COPY_LIMITS), "sh", "-c", _COPY, f"copy-{folder.name}",
               "qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", "-n", "-t", "writeback",
               "../../root.qcow2", "partial.qcow2")
    try:
        # It tells its pid before it says a word, and outlives us.
        with subprocess.Popen(("setsid", "--fork", *command), cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as starter:
            assert starter.stdout is not None
            starter.stdout.readline()
    except OSError as error:
        raise Refused(f"the snapshot of guest {guest_folder.name} cannot start: {error}") from error
    return False


def _copied(folder: Path) -> bool:
    """Whether qemu-img has made a complete copy. Raises `Refused` when it failed."""
    try:
        status = (folder / "copy.status").read_text().strip()
    except FileNotFoundError:
        return False
    if status and status != "0":
        shutil.rmtree(folder, ignore_errors=True)
        raise Refused(f"the snapshot of guest {folder.parent.parent.name} failed: qemu-img ended with {status}")
    return status == "0"


def _copying(folder: Path) -> int | None:
    """The pid of the process that copies into this folder, and the id of its group."""
    try:
        pid = int((folder / "copy.pid").read_text() or 0)
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if f"copy-{folder.name}".encode() in words else None


def _job_id(snapshot_id: str) -> str:
    return f"snapshot-{snapshot_id}"


def _node(snapshot_id: str) -> str:
    """Node names hold 31 characters; the id's own dashes are what it can spare."""
    return "s" + snapshot_id.replace("-", "")[:30]
