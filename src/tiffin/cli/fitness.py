"""What a machine must have for real guests and real networks, beyond packages."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from tiffin.cli.packages import CLOUD, TINY_IMAGE, missing

# Bits of capabilities(7): namespaces and mounts, interfaces and routes.
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}


def obstacles() -> list[str]:
    """What keeps real guests from running here, each a short phrase; empty on a fit machine."""
    found = []
    if (system := platform.system()) != "Linux":
        return [f"the operating system is {system}, not Linux"]
    if (machine := platform.machine()) != "x86_64":
        found.append(f"the processor is {machine}; only x86_64 is supported so far")
    if os.geteuid() != 0:
        found.append("you are not root")
    else:
        effective = _effective_capabilities()
        withheld = [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]
        found += [f"{name} is withheld (a container?)" for name in withheld]
    if not Path("/dev/net/tun").exists():
        found.append("/dev/net/tun is missing (the kernel's tun module)")
    packages = missing({**CLOUD, **TINY_IMAGE})
    if packages and (os.geteuid() != 0 or shutil.which("apt-get") is None):
        found.append(f"programs of these Debian packages are missing: {' '.join(packages)}")
    return found


def _effective_capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:"))
