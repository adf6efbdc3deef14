"""Who may import whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from house import tree

ORDER = ["identity", "placement", "image", "network", "compute"]
"""A service may use the public face of those before it."""
NAMES_DRIVERS = {"tiffin.main"}

ENDED_BY_THE_CLI = (
    "tiffin.services.network.drivers.ovn_daemons",
    "tiffin.services.network.drivers.ovn_tunnels",
    "tiffin.services.compute.drivers.qemu_process",
    "tiffin.services.compute.drivers.qmp",
)
"""`down` ends daemons and guests after the server is gone, so that nobody repairs what it ends."""
ROTATED_BY_THE_CLI = ("tiffin.services.identity.keys", "tiffin.services.identity.settings")
"""Keys are files, and are rotated whether the server runs or not."""

MENDED_BY_THE_CLI = ("tiffin.bootstrap",)
"""`bootstrap` works on a cloud that lets nobody in, or does not run."""

MOVED_BY_THE_CLI = ("tiffin.main",)
"""`migrate-database` moves the rows of every service while no server writes."""


HOSTS_BY_THE_CLI = ("tiffin.host",)
"""A machine joins a cloud before anything of ours runs on it."""
TUNNELS = "tiffin.services.network.drivers.ovn_tunnels"
SPOKEN_WITH_AGENTS = (
    "tables", "settings", "agents", "controllers", "joining", "drivers.base", "drivers.departure",
)  # fmt: skip
"""What of compute the floor of hosts is about."""


def module(path: Path) -> str:
    parts = path.relative_to(tree.SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", tree.files(), ids=tree.name)
def test_imports(path: Path) -> None:
    own = module(path)
    for wanted in tree.imports(path):
        if wanted.startswith("tiffin."):
            assert allowed(own, wanted), f"{own} must not import {wanted}"


def allowed(own: str, wanted: str) -> bool:
    if own.startswith("tiffin.core"):
        return wanted.startswith("tiffin.core")
    if own.startswith("tiffin.services."):
        return _service_may(own.split("."), wanted)
    if own.startswith("tiffin.simulator"):
        return wanted.startswith(("tiffin.core", "tiffin.simulator")) or _is_shared_by_drivers(wanted)
    if own.startswith("tiffin.cli"):
        ours = (
            *ENDED_BY_THE_CLI, *ROTATED_BY_THE_CLI, *MENDED_BY_THE_CLI, *MOVED_BY_THE_CLI, *HOSTS_BY_THE_CLI,
        )  # fmt: skip
        return wanted.startswith(("tiffin.core", "tiffin.cli", *ours))
    if own.startswith("tiffin.host"):
        compute = tuple(f"tiffin.services.compute.{room}" for room in SPOKEN_WITH_AGENTS)
        shared = ("tiffin.core", "tiffin.host", "tiffin.services.network.drivers.base", TUNNELS, *compute)
        return wanted.startswith(shared) or wanted == "tiffin.services.compute" or own == "tiffin.host.admin"
    return True


PROTOCOLS = ("base", "departure")
_SHARED = (*PROTOCOLS, "disk_ranges", "guest_check", "image_inspection", "ip_protocols", "ovn_checks")


def _is_shared_by_drivers(wanted: str) -> bool:
    """Protocols, and the pure rules by which the simulated driver refuses what the real one refuses."""
    parts = wanted.split(".")
    return parts[:2] == ["tiffin", "services"] and parts[3:4] == ["drivers"] and (
        len(parts) == 4 or parts[4] in _SHARED
    )


def _service_may(own: list[str], wanted: str) -> bool:
    if wanted.startswith("tiffin.core"):
        return True
    if not wanted.startswith("tiffin.services."):
        return False
    mine, other = own[2], wanted.split(".")[2]
    if len(own) > 4 and own[3] == "drivers":
        return other == mine and wanted.split(".")[3:4] == ["drivers"]
    if other == mine:
        room, name = wanted.split(".")[3:4], wanted.split(".")[4:5]
        return room != ["drivers"] or not name or name[0] in PROTOCOLS
    return ORDER.index(other) < ORDER.index(mine) and (
        wanted.split(".")[3:4] == ["public"] or wanted == f"tiffin.services.{other}"
    )
