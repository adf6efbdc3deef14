"""Users: who logs in."""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Float, Select, select, type_coerce

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping, convert
from tiffin.services.identity import compliance, federated, targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.bodies import refuse_nothing
from tiffin.services.identity.federated import FederatedList
from tiffin.services.identity.filters import flag, listing, narrow
from tiffin.services.identity.lending import forget_of_user
from tiffin.services.identity.rules import new_id, parse_time, time
from tiffin.services.identity.schemas import AnyText, Flag, IdText, Loose, NameText, Options, Password, truth
from tiffin.services.identity.settings import PasswordSettings
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
NOT_KEPT = ("password_expires_at",)
COMPARATORS = {"lt": "__lt__", "lte": "__le__", "gt": "__gt__", "gte": "__ge__", "eq": "__eq__", "neq": "__ne__"}


class UserIn(Keeping, kw_only=True):
    _beside_ = "refuse"
    name: NameText
    password: Password | UnsetType | None = UNSET
    domain_id: IdText | UnsetType = UNSET
    default_project_id: AnyText | None = None
    enabled: Flag | UnsetType = UNSET
    options: Options = msgspec.field(default_factory=dict)
    federated: FederatedList | UnsetType = UNSET


class UserUpdate(Keeping):
    _beside_ = "refuse"
    name: NameText | UnsetType = UNSET
    password: Password | UnsetType | None = UNSET
    domain_id: IdText | UnsetType = UNSET
    default_project_id: AnyText | UnsetType | None = UNSET
    enabled: Flag | UnsetType = UNSET
    options: Options | UnsetType = UNSET
    federated: FederatedList | UnsetType = UNSET


class UserQuery(Loose):
    """The parameters of a list that may be wrong. Unknown ones mean nothing."""

    name: NameText | UnsetType = UNSET
    domain_id: IdText | UnsetType = UNSET
    enabled: Flag | UnsetType = UNSET
    sort_dir: Literal["asc", "desc"] | UnsetType = UNSET


def rules_of(call: Call) -> PasswordSettings:
    return call.part(Identity).settings.passwords


def view(call: Call, row: Any) -> dict[str, Any]:
    body = {
        **(row.extra or {}),
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "enabled": compliance.is_enabled(row, call.now, rules_of(call)),
        "options": row.options,
        "password_expires_at": naive(row.password_expires_at),
        "links": {"self": f"{call.base_url}/v3/users/{row.id}"},
    }
    if row.default_project_id:
        body["default_project_id"] = row.default_project_id
    if isinstance(row, User):  # lists do not tell
        identities = federated.show(call.db, row.id)
        if identities:
            body["federated"] = identities
    return body


def naive(at: float | None) -> str | None:
    """A time as upstream writes a password's end: without the Z."""
    text = time(at)
    return text.removesuffix("Z") if text else None


users = Resource("user", "users", "/v3/users", view)
about = targets.about("user", User)
SHOWN = (
    User.id, User.name, User.domain_id, User.enabled, User.default_project_id, User.password_expires_at, User.options,
    User.extra, User.created_at, User.last_active_at,
)  # fmt: skip
"""What a list of users reads."""


# --- create ----------------------------------------------------------------------------------------------------------


def _home(call: Call, body: UserIn) -> str:
    return body.domain_id or call.actor.domain_id or call.actor.project_domain_id or "default"


def _about_new(call: Call, body: UserIn) -> Target:
    return Target(None, **{"target.user.domain_id": _home(call, body)})


