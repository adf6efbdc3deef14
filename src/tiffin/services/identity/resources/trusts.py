"""Trusts: a user lends another one some of its roles on a project."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Forbidden, NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import RoleName, project_roles, touch
from tiffin.services.identity.lending import refuse_restricted
from tiffin.services.identity.filters import listing
from tiffin.services.identity.resources.application_credentials import RoleRef
from tiffin.services.identity.resources.roles import view as role_view
from tiffin.services.identity.rules import new_id, parse_time, time
from tiffin.services.identity.schemas import IdText
from tiffin.services.identity.tables import Project, Role, Trust, TrustRole, User

MOST_REDELEGATIONS = 3
_PARTIES = "user_id:%(target.trust.trustor_user_id)s or user_id:%(target.trust.trustee_user_id)s"
READ = f"(rule:admin_required) or (role:reader and system_scope:all or {_PARTIES})"
DELETE = ("identity:delete_trust", "rule:admin_required or user_id:%(target.trust.trustor_user_id)s")
LIST = "rule:admin_required or (role:reader and system_scope:all)"


def _list_rule(party: str) -> tuple[str, str]:
    return (
        f"identity:list_trusts_for_{party}",
        f"(rule:admin_required) or (role:reader and system_scope:all or user_id:%(target.trust.{party}_user_id)s)",
    )


RULES = (("identity:list_trusts", LIST), _list_rule("trustor"), _list_rule("trustee"))


class TrustIn(Schema, kw_only=True):
    _unknown_ = "ignore"
    trustor_user_id: IdText
    trustee_user_id: IdText
    impersonation: bool
    project_id: IdText | None = None
    roles: Annotated[list[RoleRef], Meta(max_length=256)] | None = None
    expires_at: Annotated[str, Meta(max_length=64)] | None = None
    remaining_uses: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    allow_redelegation: bool | None = None
    redelegation_count: Annotated[int, Meta(ge=0, le=2**31 - 1)] | UnsetType | None = UNSET


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "trustor_user_id": row.trustor_user_id,
        "trustee_user_id": row.trustee_user_id,
        "project_id": row.project_id,
        "impersonation": row.impersonation,
        "expires_at": time(row.expires_at),
        "deleted_at": None,
        "remaining_uses": row.remaining_uses,
        "redelegated_trust_id": row.redelegated_trust_id,
        "redelegation_count": row.redelegation_count,
        "links": {"self": f"{call.base_url}/v3/OS-TRUST/trusts/{row.id}"},
    }


trusts = Resource("trust", "trusts", "/v3/OS-TRUST/trusts", view, rules=RULES)


def _words(row: Trust) -> dict[str, str]:
    return {"target.trust.trustor_user_id": row.trustor_user_id, "target.trust.trustee_user_id": row.trustee_user_id}


def about(call: Call, id: str, **_: Any) -> Target:
    """Unlike elsewhere, what does not exist is 404 for everybody: a trustor looks whether a trust is gone."""
    row = call.db.get(Trust, id)
    if row is None:
        raise targets.missing("trust", id)
    return Target(row, **_words(row))


def _full(call: Call, row: Trust) -> dict[str, Any]:
    """A trust as it is shown alone: with its roles."""
    links = {"self": f"{call.base_url}/v3/OS-TRUST/trusts/{row.id}/roles", "next": None, "previous": None}
    roles = [
        {"id": r.id, "name": r.name, "links": {"self": f"{call.base_url}/v3/roles/{r.id}"}} for r in _roles(call, row)
    ]
    return {"trust": {**view(call, row), "roles": roles, "roles_links": links}}


def _roles(call: Call, row: Trust) -> list[Role]:
    lent = select(Role).join(TrustRole, TrustRole.role_id == Role.id).where(TrustRole.trust_id == row.id)
    return list(call.db.scalars(lent.order_by(Role.name)))


# --- create ----------------------------------------------------------------------------------------------------------


def _about_new(call: Call, body: TrustIn) -> Target:
    return Target(None, **{"target.trust.trustor_user_id": body.trustor_user_id})


@trusts.operation("POST", policy=("identity:create_trust", "user_id:%(target.trust.trustor_user_id)s"), body=TrustIn,
                  about=_about_new)  # fmt: skip
def create(call: Call, body: TrustIn) -> Answer:
    refuse_restricted(call)
    if "trust_id" in call.actor.token:
        raise Forbidden("A token of a trust cannot make another trust.")
    if call.db.get(User, body.trustee_user_id) is None:
        raise targets.missing("user", body.trustee_user_id)
    if body.project_id is None or call.db.get(Project, body.project_id) is None:
        raise targets.missing("project", body.project_id or "none")
    expires_at = parse_time(body.expires_at, "expires_at") if body.expires_at else None
    if expires_at is not None and expires_at <= call.now:
        raise BadRequest("The trust has an expiry in the past.")
    row = Trust(
        id=new_id(call.cloud.world), trustor_user_id=body.trustor_user_id, trustee_user_id=body.trustee_user_id,
        project_id=body.project_id, impersonation=body.impersonation, expires_at=expires_at,
        remaining_uses=body.remaining_uses, redelegated_trust_id=None, redelegation_count=_count(body), extra={},
    )  # fmt: skip
    lent = _lent(call, body)
    call.db.add(row)
    call.db.flush()
    call.db.add_all(TrustRole(trust_id=row.id, role_id=id) for id in lent)
    call.db.flush()
    call.record("create", ("identity.trust", row.id))
    return Answer(_full(call, row), 201)


def _count(body: TrustIn) -> int:
    if not body.allow_redelegation:
        return 0
    if isinstance(body.redelegation_count, int):
        if body.redelegation_count > MOST_REDELEGATIONS:
            raise Forbidden(f"A redelegation_count of {body.redelegation_count} is more than {MOST_REDELEGATIONS}.")
        return body.redelegation_count
    return MOST_REDELEGATIONS


def _lent(call: Call, body: TrustIn) -> list[str]:
    """The ids of the roles that are lent; all of them must be the trustor's. Raises `Forbidden` or `NotFound`."""
    assert body.project_id is not None
    owned = project_roles(call.db, body.trustor_user_id, call.db.get_one(Project, body.project_id))
    if not body.roles:
        raise Forbidden("At least one role should be specified.")
    found: list[str] = []
    for ref in body.roles:
        role = _role(call, ref)
        if RoleName(role.name, role.id) not in owned:
            raise Forbidden(f"The trustor has no role {role.name} on this project.")
        found.append(role.id)
    return list(dict.fromkeys(found))


