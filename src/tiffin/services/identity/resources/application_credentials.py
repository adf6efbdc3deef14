"""Application credentials: a secret of a program, which lends it some of its user's roles on one project."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import Select, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden, NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.schema import Schema
from tiffin.core.sql import children
from tiffin.services.identity import targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.authorization import RoleName, project_roles, touch
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.passwords import hash_random
from tiffin.services.identity.resources.access_rules import AccessRuleIn, have_access_rule
from tiffin.services.identity.rules import new_id, parse_time, time
from tiffin.services.identity.schemas import IdText, LongString, NameText, Password
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
    _unknown_ = "ignore"
    name: NameText
    secret: Password | None = None
    description: LongString | None = None
    expires_at: Annotated[str, Meta(max_length=64)] | None = None
    roles: Annotated[list[RoleRef], Meta(max_length=256)] | None = None
    unrestricted: bool | None = None
    access_rules: Annotated[list[AccessRuleIn], Meta(max_length=256)] | None = None


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


def refuse_restricted(call: Call) -> None:
    """Raises `Forbidden` when the token comes from an application credential that may not make or remove others."""
    credential = call.actor.token.get("application_credential")
    if credential and credential["restricted"]:
        raise Forbidden(
            "This application credential is restricted: it may not manage application credentials or trusts."
        )


def _read(call: Call, user_id: str, id: str) -> Any:
    row = call.db.execute(
        _everything.where(ApplicationCredential.id == id, ApplicationCredential.user_id == user_id)
    ).first()
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
    refuse_restricted(call)
    project_id = call.actor.project_id
    if project_id is None:
        raise BadRequest("An application credential is for a project: the token must be scoped to one.")
    expires_at = parse_time(body.expires_at, "expires_at") if body.expires_at else None
    if expires_at is not None and expires_at <= call.now:
        raise BadRequest("Invalid input for field/attribute expires_at: it is in the past.")
    mine = select(ApplicationCredential.id).where(ApplicationCredential.user_id == user_id)
    if call.db.scalar(mine.where(ApplicationCredential.name == body.name)):
        raise Conflict(f"Duplicate entry found with name {body.name} for user {user_id}.")
    secret, kept = call.prepared
    row = ApplicationCredential(
        id=new_id(call.cloud.world), user_id=user_id, project_id=project_id, name=body.name,
        description=body.description, secret_hash=kept, expires_at=expires_at, unrestricted=bool(body.unrestricted),
    )  # fmt: skip
    call.db.add(row)
    call.db.flush()
    _lend(call, row, body)
    call.record("create", ("identity.application_credential", row.id))
    return Answer({"application_credential": {**view(call, _read(call, user_id, row.id)), "secret": secret}}, 201)


def _lend(call: Call, row: ApplicationCredential, body: ApplicationCredentialIn) -> None:
    for role_id in _role_ids(call, row.project_id, body):
        call.db.add(ApplicationCredentialRole(application_credential_id=row.id, role_id=role_id))
    given = {rule.id for rule in access_rules_of(call)}
    rules = [have_access_rule(call, row.user_id, rule) for rule in body.access_rules or []]
    if given and (not rules or not {r.id for r in rules} <= given):
        raise Forbidden("An application credential made with one that has access rules must keep to these.")
    for rule_id in {rule.id for rule in rules}:
        call.db.add(ApplicationCredentialAccessRule(application_credential_id=row.id, access_rule_id=rule_id))
    call.db.flush()


def access_rules_of(call: Call) -> list[AccessRule]:
    """The rules that the acting token itself is bound to."""
    bound = call.actor.token.get("access_rules") or []
    return [call.db.get_one(AccessRule, rule["id"]) for rule in bound]


def _role_ids(call: Call, project_id: str, body: ApplicationCredentialIn) -> list[str]:
    """The roles that are lent: those that the token has, or the named ones among them."""
    mine = {RoleName(name, id) for name, id in call.db.execute(
        select(Role.name, Role.id).where(Role.id.in_(call.actor.role_ids)))}  # fmt: skip
    mine &= set(project_roles(call.db, call.actor.user_id, call.db.get_one(Project, project_id)))
    if not body.roles:
        return [role.id for role in mine]
    wanted: list[str] = []
    for ref in body.roles:
        match = [r.id for r in mine if (ref.id or r.id) == r.id and (ref.name or r.name) == r.name]
        if (ref.id is None) == (ref.name is None) or len(match) != 1:
            raise BadRequest(
                f"Invalid application credential: {ref.id or ref.name} is no role of yours on this project."
            )
        wanted.append(match[0])
    return list(dict.fromkeys(wanted))


# --- read, delete ------------------------------------------------------------------------------------------------------


@application_credentials.operation("GET", policy=("identity:list_application_credentials", READ), about=about)
def index(call: Call, user_id: str) -> Page:
    targets.needed(call, "user", user_id)
    statement = _everything.where(ApplicationCredential.user_id == user_id)
    statement = narrow(call, statement, {"name": ApplicationCredential.name})
    return listing(call, statement, ApplicationCredential.id, sort=ApplicationCredential.name)


@application_credentials.operation("GET", "/{id}", policy=("identity:get_application_credential", READ), about=about)
def show(call: Call, user_id: str, id: str) -> Any:
    return _read(call, user_id, id)


@application_credentials.operation(
    "DELETE", "/{id}", policy=("identity:delete_application_credential", "rule:admin_or_owner"), about=about,
    event="delete",
)  # fmt: skip
def delete(call: Call, user_id: str, id: str) -> None:
    refuse_restricted(call)
    row = call.db.get(ApplicationCredential, id)
    if row is None or row.user_id != user_id:
        raise NotFound(f"Could not find Application Credential: {id[:64]}.")
    call.db.delete(row)
    touch(call.db)
