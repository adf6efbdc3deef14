"""The simulated snapshot is an image that QEMU accepts."""
from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tiffin.simulator.qcow2 import empty_qcow2

pytestmark = pytest.mark.real


@pytest.mark.parametrize("size", [512, 1 << 20, 5 << 30, 20 << 40])
def test_qemu_accepts_it(tmp_path: Path, size: int) -> None:
    (tmp_path / "disk").write_bytes(empty_qcow2(size, b"a label"))
    subprocess.run(("qemu-img", "check", "-q", "-f", "qcow2", "disk"), cwd=tmp_path, check=True)
    told = subprocess.run(("qemu-img", "info", "-f", "qcow2", "--output=json", "disk"), cwd=tmp_path, check=True,
                          capture_output=True).stdout
    assert json.loads(told)["virtual-size"] == size
