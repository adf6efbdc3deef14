"""What network needs from the engine that moves packets.

Every `ensure_*` takes the whole wanted state of one object and may be repeated; every `forget_*` takes its id and is
fine with what never was. They raise `Refused`, `Impossible` or `StaleTurn`. Implementations share one conformance
suite: `tests/drivers/test_network_conformance.py`.

Order: a port and a router are refused while a network of theirs is missing, a floating IP while its router is; security
groups may come before or after their ports. A network that still has ports of guests or routers is not forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from tiffin.core.driver import Turn


class Subnet(msgspec.Struct, frozen=True):
    """A subnet as part of its network."""

    id: str
    ip_version: Literal[4, 6]
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[tuple[str, str], ...] = ()  # (destination, next hop)
    ipv6_address_mode: str | None = None  # slaac, dhcpv6-stateful, dhcpv6-stateless
    ipv6_ra_mode: str | None = None
    metadata_ip: str | None = None  # the address of the metadata port in this subnet


class Network(msgspec.Struct, frozen=True):
    id: str
    name: str
    mtu: int
    dns_domain: str
    physical_network: str | None = None  # a provider network leaves the cloud here ...
    vlan: int | None = None  # ... with this tag
    subnets: tuple[Subnet, ...] = ()
    metadata_port_id: str | None = None
    metadata_mac: str | None = None
    port_security_enabled: bool = True


class FixedIP(msgspec.Struct, frozen=True):
    subnet_id: str
    ip_address: str


class Port(msgspec.Struct, frozen=True):
    """A port of a guest. Ports of routers, of DHCP and of floating IPs are realised with their owner."""

    id: str
    network_id: str
    mac_address: str
    fixed_ips: tuple[FixedIP, ...]
    admin_state_up: bool = True
    port_security_enabled: bool = True
    security_group_ids: tuple[str, ...] = ()
    allowed_address_pairs: tuple[tuple[str, str], ...] = ()  # (ip or cidr, mac)
    host: str | None = None  # the chassis that may claim it
    hostname: str | None = None  # the name that DHCP and DNS tell
    extra_dhcp_opts: tuple[tuple[str, str, int], ...] = ()  # (name, value, ip version)


class RouterInterface(msgspec.Struct, frozen=True):
    port_id: str
    network_id: str
    mac_address: str
    cidrs: tuple[str, ...]  # own addresses with the prefix length
    snat_cidrs: tuple[str, ...] = ()  # the subnets behind it
    ra_mode: str | None = None


class RouterGateway(msgspec.Struct, frozen=True):
    port_id: str
    network_id: str
    mac_address: str
    cidrs: tuple[str, ...]
    next_hops: tuple[str, ...]
    enable_snat: bool = True


class Router(msgspec.Struct, frozen=True):
    id: str
    name: str
    admin_state_up: bool
    interfaces: tuple[RouterInterface, ...] = ()
    gateway: RouterGateway | None = None
    routes: tuple[tuple[str, str], ...] = ()  # (destination, next hop)


class FloatingIP(msgspec.Struct, frozen=True):
    id: str
    router_id: str
    floating_ip_address: str
    fixed_ip_address: str
    port_id: str
    network_id: str  # of the port


class SecurityGroupRule(msgspec.Struct, frozen=True):
    id: str
    direction: Literal["ingress", "egress"]
    ethertype: Literal["IPv4", "IPv6"]
    protocol: str | None = None  # a name that OpenStack knows, or a number
    port_range_min: int | None = None  # ICMP: the type
    port_range_max: int | None = None  # ICMP: the code
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    remote_address_group: tuple[str, ...] | None = None


class SecurityGroup(msgspec.Struct, frozen=True):
    id: str
    stateful: bool
    rules: tuple[SecurityGroupRule, ...] = ()


class Chassis(msgspec.Struct, frozen=True):
    name: str
    hostname: str
    alive: bool


class Inventory(msgspec.Struct, frozen=True):
    """The ids that are real in the engine, for the reconciler."""

    networks: frozenset[str]
    ports: frozenset[str]
    routers: frozenset[str]
    floating_ips: frozenset[str]
    security_groups: frozenset[str]
    up: frozenset[str]  # those of the ports that are up


class NetworkBackend(Protocol):
    """The intent of the whole cloud; one for all hosts."""

    def ensure_network(self, turn: Turn, network: Network) -> None: ...
    def forget_network(self, turn: Turn, network_id: str) -> None: ...
    def ensure_port(self, turn: Turn, port: Port) -> None: ...
    def forget_port(self, turn: Turn, port_id: str) -> None: ...
    def ensure_router(self, turn: Turn, router: Router) -> None: ...
    def forget_router(self, turn: Turn, router_id: str) -> None: ...
    def ensure_floating_ip(self, turn: Turn, floating_ip: FloatingIP) -> None: ...
    def forget_floating_ip(self, turn: Turn, floating_ip_id: str) -> None: ...
    def ensure_security_group(self, turn: Turn, group: SecurityGroup) -> None: ...
    def forget_security_group(self, turn: Turn, group_id: str) -> None: ...

    def port_up(self, port_id: str) -> bool:
        """Whether a chassis has claimed the port and its flows are in place."""
        ...

    def on_port_change(self, heard: Callable[[str, bool], None]) -> None:
        """Call `heard(port_id, up)`, on whatever thread, when a port goes up or down: a hint, it may be lost."""
        ...

    def chassis(self) -> list[Chassis]: ...
    def inventory(self) -> Inventory: ...
    def close(self) -> None: ...


class MetadataListener(Protocol):
    """Answers HTTP on the metadata address of one network; `remote` is the guest's real fixed address."""

    def __call__(
        self, network_id: str, remote: str, method: str, path: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]: ...


class HostNetwork(Protocol):
    """The ports of the guests of one host."""

    def ensure_plugged(self, turn: Turn, port_id: str, mac: str, mtu: int) -> str:
        """Have an interface for this port on the host's integration bridge; the name of its tap."""
        ...

    def forget_plugged(self, turn: Turn, port_id: str) -> None: ...

    def ensure_metadata(self, turn: Turn, network: Network) -> None:
        """Have the metadata address of this network answered on this host."""
        ...

    def forget_metadata(self, turn: Turn, network_id: str) -> None: ...

    def launch_prefix(self) -> tuple[str, ...]:
        """What to put before a hypervisor's command line so that it sees the taps (`ip netns exec ...`)."""
        ...

    def plugged(self) -> frozenset[str]: ...
    def metadata_networks(self) -> frozenset[str]: ...
    def close(self) -> None: ...
