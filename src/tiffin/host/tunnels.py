"""What a machine's settings say about tunnels to the other machines of its cloud."""

from __future__ import annotations

from tiffin.core.certificates import Identity
from tiffin.core.settings import Settings, SettingsError
from tiffin.core.state_folder import StateFolder
from tiffin.host.agent import Membership
from tiffin.host.door import DAYS, RENEW_WHEN_LEFT, Keys
from tiffin.services.compute.settings import Machines
from tiffin.services.compute.settings import Settings as ComputeSettings
from tiffin.services.network.drivers.ovn_tunnels import SOUTHBOUND_PORT, Certified, Tunnels, read_underlay


def machines(settings: Settings) -> Machines:
    """What is set about other machines. Raises `SettingsError`."""
    return settings.section("compute", ComputeSettings).machines


def of_controller(settings: Settings) -> Tunnels | None:
    """None for a cloud of one machine. Raises `SettingsError`."""
    found = machines(settings)
    if not found.underlay:
        if found.network:
            raise SettingsError("[compute.machines]: underlay: set it where another controller runs the networks.")
        return None
    try:
        underlay = read_underlay(found.underlay)
    except ValueError as no:
        raise SettingsError(f"[compute.machines]: underlay: {no}") from None
    if found.network:
        return Tunnels(underlay, _certified(_chassis(settings)), southbound=_southbound(found.network), patient=True)
    return Tunnels(underlay, _certified(Keys(settings.home / "keys").own), listen=_southbound(found.listen))


def certify(settings: Settings, name: str, now: float) -> None:
    """Have what a controller's machine needs to be known to the others: as the host `name`, where another one has OVN's
    databases."""
    keys = Keys(settings.home / "keys")
    keys.ensure(now)
    chassis = _chassis(settings)
    if machines(settings).network and chassis.expires_at() - now < RENEW_WHEN_LEFT:
        chassis.keep(keys.hosts.sign(chassis.request(name), name, now, DAYS), keys.controllers.certificate())


def _chassis(settings: Settings) -> Identity:
    """This machine's own, while the keys are those of all controllers."""
    return Identity(settings.home / "chassis")


def of_member(membership: Membership, identity: Identity) -> Tunnels:
    """Raises ValueError."""
    return Tunnels(
        read_underlay(membership.underlay),
        _certified(identity),
        southbound=_southbound(membership.network or membership.controller),
    )


def tag(folder: StateFolder) -> str:
    """What names of namespaces and interfaces of this machine begin with."""
    return Settings(home=folder.root).tag


def _southbound(controller: str) -> str:
    """OVN is answered at the address at which machines are."""
    return f"{controller.rpartition(':')[0]}:{SOUTHBOUND_PORT}"


def _certified(identity: Identity) -> Certified:
    return Certified(identity.key, identity.certificate, identity.trusted)
