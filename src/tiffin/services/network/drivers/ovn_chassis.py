"""The configuration of one chassis in its switch database: who it is, and its two bridges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiffin.services.network.drivers.ovn_names import (
    EXTERNAL_BRIDGE,
    INTEGRATION_BRIDGE,
    PHYSICAL_NETWORK,
    UNDERLAY_BRIDGE,
    Names,
)
from tiffin.services.network.drivers.ovsdb_rpc import OvsdbFailed, mapping, transact, wait_for

DATABASE = "Open_vSwitch"
_PATIENCE = 10_000  # milliseconds
_WAY_OUT = {
    "ovn-bridge-mappings": f"{PHYSICAL_NETWORK}:{EXTERNAL_BRIDGE}",
    "ovn-cms-options": "enable-chassis-as-gw",
}
"""Of a chassis that carries gateways."""


@dataclass(frozen=True)
class Place:
    """Where a chassis stands among others."""

    tunnel_address: str = "127.0.0.1"  # one chassis needs no tunnel, but ovn-controller wants an address to register
    southbound: str | None = None  # HOST:PORT of OVN's southbound database, where that is on another machine

    @property
    def tunnels(self) -> bool:
        return self.tunnel_address != "127.0.0.1"


def configure(names: Names, *, keep_flows: bool, place: Place) -> None:
    """Say who this chassis is and which bridges it has, before the switch starts: it reads some of it only then.

    `keep_flows` when a new ovn-controller meets a switch that is at work: the old flows then stay for the seconds that
    it takes to know the new ones. Everywhere else that wait would only delay the first packet."""
    settings = {
        "system-id": names.host,
        "hostname": names.host,
        "ovn-remote": f"ssl:{place.southbound}" if place.southbound else f"unix:{names.sb}",
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": place.tunnel_address,
        "ovn-bridge-datapath-type": "netdev",
        **({} if place.southbound else _WAY_OUT),
        "ovn-ofctrl-wait-before-clear": "3000" if keep_flows else "0",
    }
    # Without it the user space datapath loses every TCP segment whose checksum the sender left to the hardware.
    other = {"userspace-tso-enable": "true"}
    found = transact(
        names.switch_db,
        DATABASE,
        {"op": "select", "table": DATABASE, "where": [], "columns": ["_uuid"]},
        {"op": "select", "table": "Bridge", "where": [], "columns": ["name"]},
    )
    row = {"external_ids": mapping(settings), "other_config": mapping(other)}
    operations: list[dict[str, Any]] = [{"op": "update", "table": DATABASE, "where": [], "row": row}]
    if not found[0]["rows"]:
        operations = [{"op": "insert", "table": DATABASE, "row": row}]
        transact(names.switch_db, DATABASE, *operations)
        operations = []
    present = {bridge["name"] for bridge in found[1]["rows"]}
    for bridge, columns in _bridges(place.tunnels).items():
        if bridge not in present:
            operations += _add_bridge(bridge, columns)
    if operations:
        transact(names.switch_db, DATABASE, *operations)


def wait_for_bridges(names: Names, place: Place) -> None:
    """Return when the switch has made the bridges."""
    _wait(
        names,
        [
            wait_for("Interface", [["name", "==", bridge]], "ofport", [{"ofport": ["set", []]}], _PATIENCE)
            for bridge in _bridges(place.tunnels)
        ],
        "the switch does not make its bridges",
    )


def wait_for_chassis(names: Names) -> None:
    """Return when OVN knows this chassis."""
    try:
        transact(
            names.sb,
            "OVN_Southbound",
            wait_for("Chassis", [["name", "==", names.host]], "name", [], _PATIENCE),
            timeout=_PATIENCE / 1000 + 1,
        )
    except OvsdbFailed as failure:
        raise OvsdbFailed(f"ovn-controller does not register its chassis, see {names.chassis}: {failure}") from failure


def _wait(names: Names, operations: list[dict[str, Any]], message: str) -> None:
    try:
        transact(names.switch_db, DATABASE, *operations, timeout=_PATIENCE / 1000 + 1)
    except OvsdbFailed as failure:
        raise OvsdbFailed(f"{message}, see {names.chassis}: {failure}") from failure


def _bridges(tunnels: bool) -> dict[str, dict[str, Any]]:
    """The integration bridge forwards nothing until OVN says so; the others are ordinary switches."""
    plain = {
        "datapath_type": "netdev",
        "fail_mode": "standalone",
        "other_config": mapping({"disable-in-band": "true"}),
    }
    return {
        INTEGRATION_BRIDGE: {
            "datapath_type": "netdev",
            "fail_mode": "secure",
            "other_config": mapping({"disable-in-band": "true"}),
        },
        EXTERNAL_BRIDGE: plain,
        **({UNDERLAY_BRIDGE: plain} if tunnels else {}),
    }


def _add_bridge(name: str, columns: dict[str, Any]) -> list[dict[str, Any]]:
    safe = name.replace("-", "_")
    return [
        {"op": "insert", "table": "Interface", "uuid-name": f"i_{safe}", "row": {"name": name, "type": "internal"}},
        {
            "op": "insert",
            "table": "Port",
            "uuid-name": f"p_{safe}",
            "row": {"name": name, "interfaces": ["named-uuid", f"i_{safe}"]},
        },
        {
            "op": "insert",
            "table": "Bridge",
            "uuid-name": f"b_{safe}",
            "row": {"name": name, "ports": ["named-uuid", f"p_{safe}"], **columns},
        },
        {
            "op": "mutate",
            "table": DATABASE,
            "where": [],
            "mutations": [["bridges", "insert", ["named-uuid", f"b_{safe}"]], ["next_cfg", "+=", 1]],
        },
    ]
