"""The disk with the state of a real cloud is full for a while, under load."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from drills.real.drill import Drill, again, end, load, real_cloud
from running_cloud import RunningCloud
from storm import rows
from world import assert_becomes

pytestmark = pytest.mark.real
SIZE = 12 << 30
"""Bytes, of which the file below takes as many as are written: flavors want some GiB."""
FULL = 5.0
"""Seconds for which there is no room."""


@pytest.fixture
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


def fill(ballast: Path) -> None:
    """Take all room there is, to the last block."""
    size = 64 << 20
    with open(ballast, "ab") as file:
        while size >= 4096:
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), file.tell(), size)
                file.seek(size, os.SEEK_CUR)
                continue
            size //= 2


def test_a_full_disk(cloud: RunningCloud) -> None:
    """Who asks hears why it cannot be; what was accepted is done when there is room, or has failed with a reason."""
    ballast = cloud.home / "ballast"
    with load(cloud) as drill:
        image = {"name": "empty", "disk_format": "raw", "container_format": "bare"}
        empty = drill.owner.make("/image/v2/images", image)["id"]

        def trouble() -> None:
            fill(ballast)
            began = time.monotonic()
            _upload_is_refused(drill, empty)
            time.sleep(max(0.0, began + FULL - time.monotonic()))
            ballast.unlink()

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


def _upload_is_refused(drill: Drill, image: str) -> None:
    """Bytes are what surely needs room."""
    connection = http.client.HTTPConnection(drill.cloud.address, timeout=30)
    headers = {"X-Auth-Token": drill.owner.token, "Content-Type": "application/octet-stream"}
    connection.request("PUT", f"/image/v2/images/{image}/file", bytes(100_000), headers)
    reply = connection.getresponse()
    words = reply.read().decode()
    connection.close()
    assert (reply.status, "room" in words or "database" in words) in ((413, True), (503, True)), (reply.status, words)
