"""The serial console of a guest, as QEMU logs it. A guest may write for ever, so the log is trimmed whenever we look.

QEMU appends (O_APPEND), so that the file may be cut under it: what is kept moves to a second file, the first starts
anew. An emulated serial port gives well under 1 MB/s; a reconciler that looks every minute bounds the file to 60 MB.
"""
from __future__ import annotations

import os
from pathlib import Path

KEPT = 1 << 20  # bytes
_TRIM_AT = 4 << 20


def read(guest_folder: Path, lines: int | None) -> bytes:
    """The last `lines` lines, or all that is kept, at most 1 MiB; empty when the guest never wrote."""
    trim(guest_folder)
    text = _tail(guest_folder / "console.log")
    if len(text) < KEPT:
        text = (_tail(guest_folder / "console.old") + text)[-KEPT:]
    if lines is None:
        return text
    return b"".join(text.splitlines(keepends=True)[-lines:]) if lines > 0 else b""


def trim(guest_folder: Path) -> None:
    """Cut the log when it has grown too long. What the guest writes between the copy and the cut is lost."""
    log = guest_folder / "console.log"
    try:
        if log.stat().st_size <= _TRIM_AT:
            return
        partial = guest_folder / "console.partial"
        partial.write_bytes(_tail(log))
        os.rename(partial, guest_folder / "console.old")
        os.truncate(log, 0)
    except FileNotFoundError:
        return  # forgotten meanwhile


def _tail(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - KEPT))
            return file.read(KEPT)
    except FileNotFoundError:
        return b""
