"""Who the programs run as that touch what tenants wrote: a user of their own for each guest, with no right at all.

QEMU's attack surface is the guest, qemu-img's is the image. Both run as a user id that owns nothing but that guest's
files, so that a guest which breaks out reads neither its neighbour's disk nor the host's.
"""
from __future__ import annotations

import hashlib
import os
from pathlib import Path

# systemd's list of user ids leaves 1879048192..2147483647 unused (docs/UIDS-GIDS.md): 2^28 ids, so that two of 1000
# guests share one with a chance of 1 in 500, and then only lose the wall between those two.
_FIRST = 1_879_048_192
_COUNT = 1 << 28


def user_for(id: str) -> int | None:
    """The user id for what runs on behalf of `id`; None when this process is not root and can only run it as itself."""
    if os.geteuid() != 0:
        return None
    return _FIRST + int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "big") % _COUNT


def as_user(user: int | None) -> tuple[str, ...]:
    """What to put before a command so that it runs as `user`, without capabilities or ways to get them back."""
    if user is None:
        return ()
    return ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs",
            "--bounding-set=-all", "--inh-caps=-all")


def give(path: Path, user: int | None, mode: int) -> None:
    """Make `path` belong to `user`, who may do `mode` with it."""
    os.chmod(path, mode)
    if user is not None:
        os.chown(path, user, user)
