"""What an operator may set about compute."""

from __future__ import annotations

import msgspec

from tiffin.core.quota import Kept


class Settings(msgspec.Struct, frozen=True):
    shutdown_seconds: float = (
        60.0  # operators of guests that stop slowly: how long a stop asks before it pulls the plug
    )
    default_zone: str = "nova"  # sites with a name of their own: the zone of hosts in no zoned aggregate
    host_down_after: float = 60.0  # seconds without news after which a host counts as down
    shown_ip: str = "127.0.0.1"  # what `hypervisor show` tells as the host's address
    resize_to_same_host: bool = True  # operators of several hosts: whether a resize may stay where it is, as DevStack lets it
    resize_confirm_window: float = 0.0  # seconds after which a resize that nobody has confirmed is confirmed; 0: never
    quotas: Kept = "own"  # sites with one place for all limits: "unified" reads the identity service's (UnifiedLimitsDriver)


SETTINGS = Settings()
