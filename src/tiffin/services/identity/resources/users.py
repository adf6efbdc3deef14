"""Users: who logs in."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden, Unauthorized
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping, Schema
from tiffin.services.identity import targets
from tiffin.services.identity.authentication import REFUSED, Identity
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.lending import forget_of_user
from tiffin.services.identity.rules import new_id, time
from tiffin.services.identity.schemas import AnyText, Flag, IdText, NameText, Options, Password, truth
from tiffin.services.identity.tables import User

READ = (
    "(rule:admin_required) or (role:reader and system_scope:all) or (role:reader and "
    "token.domain.id:%(target.user.domain_id)s) or user_id:%(target.user.id)s"
)
WRITE = "(rule:admin_required) or (role:manager and token.domain.id:%(target.user.domain_id)s)"
LIST = "(rule:admin_required) or (role:reader and system_scope:all) or (role:reader and domain_id:%(target.domain_id)s)"
OPTIONS: dict[str, type] = {
    "ignore_change_password_upon_first_use": bool,
    "ignore_password_expiry": bool,
    "ignore_lockout_failure_attempts": bool,
    "lock_password": bool,
    "ignore_user_inactivity": bool,
    "multi_factor_auth_rules": list,
    "multi_factor_auth_enabled": bool,
}
NOT_KEPT = ("password_expires_at", "federated")


class UserIn(Keeping, kw_only=True):
    name: NameText
    password: Password | None = None
    domain_id: IdText | UnsetType = UNSET
    default_project_id: AnyText | None = None
    enabled: Flag | UnsetType = UNSET
    options: Options = msgspec.field(default_factory=dict)


class UserUpdate(Keeping):
    name: NameText | UnsetType = UNSET
    password: Password | UnsetType | None = UNSET
    domain_id: IdText | UnsetType = UNSET
    default_project_id: AnyText | UnsetType | None = UNSET
    enabled: Flag | UnsetType = UNSET
    options: Options = msgspec.field(default_factory=dict)


class PasswordChange(Schema, kw_only=True):
    original_password: Password
    password: Password


def view(call: Call, row: Any) -> dict[str, Any]:
    body = {
        **(row.extra or {}),
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "enabled": row.enabled,
        "options": row.options,
        "password_expires_at": naive(row.password_expires_at),
        "links": {"self": f"{call.base_url}/v3/users/{row.id}"},
    }
    if row.default_project_id:
        body["default_project_id"] = row.default_project_id
    return body


def naive(at: float | None) -> str | None:
    """A time as upstream writes a password's end: without the Z."""
    text = time(at)
    return text.removesuffix("Z") if text else None


users = Resource("user", "users", "/v3/users", view)
about = targets.about("user", User)


def columns() -> list[Any]:
    """What a list of users reads; the hash is never needed."""
    return [c for c in User.__table__.columns if c.name not in ("password_hash", "generation")]


# --- create ----------------------------------------------------------------------------------------------------------


def _home(call: Call, body: UserIn) -> str:
    return body.domain_id or call.actor.domain_id or call.actor.project_domain_id or "default"


def _about_new(call: Call, body: UserIn) -> Target:
    return Target(None, **{"target.user.domain_id": _home(call, body)})


