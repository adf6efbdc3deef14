"""What exists in a running cloud, as sets and counts that are the same before a story and after it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from running_cloud import ADMIN, DEMO, RunningCloud
from tiffin.core.settings import Settings

OVN_TABLES = (
    "Logical_Switch",
    "Logical_Switch_Port",
    "Logical_Router",
    "Logical_Router_Port",
    "Logical_Router_Static_Route",
    "NAT",
    "ACL",
    "Port_Group",
    "Address_Set",
    "DHCP_Options",
    "DNS",
    "Gateway_Chassis",
    "HA_Chassis_Group",
)


def world(cloud: RunningCloud, *machines: Path) -> dict[str, Any]:
    """What a tenant's work can leave behind: rows of the APIs, allocations, files, processes, OVN rows, interfaces, ports of the
    switch, namespaces. `machines`: the homes of hosts that have joined."""
    found = _promised(cloud)
    for home in (cloud.home, *machines):
        mark = "" if home == cloud.home else f" on {home.parent.name}"
        found |= {f"files{mark}": _files(home), f"guests{mark}": guest_processes(home)}
        if not cloud.simulated:
            found |= {f"{kind}{mark}": there for kind, there in _of_the_switch(home).items()}
    return found if cloud.simulated else found | {"ovn": ovn_rows(cloud.home)}


def assert_becomes(look: Callable[[], Any], wanted: Any, patience: float = 30) -> None:
    """Deletion is finished by lifecycles after the answer: look again until `patience` seconds have passed."""
    deadline = time.monotonic() + patience
    while (found := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    other = {n: (found[n], wanted[n]) for n in wanted if found[n] != wanted[n]} if isinstance(found, dict) else found
    assert found == wanted, f"(found, wanted): {other}"


def _promised(cloud: RunningCloud) -> dict[str, Any]:
    with cloud.connect(ADMIN) as admin, cloud.connect(DEMO) as demo:
        network, compute = admin.network, admin.compute
        kinds = {
            "servers": compute.servers(all_projects=True, details=False),
            "images": admin.image.images(),
            "networks": network.networks(),
            "subnets": network.subnets(),
            "routers": network.routers(),
            "ports": network.ports(),
            "floating ips": network.ips(),
        }
        found: dict[str, Any] = {kind: {thing.id for thing in things} for kind, things in kinds.items()}
        # A project's `default` group appears at the first look, as upstream's does.
        found["security groups"] = {group.id for group in network.security_groups() if group.name != "default"}
        found["keypairs"] = {key.name for key in demo.compute.keypairs()}
        found["allocations"] = {
            provider.id: admin.placement.get(f"/resource_providers/{provider.id}/allocations").json()["allocations"]
            for provider in admin.placement.resource_providers()
        }
    return found


def _files(home: Path) -> set[str]:
    """Guests' folders and the bytes of images. What the image cache keeps may stay; it is bounded elsewhere."""
    kept = [*home.glob("host/guests/*"), *home.glob("images/**/*")]
    return {str(path.relative_to(home)) for path in kept if path.is_file() or path.parent.name == "guests"}


def guest_processes(home: Path) -> set[int]:
    """The pids of this cloud's QEMU processes: of all on the machine, those that hold a file of its folder open. Their
    command lines do not name it, since they are given open files."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "qemu-system" in os.readlink(process / "exe") and _holds(process, home):
                found.add(int(process.name))
        except OSError:  # it ended while we looked, or is the kernel's
            continue
    return found


def _holds(process: Path, home: Path) -> bool:
    return any(os.readlink(file).startswith(f"{home}/") for file in (process / "fd").iterdir())


def processes_of(home: Path) -> list[tuple[int, bytes]]:
    """(pid, command line) of every process that names the cloud's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:  # it ended while we looked
            continue
        if str(home).encode() in command:
            found.append((int(entry.name), command))
    return found


def ovn_rows(home: Path) -> dict[str, int]:
    """How many rows the northbound database has, by table."""
    (socket,) = home.glob("ovn/**/nb.sock")
    count = {}
    for table in OVN_TABLES:
        words = ("--timeout=15", "--data=bare", "--no-heading", "--columns=_uuid", "list", table)
        count[table] = len(_said("ovn-nbctl", f"--db=unix:{socket}", *words).split())
    return count


def _of_the_switch(home: Path) -> dict[str, set[str]]:
    """The interfaces in the namespace of the switch, whose pid file tells which one that is; the switch's ports; and all
    namespaces of this machine."""
    (pid_file,) = home.glob("ovn/**/vswitchd.pid")
    inside = ["nsenter", "--target", pid_file.read_text().strip(), "--net"]
    links = [line.split(":")[1].split("@")[0].strip() for line in _said(*inside, "ip", "-o", "link").splitlines()]
    database = f"--db=unix:{pid_file.with_name('db.sock')}"
    ports = _said("ovs-vsctl", database, "--timeout=10", "--no-wait", "list-ports", "br-int").split()
    spaces = {name for name in os.listdir("/run/netns") if name.startswith(f"{Settings(home=home).tag}-")}
    return {"interfaces": set(links), "switch ports": set(ports), "namespaces": spaces}


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
