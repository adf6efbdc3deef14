"""Lets a guest's user open the device nodes that QEMU needs, where the machine keeps them for root or a group.

Debian opens /dev/net/tun to all and /dev/kvm to a group; machines without udev keep both for root. To open them is
harmless by itself (Linux: Documentation/networking/tuntap.rst). Only this guest sees our open nodes, in a mount
namespace of its own; the machine's stay as they are.
"""
from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

# Binds each pair of the words up to "--" (our node, the machine's), then becomes the rest.
_BIND = 'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 1; shift 2; done; shift; exec "$@"'


def opened(nodes: Sequence[Path], folder: Path, user: int | None) -> tuple[str, ...]:
    """What to put before a command of `user` so that it can open these nodes; nothing when it can anyway.

    Our own nodes lie in `folder`, whose file system must allow device nodes.
    """
    closed = [node for node in nodes if user is not None and node.exists() and node.stat().st_mode & 0o006 != 0o006]
    if not closed:
        return ()
    words: list[str] = []
    folder.mkdir(mode=0o700, exist_ok=True)
    for node in closed:
        ours = folder / node.name
        if not ours.exists():
            os.mknod(ours, stat.S_IFCHR, node.stat().st_rdev)
        ours.chmod(0o666)
        words += [str(ours), str(node)]
    return ("unshare", "--mount", "sh", "-c", _BIND, "sh", *words, "--")
