"""How a network is carried: by a tunnel, or by a physical network with or without a VLAN tag."""

from __future__ import annotations

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tiffin.core.errors import Conflict, Unavailable
from tiffin.services.network.faults import invalid_input
from tiffin.services.network.settings import GENEVE_OVERHEAD, SETTINGS
from tiffin.services.network.tables import NetworkRow

HIGHEST_VNI = (1 << 24) - 1


class Segment(msgspec.Struct, frozen=True):
    network_type: str
    physical_network: str | None = None
    segmentation_id: int | None = None


def most_mtu(network_type: str) -> int:
    """Bytes of the largest packet that such a network carries."""
    return SETTINGS.physical_mtu - (GENEVE_OVERHEAD if network_type == "geneve" else 0)


def choose(session: Session, type: str | None, physical: str | None, tag: int | None) -> Segment:
    """The segment of a new network. Raises `BadRequest` for what cannot be, `Conflict` for what another has."""
    if type is None:
        if physical is not None or tag is not None:
            raise invalid_input("network_type required")
        type = "geneve"
    if type == "geneve":
        return _tunnel(session, physical, tag)
    if type not in ("flat", "vlan"):
        raise invalid_input(f"Network type value '{type}' not supported")
    if physical not in SETTINGS.physical_networks:
        raise invalid_input(f"physical_network '{physical}' unknown for {type.upper()} provider network")
    return _flat(session, physical, tag) if type == "flat" else _vlan(session, physical, tag)


def _tunnel(session: Session, physical: str | None, tag: int | None) -> Segment:
    if physical is not None:
        raise invalid_input("provider:physical_network specified for geneve network")
    of_tunnels = NetworkRow.network_type == "geneve"
    if tag is None:
        highest = session.scalar(select(func.max(NetworkRow.segmentation_id)).where(of_tunnels)) or 0
        tag = highest + 1
        if tag > HIGHEST_VNI:
            raise Unavailable("No tunnel id is available. Give one as provider:segmentation_id.")
    elif session.scalar(select(NetworkRow.id).where(of_tunnels, NetworkRow.segmentation_id == tag)):
        raise Conflict(f"Unable to create the network. The tunnel ID {tag} is in use.", code="TunnelIdInUse")
    if tag < 1:
        raise invalid_input("segmentation_id out of range (1 through 16777215)")
    return Segment("geneve", None, tag)


def _flat(session: Session, physical: str | None, tag: int | None) -> Segment:
    if tag is not None:
        raise invalid_input("segmentation_id specified for flat provider network")
    same = (NetworkRow.network_type == "flat", NetworkRow.physical_network == physical)
    if session.scalar(select(NetworkRow.id).where(*same)):
        raise Conflict(
            f"Unable to create the flat network. Physical network {physical} is in use.", code="FlatNetworkInUse"
        )
    return Segment("flat", physical)


def _vlan(session: Session, physical: str | None, tag: int | None) -> Segment:
    same = (NetworkRow.network_type == "vlan", NetworkRow.physical_network == physical)
    used = set(session.scalars(select(NetworkRow.segmentation_id).where(*same)))
    if tag is None:
        tag = next((n for n in range(1, 4095) if n not in used), None)
        if tag is None:
            raise Unavailable(f"No VLAN tag is available on physical network {physical}.")
    if not 1 <= tag <= 4094:
        raise invalid_input(f"segmentation_id out of range (1 through 4094): {tag}")
    if tag in used:
        raise Conflict(
            f"Unable to create the network. The VLAN {tag} on physical network {physical} is in use.",
            code="VlanIdInUse",
        )
    return Segment("vlan", physical, tag)
