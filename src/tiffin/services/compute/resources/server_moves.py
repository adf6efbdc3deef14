"""Moves that can be asked of a server: resize, cold migration, evacuation."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core.asker import Asker
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema, convert, since, until
from tiffin.services.compute.lifecycles import moving
from tiffin.services.compute.lifecycles.moving import LIVE, SIZE, unsettled
from tiffin.services.compute.resources import create_checks as checks
from tiffin.services.compute.resources.availability_zones import is_up
from tiffin.services.compute.resources.finding import find, ready
from tiffin.services.compute.resources.flavors import ADMIN
from tiffin.services.compute.resources.server_actions import ask
from tiffin.services.compute.resources.server_create import password
from tiffin.services.compute.resources.servers import MEMBER
from tiffin.services.compute.resources.words import Boolean, DiskConfig, HostName, boolean
from tiffin.services.compute.tables import ComputeHost, Migration, Server
from tiffin.services.image import public as images

MANAGER = "rule:project_manager_or_admin"
TO_HOST = "os_compute_api:os-migrate-server:migrate:host"
_ON_THE_WAY = ("resize_prep", "resize_migrating", "resize_migrated", "resize_finish", "resize_reverting")

actions = Resource("server", "servers", "/v2.1/servers", rules=[(TO_HOST, ADMIN)])


_FIRST = {"evacuation": "accepted", LIVE: "queued"}
"""The status that a move of this kind begins with; all others are prepared at once."""


def begin_move(
    by: Asker, row: Server, kind: str, size: dict[str, Any] | None = None, *, emptying: bool = False
) -> Migration:
    """The row of a move from where the server is, to a size of its own or the one that it has; `emptying`: to empty that
    host. Raises `Conflict` while it may come back from another one."""
    if kind != "evacuation" and unsettled(by.db, row.id):
        raise Conflict(f"Instance {row.id} has moved, and not yet left its old place: try again in a minute.")
    old = {name: getattr(row, name) for name in SIZE}
    move = Migration(
        id=by.new_id(),
        server_id=row.id,
        project_id=by.actor.project_id or row.project_id,
        user_id=by.actor.user_id,
        request_id=by.request_id,
        kind=kind,
        status=_FIRST.get(kind, "pre-migrating"),
        source=row.host,
        source_node=row.node,
        source_zone=row.availability_zone,
        old_size=old,
        new_size=size or old,
        old_vm_state=row.vm_state,
        created_at=by.now,
        settled=False,
        emptying=emptying,
    )
    by.db.add(move)
    by.db.flush()
    return move


# --- resize -----------------------------------------------------------------------------------------------------------------


class Resize(Schema):
    flavor_ref: Annotated[str, Meta(min_length=1, max_length=255)] | Annotated[int, Meta(ge=0, le=2**63 - 1)] = (
        msgspec.field(name="flavorRef")
    )
    disk_config: DiskConfig | UnsetType = msgspec.field(default=UNSET, name="OS-DCF:diskConfig")


@actions.action("resize", policy=("os_compute_api:servers:resize", MEMBER), body=Resize, about=find)
def resize(call: Call, id: str, body: Resize) -> None:
    row: Server = call.subject
    ready(call, row, "resize", ("active", "stopped"))
    flavor = checks.flavor_of(call, str(body.flavor_ref))
    if flavor.id == row.flavor["id"]:
        raise BadRequest("When resizing, instances must change flavor!")
    if flavor.disk < row.root_gb or flavor.ephemeral < row.ephemeral_gb:
        raise BadRequest(
            f"Resize error: Unable to resize disk down: from {row.root_gb} GB and {row.ephemeral_gb} GB ephemeral to "
            f"{flavor.disk} GB and {flavor.ephemeral} GB."
        )
    checks.fits(call, flavor, images.BootImage(**row.image))
    checks.reserve_more(call, row, flavor)
    size = checks.sizes(flavor)
    begin_move(call, row, "resize", size)
    for name in ("vcpus", "memory_mb", "root_gb", "ephemeral_gb", "swap_mb"):  # counted as the larger until it is there
        setattr(row, name, max(getattr(row, name), size[name]))
    if body.disk_config is not UNSET:
        row.disk_config = body.disk_config
    ask(call, row, ("resize", "resize", "resize_prep"), elsewhere=not call.service.settings.resize_to_same_host)


def _finished(call: Call, row: Server, action: str) -> Migration:
    ready(call, row, action, ("resized",))
    move = unsettled(call.db, row.id)
    if move is None or move.status != "finished":
        raise BadRequest("Instance has not been resized.")
    return move


@actions.action("confirmResize", policy=("os_compute_api:servers:confirm_resize", MEMBER), about=find, ok=204)
def confirm(call: Call, id: str, body: Any) -> None:
    moving.confirm(call, call.subject, _finished(call, call.subject, "confirmResize"))


@actions.action("revertResize", policy=("os_compute_api:servers:revert_resize", MEMBER), about=find)
def revert(call: Call, id: str, body: Any) -> None:
    move = _finished(call, call.subject, "revertResize")
    move.status, move.updated_at = "reverting", call.now
    ask(call, call.subject, ("revert", "revertResize", "resize_reverting"))


# --- migrate ----------------------------------------------------------------------------------------------------------------


class Migrate(Schema):
    host: HostName | UnsetType | None = UNSET


@actions.action("migrate", policy=("os_compute_api:os-migrate-server:migrate", MANAGER), about=find)
def migrate(call: Call, id: str, body: Any) -> None:
    row: Server = call.subject
    host = (convert(Migrate, {} if body is None else body).host or None) if call.version >= (2, 56) else None
    if host is not None:
        call.enforce(TO_HOST)
    ready(call, row, "migrate", ("active", "stopped"))
    args: dict[str, Any] = {"host": _elsewhere(call, row, host)} if host is not None else {}
    go_cold(call, row, **args)


def go_cold(by: Asker, row: Server, *, emptying: bool = False, **args: Any) -> None:
    """Have a server stop here and go on elsewhere; `args` of `Moving.resize`. Raises `Conflict`, as `begin_move`."""
    begin_move(by, row, "migration", emptying=emptying)
    ask(by, row, ("resize", "migrate", "resize_prep"), elsewhere=True, **args)


def host_named(call: Call, name: str) -> ComputeHost | None:
    return call.db.scalar(select(ComputeHost).where(ComputeHost.name == name))


def _elsewhere(call: Call, row: Server, host: str) -> str:
    """Raises `BadRequest` unless this is another host that there is."""
    if host_named(call, host) is None:
        raise BadRequest(f"Compute host {host} could not be found.")
    if host == row.host:
        raise BadRequest("The target host can't be the same one.")
    return host


# --- evacuate ---------------------------------------------------------------------------------------------------------------


class Evacuate(Schema):
    host: HostName | UnsetType = UNSET
    admin_pass: Annotated[str, Meta(max_length=255)] | UnsetType = msgspec.field(default=UNSET, name="adminPass")
    shared: Annotated[Boolean | UnsetType, until(2, 14)] = msgspec.field(default=UNSET, name="onSharedStorage")
    force: Annotated[Boolean | UnsetType, since(2, 29), until(2, 68)] = UNSET


@actions.action("evacuate", policy=("os_compute_api:os-evacuate", ADMIN), body=Evacuate, about=find, ok=200)
def evacuate(call: Call, id: str, body: Evacuate) -> Answer:
    row: Server = call.subject
    ready(call, row, "evacuate", ("active", "stopped", "error"), tasks=(None,) if row.task_state in _ON_THE_WAY else None)
    _check_shared(call, body)
    if body.host is not UNSET:
        _elsewhere(call, row, str(body.host))
    if row.host is None:
        raise Conflict(f"Cannot 'evacuate' instance {id} while it has no host")
    source = host_named(call, row.host)
    if source is not None and is_up(source, call.cloud.looked_at(), call.service.settings):
        raise BadRequest(f"Compute service of {source.name} is still in use.")
    secret = str(body.admin_pass) if body.admin_pass is not UNSET else password(call)
    row.admin_password = call.cloud.secrets.encrypt(secret.encode()) if row.config_drive else None
    args: dict[str, Any] = {"was_stopped": row.vm_state == "stopped" or call.version >= (2, 95)}
    if body.host is not UNSET:
        args["host"] = body.host
    ask(call, row, ("evacuate", "evacuate", "rebuilding"), number=begin_move(call, row, "evacuation").number, **args)
    return Answer({"adminPass": secret} if call.version < (2, 14) else None, 200)


def _check_shared(call: Call, body: Evacuate) -> None:
    if call.version >= (2, 14):
        return
    if body.shared is UNSET:
        raise BadRequest("Invalid input for field/attribute evacuate: 'onSharedStorage' is a required property.")
    if boolean(body.shared):
        if body.admin_pass is not UNSET:
            raise BadRequest("admin password can't be changed on existing disk")
        raise BadRequest("Invalid shared storage: hosts of this cloud have disks of their own.")
