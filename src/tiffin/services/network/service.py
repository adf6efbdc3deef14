"""The front door of network: Neutron's API v2.0."""

from __future__ import annotations

from tiffin.core.service import Service
from tiffin.services.network.dialect import NetworkDialect
from tiffin.services.network.lifecycles.floatingip import FloatingIPLife
from tiffin.services.network.lifecycles.network import NetworkLife
from tiffin.services.network.lifecycles.port import PortLife
from tiffin.services.network.lifecycles.router import RouterLife
from tiffin.services.network.lifecycles.security_group import SecurityGroupLife
from tiffin.services.network.policies import BASE, RULES
from tiffin.services.network.quotas import QUOTAS
from tiffin.services.network.reconcilers import reconcile
from tiffin.services.network.resources import (
    address_group,
    agent,
    extension,
    floatingip,
    network,
    network_ip_availability,
    port,
    quota,
    rbac_policy,
    router,
    router_interface,
    security_group,
    security_group_rule,
    subnet,
    subnetpool,
    tag,
)
from tiffin.services.network.settings import SETTINGS

service = Service(
    type="network",
    name="neutron",
    prefix="/network",
    api="",
    dialect=NetworkDialect(),
    resources=(
        network.networks,
        subnet.resource,
        port.resource,
        security_group.resource,
        security_group_rule.resource,
        router.resource,
        router_interface.resource,
        floatingip.resource,
        subnetpool.resource,
        address_group.resource,
        rbac_policy.resource,
        quota.resource,
        agent.resource,
        agent.zones,
        network_ip_availability.resource,
        extension.extensions,
        extension.versions,
        *tag.resources,
    ),
    lifecycles=(NetworkLife, PortLife, RouterLife, FloatingIPLife, SecurityGroupLife),
    reconcilers=(reconcile,),
    rules=tuple({**BASE, **RULES}.items()),
    quotas=QUOTAS,
    settings=SETTINGS,
)
