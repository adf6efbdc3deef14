"""Routers and floating IPs: a logical router with a port on each network, address translation on its gateway."""

from __future__ import annotations

from typing import Any

from tiffin.core.driver import Refused, Turn
from tiffin.services.network.drivers import ovn_text as text
from tiffin.services.network.drivers.base import FloatingIP, Router, RouterGateway, RouterInterface
from tiffin.services.network.drivers.ovn_rows import Rows, fence, mark, marks

KIND, FLOATING_IP = "router", "floating_ip"
_ROUTER, _ROUTER_PORT, _SWITCH_PORT = "Logical_Router", "Logical_Router_Port", "Logical_Switch_Port"
_GATEWAYS = 5  # chassis that may carry a gateway, the one with the highest priority does


def ensure(rows: Rows, turn: Turn, router: Router, chassis: list[str]) -> None:
    """Raises `Refused` while one of its networks is not there, or no chassis is there to carry its gateway."""
    fence(rows.get(_ROUTER, router.id), turn)
    row = rows.put(
        _ROUTER,
        router.id,
        {
            "name": text.checked_id(router.id),
            "enabled": [router.admin_state_up],
            "options": {"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"},
            "external_ids": marks(KIND, router.id, turn, name=router.name),
        },
    )
    ports = [_interface(rows, router, interface) for interface in router.interfaces]
    if router.gateway is not None:
        ports.append(_gateway(rows, router, router.gateway, chassis))
    for gone in [port for port in getattr(row, "ports", []) if port not in ports]:
        _remove_peer(rows, gone)
    rows.own_exactly(row, "ports", ports)
    rows.own_exactly(row, "static_routes", _routes(rows, router))
    floating = [nat for nat in getattr(row, "nat", []) if mark(nat, "kind") == FLOATING_IP]
    rows.own_exactly(row, "nat", _snat(rows, router) + floating)


def forget(rows: Rows, turn: Turn, router_id: str) -> None:
    """Its floating IPs go with it."""
    row = rows.get(_ROUTER, router_id)
    if row is None:
        return
    fence(row, turn)
    for port in row.ports:
        _remove_peer(rows, port)
    rows.drop(row)


def ensure_floating_ip(rows: Rows, turn: Turn, floating: FloatingIP) -> None:
    """Translated on the router's gateway, both ways. Raises `Refused` while its router is not there."""
    router = rows.get(_ROUTER, floating.router_id)
    if router is None:
        raise Refused(f"floating IP {floating.id}: router {floating.router_id} is not there yet")
    old = rows.get("NAT", floating.id)
    fence(old, turn)
    before = mark(old, "router") if old is not None else ""
    nat = rows.put("NAT", floating.id, floating_ip_columns(turn, floating))
    rows.own(router, "nat", nat)
    if before and before != floating.router_id:
        _disown_nat(rows, before, nat)


def floating_ip_columns(turn: Turn, floating: FloatingIP) -> dict[str, Any]:
    """The row of a floating IP. Raises `Impossible` for what OVN cannot hold."""
    return {
        "type": "dnat_and_snat",
        "external_ip": text.address(floating.floating_ip_address),
        "logical_ip": text.address(floating.fixed_ip_address),
        "external_ids": marks(FLOATING_IP, floating.id, turn, router=floating.router_id, port=floating.port_id),
    }


def forget_floating_ip(rows: Rows, turn: Turn, floating_ip_id: str) -> None:
    nat = rows.get("NAT", floating_ip_id)
    if nat is not None:
        fence(nat, turn)
        _disown_nat(rows, mark(nat, "router"), nat)


def _disown_nat(rows: Rows, router_id: str, nat: Any) -> None:
    router = rows.get(_ROUTER, router_id)
    if router is not None:
        rows.disown(router, "nat", nat)


def _interface(rows: Rows, router: Router, interface: RouterInterface) -> Any:
    switch = _switch(rows, router.id, interface.network_id)
    advertised = {}
    if interface.ra_mode:
        advertised = {
            "address_mode": interface.ra_mode.replace("-", "_"),
            "send_periodic": "true",
            "mtu": mark(switch, "mtu"),
        }
    # On a network that leaves the cloud, translation happens on the gateway's chassis, so traffic must go there too.
    central = bool(mark(switch, "provider")) and router.gateway is not None
    _peer(rows, switch, router, interface.port_id, {})
    return rows.put(
        _ROUTER_PORT,
        interface.port_id,
        port_columns(
            interface,
            {
                "ipv6_ra_configs": advertised,
                "options": {"reside-on-redirect-chassis": "true"} if central else {},
                "gateway_chassis": [],
            },
        ),
    )


