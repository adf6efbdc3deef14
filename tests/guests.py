"""Guests without a machine: a namespace whose interface is wired to the tap that a hypervisor would open."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from tiffin.services.network.drivers import netns
from tiffin.services.network.drivers.base import Network, Port
from tiffin.services.network.drivers.ovn_names import Names

T = TypeVar("T")
_TUNSETIFF = 0x400454CA
_TAP_NO_HEADER = 0x1002

_DHCP_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
env > "$LEASE"
ip address replace "$ip/$mask" dev "$interface"
if [ -n "$staticroutes" ]; then set -- $staticroutes
  while [ -n "$1" ]; do ip route replace "$1" via "$2" dev "$interface"; shift 2; done
elif [ -n "$router" ]; then ip route replace default via "$router"; fi
"""


class Wires:
    """Copies frames between pairs of taps, as a hypervisor does."""

    def __init__(self) -> None:
        self._peer: dict[int, int] = {}
        self._poll = select.epoll()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wires", daemon=True)
        self._thread.start()

    def connect(self, one: int, other: int) -> None:
        for fd, peer in ((one, other), (other, one)):
            self._peer[fd] = peer
            self._poll.register(fd, select.EPOLLIN)

    def close(self) -> None:
        self._end.set()
        self._thread.join()
        self._poll.close()
        for fd in self._peer:
            os.close(fd)

    def _run(self) -> None:
        while not self._end.is_set():
            for fd, _ in self._poll.poll(0.1):
                try:
                    os.write(self._peer[fd], os.read(fd, 65536))
                except OSError:  # one end is down or gone: the frame is lost, as on any wire
                    continue


class Guest:
    """A port's machine. `close` removes it; its tap is left to whoever plugged it."""

    def __init__(self, names: Names, wires: Wires, port: Port, tap: str, folder: Path) -> None:
        self.port, self._folder = port, folder
        self.netns = f"{names.prefix}vm-{port.id[:8]}"
        netns.ip("netns", "add", self.netns)
        self.inside(
            lambda: netns.sysctl({"net/ipv6/conf/default/accept_ra": "2", "net/ipv6/conf/default/accept_dad": "0"})
        )
        mine = self.inside(lambda: open_tap("eth0"))
        netns.ip_batch(self.netns, "link set lo up", f"link set eth0 address {port.mac_address} mtu 1442 up")
        wires.connect(netns.inside(names.netns, lambda: open_tap(tap)), mine)

    def close(self) -> None:
        netns.remove(self.netns)

    def inside(self, work: Callable[[], T]) -> T:
        return netns.inside(self.netns, work)

    def run(self, *command: str, timeout: float = 10) -> subprocess.CompletedProcess[str]:
        return run_in(self.netns, *command, timeout=timeout)

    def address(self, *addresses: str) -> None:
        netns.ip_batch(self.netns, *(f"address add {address} dev eth0" for address in addresses))

    def configured(self, network: Network) -> Guest:
        """With its fixed address and the network's gateway set by hand."""
        subnet = network.subnets[0]
        self.address(f"{self.port.fixed_ips[0].ip_address}/{subnet.cidr.partition('/')[2]}")
        if subnet.gateway_ip:
            netns.ip("-n", self.netns, "route", "add", "default", "via", subnet.gateway_ip)
        return self

    def lease(self) -> dict[str, str]:
        """Ask for an address by DHCP and take it; what the server said."""
        script, told = self._folder / "udhcpc", self._folder / f"{self.netns}.lease"
        script.write_text(_DHCP_SCRIPT)
        script.chmod(0o700)
        done = subprocess.run(
            [
                "nsenter",
                f"--net=/run/netns/{self.netns}",
                "busybox",
                "udhcpc",
                "-i",
                "eth0",
                "-n",
                "-q",
                "-f",
                "-t",
                "10",
                "-T",
                "1",
                "-s",
                str(script),
                "-x",
                "hostname:ask",
                "-O",
                "staticroutes",
                "-O",
                "mtu",
                "-O",
                "search",
            ],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={**os.environ, "LEASE": str(told)},
        )
        if done.returncode:
            raise AssertionError(f"no lease: {done.stderr}")
        return dict(line.split("=", 1) for line in told.read_text().splitlines() if "=" in line)

    def pings(self, address: str, *options: str) -> bool:
        return pings_from(self.netns, address, *options)

    def is_refused(self, address: str, *options: str) -> bool:
        """Whether echo requests to there stay without an answer."""
        return silent_from(self.netns, address, *options)

    def opens(self, address: str, port: int, seconds: float = 0.5) -> bool:
        """Whether a TCP connection opens."""
        return opens_from(self.netns, address, port, seconds)


class Listener:
    """A TCP server in a namespace that remembers who came."""

    def __init__(self, space: str, port: int) -> None:
        def listening() -> socket.socket:
            return socket.create_server(("", port), backlog=64)

        self._socket = netns.inside(space, listening)
        self.remotes: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while True:
            try:
                connection, remote = self._socket.accept()
            except OSError:
                return
            self.remotes.append(remote[0])
            connection.close()


class VlanSniffer:
    """Collects the VLAN tags of what arrives outside."""

    def __init__(self, space: str) -> None:
        self.tags: set[int] = set()

        def opened() -> socket.socket:
            one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            one.bind(("eth0", 0))
            one.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the kernel tells the tag beside the frame
            one.settimeout(0.1)
            return one

        self._socket = netns.inside(space, opened)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> VlanSniffer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                frame, auxiliary, _, _ = self._socket.recvmsg(2048, 256)
            except TimeoutError:
                continue
            if frame[12:14] == b"\x81\x00":
                self.tags.add(struct.unpack("!H", frame[14:16])[0] & 0xFFF)
            for _, _, data in auxiliary:
                status, *_, tag, _ = struct.unpack("IIIHHHH", data[:20])
                if status & 0x10:
                    self.tags.add(tag & 0xFFF)


def run_in(space: str, *command: str, timeout: float = 10) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["nsenter", f"--net=/run/netns/{space}", *command], capture_output=True, text=True, timeout=timeout, check=False
    )


def pings_from(space: str, address: str, *options: str) -> bool:
    """Whether an echo request is answered within five seconds; it asks five times a second."""
    return run_in(space, "ping", "-n", "-c", "1", "-w", "5", "-i", "0.2", *options, address).returncode == 0


def silent_from(space: str, address: str, *options: str) -> bool:
    """Whether two echo requests are not answered within half a second."""
    return run_in(space, "ping", "-n", "-c", "2", "-i", "0.1", "-W", "0.4", *options, address).returncode != 0


def opens_from(space: str, address: str, port: int, seconds: float = 0.5) -> bool:
    def attempt() -> bool:
        try:
            with closing(socket.create_connection((address, port), seconds)):
                return True
        except OSError:
            return False

    return netns.inside(space, attempt)


def open_tap(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP_NO_HEADER))
    return fd
