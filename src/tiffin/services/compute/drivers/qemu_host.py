"""What this machine is and has, and which QEMU it has."""
from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import msgspec

from tiffin.core.driver import Refused
from tiffin.services.compute.drivers.base import HostFacts

PINNED_MACHINE = "pc-q35-7.2"
_FORMATS = ("AKI", "AMI", "ARI", "ISO", "QCOW2", "RAW", "VDI", "VHD", "VHDX", "VMDK")
_TRAITS = ("COMPUTE_NODE", "COMPUTE_NET_ATTACH_INTERFACE", "HW_ARCH_X86_64",
           *(f"COMPUTE_IMAGE_TYPE_{format}" for format in _FORMATS))


class Installed(msgspec.Struct, frozen=True):
    """The installed QEMU: its version as a number (7.2.22 is 7002022) and the machine type for guests."""

    binary: str
    stamp: str  # changes with the binary
    version: int
    machine: str


def installed(binary: str, memory: Path) -> Installed:
    """Which QEMU this is; remembered in the file `memory` for as long as the binary stays the same.

    Raises `Refused` when it is not there or does not run.
    """
    path = shutil.which(binary)
    if path is None:
        raise Refused(f"{binary} is not installed")
    status = os.stat(path)
    stamp = f"{status.st_mtime_ns}-{status.st_size}"
    try:
        known = msgspec.json.decode(memory.read_bytes(), type=Installed)
        if (known.binary, known.stamp) == (path, stamp):
            return known
    except (FileNotFoundError, msgspec.DecodeError):
        pass
    found = Installed(path, stamp, _version(_ask(path, "-version")), machine_type(_ask(path, "-machine", "help")))
    memory.write_bytes(msgspec.json.encode(found))
    return found


def machine_type(offered: str) -> str:
    """The pinned machine type, or the newest q35 that this QEMU offers. Raises `Refused` when it has none."""
    versions = re.findall(r"^pc-q35-(\d+)\.(\d+)\s", offered, re.MULTILINE)
    if not versions:
        raise Refused("this QEMU has no q35 machine")
    names = {f"pc-q35-{major}.{minor}": (int(major), int(minor)) for major, minor in versions}
    return PINNED_MACHINE if PINNED_MACHINE in names else max(names, key=lambda name: names[name])


def facts(hostname: str, version: int, accelerator: str, disk: Path, cpu_allocation_ratio: float) -> HostFacts:
    """The facts of this machine; its disk is the file system that `disk` lies on."""
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    space = os.statvfs(disk)
    return HostFacts(
        hostname=hostname, hypervisor_type="QEMU", hypervisor_version=version, accelerator=accelerator,
        architecture=platform.machine(), cpu_model=model[1] if model else "unknown",
        vcpus=len(os.sched_getaffinity(0)), memory_mb=int(memory[1]) // 1024 if memory else 0,
        disk_gb=space.f_blocks * space.f_frsize >> 30, cpu_allocation_ratio=cpu_allocation_ratio, traits=_TRAITS)


def _version(text: str) -> int:
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", text)
    if found is None:
        raise Refused(f"QEMU does not tell its version: {text[:100]!r}")
    major, minor, micro = map(int, found.groups())
    return major * 1_000_000 + minor * 1000 + micro


def _ask(binary: str, *arguments: str) -> str:
    try:
        return subprocess.run((binary, *arguments), check=True, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=30).stdout
    except (subprocess.SubprocessError, OSError) as error:
        raise Refused(f"QEMU does not run: {error}") from error
