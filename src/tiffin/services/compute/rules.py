"""What compute decides without looking at anything: states, names, keys. Pure functions."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import re
from collections.abc import Collection, Mapping

import msgspec

# --- states -------------------------------------------------------------------------------------------------------------

NOSTATE, RUNNING, PAUSED, SHUTDOWN, CRASHED = 0, 1, 3, 4, 6
"""Power states, by the API's numbers."""
POWER = {"running": RUNNING, "paused": PAUSED, "shutdown": SHUTDOWN, "crashed": CRASHED, "absent": NOSTATE}

_STATUS = {
    "active": "ACTIVE",
    "building": "BUILD",
    "stopped": "SHUTOFF",
    "paused": "PAUSED",
    "suspended": "SUSPENDED",
    "resized": "VERIFY_RESIZE",
    "error": "ERROR",
    "deleted": "DELETED",
}
_WHILE = {
    "resize_prep": "RESIZE",
    "resize_migrating": "RESIZE",
    "resize_migrated": "RESIZE",
    "resize_finish": "RESIZE",
    "resize_reverting": "REVERT_RESIZE",
    "rebooting": "REBOOT",
    "rebooting_hard": "HARD_REBOOT",
    "rebuilding": "REBUILD",
    "rebuild_spawning": "REBUILD",
}
_TELLING = ("active", "stopped", "error", "paused", "resized")
"""The vm_states in which what is being done is the word."""
WITH_PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE"})


def status(vm_state: str, task_state: str | None) -> str:
    """The API's one word for both."""
    if vm_state in _TELLING and task_state in _WHILE:
        return _WHILE[task_state]
    return _STATUS.get(vm_state, "UNKNOWN")


def states_of(wanted: str) -> tuple[list[str], list[str] | None] | None:
    """The (vm_states, task_states or None for those that do not change the word) of a status; None for no status."""
    word = wanted.upper()
    tasks = [task for task, name in _WHILE.items() if name == word]
    if tasks:
        return list(_TELLING), tasks
    states = [state for state, name in _STATUS.items() if name == word]
    return (states, None) if states else None


TELLING_TASKS = tuple(_WHILE)

# --- names --------------------------------------------------------------------------------------------------------------


def host_name(name: str, server_id: str, most: int = 63) -> str:
    """A server's name as a host name (RFC 1123): what does not fit is dropped."""
    made = re.sub(r"[^a-z0-9.-]+", "", re.sub(r"[ _]", "-", name.encode("ascii", "ignore").decode().lower()))
    return made.strip(".-")[:most].strip(".-") or f"server-{server_id}"[:most]


def instance_name(number: int) -> str:
    return f"instance-{number:08x}"


@functools.lru_cache(maxsize=1024)
def host_id(project_id: str, host: str | None) -> str:
    """What tells a project that two of its servers share a host, and nothing more."""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""


def decode_base64(name: str, text: str) -> bytes:
    """Raises `ValueError` for people."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"Invalid input for field/attribute {name}: it is not base64.") from None


def safe_pattern(text: str) -> str:
    """A regular expression of a tenant that cannot take long: no repeated groups, no back references, at most two open
    repetitions. Raises `ValueError` for people."""
    if len(text) > 255:
        raise ValueError("A filter has at most 255 characters.")
    plain = re.sub(r"\[[^\]]*\]", "x", re.sub(r"\\.", lambda m: "\\1" if m[0][1].isdigit() else "x", text))
    if "\\1" in plain or "(?" in plain or re.search(r"\)[*+?{]", plain) or len(re.findall(r"[*+{]", plain)) > 2:
        raise ValueError(f"The filter {text!r} is too complicated.")
    try:
        re.compile(text)
    except re.error as bad:
        raise ValueError(f"The filter {text!r} is no regular expression: {bad}.") from None
    return text


# --- scheduling ---------------------------------------------------------------------------------------------------------


class Host(msgspec.Struct, frozen=True):
    """A host as the scheduler sees it."""

    name: str
    provider_id: str
    enabled: bool
    up: bool
    zone: str
    architecture: str
    hypervisor_type: str
    servers: int  # guests of ours there


class Wish(msgspec.Struct, frozen=True):
    """What a server asks of its host."""

    zone: str | None = None
    host: str | None = None
    architecture: str | None = None
    hypervisor_type: str | None = None
    policy: str | None = None  # of its server group
    group_hosts: Collection[str] = ()  # where the other members are
    per_host: int = 1  # members of an anti-affinity group that may share a host
    same_host: Collection[str] = ()  # hosts to be on
    different_host: Collection[str] = ()  # hosts not to be on


class NoHost(Exception):
    """Which filter left none, for the user."""


def _architecture_fits(host: Host, wish: Wish) -> bool:
    return wish.architecture in (None, "", host.architecture)


def _group_fits(host: Host, wish: Wish) -> bool:
    there = list(wish.group_hosts).count(host.name)
    if wish.policy == "affinity":
        return not wish.group_hosts or there > 0
    return wish.policy != "anti-affinity" or there < wish.per_host


FILTERS = (
    ("ComputeFilter", "is enabled and up", lambda host, wish: host.enabled and host.up),
    ("ForcedHost", "is the host that was asked for", lambda host, wish: wish.host in (None, host.name)),
    ("AvailabilityZoneFilter", "is in the availability zone", lambda host, wish: wish.zone in (None, "", host.zone)),
    ("ImagePropertiesFilter", "can run the image's hw_architecture", _architecture_fits),
    (
        "ImagePropertiesFilter",
        "has the image's img_hv_type",
        lambda host, wish: (wish.hypervisor_type or host.hypervisor_type).lower() == host.hypervisor_type.lower(),
    ),
    ("ServerGroupFilter", "suits the server group's policy", _group_fits),
    ("SameHostFilter", "runs the servers of same_host", lambda h, w: not w.same_host or h.name in w.same_host),
    ("DifferentHostFilter", "is free of different_host", lambda host, wish: host.name not in wish.different_host),
)


def choose(hosts: Collection[Host], wish: Wish) -> Host:
    """The host with the fewest guests that passes every filter. Raises `NoHost`."""
    left = list(hosts)
    for name, says, passes in FILTERS:
        kept = [host for host in left if passes(host, wish)]
        if not kept:
            raise NoHost(f"{name} left none of {len(left)}: no host {says}.")
        left = kept
    together = wish.policy == "soft-affinity"
    apart = wish.policy == "soft-anti-affinity"

    def weight(host: Host) -> tuple[int, int, str]:
        there = list(wish.group_hosts).count(host.name)
        return (-there if together else there if apart else 0), host.servers, host.name

    return min(left, key=weight)


def short_of(rooms: Mapping[str, int]) -> str:
    """Which resource has no room anywhere, from {class: number of hosts with room for that alone}."""
    words = {"VCPU": "CPU", "MEMORY_MB": "RAM", "DISK_GB": "disk"}
    none = [words.get(name, name) for name, hosts in rooms.items() if hosts == 0]
    if none:
        return f"Placement left none: no host has enough free {' and '.join(none)}."
    return "Placement left none: no single host has enough free " + ", ".join(words.get(n, n) for n in rooms) + "."
