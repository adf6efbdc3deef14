"""The front door of compute: Nova's API 2.1 to 2.104."""

from __future__ import annotations

from tiffin.core.service import Service
from tiffin.services.compute import reconcilers
from tiffin.services.compute.dialect import ComputeDialect
from tiffin.services.compute.lifecycles.metadata import MetadataLife
from tiffin.services.compute.lifecycles.orphan import OrphanLife
from tiffin.services.compute.lifecycles.server import ServerLife
from tiffin.services.compute.resources import (
    aggregates,
    availability_zones,
    extensions,
    flavor_details,
    flavors,
    hypervisors,
    instance_actions,
    interfaces,
    keypairs,
    limits,
    quotas,
    security_groups,
    server_actions,
    server_create,
    server_groups,
    server_image,
    server_metadata,
    servers,
    services,
    usage,
    versions,
    volumes,
)
from tiffin.services.compute.settings import SETTINGS

service = Service(
    type="compute",
    name="nova",
    prefix="/compute",
    api="/v2.1",
    dialect=ComputeDialect(),
    resources=(
        versions.versions,
        flavors.flavors,
        flavors.flavor_briefs,
        flavor_details.specs,
        flavor_details.access,
        keypairs.keypairs,
        server_create.creations,
        servers.briefs,
        servers.details,
        servers.servers,
        servers.changed,
        server_actions.actions,
        server_actions.passwords,
        server_image.actions,
        server_metadata.metadata,
        server_metadata.tags,
        interfaces.interfaces,
        interfaces.addresses,
        interfaces.groups,
        security_groups.groups,
        security_groups.rules,
        security_groups.of_server,
        instance_actions.actions,
        volumes.attachments,
        server_groups.groups,
        quotas.sets,
        quotas.classes,
        limits.limits,
        usage.usages,
        availability_zones.zones,
        services.services,
        hypervisors.hypervisors,
        aggregates.aggregates,
        extensions.extensions,
    ),
    lifecycles=(ServerLife, OrphanLife, MetadataLife),
    reconcilers=(reconcilers.hosts, reconcilers.guests, reconcilers.metadata),
    rules=(
        ("context_is_admin", "role:admin"),
        ("project_manager_api", "role:manager and project_id:%(project_id)s"),
        ("project_member_api", "role:member and project_id:%(project_id)s"),
        ("project_reader_api", "role:reader and project_id:%(project_id)s"),
        ("service_api", "role:service"),
        ("project_manager_or_admin", "rule:project_manager_api or rule:context_is_admin"),
        ("project_member_or_admin", "rule:project_member_api or rule:context_is_admin"),
        ("project_reader_or_admin", "rule:project_reader_api or rule:context_is_admin"),
        ("service_or_admin", "rule:service_api or rule:context_is_admin"),
    ),
    quotas=quotas.QUOTAS | {quotas.DISK.name: quotas.DISK},
    settings=SETTINGS,
)
