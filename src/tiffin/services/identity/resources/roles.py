"""Roles, and the roles that they imply."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import aliased

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden, NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.lending import forget_of_role
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import IdText, LongString, NameText, Options
from tiffin.services.identity.tables import ImpliedRole, Role

ADMIN = "rule:admin_required"
READ = "rule:admin_required or (role:reader and system_scope:all)"
PROHIBITED = ("admin",)
"""Roles that nothing may imply: whoever may add an implication would become an administrator."""
RULES = (
    ("identity:create_domain_role", ADMIN),
    ("identity:get_domain_role", READ),
    ("identity:list_domain_roles", READ),
    ("identity:update_domain_role", ADMIN),
    ("identity:delete_domain_role", ADMIN),
)


class RoleIn(Keeping, kw_only=True):
    name: NameText
    description: LongString | None = None
    domain_id: IdText | None = None
    options: Options = msgspec.field(default_factory=dict)


class RoleUpdate(Keeping):
    name: NameText | UnsetType = UNSET
    description: LongString | UnsetType | None = UNSET
    domain_id: IdText | UnsetType | None = UNSET
    options: Options = msgspec.field(default_factory=dict)


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        **(row.extra or {}),
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "description": row.description,
        "options": row.options,
        "links": {"self": f"{call.base_url}/v3/roles/{row.id}"},
    }


roles = Resource("role", "roles", "/v3/roles", view, rules=RULES)
about = targets.about("role", Role)


def _domain_rule(call: Call, verb: str, domain_id: str | None) -> None:
    """A role of a domain has rules of its own."""
    if domain_id is not None:
        call.enforce(f"identity:{verb}")


def _refuse_twin(call: Call, domain_id: str | None, name: str) -> None:
    if call.db.scalar(select(Role.id).where(Role.domain_id.is_not_distinct_from(domain_id), Role.name == name)):
        raise Conflict(f"Conflict occurred attempting to store role - Duplicate entry found with name {name}.")


@roles.operation("POST", policy=("identity:create_role", ADMIN), body=RoleIn, event="create")
def create(call: Call, body: RoleIn) -> Role:
    _domain_rule(call, "create_domain_role", body.domain_id)
    if body.domain_id is not None and targets.find_domain(call.db, body.domain_id) is None:
        raise targets.missing("domain", body.domain_id)
    _refuse_twin(call, body.domain_id, body.name)
    row = Role(
        id=new_id(call.cloud.world), name=body.name, domain_id=body.domain_id, description=body.description,
        options=targets.merge_options({}, body.options, targets.IMMUTABLE), extra=targets.clean(body.extra),
    )  # fmt: skip
    call.db.add(row)
    return row


@roles.operation("GET", policy=(
    "identity:list_roles",
    "(rule:admin_required or (role:reader and system_scope:all)) or (role:manager and not domain_id:None)",
))  # fmt: skip
def index(call: Call) -> Page:
    domain_id = call.param("domain_id")
    _domain_rule(call, "list_domain_roles", domain_id)
    statement = select(*Role.__table__.columns).where(Role.domain_id.is_not_distinct_from(domain_id))
    return listing(call, narrow(call, statement, {"name": Role.name}), Role.id, sort=Role.name)


@roles.operation("GET", "/{id}", about=about, policy=(
    "identity:get_role",
    "(rule:admin_required or (role:reader and system_scope:all)) or (role:manager and rule:domain_managed_target_role)",
))  # fmt: skip
def show(call: Call, id: str) -> Role:
    row = targets.found(call, "role", Role, id)
    _domain_rule(call, "get_domain_role", row.domain_id)
    return row


@roles.operation("PATCH", "/{id}", policy=("identity:update_role", ADMIN), body=RoleUpdate, about=about, event="update")
def update(call: Call, id: str, body: RoleUpdate) -> Role:
    row = targets.found(call, "role", Role, id)
    _domain_rule(call, "update_domain_role", row.domain_id)
    targets.refuse_immutable(row, "role", body.options)
    if body.domain_id is not UNSET and body.domain_id != row.domain_id:
        raise BadRequest("Update of `domain_id` is not allowed.")
    if body.name is not UNSET and body.name != row.name:
        _refuse_twin(call, row.domain_id, body.name)
        row.name = body.name
    if body.description is not UNSET:
        row.description = body.description
    row.options = targets.merge_options(row.options, body.options, targets.IMMUTABLE)
    targets.keep_extra(row, body.extra, "role")
    touch(call.db)
    return row


@roles.operation("DELETE", "/{id}", policy=("identity:delete_role", ADMIN), about=about, event="delete")
def delete(call: Call, id: str) -> None:
    row = targets.found(call, "role", Role, id)
    _domain_rule(call, "delete_domain_role", row.domain_id)
    targets.refuse_immutable(row, "role")
    forget_of_role(call.db, id)
    call.db.delete(row)
    touch(call.db)


# --- what a role implies ---------------------------------------------------------------------------------------------


def _short(call: Call, row: Role) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "links": {"self": f"{call.base_url}/v3/roles/{row.id}"},
    }


def _inference(call: Call, prior: Role, implied: list[Role]) -> dict[str, Any]:
    return {"prior_role": _short(call, prior), "implies": [_short(call, role) for role in implied]}


@roles.operation("GET", "/{id}/implies", policy=("identity:list_implied_roles", READ), about=about)
def list_implied(call: Call, id: str) -> Answer:
    prior = targets.found(call, "role", Role, id)
    implied = call.db.scalars(
        select(Role)
        .join(ImpliedRole, ImpliedRole.implied_id == Role.id)
        .where(ImpliedRole.prior_id == id)
        .order_by(Role.name)
    )
    links = {"self": f"{call.base_url}/v3/roles/{id}/implies"}
    return Answer({"role_inference": _inference(call, prior, list(implied)), "links": links})


def _about_pair(call: Call, id: str, implied_id: str) -> Target:
    return Target({"prior": call.db.get(Role, id), "implied": call.db.get(Role, implied_id)})


def _pair(call: Call, id: str, implied_id: str) -> tuple[Role, Role, ImpliedRole | None]:
    prior, implied = targets.needed(call, "prior", id), targets.needed(call, "implied", implied_id)
    return prior, implied, call.db.get(ImpliedRole, (id, implied_id))


def _one(call: Call, id: str, implied_id: str, status: int) -> Answer:
    prior, implied, known = _pair(call, id, implied_id)
    if known is None:
        raise NotFound(f"{id} does not imply {implied_id}.")
    body = {"prior_role": _short(call, prior), "implies": _short(call, implied)}
    links = {"self": f"{call.base_url}/v3/roles/{id}/implies/{implied_id}"}
    return Answer({"role_inference": body, "links": links}, status)


@roles.operation(
    "PUT", "/{id}/implies/{implied_id}", policy=("identity:create_implied_role", ADMIN), about=_about_pair,
    event="create",
)  # fmt: skip
def imply(call: Call, id: str, implied_id: str) -> Answer:
    prior, implied, known = _pair(call, id, implied_id)
    if implied.name in PROHIBITED and implied.domain_id is None:
        raise Forbidden(f"{implied_id} cannot be an implied role.")
    if implied.domain_id is not None and prior.domain_id is None:
        raise Forbidden(f"The global role {id} cannot imply the role {implied_id} of a domain.")
    if known is None:
        call.db.add(ImpliedRole(prior_id=id, implied_id=implied_id))
        call.db.flush()
        touch(call.db)
    return _one(call, id, implied_id, 201)


@roles.operation("GET", "/{id}/implies/{implied_id}", policy=("identity:get_implied_role", READ), about=_about_pair)
def show_implied(call: Call, id: str, implied_id: str) -> Answer:
    return _one(call, id, implied_id, 200)


@roles.operation("HEAD", "/{id}/implies/{implied_id}", policy=("identity:check_implied_role", READ), about=_about_pair)
def check_implied(call: Call, id: str, implied_id: str) -> Answer:
    _one(call, id, implied_id, 204)
    return Answer(None, 204)


@roles.operation(
    "DELETE", "/{id}/implies/{implied_id}", policy=("identity:delete_implied_role", ADMIN), about=_about_pair,
    event="delete",
)  # fmt: skip
def forget_implied(call: Call, id: str, implied_id: str) -> None:
    known = _pair(call, id, implied_id)[2]
    if known is None:
        raise NotFound(f"{id} does not imply {implied_id}.")
    call.db.delete(known)
    touch(call.db)


inferences = Resource("role_inference", "role_inferences", "/v3/role_inferences")


@inferences.operation("GET", policy=("identity:list_role_inference_rules", READ))
def list_inferences(call: Call) -> Answer:
    prior, implied = aliased(Role), aliased(Role)
    pairs = call.db.execute(
        select(prior, implied)
        .join(ImpliedRole, ImpliedRole.prior_id == prior.id)
        .join(implied, ImpliedRole.implied_id == implied.id)
        .order_by(prior.name, implied.name)
    )
    found: dict[str, tuple[Role, list[Role]]] = {}
    for one, other in pairs:
        found.setdefault(one.id, (one, []))[1].append(other)
    links = {"self": f"{call.base_url}/v3/role_inferences"}
    return Answer({"role_inferences": [_inference(call, p, i) for p, i in found.values()], "links": links})
