"""What a machine's settings say about tunnels to the other machines of its cloud."""

from __future__ import annotations

from tiffin.core.certificates import Identity
from tiffin.core.settings import Settings, SettingsError
from tiffin.core.state_folder import StateFolder
from tiffin.host.agent import Membership
from tiffin.host.door import Keys
from tiffin.services.network.drivers.ovn_tunnels import SOUTHBOUND_PORT, Certified, Tunnels, read_underlay


def of_controller(settings: Settings) -> Tunnels | None:
    """None for a cloud of one machine. Raises `SettingsError`."""
    if settings.underlay is None:
        return None
    if settings.hosts_listen is None:
        raise SettingsError("underlay: set hosts_listen, too, where the machines at its other end are answered.")
    try:
        underlay = read_underlay(settings.underlay)
    except ValueError as no:
        raise SettingsError(f"underlay: {no}") from None
    return Tunnels(underlay, _certified(Keys(settings.home / "keys").own), listen=_southbound(settings.hosts_listen))


def of_member(membership: Membership, identity: Identity) -> Tunnels:
    """Raises ValueError."""
    return Tunnels(
        read_underlay(membership.underlay), _certified(identity), southbound=_southbound(membership.controller)
    )


def tag(folder: StateFolder) -> str:
    """What names of namespaces and interfaces of this machine begin with."""
    return Settings(home=folder.root).tag


def _southbound(controller: str) -> str:
    """OVN is answered at the address at which machines are."""
    return f"{controller.rpartition(':')[0]}:{SOUTHBOUND_PORT}"


def _certified(identity: Identity) -> Certified:
    return Certified(identity.key, identity.certificate, identity.trusted)
