"""Groups of users, and who is in them."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.bodies import refuse_nothing
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.resources.users import SHOWN, list_users
from tiffin.services.identity.resources.users import view as user_view
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import IdText, LongString, NameText
from tiffin.services.identity.tables import Group, Membership, User

READ = "(rule:admin_required) or (role:reader and system_scope:all) or (role:reader and domain_id:%(target.group.domain_id)s)"
WRITE = "(rule:admin_required) or (role:manager and domain_id:%(target.group.domain_id)s)"
MEMBER_READ = (
    "(rule:admin_required) or (role:reader and system_scope:all) or (role:reader and "
    "domain_id:%(target.group.domain_id)s and domain_id:%(target.user.domain_id)s)"
)
MEMBER_WRITE = (
    "(rule:admin_required) or (role:manager and domain_id:%(target.group.domain_id)s "
    "and domain_id:%(target.user.domain_id)s)"
)
OF_USER = (
    "(rule:admin_required) or (role:reader and system_scope:all) or (role:reader and "
    "domain_id:%(target.user.domain_id)s) or user_id:%(user_id)s"
)


class GroupIn(Keeping, kw_only=True):
    _beside_ = "refuse"
    name: NameText
    description: LongString | UnsetType | None = UNSET
    domain_id: IdText | UnsetType = UNSET


class GroupUpdate(Keeping):
    _beside_ = "refuse"
    name: NameText | UnsetType = UNSET
    description: LongString | UnsetType | None = UNSET
    domain_id: IdText | UnsetType = UNSET


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        **(row.extra or {}),
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "description": row.description,
        "links": {"self": f"{call.base_url}/v3/groups/{row.id}"},
    }


groups = Resource("group", "groups", "/v3/groups", view)
about = targets.about("group", Group)


def _home(call: Call, body: GroupIn) -> str:
    return body.domain_id or call.actor.domain_id or call.actor.project_domain_id or "default"


def _about_new(call: Call, body: GroupIn) -> Target:
    return Target(None, **{"target.group.domain_id": _home(call, body)})


def _refuse_twin(call: Call, domain_id: str, name: str) -> None:
    if call.db.scalar(select(Group.id).where(Group.domain_id == domain_id, Group.name == name)):
        raise Conflict(f"There is a group named {name} in the domain {domain_id} already.")


@groups.operation("POST", policy=("identity:create_group", WRITE), body=GroupIn, about=_about_new, event="create")
def create(call: Call, body: GroupIn) -> Group:
    domain_id, name = _home(call, body), body.name.strip()
    if targets.find_domain(call.db, domain_id) is None:
        raise targets.missing("domain", domain_id)
    _refuse_twin(call, domain_id, name)
    row = Group(
        id=new_id(call.cloud.world), domain_id=domain_id, name=name, description=body.description or "",
        extra=targets.clean(body.extra),
    )  # fmt: skip
    call.db.add(row)
    return row


def _about_list(call: Call) -> dict[str, Any]:
    return {"target.group.domain_id": call.actor.domain_id} if call.actor.domain_id else {}


@groups.operation("GET", policy=("identity:list_groups", READ), about=_about_list)
def index(call: Call) -> Page:
    statement = select(*Group.__table__.columns)
    if call.actor.domain_id:
        statement = statement.where(Group.domain_id == call.actor.domain_id)
    known = {"name": Group.name, "domain_id": Group.domain_id}
    return listing(
        call, narrow(call, statement, known), Group.id, sort=Group.name, sortable={"id": Group.id, "name": Group.name}
    )


@groups.operation("GET", "/{id}", policy=("identity:get_group", READ), about=about)
def show(call: Call, id: str) -> Group:
    return targets.found(call, "group", Group, id)


@groups.operation(
    "PATCH", "/{id}", policy=("identity:update_group", WRITE), body=GroupUpdate, about=about, event="update"
)
def update(call: Call, id: str, body: GroupUpdate) -> Group:
    row = targets.found(call, "group", Group, id)
    refuse_nothing(body, "group")
    name = row.name if body.name is UNSET else body.name.strip()
    if body.domain_id is not UNSET and body.domain_id != row.domain_id:
        raise BadRequest("Cannot change Domain ID.")
    if name != row.name:
        _refuse_twin(call, row.domain_id, name)
        row.name = name
    if body.description is not UNSET:
        row.description = body.description or ""
    targets.keep_extra(row, body.extra, "group")
    return row


@groups.operation("DELETE", "/{id}", policy=("identity:delete_group", WRITE), about=about, event="delete")
def delete(call: Call, id: str) -> None:
    call.db.delete(targets.found(call, "group", Group, id))
    touch(call.db)


# --- members ---------------------------------------------------------------------------------------------------------


def _about_member(call: Call, id: str, user_id: str) -> Target:
    return targets.of_path(call, group_id=id, user_id=user_id)


def _member(call: Call, id: str, user_id: str) -> Membership | None:
    targets.needed(call, "group", id)
    targets.needed(call, "user", user_id)
    return call.db.get(Membership, (user_id, id))


@groups.operation(
    "PUT", "/{id}/users/{user_id}", policy=("identity:add_user_to_group", MEMBER_WRITE), about=_about_member,
    event="add_user", ok=204,
)  # fmt: skip
def add_member(call: Call, id: str, user_id: str) -> None:
    if _member(call, id, user_id) is None:
        call.db.add(Membership(user_id=user_id, group_id=id))
        touch(call.db)


@groups.operation(
    "GET", "/{id}/users/{user_id}", policy=("identity:check_user_in_group", MEMBER_READ), about=_about_member, ok=204
)
def check_member(call: Call, id: str, user_id: str) -> None:
    if _member(call, id, user_id) is None:
        raise NotFound(f"User '{user_id}' not found in group '{id}'.")


@groups.operation(
    "DELETE", "/{id}/users/{user_id}", policy=("identity:remove_user_from_group", MEMBER_WRITE), about=_about_member,
    event="remove_user",
)  # fmt: skip
def remove_member(call: Call, id: str, user_id: str) -> None:
    found = _member(call, id, user_id)
    if found is None:
        raise NotFound(f"User '{user_id}' not found in group '{id}'.")
    call.db.delete(found)
    touch(call.db)


members = Resource("user", "users", "/v3/groups/{id}/users", user_view)


@members.operation("GET", policy=("identity:list_users_in_group", READ), about=about)
def list_members(call: Call, id: str) -> Page:
    targets.found(call, "group", Group, id)
    statement = select(*SHOWN).join(Membership, Membership.user_id == User.id).where(Membership.group_id == id)
    return list_users(call, statement, Membership.user_id)


def membership_view(call: Call, row: Any) -> dict[str, Any]:
    return {**view(call, row), "membership_expires_at": None}


of_user = Resource("group", "groups", "/v3/users/{user_id}/groups", membership_view)


def about_user(call: Call, user_id: str) -> Target:
    return targets.of_path(call, user_id=user_id)


@of_user.operation("GET", policy=("identity:list_groups_for_user", OF_USER), about=about_user)
def list_of_user(call: Call, user_id: str) -> Page:
    targets.needed(call, "user", user_id)
    statement = select(*Group.__table__.columns).where(
        Group.id.in_(select(Membership.group_id).where(Membership.user_id == user_id))
    )
    if call.actor.domain_id:
        statement = statement.where(Group.domain_id == call.actor.domain_id)
    return listing(call, narrow(call, statement, {"name": Group.name}), Group.id, sort=Group.name)
