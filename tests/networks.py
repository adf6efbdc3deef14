"""Small worlds to give to network drivers: ids are fresh, so tests may share one OVN."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from typing import Any

from tiffin.services.network.drivers.base import (
    FixedIP,
    FloatingIP,
    Network,
    Port,
    Router,
    RouterGateway,
    RouterInterface,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
)

HOST = "hv1"


def new_id() -> str:
    return str(uuid.uuid4())


def new_mac() -> str:
    return "fa:16:3e:" + ":".join(f"{random.randrange(256):02x}" for _ in range(3))


def a_network(prefix: str = "10.0.1", **changes: Any) -> Network:
    """A network with one subnet PREFIX.0/24, the gateway at .1 and metadata at .2."""
    subnet = Subnet(
        id=new_id(),
        ip_version=4,
        cidr=f"{prefix}.0/24",
        gateway_ip=f"{prefix}.1",
        enable_dhcp=True,
        metadata_ip=f"{prefix}.2",
    )
    values: dict[str, Any] = {
        "id": new_id(),
        "name": "net",
        "mtu": 1442,
        "dns_domain": "tiffin.test.",
        "subnets": (subnet,),
        "metadata_port_id": new_id(),
        "metadata_mac": new_mac(),
    }
    return Network(**(values | changes))


def a_port(network: Network, ip: str | None, *groups: str, **changes: Any) -> Port:
    fixed = (FixedIP(network.subnets[0].id, ip),) if ip else ()
    values = {
        "id": new_id(),
        "network_id": network.id,
        "mac_address": new_mac(),
        "fixed_ips": fixed,
        "security_group_ids": groups,
        "host": HOST,
    }
    return Port(**(values | changes))


def a_rule(direction: str, ethertype: str = "IPv4", **changes: Any) -> SecurityGroupRule:
    return SecurityGroupRule(id=new_id(), direction=direction, ethertype=ethertype, **changes)  # type: ignore[arg-type]


def a_group(*rules: SecurityGroupRule, stateful: bool = True) -> SecurityGroup:
    return SecurityGroup(id=new_id(), stateful=stateful, rules=rules)


def an_open_group() -> SecurityGroup:
    """Lets everything out, and everything in."""
    return a_group(*(a_rule(direction, family) for direction in ("egress", "ingress") for family in ("IPv4", "IPv6")))


def an_interface(network: Network, *cidrs: str, **changes: Any) -> RouterInterface:
    own = cidrs or (f"{network.subnets[0].gateway_ip}/24",)
    values = {
        "port_id": new_id(),
        "network_id": network.id,
        "mac_address": new_mac(),
        "cidrs": own,
        "snat_cidrs": tuple(subnet.cidr for subnet in network.subnets),
    }
    return RouterInterface(**(values | changes))


def a_gateway(public: Network, ip: str, **changes: Any) -> RouterGateway:
    values = {
        "port_id": new_id(),
        "network_id": public.id,
        "mac_address": new_mac(),
        "cidrs": (f"{ip}/24",),
        "next_hops": (str(public.subnets[0].gateway_ip),),
    }
    return RouterGateway(**(values | changes))


def a_router(*interfaces: RouterInterface, **changes: Any) -> Router:
    values: dict[str, Any] = {"id": new_id(), "name": "router", "admin_state_up": True, "interfaces": interfaces}
    return Router(**(values | changes))


def a_floating_ip(router: Router, port: Port, address: str) -> FloatingIP:
    return FloatingIP(
        id=new_id(),
        router_id=router.id,
        floating_ip_address=address,
        port_id=port.id,
        fixed_ip_address=port.fixed_ips[0].ip_address,
        network_id=port.network_id,
    )


def eventually(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
