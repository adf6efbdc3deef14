"""The config drive: an ISO 9660 volume labelled config-2 with the metadata of the guest (Nova: config drive)."""
from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tiffin.core.confinement import give
from tiffin.core.driver import Refused
from tiffin.services.compute.drivers import guest_check


def ensure(guest_folder: Path, user: int | None, files: Mapping[str, bytes]) -> None:
    """Have `config.iso` with these files, by path inside the volume, readable by `user`.

    Raises `Impossible` for a path that leaves the volume.
    """
    guest_check.config_drive(files)
    digest = _digest(files)
    iso, label = guest_folder / "config.iso", guest_folder / "config.digest"
    if iso.exists() and label.exists() and label.read_text() == digest:
        return
    label.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=guest_folder, prefix=".config-") as scratch:
        volume = Path(scratch, "volume")
        volume.mkdir()
        for name, content in files.items():
            path = volume / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _burn(volume, Path(scratch, "config.iso"))
        give(Path(scratch, "config.iso"), user, 0o400)
        os.rename(Path(scratch, "config.iso"), iso)
    label.write_text(digest)


def _burn(volume: Path, iso: Path) -> None:
    command = ("genisoimage", "-quiet", "-o", str(iso), "-V", "config-2", "-J", "-r", "-l",
               "-ldots", "-allow-lowercase", "-allow-multidot", str(volume))
    try:
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
    except subprocess.CalledProcessError as error:
        raise Refused(f"genisoimage failed: {error.stderr[-400:].decode(errors='replace')}") from error
    except (subprocess.TimeoutExpired, OSError) as error:
        raise Refused(f"genisoimage did not run: {error}") from error


def _digest(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(files[name]).digest())
    return total.hexdigest()
