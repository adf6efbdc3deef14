"""The rows of the network service. They stand together because nearly every one points at another."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tiffin.core.tables import Big, Id, Name, Table, Time


class Standard(Table):
    """What every object that users own has."""

    __abstract__ = True
    id: Mapped[Id] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(String(255), index=True)
    name: Mapped[Name] = mapped_column(default="", index=True)
    description: Mapped[Name] = mapped_column(default="")
    created_at: Mapped[Time]
    updated_at: Mapped[Time]
    revision_number: Mapped[Big] = mapped_column(default=0)


class TagRow(Table):
    __tablename__ = "network_tag"
    resource_id: Mapped[Id] = mapped_column(primary_key=True)
    tag: Mapped[Name] = mapped_column(primary_key=True)


class RbacRow(Table):
    """Who else may use an object: `target_project` is an id or `*`."""

    __tablename__ = "network_rbac"
    __table_args__ = (UniqueConstraint("object_id", "action", "target_project"),)
    id: Mapped[Id] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(String(255), index=True)
    object_type: Mapped[str] = mapped_column(String(64))
    object_id: Mapped[Id]
    action: Mapped[str] = mapped_column(String(64))  # access_as_shared, access_as_external
    target_project: Mapped[Name]


class NetworkRow(Standard):
    __tablename__ = "network"
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    status: Mapped[str] = mapped_column(String(16), default="ACTIVE")
    external: Mapped[bool] = mapped_column(default=False)
    is_default: Mapped[bool] = mapped_column(default=False)
    mtu: Mapped[int]
    port_security_enabled: Mapped[bool] = mapped_column(default=True)
    dns_domain: Mapped[Name] = mapped_column(default="")
    network_type: Mapped[str] = mapped_column(String(32))
    physical_network: Mapped[str | None] = mapped_column(String(64))
    segmentation_id: Mapped[int | None]
    availability_zone_hints: Mapped[list[str]] = mapped_column(default=list)


class SubnetPoolRow(Standard):
    __tablename__ = "subnet_pool"
    ip_version: Mapped[int]
    prefixes: Mapped[list[str]]
    default_prefixlen: Mapped[int]
    min_prefixlen: Mapped[int]
    max_prefixlen: Mapped[int]
    default_quota: Mapped[Big | None]
    is_default: Mapped[bool] = mapped_column(default=False)


class SubnetRow(Standard):
    __tablename__ = "subnet"
    network_id: Mapped[str] = mapped_column(String(64), ForeignKey("network.id"), index=True)
    ip_version: Mapped[int]
    cidr: Mapped[str] = mapped_column(String(64))
    gateway_ip: Mapped[str | None] = mapped_column(String(64))
    enable_dhcp: Mapped[bool] = mapped_column(default=True)
    ipv6_address_mode: Mapped[str | None] = mapped_column(String(32))
    ipv6_ra_mode: Mapped[str | None] = mapped_column(String(32))
    allocation_pools: Mapped[list[Any]]  # [{"start": ..., "end": ...}]
    dns_nameservers: Mapped[list[str]] = mapped_column(default=list)
    host_routes: Mapped[list[Any]] = mapped_column(default=list)  # [{"destination": ..., "nexthop": ...}]
    service_types: Mapped[list[str]] = mapped_column(default=list)
    subnetpool_id: Mapped[str | None] = mapped_column(String(64), ForeignKey("subnet_pool.id"), index=True)


class PortRow(Standard):
    __tablename__ = "port"
    __table_args__ = (UniqueConstraint("network_id", "mac_address"), Index("port_device", "device_id"))
    network_id: Mapped[str] = mapped_column(String(64), ForeignKey("network.id"))
    mac_address: Mapped[str] = mapped_column(String(17))
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    status: Mapped[str] = mapped_column(String(16), default="DOWN")
    device_id: Mapped[Name] = mapped_column(default="")
    device_owner: Mapped[Name] = mapped_column(default="")
    port_security_enabled: Mapped[bool] = mapped_column(default=True)
    allowed_address_pairs: Mapped[list[Any]] = mapped_column(default=list)  # [{"ip_address": ..., "mac_address": ...}]
    extra_dhcp_opts: Mapped[list[Any]] = mapped_column(default=list)  # [{"opt_name", "opt_value", "ip_version"}]
    dns_name: Mapped[Name] = mapped_column(default="")
    host: Mapped[Name] = mapped_column(default="")
    profile: Mapped[dict[str, Any]] = mapped_column(default=dict)
    vnic_type: Mapped[str] = mapped_column(String(64), default="normal")


class FixedIPRow(Table):
    """An address of a port. `position` is its distance from the subnet's first address, where that fits: the free one
    with the smallest position is found by SQL."""

    __tablename__ = "port_ip"
    __table_args__ = (UniqueConstraint("subnet_id", "ip_address"), Index("port_ip_position", "subnet_id", "position"))
    port_id: Mapped[str] = mapped_column(String(64), ForeignKey("port.id", ondelete="CASCADE"), primary_key=True)
    ip_address: Mapped[str] = mapped_column(String(64), primary_key=True)
    subnet_id: Mapped[str] = mapped_column(String(64), ForeignKey("subnet.id"), primary_key=True)
    network_id: Mapped[Id] = mapped_column(index=True)
    position: Mapped[int | None] = mapped_column(BigInteger)


class PortGroupRow(Table):
    """A port is a member of a security group."""

    __tablename__ = "port_security_group"
    port_id: Mapped[str] = mapped_column(String(64), ForeignKey("port.id", ondelete="CASCADE"), primary_key=True)
    group_id: Mapped[str] = mapped_column(String(64), ForeignKey("security_group.id"), primary_key=True, index=True)


class SecurityGroupRow(Standard):
    __tablename__ = "security_group"
    stateful: Mapped[bool] = mapped_column(default=True)
    is_default: Mapped[bool] = mapped_column(default=False)


class DefaultGroupRow(Table):
    """The one default group of a project."""

    __tablename__ = "default_security_group"
    project_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    group_id: Mapped[str] = mapped_column(String(64), ForeignKey("security_group.id", ondelete="CASCADE"))


class SecurityGroupRuleRow(Standard):
    __tablename__ = "security_group_rule"
    group_id: Mapped[str] = mapped_column(String(64), ForeignKey("security_group.id", ondelete="CASCADE"), index=True)
    direction: Mapped[str] = mapped_column(String(8))
    ethertype: Mapped[str] = mapped_column(String(4))
    protocol: Mapped[str | None] = mapped_column(String(40))
    port_range_min: Mapped[int | None]
    port_range_max: Mapped[int | None]
    remote_ip_prefix: Mapped[str | None] = mapped_column(String(64))
    remote_group_id: Mapped[str | None] = mapped_column(
        String(64), ForeignKey("security_group.id", ondelete="CASCADE"), index=True
    )
    remote_address_group_id: Mapped[str | None] = mapped_column(String(64), ForeignKey("address_group.id"), index=True)


class AddressGroupRow(Standard):
    __tablename__ = "address_group"
    addresses: Mapped[list[str]] = mapped_column(default=list)


class RouterRow(Standard):
    """Its gateway is the port `gateway_port_id`; its interfaces are the ports whose device it is."""

    __tablename__ = "router"
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    status: Mapped[str] = mapped_column(String(16), default="ACTIVE")
    enable_snat: Mapped[bool] = mapped_column(default=True)
    distributed: Mapped[bool] = mapped_column(default=False)
    ha: Mapped[bool] = mapped_column(default=True)
    routes: Mapped[list[Any]] = mapped_column(default=list)  # [{"destination": ..., "nexthop": ...}]
    gateway_port_id: Mapped[str | None] = mapped_column(String(64), ForeignKey("port.id"), index=True)
    availability_zone_hints: Mapped[list[str]] = mapped_column(default=list)


class FloatingIPRow(Standard):
    """`floating_port_id` is the port that holds the address on the external network."""

    __tablename__ = "floating_ip"
    __table_args__ = (UniqueConstraint("port_id", "fixed_ip_address"),)
    floating_network_id: Mapped[str] = mapped_column(String(64), ForeignKey("network.id"), index=True)
    floating_port_id: Mapped[str] = mapped_column(String(64), ForeignKey("port.id"), index=True)
    floating_ip_address: Mapped[str] = mapped_column(String(64), index=True)
    fixed_ip_address: Mapped[str | None] = mapped_column(String(64))
    port_id: Mapped[str | None] = mapped_column(String(64), ForeignKey("port.id"))
    router_id: Mapped[str | None] = mapped_column(String(64), ForeignKey("router.id"), index=True)
    status: Mapped[str] = mapped_column(String(16), default="DOWN")
    dns_name: Mapped[Name] = mapped_column(default="")
    dns_domain: Mapped[Name] = mapped_column(default="")
