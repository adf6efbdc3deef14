"""Application credentials: a secret of a program, which lends it some of its user's roles on one project."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Select, func, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden, NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.schema import Schema
from tiffin.core.sql import children
from tiffin.services.identity import lending, targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.authorization import project_roles, touch
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.passwords import hash_random
from tiffin.services.identity.resources.access_rules import AccessRuleIn, have_access_rule
from tiffin.services.identity.rules import new_id, parse_time, time
from tiffin.services.identity.schemas import AnyText, IdText, LongString, NameText, Password
from tiffin.services.identity.tables import (
    AccessRule,
    ApplicationCredential,
    ApplicationCredentialAccessRule,
    ApplicationCredentialRole,
    Project,
    Role,
)

READ = "(rule:admin_required) or (role:reader and system_scope:all) or rule:owner"
SECRET_BYTES = 64


class RoleRef(Schema):
    id: IdText | None = None
    name: NameText | None = None


class ApplicationCredentialIn(Schema, kw_only=True):
    """`id`, `project_id` and `system` may be said, and mean nothing: they come from the token."""

    name: NameText
    secret: Password | None = None
    description: LongString | None = None
    expires_at: Annotated[str, Meta(max_length=64)] | None = None
    roles: Annotated[list[RoleRef], Meta(max_length=256)] | UnsetType = UNSET
    unrestricted: bool | None = None
    access_rules: Annotated[list[AccessRuleIn], Meta(max_length=256)] | UnsetType = UNSET
    id: AnyText | UnsetType = UNSET
    project_id: AnyText | UnsetType = UNSET
    system: AnyText | UnsetType | None = UNSET


_roles = (
    select(Role.id)
    .join(ApplicationCredentialRole, ApplicationCredentialRole.role_id == Role.id)
    .where(ApplicationCredentialRole.application_credential_id == ApplicationCredential.id)
    .correlate(ApplicationCredential)
)
_rules = (
    select(AccessRule.id)
    .join(ApplicationCredentialAccessRule, ApplicationCredentialAccessRule.access_rule_id == AccessRule.id)
    .where(ApplicationCredentialAccessRule.application_credential_id == ApplicationCredential.id)
    .correlate(ApplicationCredential)
)
_everything: Select[Any] = select(
    *(c for c in ApplicationCredential.__table__.columns if c.name != "secret_hash"),
    children(_roles, id=Role.id, name=Role.name, domain_id=Role.domain_id).label("roles"),
    children(
        _rules, id=AccessRule.id, service=AccessRule.service, path=AccessRule.path, method=AccessRule.method
    ).label("access_rules"),
)  # fmt: skip


def view(call: Call, row: Any) -> dict[str, Any]:
    body = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "project_id": row.project_id,
        "user_id": row.user_id,
        "expires_at": (time(row.expires_at) or "").removesuffix("Z") or None,
        "unrestricted": row.unrestricted,
        "system": None,
        "roles": sorted(row.roles, key=lambda role: str(role["name"])),
        "links": {"self": f"{call.base_url}/v3/users/{row.user_id}/application_credentials/{row.id}"},
    }
    if row.access_rules:
        body["access_rules"] = row.access_rules
    return body


application_credentials = Resource(
    "application_credential", "application_credentials", "/v3/users/{user_id}/application_credentials", view
)


def about(call: Call, user_id: str, **_: Any) -> Target:
    return targets.of_path(call, user_id=user_id)


def _about_one(call: Call, user_id: str, id: str) -> Target:
    """Whose it is, whoever the path says: nobody reaches another's by their own name in the path."""
    row = call.db.get(ApplicationCredential, id)
    target = targets.of_path(call, user_id=row.user_id if row is not None else user_id)
    target.row["application_credential"] = row
    return target


def _read(call: Call, id: str) -> Any:
    row = call.db.execute(_everything.where(ApplicationCredential.id == id)).first()
    if row is None:
        raise NotFound(f"Could not find Application Credential: {id[:64]}.")
    return row


# --- create ----------------------------------------------------------------------------------------------------------


def _secret(call: Call, body: ApplicationCredentialIn, **_: Any) -> tuple[str, str]:
    """The secret and what is kept of it."""
    if body.secret:
        return body.secret, call.part(Identity).passwords.hash(body.secret)
    drawn = base64.urlsafe_b64encode(call.cloud.world.random_bytes(SECRET_BYTES)).rstrip(b"=").decode()
    return drawn, hash_random(drawn)