def _gateway(rows: Rows, router: Router, gateway: RouterGateway, chassis: list[str]) -> Any:
    if not chassis:
        raise Refused(f"router {router.id}: no chassis is there to carry its gateway")
    switch = _switch(rows, router.id, gateway.network_id)
    _peer(rows, switch, router, gateway.port_id, {"nat-addresses": "router", "exclude-lb-vips-from-garp": "true"})
    name = _name(gateway.port_id)
    candidates = [
        rows.put(
            "Gateway_Chassis",
            f"{gateway.port_id}/{host}",
            {"name": f"{name}_{host}", "chassis_name": host, "priority": _GATEWAYS - place},
        )
        for place, host in enumerate(_spread(chassis, router.id))
    ]
    return rows.put(
        _ROUTER_PORT,
        gateway.port_id,
        port_columns(gateway, {"ipv6_ra_configs": {}, "options": {}, "gateway_chassis": candidates}),
    )


def _spread(chassis: list[str], router_id: str) -> list[str]:
    """The candidates of this router, in an order of its own, so that gateways are shared out."""
    return sorted(chassis, key=lambda host: text.derived_mac(f"{host}/{router_id}"))[:_GATEWAYS]


def port_columns(port: RouterInterface | RouterGateway, more: dict[str, Any]) -> dict[str, Any]:
    """The row of a router's port. Raises `Impossible` for what OVN cannot hold."""
    return {
        "name": _name(port.port_id),
        "mac": text.mac(port.mac_address),
        "networks": [text.interface(cidr) for cidr in port.cidrs],
        "external_ids": {"tiffin:kind": "router port", "tiffin:id": port.port_id, "tiffin:network": port.network_id},
        **more,
    }


def _peer(rows: Rows, switch: Any, router: Router, port_id: str, options: dict[str, str]) -> None:
    """The switch's end of a router port."""
    row = rows.put(
        _SWITCH_PORT,
        port_id,
        {
            "name": text.checked_id(port_id),
            "type": "router",
            "addresses": ["router"],
            "options": {"router-port": _name(port_id), **options},
            "external_ids": {"tiffin:kind": "router port", "tiffin:id": port_id, "tiffin:router": router.id},
        },
    )
    rows.own(switch, "ports", row)


def _remove_peer(rows: Rows, router_port: Any) -> None:
    switch = rows.get("Logical_Switch", mark(router_port, "network"))
    peer = rows.get(_SWITCH_PORT, mark(router_port, "id"))
    if switch is not None and peer is not None:
        rows.disown(switch, "ports", peer)


def _switch(rows: Rows, router_id: str, network_id: str) -> Any:
    switch = rows.get("Logical_Switch", network_id)
    if switch is None:
        raise Refused(f"router {router_id}: network {network_id} is not there yet")
    return switch


def _name(port_id: str) -> str:
    return f"lrp-{text.checked_id(port_id)}"


def _routes(rows: Rows, router: Router) -> list[Any]:
    found = [_route(rows, router, text.network(destination), hop, []) for destination, hop in router.routes]
    if router.gateway is not None:
        everywhere = {4: "0.0.0.0/0", 6: "::/0"}
        found += [
            _route(rows, router, everywhere[text.version(hop)], hop, [_name(router.gateway.port_id)])
            for hop in router.gateway.next_hops
        ]
    return found


def _route(rows: Rows, router: Router, destination: str, hop: str, output: list[str]) -> Any:
    return rows.put(
        "Logical_Router_Static_Route",
        f"{router.id}/{destination}/{hop}",
        {"ip_prefix": destination, "nexthop": text.address(hop), "output_port": output},
    )


def _snat(rows: Rows, router: Router) -> list[Any]:
    """Everything behind the router speaks with the gateway's first IPv4 address. IPv6 is never translated."""
    if router.gateway is None or not router.gateway.enable_snat:
        return []
    ours = next((cidr.partition("/")[0] for cidr in router.gateway.cidrs if text.version(cidr) == 4), None)
    inside = sorted(
        {
            text.network(cidr)
            for interface in router.interfaces
            for cidr in interface.snat_cidrs
            if text.version(cidr) == 4
        }
    )
    if ours is None:
        return []
    return [
        rows.put(
            "NAT",
            f"{router.id}/snat/{cidr}",
            {
                "type": "snat",
                "external_ip": text.address(ours),
                "logical_ip": cidr,
                "external_ids": {"tiffin:kind": "snat", "tiffin:router": router.id},
            },
        )
        for cidr in inside
    ]
