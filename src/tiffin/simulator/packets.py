"""Would this packet arrive? Answered from what the network is meant to be: anti-spoofing, routing, security groups.

It follows one packet that opens a connection. Answers to it pass, as a stateful group lets them."""

from __future__ import annotations

import ipaddress

import msgspec

from tiffin.services.network.drivers.base import Port, Router, SecurityGroupRule
from tiffin.services.network.drivers.ip_protocols import number
from tiffin.simulator.network import Intents


class Packet(msgspec.Struct, frozen=True):
    """From a port, or from the outside world if there is none; by default with the port's own addresses."""

    destination: str
    source_port: str | None = None
    source: str | None = None  # the sender's address; the outside has to say one
    source_mac: str | None = None
    protocol: str = "icmp"
    port: int | None = None  # ICMP: the type


def arrives(world: Intents, packet: Packet) -> bool:
    """Whether the packet reaches its destination: a port of ours, or, from a port, the outside world."""
    if packet.source_port is None:
        target = _floating_target(world, packet.destination)
        return target is not None and _admitted(world, target, packet, packet.source or "")
    sender = world.ports.get(packet.source_port)
    if sender is None or not sender.admin_state_up:
        return False
    source = packet.source or sender.fixed_ips[0].ip_address
    if not _may_send(sender, source, packet.source_mac or sender.mac_address):
        return False
    if not _allowed(world, sender, "egress", packet, packet.destination):
        return False
    return _forwarded(world, sender, packet, source)


def _forwarded(world: Intents, sender: Port, packet: Packet, source: str) -> bool:
    target = _port_with(world, {sender.network_id}, packet.destination)
    if target is not None:
        return _admitted(world, target, packet, source)
    router = _router_of(world, sender)
    if router is None or _inside(world, sender.network_id, packet.destination):
        return False
    target = _port_with(world, {interface.network_id for interface in router.interfaces}, packet.destination)
    if target is not None:
        return _admitted(world, target, packet, source)
    if any(_inside(world, interface.network_id, packet.destination) for interface in router.interfaces):
        return False
    translated = _translated(world, router, source)
    if router.gateway is None or translated is None:
        return False
    if any(floating.floating_ip_address == packet.destination for floating in world.floating_ips.values()):
        target = _floating_target(world, packet.destination)
        return target is not None and _admitted(world, target, packet, translated)
    return True


def _may_send(port: Port, source: str, mac: str) -> bool:
    if not port.port_security_enabled:
        return True
    pairs = [(fixed.ip_address, port.mac_address) for fixed in port.fixed_ips] + list(port.allowed_address_pairs)
    return any(mac.lower() == its_mac.lower() and _in(source, ip) for ip, its_mac in pairs)


def _admitted(world: Intents, port: Port, packet: Packet, source: str) -> bool:
    return port.admin_state_up and _allowed(world, port, "ingress", packet, source)


def _allowed(world: Intents, port: Port, direction: str, packet: Packet, peer: str) -> bool:
    if not port.port_security_enabled:
        return True
    rules = [
        rule
        for id in port.security_group_ids
        if id in world.security_groups
        for rule in world.security_groups[id].rules
    ]
    return any(rule.direction == direction and _matches(world, rule, packet, peer) for rule in rules)


def _matches(world: Intents, rule: SecurityGroupRule, packet: Packet, peer: str) -> bool:
    family = "IPv6" if ":" in peer else "IPv4"
    protocol = number(rule.protocol)
    if rule.ethertype != family or protocol not in (None, number(packet.protocol)):
        return False
    low, high = rule.port_range_min, rule.port_range_max
    if low is not None and (packet.port is None or packet.port < low):
        return False
    if protocol not in (1, 58) and high is not None and (packet.port is None or packet.port > high):
        return False
    return _peer_matches(world, rule, peer)


def _peer_matches(world: Intents, rule: SecurityGroupRule, peer: str) -> bool:
    if rule.remote_ip_prefix is not None and not _in(peer, rule.remote_ip_prefix):
        return False
    if rule.remote_address_group is not None and not any(_in(peer, item) for item in rule.remote_address_group):
        return False
    return rule.remote_group_id is None or any(
        fixed.ip_address == peer
        for port in world.ports.values()
        if rule.remote_group_id in port.security_group_ids
        for fixed in port.fixed_ips
    )


def _router_of(world: Intents, port: Port) -> Router | None:
    return next(
        (
            router
            for router in world.routers.values()
            if router.admin_state_up and any(interface.network_id == port.network_id for interface in router.interfaces)
        ),
        None,
    )


def _translated(world: Intents, router: Router, source: str) -> str | None:
    """The address that the outside sees, or None if it sees none."""
    for floating in world.floating_ips.values():
        if floating.router_id == router.id and floating.fixed_ip_address == source:
            return floating.floating_ip_address
    if router.gateway is None or not router.gateway.enable_snat:
        return None
    return router.gateway.cidrs[0].partition("/")[0]


def _floating_target(world: Intents, destination: str) -> Port | None:
    for floating in world.floating_ips.values():
        router = world.routers[floating.router_id]
        if floating.floating_ip_address == destination and router.admin_state_up and router.gateway is not None:
            return _port_with(world, {floating.network_id}, floating.fixed_ip_address)
    return None


def _port_with(world: Intents, networks: set[str], ip: str) -> Port | None:
    return next(
        (
            port
            for port in world.ports.values()
            if port.network_id in networks and any(fixed.ip_address == ip for fixed in port.fixed_ips)
        ),
        None,
    )


def _inside(world: Intents, network_id: str, ip: str) -> bool:
    network = world.networks.get(network_id)
    return network is not None and any(_in(ip, subnet.cidr) for subnet in network.subnets)


def _in(ip: str, network: str) -> bool:
    address, within = ipaddress.ip_address(ip), ipaddress.ip_network(network, strict=False)
    return address.version == within.version and address in within
