"""What an operator may set about networks."""

from __future__ import annotations

import msgspec

from tiffin.core.quota import Kept


class NetworkSettings(msgspec.Struct, frozen=True):
    physical_networks: tuple[str, ...] = ("public",)  # set by who cables: names that a provider network may use
    physical_mtu: int = 1500  # set by who cables: bytes that those carry
    dns_domain: str = "openstacklocal."  # set by the operator: what names of ports end in
    quotas: Kept = "own"  # set by who has one place for the limits of all services: "unified" reads the identity service's


SETTINGS = NetworkSettings()
GENEVE_OVERHEAD = 58
"""Bytes that a tunnel takes of each packet, over IPv4."""
ZONE = "nova"
"""The one availability zone of networks and routers."""
