"""What compute decides without looking at anything: states, names, keys. Pure functions."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import re

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
    "migrating": "MIGRATING",
}
_TELLING = ("active", "stopped", "error", "paused", "resized")
"""The vm_states in which what is being done is the word."""
WITH_PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE"})


def as_promised(vm_state: str, known: int, real: int) -> bool:
    """Whether a guest's power state, `real`, is the `known` one and fits its server's state: one that is active is not to be
    paused, which QEMU does to a guest that finds no room for what it writes."""
    return real == known and (vm_state, real) != ("active", PAUSED)


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
