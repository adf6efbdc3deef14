"""Server groups: servers that should share a host, or should not."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.listing import limit_of
from tiffin.core.quota import Quota
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema, since, until
from tiffin.core.sql import children
from tiffin.services.compute.resources.finding import with_project
from tiffin.services.compute.resources.flavors import ADMIN, READER
from tiffin.services.compute.resources.words import Name
from tiffin.services.compute.tables import Server, ServerGroup

MEMBER = "rule:project_member_or_admin"
ALL_PROJECTS = "os_compute_api:os-server-groups:index:all_projects"
Policy = Literal["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]


class RulesIn(Schema):
    max_server_per_host: (
        Annotated[int, Meta(ge=1, le=2**31 - 1)]
        | Annotated[str, Meta(max_length=9, pattern=r"^[1-9][0-9]{0,8}\Z")]
        | UnsetType
    ) = UNSET


class GroupIn(Schema):
    name: Name
    policies: Annotated[Annotated[list[Policy], Meta(min_length=1, max_length=1)] | UnsetType, until(2, 64)] = UNSET
    policy: Annotated[Policy | UnsetType, since(2, 64)] = UNSET
    rules: Annotated[RulesIn | UnsetType, since(2, 64)] = UNSET


class GroupOut(Schema):
    id: str
    name: str
    members: list[str]
    policies: Annotated[list[str] | UnsetType, until(2, 64)] = UNSET
    metadata: Annotated[dict[str, str] | UnsetType, until(2, 64)] = UNSET
    project_id: Annotated[str | UnsetType, since(2, 13)] = UNSET
    user_id: Annotated[str | UnsetType, since(2, 13)] = UNSET
    policy: Annotated[str | UnsetType, since(2, 64)] = UNSET
    rules: Annotated[dict[str, int] | UnsetType, since(2, 64)] = UNSET


def view(call: Call, row: Any) -> GroupOut:
    return GroupOut(
        id=row.id,
        name=row.name,
        members=[one["id"] for one in row.members or []],
        policies=[row.policy],
        metadata={},
        project_id=row.project_id,
        user_id=row.user_id,
        policy=row.policy,
        rules={} if row.per_host is None else {"max_server_per_host": row.per_host},
    )


groups = Resource("server_group", "server_groups", "/v2.1/os-server-groups", view, rules=[(ALL_PROJECTS, ADMIN)])


def used(session: Session, project_id: str) -> int:
    return (
        session.scalar(select(func.count()).select_from(ServerGroup).where(ServerGroup.project_id == project_id)) or 0
    )


QUOTA = Quota("server_groups", 10, used, by_project=False, required=False)


def _looking() -> Any:
    members = select(Server.id).where(Server.group_id == ServerGroup.id, Server.deleted_at.is_(None))
    return select(*ServerGroup.__table__.columns, children(members, id=Server.id).label("members"))


def find(call: Call, id: str, **_: Any) -> ServerGroup:
    row = call.db.get(ServerGroup, id) if len(id) <= 64 else None
    if row is None or (row.project_id != call.actor.project_id and not call.actor.is_admin):
        raise NotFound(f"Instance group {id[:64]} could not be found.")
    return row


@groups.operation("GET", policy=("os_compute_api:os-server-groups:index", READER))
def index(call: Call) -> dict[str, Any]:
    query = _looking().order_by(ServerGroup.created_at, ServerGroup.id)
    if call.param("all_projects") is None or not call.actor.is_admin:
        query = query.where(ServerGroup.project_id == call.actor.project_id)
    else:
        call.enforce(ALL_PROJECTS)
    limit, offset = limit_of(call.param("limit"), 1000), limit_of(call.param("offset"), 10**9, 0)
    rows = call.db.execute(query.limit(limit).offset(offset))
    return {"server_groups": [view(call, row) for row in rows]}


@groups.operation("GET", "/{id}", policy=("os_compute_api:os-server-groups:show", READER), about=find)
def show(call: Call, id: str) -> Any:
    return call.db.execute(_looking().where(ServerGroup.id == id)).one()


@groups.operation(
    "POST",
    policy=("os_compute_api:os-server-groups:create", MEMBER),
    body=GroupIn,
    quota="server_groups",
    ok=200,
)
def create(call: Call, body: GroupIn) -> Any:
    project = with_project(call)
    policy = body.policy if body.policy is not UNSET else body.policies[0] if body.policies is not UNSET else None
    if policy is None:
        raise BadRequest("Invalid input for field/attribute server_group: a policy is required.")
    if policy.startswith("soft-") and call.version < (2, 15):
        raise BadRequest(f"Invalid input for field/attribute policies: {policy!r} exists since version 2.15.")
    per_host = None
    if body.rules is not UNSET and body.rules.max_server_per_host is not UNSET:
        if policy != "anti-affinity":
            raise BadRequest("Only anti-affinity policy supports rules.")
        per_host = int(body.rules.max_server_per_host)
    row = ServerGroup(
        id=call.new_id(),
        project_id=project,
        user_id=call.actor.user_id,
        name=body.name,
        policy=policy,
        per_host=per_host,
        created_at=call.now,
    )
    call.db.add(row)
    call.record("create", ("compute.server_group", row.id))
    call.db.flush()
    return call.db.execute(_looking().where(ServerGroup.id == row.id)).one()


@groups.operation(
    "DELETE", "/{id}", policy=("os_compute_api:os-server-groups:delete", MEMBER), about=find, event="delete"
)
def delete(call: Call, id: str) -> None:
    call.db.delete(call.subject)
