"""The leash on which programs read what tenants wrote (CVE-2015-5162: `qemu-img info` that takes all memory and time)."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin.core import qemu_img
from tiffin.core.confinement import user_for
from tiffin.core.driver import Impossible, Refused

USER = user_for("somebody")
PYTHON = (sys.executable, "-S", "-E", "-c")


def leashed(program: str, limits: qemu_img.Limits = qemu_img.Limits()) -> subprocess.CompletedProcess[bytes]:  # noqa: B008
    command = (*qemu_img.leash(None, limits), *PYTHON, program)
    return subprocess.run(command, capture_output=True, cwd="/", timeout=60, check=False)


def test_memory_is_bounded() -> None:
    assert leashed("bytearray(1 << 20)").returncode == 0
    assert b"MemoryError" in leashed("bytearray(2 << 30)").stderr


def test_time_is_bounded() -> None:
    assert leashed("while True: pass", qemu_img.Limits(cpu_seconds=1)).returncode < 0


def test_files_are_bounded(tmp_path: Path) -> None:
    write = f"open({str(tmp_path / 'out')!r}, 'wb').truncate(2 << 20)"
    assert leashed(write).returncode == 0
    assert b"File too large" in leashed(write, qemu_img.Limits(file_bytes=1 << 20)).stderr


def test_no_core_is_dumped() -> None:
    assert leashed("import resource; assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)").returncode == 0
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY  # ours is not


@pytest.mark.skipif(USER is None, reason="needs root")
def test_rights_are_taken() -> None:
    command = (
        *qemu_img.leash(USER),
        "sh",
        "-c",
        "id -u; cat /etc/shadow; grep -E 'CapEff|NoNewPrivs' /proc/self/status",
    )
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60, check=False)
    assert done.stdout.split() == [str(USER), "CapEff:", "0000000000000000", "NoNewPrivs:", "1"]
    assert "denied" in done.stderr


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of the user's own."""
    made = Path(tempfile.mkdtemp(dir="/var/tmp"))
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


def test_a_disk_is_made_and_its_size_known(folder: Path) -> None:
    qemu_img.run(folder, USER, "create", "-q", "-f", "qcow2", "disk", "10M")
    assert qemu_img.qcow2_size(folder / "disk") == 10 << 20


def test_what_it_says_is_told(folder: Path) -> None:
    (folder / "disk").write_bytes(b"no qcow2 at all")
    with pytest.raises(Refused, match="Image is not in qcow2 format"):
        qemu_img.run(folder, USER, "convert", "-f", "qcow2", "-O", "raw", "disk", "out")
    with pytest.raises(Impossible, match="not a qcow2 image"):
        qemu_img.qcow2_size(folder / "disk")


def test_an_output_that_is_too_large(folder: Path) -> None:
    qemu_img.run(folder, USER, "create", "-q", "-f", "qcow2", "disk", "10M")
    with pytest.raises(Refused, match="convert failed"):
        qemu_img.run(
            *(folder, USER, "convert", "-f", "qcow2", "-O", "raw", "disk", "out"),
            limits=qemu_img.Limits(file_bytes=1 << 20),
        )
