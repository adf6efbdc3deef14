"""A network as a logical switch: its way out, its metadata port, and the DHCP of its subnets."""

from __future__ import annotations

from typing import Any

from tiffin.core.driver import Refused, Turn
from tiffin.services.network.drivers import ovn_dhcp, ovn_ports
from tiffin.services.network.drivers import ovn_text as text
from tiffin.services.network.drivers.base import Network, Subnet
from tiffin.services.network.drivers.ovn_rows import Rows, fence, mark, marks

KIND = "network"
_SWITCH, _PORT, _DHCP = "Logical_Switch", "Logical_Switch_Port", "DHCP_Options"


def ensure(rows: Rows, turn: Turn, network: Network) -> None:
    old = rows.get(_SWITCH, network.id)
    fence(old, turn)
    before = {key: mark(old, key) if old is not None else "" for key in ("subnets", "domain", "metadata")}
    switch = rows.put(_SWITCH, network.id, columns(turn, network))
    _localnet(rows, switch, network)
    _metadata(rows, switch, network, before["metadata"])
    rows.changed = False
    served = [subnet for subnet in network.subnets if ovn_dhcp.served(subnet)]
    for subnet in served:
        rows.put(_DHCP, subnet.id, _dhcp_columns(network, subnet))
    for gone in set(before["subnets"].split()) - {subnet.id for subnet in served}:
        row = rows.get(_DHCP, gone)
        if row is not None:
            rows.drop(row)
    if rows.changed or before["domain"] != mark(switch, "domain"):
        for port in guest_ports(switch):
            ovn_ports.refresh(rows, port, switch)


def forget(rows: Rows, turn: Turn, network_id: str) -> None:
    """Raises `Refused` while ports of guests or routers are on it, rather than cut them off."""
    switch = rows.get(_SWITCH, network_id)
    if switch is None:
        return
    fence(switch, turn)
    others = [port.name for port in switch.ports if mark(port, "kind") not in ("localnet", "metadata")]
    if others:
        raise Refused(f"network {network_id} still has {len(others)} ports, {others[0]} among them")
    for subnet in mark(switch, "subnets").split():
        row = rows.get(_DHCP, subnet)
        if row is not None:
            rows.drop(row)
    rows.drop(switch)


def guest_ports(switch: Any) -> list[Any]:
    return [port for port in switch.ports if mark(port, "kind") == ovn_ports.KIND]


def columns(turn: Turn, network: Network) -> dict[str, Any]:
    """The row of a network's switch. Raises `Impossible` for what OVN cannot hold."""
    subnets = sorted(subnet.id for subnet in network.subnets if ovn_dhcp.served(subnet))
    return {
        "name": text.checked_id(network.id),
        "other_config": {"mcast_snoop": "false", "vlan-passthru": "false"},
        "external_ids": marks(
            KIND,
            network.id,
            turn,
            name=network.name,
            mtu=str(int(network.mtu)),
            domain=text.domain(network.dns_domain),
            subnets=" ".join(subnets),
            metadata=network.metadata_port_id or "",
            provider=network.physical_network or "",
        ),
    }


def _localnet(rows: Rows, switch: Any, network: Network) -> None:
    key = f"{network.id}/localnet"
    if network.physical_network is None:
        port = rows.get(_PORT, key)
        if port is not None:
            rows.disown(switch, "ports", port)
        return
    port = rows.put(
        _PORT,
        key,
        {
            "name": f"provnet-{network.id}",
            "type": "localnet",
            "addresses": ["unknown"],
            "options": {"network_name": text.checked_id(network.physical_network), "mcast_flood": "false"},
            "tag": [] if network.vlan is None else [network.vlan],
            "external_ids": {"tiffin:kind": "localnet"},
        },
    )
    rows.own(switch, "ports", port)


def _metadata(rows: Rows, switch: Any, network: Network, before: str) -> None:
    """A localport: every host answers on it by itself."""
    if before and before != network.metadata_port_id:
        port = rows.get(_PORT, before)
        if port is not None:
            rows.disown(switch, "ports", port)
    if network.metadata_port_id and network.metadata_mac:
        addresses = [text.address(subnet.metadata_ip) for subnet in network.subnets if subnet.metadata_ip]
        port = rows.put(
            _PORT,
            network.metadata_port_id,
            {
                "name": text.checked_id(network.metadata_port_id),
                "type": "localport",
                "addresses": [" ".join([text.mac(network.metadata_mac), *addresses])],
                "external_ids": {"tiffin:kind": "metadata"},
            },
        )
        rows.own(switch, "ports", port)


def _dhcp_columns(network: Network, subnet: Subnet) -> dict[str, Any]:
    return {
        "cidr": text.network(subnet.cidr),
        "options": ovn_dhcp.options(network, subnet),
        "external_ids": {"tiffin:kind": "subnet", "tiffin:network": network.id, "tiffin:id": subnet.id},
    }
