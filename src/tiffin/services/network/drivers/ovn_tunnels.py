"""What makes one chassis one of several: the cable that tunnels go through, and how southbound is spoken beyond this
machine."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiffin.services.network.drivers import netns
from tiffin.services.network.drivers.ovn_names import UNDERLAY_BRIDGE, Names
from tiffin.services.network.drivers.ovs_ports import add_port
from tiffin.services.network.drivers.ovsdb_rpc import mapping, transact

SOUTHBOUND_PORT = 6642
"""OVN's usual port of its southbound database."""
_UNDERLAY = re.compile(r"([A-Za-z0-9_.@][A-Za-z0-9_.@-]{0,14})=([0-9a-fA-F.:]+/[0-9]{1,3})")
_DATABASE, _ROLE = "OVN_Southbound", "ovn-controller"


@dataclass(frozen=True)
class Underlay:
    """An interface of this machine that leads to the other chassis, and this one's address on it."""

    interface: str
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface


def read_underlay(text: str) -> Underlay:
    """From NAME=ADDRESS/PREFIX, as in eth1=10.99.0.1/24. Raises ValueError."""
    found = _UNDERLAY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not INTERFACE=ADDRESS/PREFIX, as in eth1=10.99.0.1/24.")
    return Underlay(found[1], ipaddress.ip_interface(found[2]))


@dataclass(frozen=True)
class Certified:
    """The PEM files by which this machine proves who it is, and knows its peers."""

    key: Path
    certificate: Path
    trusted: Path

    def flags(self) -> tuple[str, ...]:
        """As the programs of Open vSwitch and OVN take them."""
        return f"--private-key={self.key}", f"--certificate={self.certificate}", f"--ca-cert={self.trusted}"


@dataclass(frozen=True)
class Tunnels:
    """One chassis among several. Either `listen`: the southbound database is here, and other chassis are answered at this
    address. Or `southbound`: it is elsewhere, at HOST:PORT, and this machine is a chassis and nothing else."""

    underlay: Underlay
    certified: Certified
    listen: str | None = None
    southbound: str | None = None
    patient: bool = False  # a start does not wait for it: it may be away, and is reached when it is back

    @property
    def member(self) -> bool:
        return self.southbound is not None


def connect(names: Names, underlay: Underlay) -> None:
    """Have the interface on a bridge of the chassis, which has the address; repeatable. Tunnels of the user space
    datapath leave through such a bridge only."""
    if not netns.has(names.netns, underlay.interface):
        netns.ip("link", "set", underlay.interface, "netns", names.netns)
    netns.ip_batch(
        names.netns,
        f"link set {underlay.interface} up",
        f"address replace {underlay.address} dev {UNDERLAY_BRIDGE}{' nodad' if underlay.address.version == 6 else ''}",
        f"link set {UNDERLAY_BRIDGE} up",
    )
    add_port(names, UNDERLAY_BRIDGE, underlay.interface, {})


def disconnect(names: Names, underlay: Underlay) -> None:
    """Give the interface back to the namespace that this process is in. Repeatable."""
    if netns.exists(names.netns) and netns.has(names.netns, underlay.interface):
        netns.ip("-n", names.netns, "link", "set", underlay.interface, "netns", str(os.getpid()))


def listen(names: Names, address: str) -> None:
    """Have southbound answer chassis at HOST:PORT, by TLS, and let each change only what is its own (RBAC of OVN:
    a chassis is known by the name in its certificate)."""
    host, _, port = address.rpartition(":")
    target = f"pssl:{port}:{host}"
    found = transact(
        names.sb,
        _DATABASE,
        {"op": "select", "table": "Connection", "where": [], "columns": ["target", "role"]},
        {"op": "select", "table": "SB_Global", "where": [], "columns": ["_uuid"]},
    )
    if [(row["target"], row["role"]) for row in found[0]["rows"]] == [(target, _ROLE)]:
        return
    row = {"target": target, "role": _ROLE, "other_config": mapping({}), "external_ids": mapping({})}
    operations: list[dict[str, Any]] = [
        {"op": "insert", "table": "Connection", "uuid-name": "it", "row": row},
        {"op": "update", "table": "SB_Global", "where": [], "row": {"connections": ["named-uuid", "it"]}},
    ]
    if not found[1]["rows"]:  # northd makes the row, if it has been here
        operations[1] = {"op": "insert", "table": "SB_Global", "row": {"connections": ["named-uuid", "it"]}}
    transact(names.sb, _DATABASE, *operations)