@application_credentials.operation(
    "POST", policy=("identity:create_application_credential", "user_id:%(user_id)s"), body=ApplicationCredentialIn,
    about=about, prepare=_secret,
)  # fmt: skip
def create(call: Call, user_id: str, body: ApplicationCredentialIn) -> Answer:
    lending.refuse_lent_otherwise(call)
    lending.refuse_restricted(call)
    project_id = call.actor.project_id
    if project_id is None:
        raise BadRequest("An application credential is for a project: the token must be scoped to one.")
    expires_at = parse_time(body.expires_at, "expires_at") if body.expires_at else None
    if expires_at is not None and expires_at <= call.now:
        raise BadRequest("Invalid input for field/attribute expires_at: it is in the past.")
    _refuse_more(call, user_id, body.name)
    secret, kept = call.prepared
    row = ApplicationCredential(
        id=new_id(call.cloud.world), user_id=user_id, project_id=project_id, name=body.name,
        description=body.description, secret_hash=kept, expires_at=expires_at, unrestricted=bool(body.unrestricted),
    )  # fmt: skip
    call.db.add(row)
    call.db.flush()
    for role_id in _role_ids(call, project_id, body):
        call.db.add(ApplicationCredentialRole(application_credential_id=row.id, role_id=role_id))
    for rule_id in _rule_ids(call, user_id, body):
        call.db.add(ApplicationCredentialAccessRule(application_credential_id=row.id, access_rule_id=rule_id))
    call.db.flush()
    call.record("create", ("identity.application_credential", row.id))
    return Answer({"application_credential": {**view(call, _read(call, row.id)), "secret": secret}}, 201)


def _refuse_more(call: Call, user_id: str, name: str) -> None:
    """Raises `Forbidden` beyond the limit, and `Conflict` for a name that another one of the user has."""
    mine = select(func.count()).where(ApplicationCredential.user_id == user_id)
    most = call.part(Identity).settings.credentials.application_limit
    if most >= 0 and call.db.scalars(mine).one() >= most:
        raise Forbidden(f"Unable to create additional application credentials, maximum of {most} already exceeded for user.")
    if call.db.scalar(mine.where(ApplicationCredential.name == name)):
        raise Conflict(
            "Conflict occurred attempting to store application_credential - "
            f"Duplicate entry found with name {name} for user {user_id}."
        )


def _rule_ids(call: Call, user_id: str, body: ApplicationCredentialIn) -> set[str]:
    """The rules that it is bound to. What binds the token that makes it must bind it too."""
    rules = {have_access_rule(call, user_id, rule).id for rule in body.access_rules or ()}
    given = {rule["id"] for rule in call.actor.token.get("access_rules") or ()}
    if given and (not rules or not rules <= given):
        raise Forbidden("An application credential made with one that has access rules must keep to these.")
    return rules


def _role_ids(call: Call, project_id: str, body: ApplicationCredentialIn) -> list[str]:
    """The roles that are lent: those that the token has, or the named ones among them. Raises `BadRequest` for one that the
    user has not, or the token has not, and `NotFound` for a name that no role has."""
    owned = {role.id for role in project_roles(call.db, call.actor.user_id, call.db.get_one(Project, project_id))}
    mine = owned & call.actor.role_ids
    wanted = [_role_id(call, ref, mine) for ref in body.roles or ()] or sorted(mine)
    if not mine.issuperset(wanted):
        raise BadRequest("Invalid application credential: Cannot create an application credential with unassigned role")
    return list(dict.fromkeys(wanted))


def _role_id(call: Call, ref: RoleRef, mine: set[str]) -> str:
    if (ref.id is None) == (ref.name is None):
        raise BadRequest("Invalid input for field/attribute roles: each needs an id or a name.")
    if ref.id is not None:
        return ref.id
    named = set(call.db.scalars(select(Role.id).where(Role.name == ref.name)))
    if not named:
        raise targets.missing("role", str(ref.name))
    return next(iter(named & mine or named))


# --- read, delete ------------------------------------------------------------------------------------------------------


@application_credentials.operation("GET", policy=("identity:list_application_credentials", READ), about=about)
def index(call: Call, user_id: str) -> Page:
    lending.refuse_lent_otherwise(call)
    targets.needed(call, "user", user_id)
    statement = _everything.where(ApplicationCredential.user_id == user_id)
    statement = narrow(call, statement, {"name": ApplicationCredential.name})
    return listing(call, statement, ApplicationCredential.id, sort=ApplicationCredential.name)


@application_credentials.operation(
    "GET", "/{id}", policy=("identity:get_application_credential", READ), about=_about_one
)
def show(call: Call, user_id: str, id: str) -> Any:
    lending.refuse_lent_otherwise(call)
    return _read(call, id)


@application_credentials.operation(
    "DELETE", "/{id}", policy=("identity:delete_application_credential", "rule:admin_or_owner"), about=_about_one,
    event="delete",
)  # fmt: skip
def delete(call: Call, user_id: str, id: str) -> None:
    lending.refuse_lent_otherwise(call)
    lending.refuse_restricted(call)
    row = call.subject.row["application_credential"]
    if row is None:
        raise NotFound(f"Could not find Application Credential: {id[:64]}.")
    call.db.delete(row)
    touch(call.db)
