"""What the engine that moves packets is told: its structs, made from rows."""

from __future__ import annotations

import ipaddress
from typing import Any, Literal, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.services.network import ipam, ports
from tiffin.services.network import tables as t
from tiffin.services.network.drivers import base
from tiffin.services.network.settings import SETTINGS


def network(session: Session, row: t.NetworkRow) -> base.Network:
    network_id = row.id
    port = session.scalar(
        select(t.PortRow).where(t.PortRow.network_id == network_id, t.PortRow.device_owner == ports.DISTRIBUTED)
    )
    held = _addresses(session, port.id) if port else []
    metadata = {a.subnet_id: a.ip_address for a in held}
    return base.Network(
        id=row.id,
        name=row.name,
        mtu=row.mtu,
        dns_domain=row.dns_domain or SETTINGS.dns_domain,
        physical_network=row.physical_network,
        vlan=row.segmentation_id if row.network_type == "vlan" else None,
        subnets=tuple(subnet(s, metadata.get(s.id)) for s in ipam.subnets_of(session, network_id)),
        metadata_port_id=port.id if port else None,
        metadata_mac=port.mac_address if port else None,
        port_security_enabled=row.port_security_enabled,
    )


def subnet(row: t.SubnetRow, metadata_ip: str | None) -> base.Subnet:
    return base.Subnet(
        id=row.id,
        ip_version=cast(Literal[4, 6], row.ip_version),
        cidr=row.cidr,
        gateway_ip=row.gateway_ip,
        enable_dhcp=row.enable_dhcp,
        dns_nameservers=tuple(row.dns_nameservers),
        host_routes=_routes(row.host_routes),
        ipv6_address_mode=row.ipv6_address_mode,
        ipv6_ra_mode=row.ipv6_ra_mode,
        metadata_ip=metadata_ip,
    )


def _routes(routes: list[Any]) -> tuple[tuple[str, str], ...]:
    return tuple((r["destination"], r["nexthop"]) for r in routes)


def _addresses(session: Session, port_id: str) -> list[t.FixedIPRow]:
    order = (t.FixedIPRow.subnet_id, t.FixedIPRow.ip_address)
    return list(session.scalars(select(t.FixedIPRow).where(t.FixedIPRow.port_id == port_id).order_by(*order)))


def port(session: Session, row: t.PortRow) -> base.Port:
    members = select(t.PortGroupRow.group_id).where(t.PortGroupRow.port_id == row.id).order_by(t.PortGroupRow.group_id)
    return base.Port(
        id=row.id,
        network_id=row.network_id,
        mac_address=row.mac_address,
        fixed_ips=tuple(base.FixedIP(a.subnet_id, a.ip_address) for a in _addresses(session, row.id)),
        admin_state_up=row.admin_state_up,
        port_security_enabled=row.port_security_enabled,
        security_group_ids=tuple(session.scalars(members)),
        allowed_address_pairs=tuple((p["ip_address"], p["mac_address"]) for p in row.allowed_address_pairs),
        host=row.host or None,
        hostname=row.dns_name or None,
        extra_dhcp_opts=tuple((o["opt_name"], o["opt_value"], o["ip_version"]) for o in row.extra_dhcp_opts),
    )


def router(session: Session, row: t.RouterRow) -> base.Router:
    mine = select(t.PortRow).where(t.PortRow.device_id == row.id, t.PortRow.device_owner == ports.INTERFACE)
    gateway = session.get(t.PortRow, row.gateway_port_id) if row.gateway_port_id else None
    return base.Router(
        id=row.id,
        name=row.name,
        admin_state_up=row.admin_state_up,
        interfaces=tuple(_interface(session, p) for p in session.scalars(mine.order_by(t.PortRow.id))),
        gateway=_gateway(session, row, gateway) if gateway else None,
        routes=_routes(row.routes),
    )


def _with_subnets(session: Session, port_id: str) -> list[tuple[str, t.SubnetRow]]:
    return [(a.ip_address, session.get_one(t.SubnetRow, a.subnet_id)) for a in _addresses(session, port_id)]


def _cidr(ip: str, subnet: t.SubnetRow) -> str:
    return f"{ip}/{ipaddress.ip_network(subnet.cidr).prefixlen}"


def _interface(session: Session, row: t.PortRow) -> base.RouterInterface:
    held = _with_subnets(session, row.id)
    return base.RouterInterface(
        port_id=row.id,
        network_id=row.network_id,
        mac_address=row.mac_address,
        cidrs=tuple(_cidr(ip, s) for ip, s in held),
        snat_cidrs=tuple(s.cidr for _, s in held if s.ip_version == 4),
        ra_mode=next((s.ipv6_ra_mode for _, s in held if s.ipv6_ra_mode), None),
    )


def _gateway(session: Session, router: t.RouterRow, row: t.PortRow) -> base.RouterGateway:
    held = _with_subnets(session, row.id)
    return base.RouterGateway(
        port_id=row.id,
        network_id=row.network_id,
        mac_address=row.mac_address,
        cidrs=tuple(_cidr(ip, s) for ip, s in held),
        next_hops=tuple(dict.fromkeys(s.gateway_ip for _, s in held if s.gateway_ip)),
        enable_snat=router.enable_snat,
    )


def floating_ip(session: Session, row: t.FloatingIPRow) -> base.FloatingIP | None:
    """None while it is associated with nothing."""
    if row.port_id is None or row.router_id is None or row.fixed_ip_address is None:
        return None
    port = session.get_one(t.PortRow, row.port_id)
    return base.FloatingIP(
        id=row.id,
        router_id=row.router_id,
        floating_ip_address=row.floating_ip_address,
        fixed_ip_address=row.fixed_ip_address,
        port_id=row.port_id,
        network_id=port.network_id,
    )


def security_group(session: Session, row: t.SecurityGroupRow) -> base.SecurityGroup:
    query = select(t.SecurityGroupRuleRow).where(t.SecurityGroupRuleRow.group_id == row.id)
    found = session.scalars(query.order_by(t.SecurityGroupRuleRow.id))
    return base.SecurityGroup(id=row.id, stateful=row.stateful, rules=tuple(_rule(session, r) for r in found))


def _rule(session: Session, row: t.SecurityGroupRuleRow) -> base.SecurityGroupRule:
    addresses = None
    if row.remote_address_group_id:
        addresses = tuple(session.get_one(t.AddressGroupRow, row.remote_address_group_id).addresses)
    return base.SecurityGroupRule(
        id=row.id,
        direction=cast(Literal["ingress", "egress"], row.direction),
        ethertype=cast(Literal["IPv4", "IPv6"], row.ethertype),
        protocol=row.protocol,
        port_range_min=row.port_range_min,
        port_range_max=row.port_range_max,
        remote_ip_prefix=row.remote_ip_prefix,
        remote_group_id=row.remote_group_id,
        remote_address_group=addresses,
    )