def _options(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Raises `BadRequest` for options that are unknown, and for rules that are no lists of methods."""
    rules = new.get("multi_factor_auth_rules") or []
    if not isinstance(rules, list) or len(rules) > 64:
        raise BadRequest("Invalid input for field/attribute options.multi_factor_auth_rules: expected a list.")
    for rule in rules:
        if not isinstance(rule, list) or not rule or not all(isinstance(m, str) and 0 < len(m) <= 64 for m in rule):
            raise BadRequest(
                "Invalid input for field/attribute options.multi_factor_auth_rules: expected lists of methods."
            )
    return targets.merge_options(old, new, OPTIONS)


def _extra(extra: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in extra.items() if k not in NOT_KEPT}


def _refuse_twin(call: Call, domain_id: str, name: str) -> None:
    if call.db.scalar(select(User.id).where(User.domain_id == domain_id, User.name == name)):
        raise Conflict(f"There is a user named {name} in the domain {domain_id} already.")


def _check_default_project(call: Call, project_id: str | None) -> None:
    if project_id and targets.find_domain(call.db, project_id) is not None:
        raise BadRequest(f"A user's default project must not be a domain: {project_id[:64]}.")


def _hash(call: Call, body: UserIn | UserUpdate, **_: Any) -> str | None:
    return call.part(Identity).passwords.hash(body.password) if isinstance(body.password, str) else None


@users.operation("POST", policy=("identity:create_user", WRITE), body=UserIn, about=_about_new, prepare=_hash,
                 event="create")  # fmt: skip
def create(call: Call, body: UserIn) -> User:
    domain_id, kept = _home(call, body), call.prepared
    if targets.find_domain(call.db, domain_id) is None:
        raise targets.missing("domain", domain_id)
    _refuse_twin(call, domain_id, body.name)
    _check_default_project(call, body.default_project_id)
    row = User(
        id=new_id(call.cloud.world), domain_id=domain_id, name=body.name, enabled=truth(body.enabled, True),
        default_project_id=body.default_project_id or None, password_hash=kept,
        password_changed_at=None if kept is None else call.now, password_expires_at=None, created_at=call.now,
        options=_options({}, body.options), extra=targets.clean(_extra(body.extra)), generation=0,
    )  # fmt: skip
    call.db.add(row)
    return row


# --- read ------------------------------------------------------------------------------------------------------------


def _about_list(call: Call) -> dict[str, Any]:
    return {"target.domain_id": call.actor.domain_id} if call.actor.domain_id else {}


@users.operation("GET", policy=("identity:list_users", LIST), about=_about_list)
def index(call: Call) -> Page:
    statement = select(*columns())
    if call.actor.domain_id:
        statement = statement.where(User.domain_id == call.actor.domain_id)
    known = {
        "name": User.name,
        "enabled": User.enabled,
        "domain_id": User.domain_id,
        "default_project_id": User.default_project_id,
    }
    return listing(call, narrow(call, statement, known), User.id, sort=User.name)


@users.operation("GET", "/{id}", policy=("identity:get_user", READ), about=about)
def show(call: Call, id: str) -> User:
    return targets.found(call, "user", User, id)


# --- change ----------------------------------------------------------------------------------------------------------


@users.operation("PATCH", "/{id}", policy=("identity:update_user", WRITE), body=UserUpdate, about=about, prepare=_hash,
                 event="update")  # fmt: skip
def update(call: Call, id: str, body: UserUpdate) -> User:
    row = targets.found(call, "user", User, id)
    _update(call, row, body)
    if body.password is not UNSET:
        set_password(call, row, call.prepared)
    call.db.flush()
    touch(call.db)
    return row


def _update(call: Call, row: User, body: UserUpdate) -> None:
    if body.domain_id is not UNSET and body.domain_id != row.domain_id:
        raise BadRequest("Cannot change Domain ID.")
    if body.name is not UNSET and body.name != row.name:
        _refuse_twin(call, row.domain_id, body.name)
        row.name = body.name
    if body.default_project_id is not UNSET:
        _check_default_project(call, body.default_project_id)
        row.default_project_id = body.default_project_id or None
    enabled = truth(body.enabled, row.enabled)
    if row.enabled and not enabled:
        row.generation += 1
        forget_of_user(call.db, row.id)
    row.enabled = enabled
    row.options = _options(row.options, body.options)
    targets.keep_extra(row, _extra(body.extra), "user")


def set_password(call: Call, row: User, kept: str | None) -> None:
    """Store a new hash. Every token of the user dies."""
    row.password_hash, row.password_changed_at = kept, call.now
    row.generation += 1


def _check_and_hash(call: Call, id: str, body: PasswordChange) -> tuple[str, str]:
    """The hash of the old password, which is right, and that of the new one."""
    passwords = call.part(Identity).passwords
    with call.read():
        row = call.db.get(User, id)
        kept = row.password_hash if row is not None and row.enabled else None
    if not passwords.check(body.original_password, kept):
        raise Unauthorized(REFUSED)
    return str(kept), passwords.hash(body.password)


@users.operation("POST", "/{id}/password", policy=None, auth=False, body=PasswordChange, root="user",
                 prepare=_check_and_hash, event="update", ok=204)  # fmt: skip
def change_password(call: Call, id: str, body: PasswordChange) -> None:
    """Whoever knows the old password may change it; there is no rule for it upstream either."""
    old, new = call.prepared
    row = call.db.get(User, id)
    if row is None or row.password_hash != old:
        raise Unauthorized(REFUSED)
    if row.options.get("lock_password"):
        raise Forbidden("The password of this user is locked: only an administrator may change it.")
    set_password(call, row, new)
    touch(call.db)


@users.operation("DELETE", "/{id}", policy=("identity:delete_user", WRITE), about=about, event="delete")
def delete(call: Call, id: str) -> None:
    call.db.delete(targets.found(call, "user", User, id))
    touch(call.db)
