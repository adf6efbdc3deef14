"""Which Debian packages the work at hand needs, which of them are missing, and their installation."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tiffin.cli.errors import CliError
from tiffin.cli.progress import Step, run, step

# What is looked for (a program on PATH, or a file) and the package that brings it. By program and not by package, so
# that other distributions and hand-made installations count as well.
Needs = Mapping[str, str]

CLOUD: Needs = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "genisoimage": "genisoimage",
    "ovs-vswitchd": "openvswitch-switch",
    "ovsdb-server": "openvswitch-common",
    "ovn-northd": "ovn-central",
    "ovn-controller": "ovn-host",
    "ovn-nbctl": "ovn-common",
    "ip": "iproute2",
    "ethtool": "ethtool",
    "nft": "nftables",
    "ssh": "openssh-client",
}
TINY_IMAGE: Needs = {
    "qemu-img": "qemu-utils",
    "syslinux": "syslinux",
    "/usr/lib/syslinux/mbr/mbr.bin": "syslinux-common",
    "mcopy": "mtools",
    "mkfs.fat": "dosfstools",
    "mke2fs": "e2fsprogs",
    "cpio": "cpio",
    "depmod": "kmod",
}
DEBIAN_IMAGE: Needs = {**TINY_IMAGE, "mmdebstrap": "mmdebstrap", "sfdisk": "fdisk"}
REAL_TESTS: Needs = {
    **CLOUD,
    **TINY_IMAGE,
    "busybox": "busybox-static",
    "ping": "iputils-ping",
    "arping": "iputils-arping",
    "tcpdump": "tcpdump",
    "curl": "curl",
    "dhclient": "isc-dhcp-client",
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "rbd": "ceph-common",
    "tcc": "tcc",
}
POSTGRESQL: Needs = {"pg_ctlcluster": "postgresql"}
# Daemons that these packages would start for the whole machine; ours are started by ourselves, in namespaces.
UNITS = ("openvswitch-switch", "ovn-central", "ovn-host", "postgresql")


def missing(needs: Needs) -> list[str]:
    """The packages whose program or file is not there, in alphabetical order."""
    return sorted({package for wanted, package in needs.items() if not _found(wanted)})


def ensure(needs: Needs, log: Path) -> None:
    """Install what is missing, after naming it. Raises `CliError` when that is not possible here."""
    packages = missing(needs)
    if not packages:
        return
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise CliError(f"programs of these Debian packages are missing: {names}; install your system's equivalents.")
    if os.geteuid() != 0:
        raise CliError(f"packages are missing; as root type: apt-get install --no-install-recommends {names}")
    print(f"Installing {len(packages)} Debian packages: {names}")
    with _only_installer(), step("Debian packages") as current:
        _apt(["update"], current, log)
        _apt(["install", "--no-install-recommends", *packages], current, log)
        _disable(packages, current, log)
    if still := missing(needs):
        raise CliError(f"apt-get went well, but programs of {' '.join(still)} are still not on PATH; see {log}.")


def _found(wanted: str) -> bool:
    return Path(wanted).exists() if wanted.startswith("/") else shutil.which(wanted) is not None


def _apt(words: list[str], current: Step, log: Path) -> None:
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    # No APT::Status-Fd: on the pipe that packages' own scripts write to it made their `echo` fail (seen on Debian 12).
    options = ["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]
    run(["apt-get", "-y", "-q", *options, *words], current, log, quiet, apt_progress)


def apt_progress(line: str) -> str | None:
    """What to show of a line of apt-get's: what is fetched, unpacked, set up; nothing of the others."""
    verb, _, rest = line.partition(" ")
    words = rest.split()
    if verb.startswith("Get:") and len(words) > 3:
        return f"fetching {words[3]}"  # Get:1 URL suite architecture package ...
    if verb in ("Unpacking", "Setting") and words:
        return f"{verb.lower()} {rest.partition(' (')[0]}"
    return None


@contextmanager
def _only_installer() -> Iterator[None]:
    """One Tiffin at a time installs on a machine, and no daemon starts meanwhile: invoke-rc.d asks policy-rc.d
    (Debian policy 9.3.3.1), which we have unless the machine has its own."""
    policy = Path("/usr/sbin/policy-rc.d")
    descriptor = os.open("/var/lib/dpkg", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            yield
        finally:
            if ours:
                policy.unlink()
    finally:
        os.close(descriptor)


def _disable(packages: Iterable[str], current: Step, log: Path) -> None:
    """Keep the daemons of freshly installed packages from the next boot too; who had them before keeps them."""
    units = [unit for unit in UNITS if unit in packages]
    if units and Path("/run/systemd/system").exists():
        run(["systemctl", "disable", *units], current, log)
