"""Trusts: a user lends another one some of its roles on a project."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import select

from tiffin.core import changes
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden, NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.schema import Keeping, Schema
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import project_role_ids, touch
from tiffin.services.identity.delegation import refuse_delegated
from tiffin.services.identity.filters import listing
from tiffin.services.identity.granting import over
from tiffin.services.identity.meaning import pedigree
from tiffin.services.identity.resources.roles import view as role_view
from tiffin.services.identity.rules import new_id, parse_time, time
from tiffin.services.identity.schemas import AnyText, IdText, NameText
from tiffin.services.identity.tables import Project, Role, Trust, TrustRole, User

MANAGING = "managing trusts"
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


class LentRole(Schema):
    id: IdText | None = None
    name: NameText | None = None


class TrustIn(Keeping, kw_only=True):
    trustor_user_id: IdText
    trustee_user_id: IdText
    impersonation: bool
    project_id: IdText | None = None
    roles: Annotated[list[LentRole], Meta(max_length=256)] | None = None
    expires_at: Annotated[str, Meta(max_length=64)] | None = None
    remaining_uses: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    allow_redelegation: bool | None = None
    redelegation_count: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    redelegated_trust_id: AnyText | None = None  # said by the token, whatever stands here


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        **(row.extra or {}),
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
    """Unlike elsewhere, what does not exist (any more) is 404 for everybody: a trustor looks whether a trust is gone."""
    row = call.db.get(Trust, id)
    if row is None or over(row, call.now):
        raise targets.missing("trust", id)
    refuse_delegated(call, MANAGING)
    return Target(row, **_words(row))


def _full(call: Call, row: Trust) -> dict[str, Any]:
    """A trust as it is shown alone: with its roles."""
    links = {"self": f"{call.base_url}/v3/OS-TRUST/trusts/{row.id}/roles", "next": None, "previous": None}
    return {"trust": {**view(call, row), "roles": [role_view(call, r) for r in _roles(call, row)], "roles_links": links}}


def _roles(call: Call, row: Trust) -> list[Role]:
    lent = select(Role).join(TrustRole, TrustRole.role_id == Role.id).where(TrustRole.trust_id == row.id)
    return list(call.db.scalars(lent.order_by(Role.name)))


# --- create ----------------------------------------------------------------------------------------------------------


def _about_new(call: Call, body: TrustIn) -> Target:
    return Target(None, **{"target.trust.trustor_user_id": body.trustor_user_id})


@trusts.operation("POST", policy=("identity:create_trust", "user_id:%(target.trust.trustor_user_id)s"), body=TrustIn,
                  about=_about_new)  # fmt: skip
def create(call: Call, body: TrustIn) -> Answer:
    refuse_delegated(call, MANAGING)
    if body.project_id and not body.roles:
        raise Forbidden("At least one role should be specified.")
    if call.db.get(User, body.trustee_user_id) is None:
        raise targets.missing("user", body.trustee_user_id)
    source = _source(call)
    lent = _lent(call, body, source)
    row = Trust(
        id=new_id(call.cloud.world), trustor_user_id=body.trustor_user_id, trustee_user_id=body.trustee_user_id,
        project_id=body.project_id, impersonation=body.impersonation, expires_at=_expiry(call, body),
        remaining_uses=body.remaining_uses, redelegation_count=_count(body), extra=targets.clean(body.extra),
    )  # fmt: skip
    if source is not None:
        redelegate(call, row, source, body.redelegation_count)
    _refuse_twin(call, row)
    call.db.add(row)
    call.db.flush()
    call.db.add_all(TrustRole(trust_id=row.id, role_id=id) for id in lent)
    call.db.flush()
    call.record("create", ("identity.trust", row.id), after=changes.picture(row))
    return Answer(_full(call, row), 201)


def _expiry(call: Call, body: TrustIn) -> float | None:
    at = parse_time(body.expires_at, "expires_at") if body.expires_at is not None else None
    if at is not None and at <= call.now:
        raise BadRequest("The 'expires_at' must not be before now. The server could not comply with the request.")
    return at


def _count(body: TrustIn) -> int:
    """How often the trust may be redelegated, before a trust that it comes from is looked at."""
    if not body.allow_redelegation or body.redelegation_count == 0:
        return 0
    if body.redelegation_count is not None and body.redelegation_count > MOST_REDELEGATIONS:
        raise Forbidden(
            f"Requested redelegation depth of {body.redelegation_count} is greater than allowed {MOST_REDELEGATIONS}."
        )
    if body.remaining_uses is not None:
        raise BadRequest("remaining_uses must not be set if redelegation is allowed.")
    return MOST_REDELEGATIONS if body.redelegation_count is None else body.redelegation_count


def _lent(call: Call, body: TrustIn, source: Trust | None) -> list[str]:
    """The ids of the roles that are lent. Raises `NotFound` for one that the trustor has not there, `Forbidden` for one
    that the token of an application credential has not, or the trust that this one is made from."""
    project = call.db.get(Project, body.project_id) if body.project_id else None
    if body.project_id and project is None:
        raise targets.missing("project", body.project_id)
    first = pedigree(call.db, source)[-1].trustor_user_id if source is not None else body.trustor_user_id
    owned = project_role_ids(call.db, first, project) if project is not None else set()
    found = list(dict.fromkeys(_role_id(call, ref) for ref in body.roles or []))
    for id in found:
        if id not in owned:
            raise targets.missing("role", id)
    if "application_credential" in call.actor.token and not call.actor.role_ids.issuperset(found):
        raise Forbidden("Some of the requested roles are not among those of the application credential.")
    if source is not None:
        lent = select(TrustRole.role_id).where(TrustRole.trust_id == source.id)
        if not set(call.db.scalars(lent)).issuperset(found):
            raise Forbidden("Some of the requested roles are not in the redelegated trust.")
    return found


def _role_id(call: Call, ref: LentRole) -> str:
    if (ref.id is None) == (ref.name is None):
        raise BadRequest("Invalid input for field/attribute roles: each needs an id or a name.")
    column = Role.id == ref.id if ref.id is not None else Role.name == ref.name
    ids = call.db.scalars(select(Role.id).where(column).limit(2)).all()
    if not ids:
        raise targets.missing("role", ref.id or ref.name or "")
    if len(ids) > 1:
        raise BadRequest(f"There is more than one role named {ref.name}: use its id.")
    return ids[0]


def _refuse_twin(call: Call, row: Trust) -> None:
    """Two trusts that end at the same time must differ in something."""
    if row.expires_at is None or row.project_id is None:
        return
    twin = select(Trust.id).where(
        Trust.trustor_user_id == row.trustor_user_id, Trust.trustee_user_id == row.trustee_user_id,
        Trust.project_id == row.project_id, Trust.impersonation == row.impersonation, Trust.expires_at == row.expires_at,
    )  # fmt: skip
    if call.db.scalar(twin) is not None:
        raise Conflict("Conflict occurred attempting to store trust: there is one of the same users, project and end.")


# --- redelegate ------------------------------------------------------------------------------------------------------


def _source(call: Call) -> Trust | None:
    """The trust by which the token was got, from which a new one is made. Raises `NotFound` when it has ended."""
    id = call.actor.token.get("trust_id")
    if id is None:
        return None
    row = call.db.get(Trust, id)
    if row is None or over(row, call.now):
        raise targets.missing("trust", id)
    return row


def redelegate(call: Call, row: Trust, source: Trust, requested: int | None) -> None:
    """Let `row` come from `source`. Raises `Forbidden` for what `source`, or one that it comes from, does not allow."""
    row.redelegated_trust_id = source.id
    remaining = source.redelegation_count - 1
    if row.redelegation_count and requested and requested != remaining:
        raise Forbidden('Modifying "redelegation_count" upon redelegation is forbidden. Omitting it is advised.')
    row.redelegation_count = min(row.redelegation_count, remaining) if row.redelegation_count else 0
    for above in pedigree(call.db, source):
        if not 0 < above.redelegation_count <= MOST_REDELEGATIONS:
            raise Forbidden(
                f"Remaining redelegation depth of {above.redelegation_count} out of allowed range of "
                f"[0..{MOST_REDELEGATIONS}]."
            )
        if row.remaining_uses is not None:
            raise Forbidden('"remaining_uses" must not be set in order to redelegate a trust.')
        if row.project_id != above.project_id:
            raise Forbidden("A trust can be redelegated on its own project only.")
        if row.impersonation and not above.impersonation:
            raise Forbidden("Impersonation is not allowed because the redelegated trust does not specify it.")
        if above.expires_at is not None:
            row.expires_at = above.expires_at if row.expires_at is None else row.expires_at
            if row.expires_at > above.expires_at:
                raise Forbidden("Requested expiration time is more than the redelegated trust can provide.")


# --- read, delete ------------------------------------------------------------------------------------------------------


@trusts.operation("GET", policy=None)
def index(call: Call) -> Page:
    refuse_delegated(call, MANAGING)
    trustor, trustee = call.param("trustor_user_id"), call.param("trustee_user_id")
    statement = select(*Trust.__table__.columns)
    if trustor:
        call.enforce("identity:list_trusts_for_trustor", {"target.trust.trustor_user_id": trustor})
        statement = statement.where(Trust.trustor_user_id == trustor)
    elif trustee:
        call.enforce("identity:list_trusts_for_trustee", {"target.trust.trustee_user_id": trustee})
    else:
        call.enforce("identity:list_trusts", {})
    if trustee:
        statement = statement.where(Trust.trustee_user_id == trustee)
    return listing(call, statement, Trust.id)


@trusts.operation("GET", "/{id}", policy=("identity:get_trust", READ), about=about)
def show(call: Call, id: str) -> Answer:
    return Answer(_full(call, targets.found(call, "trust", Trust, id)))


@trusts.operation("DELETE", "/{id}", policy=DELETE, about=about)
def delete(call: Call, id: str) -> None:
    """Remove a trust, and those that were made from it."""
    gone = [targets.found(call, "trust", Trust, id)]
    for row in gone:  # grows while it is walked
        gone += call.db.scalars(select(Trust).where(Trust.redelegated_trust_id == row.id).order_by(Trust.id))
    for row in reversed(gone):
        call.record("delete", ("identity.trust", row.id), before=changes.picture(row))
    call.db.delete(gone[0])
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