def _options(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Raises `BadRequest` for options that are unknown, and for rules that are no lists of methods."""
    rules = new.get("multi_factor_auth_rules") or []
    if not isinstance(rules, list) or len(rules) > 64 or any(rule in rules[:n] for n, rule in enumerate(rules)):
        raise BadRequest(
            "Invalid input for field/attribute options.multi_factor_auth_rules: expected a list without repetitions."
        )
    for rule in rules:
        methods = isinstance(rule, list) and 0 < len(rule) <= 64 and all(isinstance(m, str) and len(m) <= 64 for m in rule)
        if not methods or len(set(rule)) < len(rule):
            raise BadRequest(
                "Invalid input for field/attribute options.multi_factor_auth_rules: expected lists of different methods."
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
    if body.password is UNSET:
        return None
    compliance.check_strength(body.password, rules_of(call))
    return None if body.password is None else call.part(Identity).passwords.hash(body.password)


@users.operation("POST", policy=("identity:create_user", WRITE), body=UserIn, about=_about_new, prepare=_hash,
                 event="create")  # fmt: skip
def create(call: Call, body: UserIn) -> User:
    domain_id, kept, name = _home(call, body), call.prepared, body.name.strip()
    if targets.find_domain(call.db, domain_id) is None:
        raise targets.missing("domain", domain_id)
    _refuse_twin(call, domain_id, name)
    _check_default_project(call, body.default_project_id)
    options = _options({}, body.options)
    row = User(
        id=new_id(call.cloud.world), domain_id=domain_id, name=name, enabled=truth(body.enabled, True),
        default_project_id=body.default_project_id or None, created_at=call.now, options=options,
        extra=targets.clean(_extra(body.extra)), generation=0,
    )  # fmt: skip
    if kept is not None:
        row.password_hash, row.password_changed_at = kept, call.now
        row.password_expires_at = compliance.expiry(options, call.now, rules_of(call), own=False)
    call.db.add(row)
    call.db.flush()
    _keep_federated(call, row, body)
    return row


def _keep_federated(call: Call, row: User, body: UserIn | UserUpdate) -> None:
    if body.federated:
        federated.check(call.db, body.federated)
        federated.replace(call.db, row.id, body.federated)


# --- read ------------------------------------------------------------------------------------------------------------


def _about_list(call: Call) -> dict[str, Any]:
    return {"target.domain_id": call.actor.domain_id} if call.actor.domain_id else {}


def list_users(call: Call, statement: Select[Any], member: Any = None) -> Page:
    """The users of a statement over `SHOWN`, as the query narrows, orders and pages them.

    member: a column with their ids, when they are the members of something: they come in its order, unless the query
    names few users of them all.
    """
    convert(UserQuery, {word: values[-1] for word, values in call.query.items()})
    statement = narrow(call, statement, {"name": User.name, "domain_id": User.domain_id})
    asked, sort = call.param("enabled"), cast(Any, User.name)
    if asked is not None:
        enabled = compliance.enabled_column(call.now, rules_of(call))
        statement = statement.where(enabled if flag(asked) else ~enabled)
    for text in call.query.get("password_expires_at", []):
        statement = statement.where(_expires(text))
        sort = type_coerce(User.password_expires_at, Float(53))  # never NULL here: the filter's index gives the order
    few = not {"name", "password_expires_at", "sort_key"}.isdisjoint(call.query) or (asked is not None and not flag(asked))
    if member is not None and not few:
        return listing(call, statement, member)
    return listing(call, statement, User.id, sort=sort, sortable={"id": User.id, "name": User.name})


def _expires(text: str) -> Any:
    """The condition of `password_expires_at=lt:2026-01-31T23:59:59Z`; without a comparator the times must be equal."""
    comparator, _, at = text.partition(":") if ":" in text[2:4] else ("eq", "", text)
    if comparator not in COMPARATORS:
        raise BadRequest(f"The operator {comparator[:40]} is not valid. It must be one of {', '.join(COMPARATORS)}.")
    return getattr(User.password_expires_at, COMPARATORS[comparator])(parse_time(at, "password_expires_at"))


@users.operation("GET", policy=("identity:list_users", LIST), about=_about_list)
def index(call: Call) -> Page:
    statement = select(*SHOWN)
    if call.actor.domain_id:
        statement = statement.where(User.domain_id == call.actor.domain_id)
    return list_users(call, federated.narrow(call, statement))


@users.operation("GET", "/{id}", policy=("identity:get_user", READ), about=about)
def show(call: Call, id: str) -> User:
    return targets.found(call, "user", User, id)


# --- change ----------------------------------------------------------------------------------------------------------


@users.operation("PATCH", "/{id}", policy=("identity:update_user", WRITE), body=UserUpdate, about=about, prepare=_hash,
                 event="update")  # fmt: skip
def update(call: Call, id: str, body: UserUpdate) -> User:
    row = targets.found(call, "user", User, id)
    if body.options is UNSET:
        refuse_nothing(body, "user")
    _update(call, row, body)
    if body.password is not UNSET:
        compliance.replace(call.db, row, call.prepared, call.now, rules_of(call), own=False)
    _keep_federated(call, row, body)
    call.db.flush()
    touch(call.db)
    return row


def _update(call: Call, row: User, body: UserUpdate) -> None:
    name = row.name if body.name is UNSET else body.name.strip()
    if body.domain_id is not UNSET and body.domain_id != row.domain_id:
        raise BadRequest("Cannot change Domain ID.")
    if name != row.name:
        _refuse_twin(call, row.domain_id, name)
        row.name = name
    if body.default_project_id is not UNSET:
        _check_default_project(call, body.default_project_id)
        row.default_project_id = body.default_project_id or None
    rules = rules_of(call)
    enabled = truth(body.enabled, compliance.is_enabled(row, call.now, rules))
    if row.enabled and not enabled:
        row.generation += 1
        forget_of_user(call.db, row.id)
    row.enabled = enabled
    if enabled:  # whatever else is changed of an enabled user opens its account again, as upstream does
        compliance.open_again(row, call.now, rules)
    if body.options is not UNSET:
        row.options = _options(row.options, body.options)
    targets.keep_extra(row, _extra(body.extra), "user")


@users.operation("DELETE", "/{id}", policy=("identity:delete_user", WRITE), about=about, event="delete")
def delete(call: Call, id: str) -> None:
    call.db.delete(targets.found(call, "user", User, id))
    touch(call.db)
