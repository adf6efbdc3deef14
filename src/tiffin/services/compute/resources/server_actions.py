"""What can be asked of a running server: power, reboot, rebuild, lock, reset, console."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from tiffin.core import changes
from tiffin.core.asker import Asker
from tiffin.core.call import Call
from tiffin.core.driver import Refused
from tiffin.core.errors import BadRequest, Conflict, Unavailable
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema, convert
from tiffin.services.compute.drivers.base import Hosts
from tiffin.services.compute.resources import instance_actions as log
from tiffin.services.compute.resources.finding import UNLOCK_OVERRIDE, find, ready, unlocked
from tiffin.services.compute.resources.flavors import ADMIN, READER
from tiffin.services.compute.resources.servers import KIND, MEMBER
from tiffin.services.compute.tables import Server

actions = Resource("server", "servers", "/v2.1/servers", rules=[(UNLOCK_OVERRIDE, ADMIN)])

HARD_REBOOT_FROM = ("active", "stopped", "paused", "suspended", "error")
_WHILE_REBOOTING = (None, "rebooting", "rebooting_hard", "pausing", "unpausing", "resuming", "suspending")


_EVENTS = {
    "attach_interface": "compute_attach_interface",
    "detach_interface": "compute_detach_interface",
    "resize": "compute_prep_resize",
    "migrate": "compute_prep_resize",
    "confirmResize": "compute_confirm_resize",
    "revertResize": "compute_revert_resize",
    "evacuate": "compute_rebuild_instance",
    "live-migration": "compute_live_migration",
}
"""The events of actions whose names do not say them."""


def ask(by: Asker, row: Server, asked: tuple[str, str, str | None], **args: Any) -> None:
    """Have the lifecycle do it; `asked` is (request, action name, task state meanwhile)."""
    request, action, task = asked
    if row.host is None:
        raise Conflict(f"Cannot '{action}' instance {row.id} while it has no host")
    row.task_state, row.updated_at = task, by.now
    log.begin(by, row, action, _EVENTS.get(action, f"compute_{action}_instance"))
    by.record(f"{action}.start", (KIND, row.id), after={"task_state": task})
    by.ask(KIND, row.id, request, **args)


@actions.action("os-stop", policy=("os_compute_api:servers:stop", MEMBER), about=find)
def stop(call: Call, id: str, body: Any) -> None:
    ready(call, call.subject, "stop", ("active", "error"))
    ask(call, call.subject, ("stop", "stop", "powering-off"))


@actions.action("os-start", policy=("os_compute_api:servers:start", MEMBER), about=find)
def start(call: Call, id: str, body: Any) -> None:
    ready(call, call.subject, "start", ("stopped",))
    ask(call, call.subject, ("start", "start", "powering-on"))


class Reboot(Schema):
    type: Literal["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]


@actions.action("reboot", policy=("os_compute_api:servers:reboot", MEMBER), body=Reboot, about=find)
def reboot(call: Call, id: str, body: Reboot) -> None:
    hard = body.type.upper() == "HARD"
    if hard:
        ready(call, call.subject, "reboot", HARD_REBOOT_FROM, tasks=_WHILE_REBOOTING)
    else:
        ready(call, call.subject, "reboot", ("active",))
    ask(call, call.subject, ("reboot", "reboot", "rebooting_hard" if hard else "rebooting"), hard=hard)


@actions.action("pause", policy=("os_compute_api:os-pause-server:pause", MEMBER), about=find)
def pause(call: Call, id: str, body: Any) -> None:
    ready(call, call.subject, "pause", ("active",))
    ask(call, call.subject, ("pause", "pause", "pausing"))


@actions.action("unpause", policy=("os_compute_api:os-pause-server:unpause", MEMBER), about=find)
def unpause(call: Call, id: str, body: Any) -> None:
    ready(call, call.subject, "unpause", ("paused",))
    ask(call, call.subject, ("unpause", "unpause", "unpausing"))


# --- locks and states ---------------------------------------------------------------------------------------------------


class Lock(Schema):
    locked_reason: Annotated[str, Meta(min_length=1, max_length=255)] | UnsetType = UNSET


@actions.action("lock", policy=("os_compute_api:os-lock-server:lock", MEMBER), about=find)
def lock(call: Call, id: str, body: Any) -> None:
    row: Server = call.subject
    asked = convert(Lock, body or {}) if call.version >= (2, 73) else Lock()
    owner = row.project_id == call.actor.project_id and not call.actor.is_admin
    if row.locked_by is not None and row.locked_by != "owner" and owner:
        return
    before = changes.picture(row)
    row.locked_by = "owner" if owner else "admin"
    row.locked_reason = asked.locked_reason or None
    log.begin(call, row, "lock")
    call.record("lock", (KIND, id), before=before, after=changes.picture(row))


@actions.action("unlock", policy=("os_compute_api:os-lock-server:unlock", MEMBER), about=find)
def unlock(call: Call, id: str, body: Any) -> None:
    row: Server = call.subject
    if row.locked_by == "admin":
        call.enforce(UNLOCK_OVERRIDE)
    before = changes.picture(row)
    row.locked_by = row.locked_reason = None
    log.begin(call, row, "unlock")
    call.record("unlock", (KIND, id), before=before, after=changes.picture(row))


class Reset(Schema):
    state: Literal["active", "error"]


@actions.action("os-resetState", policy=("os_compute_api:os-admin-actions:reset_state", ADMIN), body=Reset, about=find)
def reset_state(call: Call, id: str, body: Reset) -> None:
    row: Server = call.subject
    before = changes.picture(row)
    row.vm_state, row.task_state, row.updated_at = body.state, None, call.now
    log.begin(call, row, "resetState")
    call.record("reset_state", (KIND, id), before=before, after=changes.picture(row))


# --- console ------------------------------------------------------------------------------------------------------------


class Console(Schema):
    length: (
        Annotated[int, Meta(ge=-1, le=2**31 - 1)]
        | Annotated[str, Meta(max_length=10, pattern=r"^-?[0-9]{1,9}\Z")]
        | UnsetType
        | None
    ) = UNSET


@actions.action(
    "os-getConsoleOutput",
    policy=None,
    body=Console,
    transaction="none",
    ok=200,
)
def console(call: Call, id: str, body: Console) -> Answer:
    """Asks the host, so it runs outside of a transaction and checks its rule itself."""
    with call.read():
        row = find(call, id)
        call.enforce("os_compute_api:os-console-output", {"project_id": row.project_id, "user_id": row.user_id})
        host = row.host
    if host is None or row.vm_state == "building":
        raise Conflict(f"Instance {id} is not ready yet: it has no console.")
    lines = None if body.length in (UNSET, None) else int(body.length)
    if lines is not None and lines < -1:
        raise BadRequest("Invalid input for field/attribute length: it must be -1 or more.")
    try:
        raw = call.part(Hosts).hypervisor(host).console_log(id, None if lines == -1 else lines)
    except Refused as no:
        raise Unavailable(f"The host of instance {id} does not answer: {no}") from no
    return Answer({"output": raw.decode("utf-8", "replace").replace("\0", "")})


actions.rules += (("os_compute_api:os-console-output", MEMBER),)


# --- what a guest left for its user -----------------------------------------------------------------------------------------

passwords = Resource("password", "passwords", "/v2.1/servers/{id}/os-server-password")


@passwords.operation("GET", policy=("os_compute_api:os-server-password:show", READER), about=find)
def password(call: Call, id: str) -> dict[str, str]:
    return {"password": call.subject.guest_password or ""}


@passwords.operation("DELETE", policy=("os_compute_api:os-server-password:clear", MEMBER), about=find, event="update")
def clear_password(call: Call, id: str) -> None:
    unlocked(call, call.subject)
    call.subject.guest_password = None
