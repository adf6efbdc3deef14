"""The external side of the cloud: a namespace that plays the outside world, and what the public network is tied to.

| external | what it does |
|---|---|
| `isolated` | nothing: guests and the outside namespace see each other, the machine's own network is untouched |
| `host` | the machine reaches floating IPs through a wire into the outside namespace |
| `host+masquerade` | and guests reach what the machine reaches, behind its address (needs `nft` and forwarding) |
| `interface:NAME` | this interface moves into the cloud as a port of the public network; back at the end |
"""

from __future__ import annotations

import contextlib
import ipaddress
import subprocess
from pathlib import Path

from tiffin.services.network.drivers import netns
from tiffin.services.network.drivers.ovn_names import EXTERNAL_BRIDGE, Names
from tiffin.services.network.drivers.ovs_ports import add_port

_WIRE = "ext"  # the chassis' end; the other end is eth0 of the outside namespace


class External:
    """Connects and disconnects the external bridge of one cloud."""

    def __init__(self, names: Names, gateway: tuple[str, ...], external: str) -> None:
        kind, _, interface = external.partition(":")
        if kind not in ("isolated", "host", "host+masquerade", "interface") or (kind == "interface") != bool(interface):
            raise ValueError(f"external is isolated, host, host+masquerade or interface:NAME, not {external!r}")
        if interface and (len(interface) > 15 or "/" in interface or interface.startswith("-")):
            raise ValueError(f"{interface!r} is no name of an interface")
        self._names, self._kind, self._interface = names, kind, interface
        self._gateway = tuple(ipaddress.ip_interface(address) for address in gateway)

    def connect(self) -> None:
        """Have the external bridge wired; repeatable. Raises `NetworkCommandFailed`."""
        names = self._names
        if not netns.has(names.outside, "eth0"):
            netns.ip_batch(names.netns, f"link add {_WIRE} type veth peer name eth0 netns {names.outside}")
        netns.inside(names.outside, lambda: netns.full_checksums("eth0"))
        if any(address.version == 6 for address in self._gateway):
            netns.inside(names.outside, lambda: netns.sysctl({"net/ipv6/conf/eth0/disable_ipv6": "0"}))
        nodad = {4: "", 6: " nodad"}
        netns.ip_batch(
            names.outside,
            *(f"address replace {address} dev eth0{nodad[address.version]}" for address in self._gateway),
            "link set eth0 up",
        )
        netns.ip("-n", names.netns, "link", "set", _WIRE, "up")
        add_port(names, EXTERNAL_BRIDGE, _WIRE, {})
        if self._kind.startswith("host"):
            self._tie_to_host()
        if self._kind == "interface":
            self._take_interface()

    def disconnect(self) -> None:
        """Give back what belongs to the machine. Repeatable."""
        with contextlib.suppress(netns.NetworkCommandFailed):
            netns.ip("link", "del", self._names.host_interface)
        if self._kind == "host+masquerade":
            subprocess.run(["nft", "delete", "table", "ip", self._table], stderr=subprocess.DEVNULL, check=False)
        space = self._names.netns
        if self._kind == "interface" and netns.exists(space) and netns.has(space, self._interface):
            # A physical interface would come back by itself, a virtual one would die with the namespace.
            netns.ip("-n", space, "link", "set", self._interface, "netns", "1")

    @property
    def _table(self) -> str:
        return self._names.tag.replace("-", "_")

    def _tie_to_host(self) -> None:
        names, (ours, theirs) = self._names, _link_addresses(self._names.tag)
        if names.host_interface not in netns.interfaces():
            netns.ip(
                "link", "add", names.host_interface, "type", "veth", "peer", "name", "host", "netns", names.outside
            )
        netns.ip("address", "replace", f"{ours}/30", "dev", names.host_interface)
        netns.ip("link", "set", names.host_interface, "up")
        netns.ip_batch(
            names.outside,
            f"address replace {theirs}/30 dev host",
            "link set host up",
            f"route replace default via {ours}",
        )
        netns.inside(names.outside, lambda: netns.sysctl({"net/ipv4/ip_forward": "1"}))
        public = [str(address.network) for address in self._gateway if address.version == 4]
        for network in public:
            netns.ip("route", "replace", network, "via", str(theirs), "dev", names.host_interface)
        if self._kind == "host+masquerade":
            self._masquerade(public)

    def _masquerade(self, public: list[str]) -> None:
        if Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() != "1":
            raise netns.NetworkCommandFailed("host+masquerade needs forwarding: sysctl -w net.ipv4.ip_forward=1")
        table = self._table
        ours = self._names.host_interface
        rules = "".join(f'ip saddr {network} oifname != "{ours}" masquerade\n' for network in public)
        script = (
            f"table ip {table} {{}}\ndelete table ip {table}\ntable ip {table} {{ chain out {{\n"
            f"type nat hook postrouting priority srcnat;\n{rules}}} }}\n"
        )
        try:
            done = subprocess.run(
                ["nft", "-f", "-"], input=script, capture_output=True, text=True, timeout=20, check=False
            )
        except FileNotFoundError as failure:
            raise netns.NetworkCommandFailed("host+masquerade needs the package nftables") from failure
        if done.returncode:
            raise netns.NetworkCommandFailed(f"nft: {done.stderr.strip()}")

    def _take_interface(self) -> None:
        if not netns.has(self._names.netns, self._interface):
            netns.ip("link", "set", self._interface, "netns", self._names.netns)
        netns.ip("-n", self._names.netns, "link", "set", self._interface, "up")
        add_port(self._names, EXTERNAL_BRIDGE, self._interface, {})


def _link_addresses(tag: str) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
    """Two neighbours of 169.254.0.0/17, chosen by the tag, so that clouds side by side rarely meet."""
    start = int(ipaddress.IPv4Address("169.254.0.0")) + (int(tag[3:], 16) * 4) % 0x8000
    return ipaddress.IPv4Address(start + 1), ipaddress.IPv4Address(start + 2)
