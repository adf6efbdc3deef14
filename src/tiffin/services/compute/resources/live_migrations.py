"""Live migration as it is asked for, watched, hurried and aborted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, UnsetType
from sqlalchemy import select

from tiffin.core.asker import Asker
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema, since, until
from tiffin.core.world import iso
from tiffin.services.compute.lifecycles.live import ABORT, COMPLETE
from tiffin.services.compute.lifecycles.moving import LIVE, place
from tiffin.services.compute.resources import instance_actions as log
from tiffin.services.compute.resources.availability_zones import is_up
from tiffin.services.compute.resources.finding import find, ready
from tiffin.services.compute.resources.flavors import ADMIN
from tiffin.services.compute.resources.migrations import IN_PROGRESS, told
from tiffin.services.compute.resources.server_actions import ask
from tiffin.services.compute.resources.server_moves import MANAGER, begin_move, host_named
from tiffin.services.compute.resources.servers import KIND
from tiffin.services.compute.resources.words import FALSE_WORDS, Boolean, HostName, boolean
from tiffin.services.compute.scheduler.model import NoHost
from tiffin.services.compute.tables import Migration, Server

TO_HOST = "os_compute_api:os-migrate-server:migrate_live:host"
HOSTS_TOLD = "os_compute_api:servers:migrations:index:host"
ASYNC = (2, 34)
"""The version from which on what can only be found out later is told later."""

BlockMigration = bool | Literal[
    "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes",
    "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "auto",
]  # fmt: skip

actions = Resource("server", "servers", "/v2.1/servers", rules=[(TO_HOST, ADMIN)])


# --- asking for it ------------------------------------------------------------------------------------------------------


class MigrateLive(Schema):
    host: HostName | None
    block_migration: BlockMigration
    disk_over_commit: Annotated[Boolean | UnsetType, until(2, 25)] = UNSET
    force: Annotated[Boolean | UnsetType, since(2, 30), until(2, 68)] = UNSET


@actions.action(
    "os-migrateLive",
    policy=("os_compute_api:os-migrate-server:migrate_live", MANAGER),
    body=MigrateLive,
    about=find,
)
def migrate_live(call: Call, id: str, body: MigrateLive) -> None:
    row: Server = call.subject
    _check_words(call, body)
    if body.host is not None:
        call.enforce(TO_HOST)
    ready(call, row, "os-migrateLive", ("active", "paused"))
    if body.host is not None and host_named(call, body.host) is None:
        raise BadRequest(f"Compute host {body.host} could not be found.")
    why = _impossible(call, row, body)
    if call.version < ASYNC:
        why = why or _no_room(call, row, body)
        if why is not None:
            raise BadRequest(why)
    args: dict[str, Any] = {} if why is None else {"impossible": why}
    if body.host is not None:
        args |= {"host": body.host, "force": _forced(body)}
    go_live(call, row, **args)


def go_live(by: Asker, row: Server, *, emptying: bool = False, **args: Any) -> None:
    """Have a server go on elsewhere while it runs; `args` of `LiveMoving.live_migrate`. Raises `Conflict`, as `begin_move`."""
    begin_move(by, row, LIVE, emptying=emptying)
    ask(by, row, ("live_migrate", "live-migration", "migrating"), **args)


def _check_words(call: Call, body: MigrateLive) -> None:
    if call.version < (2, 25):
        if body.disk_over_commit is UNSET:
            raise BadRequest("Invalid input for field/attribute os-migrateLive: 'disk_over_commit' is a required property.")
        if body.block_migration == "auto":
            raise BadRequest("Invalid input for field/attribute block_migration: 'auto' is known since 2.25.")


def _impossible(call: Call, row: Server, body: MigrateLive) -> str | None:
    """Why this can lead nowhere, if it cannot."""
    if body.block_migration is False or body.block_migration in FALSE_WORDS:
        return f"Instance {row.id} has local disks, which are not on shared storage: block_migration must be true or auto."
    if body.host is not None and body.host == row.host:
        return f"Unable to migrate instance ({row.id}) to current host ({row.host})."
    for name in (row.host, body.host):
        host = host_named(call, name) if name else None
        if host is not None and not is_up(host, call.cloud.looked_at(), call.service.settings):
            return f"Compute service of {name} is unavailable at this time."
    return None


def _forced(body: MigrateLive) -> bool:
    return body.host is not None and body.force is not UNSET and boolean(body.force)


def _no_room(call: Call, row: Server, body: MigrateLive) -> str | None:
    """What the scheduler would say now; nothing is kept of it."""
    with call.db.begin_nested() as trial:
        move = begin_move(call, row, LIVE)
        try:
            place(call.cloud, call.db, (row, move), avoid=(str(row.host),), host=body.host, force=_forced(body))
        except NoHost as none:
            return f"No valid host was found. {none}"
        finally:
            trial.rollback()
            call.db.expire_all()
    return None


# --- while it is on its way -----------------------------------------------------------------------------------------------


class MigrationOut(Schema, kw_only=True):
    id: int
    uuid: Annotated[str | UnsetType, since(2, 59)] = UNSET
    server_uuid: str
    status: str
    source_compute: str | None
    source_node: str | None
    dest_compute: str | None
    dest_host: str | None
    dest_node: str | None
    memory_total_bytes: int | None
    memory_processed_bytes: int | None
    memory_remaining_bytes: int | None
    disk_total_bytes: int | None
    disk_processed_bytes: int | None
    disk_remaining_bytes: int | None
    created_at: str | None
    updated_at: str | None
    user_id: Annotated[str | UnsetType, since(2, 80)] = UNSET
    project_id: Annotated[str | UnsetType, since(2, 80)] = UNSET


def _view(call: Call, row: Migration) -> MigrationOut:
    progress = row.progress or {}
    amounts: dict[str, Any] = {
        f"{what}_{part}_bytes": progress[f"{what}_{part}"] if progress.get(f"{what}_total") else None
        for what in ("memory", "disk")
        for part in ("total", "processed", "remaining")
    }
    return MigrationOut(
        server_uuid=row.server_id,
        updated_at=iso(row.updated_at or row.created_at, micro=True, zulu=False),
        **told(row, hosts=call.allows(HOSTS_TOLD)),
        **amounts,
    )


under_way = Resource(
    "migration", "migrations", "/v2.1/servers/{id}/migrations", _view, rules=[(HOSTS_TOLD, ADMIN)]
)


@under_way.operation(
    "GET", policy=("os_compute_api:servers:migrations:index", MANAGER), about=find, since=(2, 23)
)
def index(call: Call, id: str) -> dict[str, list[MigrationOut]]:
    mine = select(Migration).where(
        Migration.server_id == id, Migration.kind == LIVE, Migration.settled.is_(False), Migration.status.in_(IN_PROGRESS)
    )
    return {"migrations": [_view(call, row) for row in call.db.scalars(mine.order_by(Migration.number))]}


@under_way.operation(
    "GET", "/{number}", policy=("os_compute_api:servers:migrations:show", ADMIN), about=find, since=(2, 23)
)
def show(call: Call, id: str, number: str) -> dict[str, MigrationOut]:
    row = _of_server(call, id, number)
    if row.kind != LIVE:
        raise NotFound(f"Migration {number} for server {id} is not live-migration.")
    if row.status not in IN_PROGRESS:
        raise NotFound(f"Migration {number} for server {id} is not in progress.")
    return {"migration": _view(call, row)}


def _of_server(call: Call, id: str, number: str) -> Migration:
    """Raises `NotFound`."""
    row = None
    if number.isascii() and number.isdecimal() and len(number) < 19:
        row = call.db.scalars(select(Migration).where(Migration.number == int(number), Migration.server_id == id)).first()
    if row is None:
        raise NotFound(f"Migration {number[:40]} not found for instance {id}.")
    return row


@under_way.action(
    "force_complete",
    path="/{number}/action",
    policy=("os_compute_api:servers:migrations:force_complete", MANAGER),
    about=find,
    since=(2, 22),
)
def force_complete(call: Call, id: str, number: str, body: Any) -> None:
    """It may stand still until it is there."""
    if body is not None:
        raise BadRequest("Invalid input for field/attribute force_complete: it must be null.")
    row: Server = call.subject
    ready(call, row, "force_complete live migration", ("active",), tasks=("migrating",))
    try:
        move = _of_server(call, id, number)
    except NotFound as no:
        raise BadRequest(no.message) from no
    _wish(call, move, COMPLETE, ("running",))


@under_way.operation(
    "DELETE", "/{number}", policy=("os_compute_api:servers:migrations:delete", MANAGER), about=find, since=(2, 24), ok=202
)
def abort(call: Call, id: str, number: str) -> Answer:
    ready(call, call.subject, "abort live migration", None, tasks=("migrating",))
    statuses = ("running", "queued", "preparing") if call.version >= (2, 65) else ("running",)
    _wish(call, _of_server(call, id, number), ABORT, statuses)
    return Answer(status=202)


_NAMES = {ABORT: "live_migration_cancel", COMPLETE: "live_migration_force_complete"}


def _wish(call: Call, move: Migration, wish: str, statuses: tuple[str, ...]) -> None:
    """Whoever leads the guest sees it at the next step. Raises `BadRequest` when it is too early or too late."""
    if move.kind != LIVE or move.settled or move.status not in statuses or move.wish == ABORT:
        raise BadRequest(
            f"Migration {move.number} state of instance {move.server_id} is {move.status}. "
            f"Cannot {wish} while the migration is in this state."
        )
    move.wish, move.updated_at = wish, call.now
    log.begin(call, call.subject, _NAMES[wish])
    call.record(f"{_NAMES[wish]}.start", (KIND, move.server_id), after={"wish": wish})