def _role(call: Call, ref: RoleRef) -> Role:
    if (ref.id is None) == (ref.name is None):
        raise BadRequest("Invalid input for field/attribute roles: each needs an id or a name.")
    column = Role.id == ref.id if ref.id is not None else Role.name == ref.name
    role = call.db.scalar(select(Role).where(column, Role.domain_id.is_(None)))
    if role is None:
        raise targets.missing("role", ref.id or ref.name or "")
    return role


# --- read, delete ------------------------------------------------------------------------------------------------------


@trusts.operation("GET", policy=None)
def index(call: Call) -> Page:
    trustor, trustee = call.param("trustor_user_id"), call.param("trustee_user_id")
    statement = select(*Trust.__table__.columns)
    if trustor is None and trustee is None:
        call.enforce("identity:list_trusts", {})
    if trustor is not None:
        call.enforce("identity:list_trusts_for_trustor", {"target.trust.trustor_user_id": trustor})
        statement = statement.where(Trust.trustor_user_id == trustor)
    if trustee is not None:
        call.enforce("identity:list_trusts_for_trustee", {"target.trust.trustee_user_id": trustee})
        statement = statement.where(Trust.trustee_user_id == trustee)
    return listing(call, statement, Trust.id)


@trusts.operation("GET", "/{id}", policy=("identity:get_trust", READ), about=about)
def show(call: Call, id: str) -> Answer:
    return Answer(_full(call, targets.found(call, "trust", Trust, id)))


@trusts.operation("DELETE", "/{id}", policy=DELETE, about=about, event="delete")
def delete(call: Call, id: str) -> None:
    row = targets.found(call, "trust", Trust, id)
    if call.actor.token.get("trust_id") is not None:
        raise Forbidden("A token of a trust cannot delete a trust.")
    call.db.delete(row)
    touch(call.db)


trust_roles = Resource("role", "roles", "/v3/OS-TRUST/trusts/{id}/roles", role_view)


@trust_roles.operation("GET", policy=("identity:list_roles_for_trust", READ), about=about)
def list_roles(call: Call, id: str) -> Page:
    return Page(_roles(call, targets.found(call, "trust", Trust, id)))


@trust_roles.operation("GET", "/{role_id}", policy=("identity:get_role_for_trust", READ), about=about)
def show_role(call: Call, id: str, role_id: str) -> Role:
    row = targets.found(call, "trust", Trust, id)
    role = next((r for r in _roles(call, row) if r.id == role_id), None)
    if role is None:
        raise NotFound(f"Could not find role: {role_id[:64]}.")
    return role
