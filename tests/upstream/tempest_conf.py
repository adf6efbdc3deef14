"""Writes the tempest.conf of a running Tiffin: what DevStack would write, with the ids that the API tells."""

from __future__ import annotations

import configparser
from pathlib import Path
from urllib.parse import urlsplit

from openstack.connection import Connection

from story import FLAVOR, IMAGE, PUBLIC

Sections = dict[str, dict[str, str]]


PASSWORDS = {
    "lockout_failure_attempts": 2,
    "lockout_duration": 5,
    "unique_last_password_count": 2,
}
"""Rules for passwords that Tempest can look into, as [identity.passwords] of a tiffin.toml; its own defaults."""


def write_tempest_conf(cloud: Connection, workspace: Path, passwords: dict[str, int], more: Sections) -> Path:
    """The file, for a Tempest that works in `workspace`. `cloud` is logged in as the admin; `passwords` are its rules, and
    `more` sections are what else Tempest has to know of it.

    Guests are not looked into (`run_validation`): that is what tests/real does.
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(_files(workspace) | _who(cloud, passwords) | _compute(cloud) | _network(cloud) | _available())
    parser.read_dict(more)
    path = workspace / "tempest.conf"
    with path.open("w") as file:
        parser.write(file)
    return path


def _files(workspace: Path) -> Sections:
    return {
        "DEFAULT": {"log_file": str(workspace / "tempest.log"), "debug": "true"},
        "oslo_concurrency": {"lock_path": str(workspace / "lock")},
    }


def _who(cloud: Connection, passwords: dict[str, int]) -> Sections:
    auth = cloud.config.get_auth_args()
    url = urlsplit(auth["auth_url"])
    identity = f"{url.scheme}://{url.netloc}/identity"
    return {
        "auth": {
            "use_dynamic_credentials": "true",
            "create_isolated_networks": "true",
            "tempest_roles": "member",
            "admin_username": auth["username"],
            "admin_password": auth["password"],
            "admin_project_name": auth["project_name"],
            "admin_domain_name": "Default",
        },
        "identity": {
            "auth_version": "v3",
            "uri": identity,
            "uri_v3": f"{identity}/v3",
            "region": cloud.config.region_name,
            "user_minimum_password_age": "0",
            **{f"user_{name}": str(value) for name, value in passwords.items()},
        },
        "identity-feature-enabled": {
            "api_v2": "false",
            "api_v2_admin": "false",
            "trust": "true",
            "access_rules": "true",
            "security_compliance": str(PASSWORDS.keys() <= passwords.keys()).lower(),
            "domain_specific_drivers": "false",  # of a domain with users from outside, such as LDAP's
            "immutable_user_source": "false",  # likewise: it leaves tests out
        },
    }


def _compute(cloud: Connection) -> Sections:
    image = cloud.image.find_image(IMAGE, ignore_missing=False).id
    by_size = sorted(cloud.compute.flavors(), key=lambda flavor: (flavor.ram, flavor.disk))
    flavor = cloud.compute.find_flavor(FLAVOR, ignore_missing=False)
    hosts = len(list(cloud.compute.hypervisors()))
    bigger = next(other for other in by_size if other.ram > flavor.ram and other.disk >= flavor.disk)
    return {
        "compute": {
            "image_ref": image,
            "image_ref_alt": image,
            "flavor_ref": flavor.id,
            "flavor_ref_alt": bigger.id,
            "max_microversion": "latest",
            "min_compute_nodes": str(hosts),
            "build_interval": "1",
            "build_timeout": "60",
        },
        "compute-feature-enabled": dict.fromkeys(("console_output", "pause", "snapshot", "config_drive", "resize"), "true")
        | dict.fromkeys(("live_migration", "block_migration_for_live_migration"), str(hosts > 1).lower())
        | {"suspend": "false", "shelve": "false", "scheduler_enabled_filters": "all"},
        "validation": {"run_validation": "false"},
    }


def _network(cloud: Connection) -> Sections:
    public = cloud.network.find_network(PUBLIC, ignore_missing=False)
    extensions = sorted(extension.alias for extension in cloud.network.extensions())
    return {
        "network": {
            "public_network_id": public.id,
            "floating_network_name": public.name,
            "project_network_cidr": "10.100.0.0/16",
            "build_interval": "1",
            "build_timeout": "60",
        },
        "network-feature-enabled": {
            "ipv6": "true",
            "ipv6_subnet_attributes": "true",
            "port_security": str("port-security" in extensions).lower(),
            "api_extensions": ",".join(extensions),
        },
    }


def _available() -> Sections:
    """A service that is not in the catalogue has its tests skipped."""
    there = {"nova": "true", "neutron": "true", "glance": "true"}
    return {
        "service_available": there | {"cinder": "false", "swift": "false", "horizon": "false"},
        "image": {"image_caching_enabled": "true"},
    }
