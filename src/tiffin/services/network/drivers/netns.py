"""Network namespaces: make them, remove them, and run a piece of work inside one. Standard library only."""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17
_FOLDER = Path("/run/netns")
_libc = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class NetworkCommandFailed(Exception):
    """`ip` refused; the message is its own."""


def exists(netns: str) -> bool:
    return (_FOLDER / netns).exists()


def names(prefix: str) -> list[str]:
    """The namespaces whose name starts with this prefix."""
    if not _FOLDER.is_dir():
        return []
    return sorted(entry.name for entry in _FOLDER.iterdir() if entry.name.startswith(prefix))


def inode(netns: str) -> int:
    """The identity of a namespace, comparable with that of `/proc/PID/ns/net`; 0 if there is none."""
    try:
        return (_FOLDER / netns).stat().st_ino
    except FileNotFoundError:
        return 0


def has(netns: str, interface: str) -> bool:
    """Whether the namespace has an interface of this name."""
    return interface in inside(netns, interfaces)


def interfaces() -> frozenset[str]:
    """The interfaces of the calling thread's namespace."""
    return frozenset(name for _, name in socket.if_nameindex())


def full_checksums(interface: str) -> None:
    """Have the kernel finish every checksum that it sends here, from within the interface's namespace.

    Open vSwitch 3.1 garbles unfinished ones when it translates addresses, and some receivers look.
    The request: linux/ethtool.h, ETHTOOL_STXCSUM."""
    value = array.array("I", [_ETHTOOL_STXCSUM, 0])
    request = struct.pack("16sP16x", interface.encode(), value.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)


def create(netns: str) -> None:
    """Have this namespace, with its loopback interface up, no forwarding and no IPv6 on interfaces to come.

    Interfaces of a switch must not speak for themselves: a guest could talk to the kernel behind its tap."""
    if not exists(netns):
        ip("netns", "add", netns)
        inside(netns, lambda: sysctl({"net/ipv4/ip_forward": "0"}))
    inside(netns, lambda: sysctl({"net/ipv6/conf/default/disable_ipv6": "1"}))
    ip("-n", netns, "link", "set", "lo", "up")


def remove(netns: str) -> None:
    """Forget this namespace; virtual interfaces in it go with it."""
    if exists(netns):
        ip("netns", "del", netns)


def sysctl(values: dict[str, str]) -> None:
    """Write these kernel settings (paths below /proc/sys), as seen from the calling thread's namespace."""
    for path, value in values.items():
        Path("/proc/sys", path).write_text(value)


def ip(*arguments: str) -> str:
    """Run `ip` with these arguments and give what it prints; raises `NetworkCommandFailed`."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise NetworkCommandFailed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def ip_batch(netns: str, *lines: str) -> None:
    """Run several `ip` commands inside a namespace in one process; the first that fails ends it."""
    done = subprocess.run(
        ["ip", "-n", netns, "-batch", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if done.returncode:
        raise NetworkCommandFailed(f"in {netns}: {done.stderr.strip()}")


def inside(netns: str, work: Callable[[], T]) -> T:
    """Run `work` on a thread that has entered the namespace and give its result. What it opens stays there.

    A thread of its own, because a thread that failed to come back would carry the wrong namespace into other work."""
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            _enter(netns)
            results.append(work())
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run, name=f"in {netns}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _enter(netns: str) -> None:
    """Move the calling thread; `os.setns` came only with Python 3.12."""
    with open(_FOLDER / netns, "rb") as handle:
        if _libc.setns(handle.fileno(), _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, f"cannot enter the network namespace {netns}: {os.strerror(number)}")
