"""Ports as other services read them: as values, and as columns of their own statements."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, case, literal, or_, select, union_all
from sqlalchemy.orm import Session

from tiffin.core.sql import children
from tiffin.services.network import tables as t


class NetworkChoice(msgspec.Struct, frozen=True):
    id: str
    name: str


class SubnetInfo(msgspec.Struct, frozen=True):
    id: str
    ip_version: int
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool
    dns_nameservers: list[str]
    host_routes: list[dict[str, str]]
    ipv6_address_mode: str | None


class PortInfo(msgspec.Struct, frozen=True):
    """A port as compute and the metadata service need it."""

    id: str
    project_id: str
    name: str
    network_id: str
    network_name: str
    mac_address: str
    fixed_ips: list[dict[str, str]]  # subnet_id, ip_address
    mtu: int
    security_group_ids: list[str]
    status: str
    device_id: str
    device_owner: str
    host: str
    floating_ips: list[dict[str, str]]  # fixed_ip_address, floating_ip_address
    subnets: list[SubnetInfo]


_subnets_of_port = (
    select(t.SubnetRow.id)
    .join(t.FixedIPRow, t.FixedIPRow.subnet_id == t.SubnetRow.id)
    .where(t.FixedIPRow.port_id == t.PortRow.id)
)
_PORTS = (
    select(
        t.PortRow.id,
        t.PortRow.project_id,
        t.PortRow.name,
        t.PortRow.network_id,
        t.NetworkRow.name.label("network_name"),
        t.PortRow.mac_address,
        t.NetworkRow.mtu,
        t.PortRow.status,
        t.PortRow.device_id,
        t.PortRow.device_owner,
        t.PortRow.host,
        children(
            select(t.FixedIPRow.ip_address).where(t.FixedIPRow.port_id == t.PortRow.id),
            subnet_id=t.FixedIPRow.subnet_id,
            ip_address=t.FixedIPRow.ip_address,
        ).label("fixed_ips"),
        children(
            select(t.PortGroupRow.group_id).where(t.PortGroupRow.port_id == t.PortRow.id), id=t.PortGroupRow.group_id
        ).label("groups"),
        children(
            select(t.FloatingIPRow.id).where(t.FloatingIPRow.port_id == t.PortRow.id),
            fixed_ip_address=t.FloatingIPRow.fixed_ip_address,
            floating_ip_address=t.FloatingIPRow.floating_ip_address,
        ).label("floating_ips"),
        children(
            _subnets_of_port,
            id=t.SubnetRow.id,
            ip_version=t.SubnetRow.ip_version,
            cidr=t.SubnetRow.cidr,
            gateway_ip=t.SubnetRow.gateway_ip,
            enable_dhcp=t.SubnetRow.enable_dhcp,
            dns_nameservers=t.SubnetRow.dns_nameservers,
            host_routes=t.SubnetRow.host_routes,
            ipv6_address_mode=t.SubnetRow.ipv6_address_mode,
        ).label("subnets"),
    )
    .join(t.NetworkRow, t.NetworkRow.id == t.PortRow.network_id)
    .order_by(t.PortRow.created_at, t.PortRow.id)
)


def port_infos(session: Session, *conditions: ColumnElement[bool]) -> list[PortInfo]:
    """The ports that meet the conditions, oldest first, by one statement."""
    return [_info(row) for row in session.execute(_PORTS.where(*conditions))]


_OF_DEVICE = _PORTS.where(
    t.PortRow.device_id == bindparam("device_id"), t.PortRow.project_id == bindparam("project_id")
)


def ports_of(session: Session, device_id: str, project_id: str) -> list[PortInfo]:
    """The ports of a server, oldest first, by one statement. A port of another project is none of its, whatever device
    its owner has written on it."""
    return [_info(row) for row in session.execute(_OF_DEVICE, {"device_id": device_id, "project_id": project_id})]


def _list(value: Any) -> Any:
    """A JSON column inside of JSON: text on SQLite, a value on PostgreSQL."""
    return msgspec.json.decode(value) if isinstance(value, str) else value


def _info(row: Any) -> PortInfo:
    subnets = {
        s["id"]: SubnetInfo(
            id=s["id"],
            ip_version=s["ip_version"],
            cidr=s["cidr"],
            gateway_ip=s["gateway_ip"],
            enable_dhcp=bool(s["enable_dhcp"]),
            dns_nameservers=_list(s["dns_nameservers"]),
            host_routes=_list(s["host_routes"]),
            ipv6_address_mode=s["ipv6_address_mode"],
        )
        for s in row.subnets
    }
    return PortInfo(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        network_id=row.network_id,
        network_name=row.network_name,
        mac_address=row.mac_address,
        fixed_ips=row.fixed_ips,
        mtu=row.mtu,
        security_group_ids=sorted(g["id"] for g in row.groups),
        status=row.status,
        device_id=row.device_id,
        device_owner=row.device_owner,
        host=row.host,
        floating_ips=row.floating_ips,
        subnets=list(subnets.values()),
    )


def _of_server(device_id: Any, project_id: Any) -> ColumnElement[bool]:
    """Anybody may write any device id on a port of their own: only one of the server's own project is the server's."""
    return and_(t.PortRow.device_id == device_id, t.PortRow.project_id == project_id)


def addresses_column(device_id: Any, project_id: Any) -> ColumnElement[Any]:
    """The addresses of a server as a column of the statement that lists servers: each a dict of port_id, network_name,
    version, addr, mac_addr and type (fixed, floating)."""
    kinds = union_all(select(literal(0).label("floating")), select(literal(1).label("floating"))).subquery()
    floating = kinds.c.floating == 1
    query = (
        select(t.FixedIPRow.ip_address)
        .join(t.PortRow, t.PortRow.id == t.FixedIPRow.port_id)
        .join(t.NetworkRow, t.NetworkRow.id == t.PortRow.network_id)
        .join(t.SubnetRow, t.SubnetRow.id == t.FixedIPRow.subnet_id)
        .join(
            t.FloatingIPRow,
            and_(t.FloatingIPRow.port_id == t.PortRow.id, t.FloatingIPRow.fixed_ip_address == t.FixedIPRow.ip_address),
            isouter=True,
        )
        .join(kinds, or_(kinds.c.floating == 0, t.FloatingIPRow.id.is_not(None)))
        .where(_of_server(device_id, project_id))
    )
    return children(
        query,
        order=kinds.c.floating,
        port_id=t.PortRow.id,
        network_name=t.NetworkRow.name,
        version=t.SubnetRow.ip_version,
        addr=case((floating, t.FloatingIPRow.floating_ip_address), else_=t.FixedIPRow.ip_address),
        mac_addr=t.PortRow.mac_address,
        type=case((floating, "floating"), else_="fixed"),
    )


def security_groups_column(device_id: Any, project_id: Any) -> ColumnElement[Any]:
    """The security groups of a server's ports as a column: each a dict of id and name, once."""
    its_own = (
        select(t.PortGroupRow.group_id)
        .join(t.PortRow, t.PortRow.id == t.PortGroupRow.port_id)
        .where(_of_server(device_id, project_id))
        .correlate_except(t.PortGroupRow, t.PortRow)  # two levels down, the server would be any server by itself
    )
    return children(
        select(t.SecurityGroupRow.id).where(t.SecurityGroupRow.id.in_(its_own)),
        id=t.SecurityGroupRow.id,
        name=t.SecurityGroupRow.name,
    )


def has_address(device_id: Any, project_id: Any, text: str, version: int) -> ColumnElement[bool]:
    """Whether a server has an address of this IP version with `text` in it."""
    return (
        select(t.FixedIPRow.port_id)
        .join(t.PortRow, t.PortRow.id == t.FixedIPRow.port_id)
        .join(t.SubnetRow, t.SubnetRow.id == t.FixedIPRow.subnet_id)
        .where(
            _of_server(device_id, project_id),
            t.SubnetRow.ip_version == version,
            t.FixedIPRow.ip_address.contains(text, autoescape=True),
        )
        .exists()
    )
