"""The disk with the state of a real cloud is full for a while, under load."""

from __future__ import annotations

import http.client
import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from drills.real.drill import Drill, again, end, load, real_cloud
from drivers import boot_sector
from mixed_storm import BusyTenant
from running_cloud import RunningCloud
from storm import rows
from tiffin.services.compute.drivers import qemu_power, qemu_process
from tiffin.services.compute.rules import RUNNING
from world import assert_becomes

pytestmark = pytest.mark.real
SIZE = 12 << 30
"""Bytes, of which the file below takes as many as are written: flavors want some GiB."""
FULL = 5.0
"""Seconds for which there is no room."""
EMPTY = {"name": "empty", "disk_format": "raw", "container_format": "bare"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    """Its folder is a small file system of its own."""
    folder = Path(tempfile.mkdtemp(prefix="tf-", dir="/var/tmp"))
    volume = folder.with_suffix(".ext4")
    try:
        with open(volume, "wb") as file:
            file.truncate(SIZE)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", volume], check=True)
        subprocess.run(["mount", "-o", "loop", volume, folder], check=True)
        shutil.rmtree(folder / "lost+found")
        try:
            with real_cloud(folder=folder) as cloud:
                yield cloud
        finally:
            subprocess.run(["umount", folder], check=True)
    finally:
        volume.unlink()
        folder.rmdir()


@contextmanager
def no_room(cloud: RunningCloud) -> Iterator[None]:
    """None to the last block, for as long as the block of code lasts."""
    ballast, size = cloud.home / "ballast", 1 << 30
    with open(ballast, "ab") as file:
        while size >= 4096:
            try:
                os.posix_fallocate(file.fileno(), file.tell(), size)
                file.seek(size, os.SEEK_CUR)
            except OSError:
                size //= 2
    try:
        yield
    finally:
        ballast.unlink()


def test_a_full_disk(cloud: RunningCloud) -> None:
    """Who asks hears why it cannot be; what was accepted is done when there is room, or has failed with a reason."""
    with load(cloud) as drill:
        empty = drill.owner.make("/image/v2/images", EMPTY)["id"]

        def trouble() -> None:
            with no_room(cloud):
                began = time.monotonic()
                _upload_is_refused(drill, empty)
                time.sleep(max(0.0, began + FULL - time.monotonic()))

        again(trouble)
        assert all("database" in words or "room" in words for words in drill.owner.excuses), drill.owner.excuses
        drill.owner.reaches_outside()
        end(drill, patience=120)
        made = drill.owner.make_server("after")
        assert made is not None
        assert_becomes(lambda: drill.owner.servers()[made]["status"], "ACTIVE")
        drill.owner.delete_server(made)
        drill.owner.delete(f"/image/v2/images/{empty}")
    assert rows(cloud.home, "PRAGMA integrity_check") == [("ok",)]


def test_a_guest_that_finds_no_room_waits_for_it(cloud: RunningCloud) -> None:
    """QEMU pauses it at what it writes, and the cloud has it try again."""
    owner = BusyTenant(cloud, boot_sector.disk(sector_at_boot=0x1FF))
    id = owner.make_server("writer")
    assert id is not None
    assert_becomes(lambda: owner.servers()[id]["status"], "ACTIVE")
    folder = cloud.home / "host/guests" / id
    console = folder / "console.log"
    assert_becomes(lambda: "login" in console.read_text(), True)
    with no_room(cloud), socket.socket(socket.AF_UNIX) as serial:
        serial.connect(str(folder / "run/serial"))
        serial.sendall(b"w")  # to a part of its disk that is nowhere yet
        assert_becomes(lambda: qemu_power.state(folder, qemu_process.find(folder, id)).power, "paused")
    assert_becomes(lambda: "written" in console.read_text(), True)
    shown = owner.servers()[id]
    assert (shown["status"], shown["OS-EXT-STS:power_state"]) == ("ACTIVE", RUNNING)
    owner.delete_server(id)
    owner.leave([])


def _upload_is_refused(drill: Drill, image: str) -> None:
    """Bytes are what surely needs room."""
    connection = http.client.HTTPConnection(drill.cloud.address, timeout=30)
    connection.putrequest("PUT", f"/image/v2/images/{image}/file")
    size, sent = 256 << 20, 0  # more than deleted guests may give back meanwhile
    told = {"X-Auth-Token": drill.owner.token, "Content-Type": "application/octet-stream", "Content-Length": str(size)}
    for name, value in told.items():
        connection.putheader(name, value)
    connection.endheaders()
    with suppress(ConnectionError):  # it may answer, and hang up, before it has heard all
        while sent < size and not select.select([connection.sock], [], [], 0.01)[0]:
            connection.send(bytes(1 << 20))
            sent += 1 << 20
    reply = connection.getresponse()
    words = reply.read().decode()
    connection.close()
    assert (reply.status, "room" in words or "database" in words) in ((413, True), (503, True)), (reply.status, words)
