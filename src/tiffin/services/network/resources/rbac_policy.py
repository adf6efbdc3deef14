"""RBAC policies: opening one's networks, security groups, subnet pools and address groups to other projects."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import or_, select

from tiffin.core.call import Call
from tiffin.core.changes import picture
from tiffin.core.errors import BadRequest, Conflict, Forbidden, NotFound
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.network import tables as t
from tiffin.services.network import work
from tiffin.services.network.policies import rule
from tiffin.services.network.query import index
from tiffin.services.network.standard import (
    ME,
    Kind,
    OwnerId,
    enforce,
    find,
    owner,
    sees_all,
    shown,
    view,
)

OBJECTS: dict[str, type[t.Standard]] = {
    "network": t.NetworkRow,
    "security_group": t.SecurityGroupRow,
    "subnetpool": t.SubnetPoolRow,
    "address_group": t.AddressGroupRow,
}


class RbacIn(Schema, kw_only=True):
    object_type: Literal["network", "security_group", "subnetpool", "address_group"]
    object_id: Annotated[str, Meta(max_length=64)]
    action: Literal["access_as_shared", "access_as_external"]
    target_tenant: OwnerId | UnsetType = UNSET
    target_project: OwnerId | UnsetType = UNSET
    tenant_id: OwnerId | UnsetType = UNSET
    project_id: OwnerId | UnsetType = UNSET


class RbacUpdate(Schema, kw_only=True):
    target_tenant: OwnerId | UnsetType = UNSET
    target_project: OwnerId | UnsetType = UNSET


class RbacOut(Schema, kw_only=True):
    id: str
    project_id: str
    tenant_id: str
    object_type: str
    object_id: str
    action: str
    target_tenant: str
    target_project: str


def out(row: Any) -> RbacOut:
    return RbacOut(
        id=row.id,
        project_id=row.project_id,
        tenant_id=row.project_id,
        object_type=row.object_type,
        object_id=row.object_id,
        action=row.action,
        target_tenant=row.target_project,
        target_project=row.target_project,
    )


KIND = Kind(
    name="rbac_policy",
    plural="rbac_policies",
    table=t.RbacRow,
    statement=select(*t.RbacRow.__table__.columns),
    visible=or_(t.RbacRow.project_id == ME, t.RbacRow.target_project == ME),
    out=out,
    filters={
        "object_type": t.RbacRow.object_type,
        "object_id": t.RbacRow.object_id,
        "action": t.RbacRow.action,
        "target_tenant": t.RbacRow.target_project,
        "target_project": t.RbacRow.target_project,
    },
    target=lambda row: {"target_tenant": row.target_project, "target_project": row.target_project},
)
resource = Resource("rbac_policy", "rbac_policies", "/v2.0/rbac-policies", view(KIND))


def _target(body: RbacIn | RbacUpdate) -> str:
    named = {p for p in (body.target_project, body.target_tenant) if isinstance(p, str)}
    if len(named) != 1 or "" in named:
        raise BadRequest("target_project (or target_tenant) must name one project, or be *.")
    return named.pop()


def about(call: Call, body: RbacIn) -> dict[str, Any]:
    project, target = owner(call, body), _target(body)
    return {"project_id": project, "tenant_id": project, "target_project": target, "target_tenant": target}


@resource.operation("POST", policy=rule("create_rbac_policy"), body=RbacIn, about=about)
def create(call: Call, body: RbacIn) -> Any:
    enforce(call, KIND, "create", body, call.subject)
    found = call.db.get(OBJECTS[body.object_type], body.object_id)
    if found is None or (found.project_id != call.actor.project_id and not sees_all(call)):
        raise NotFound(f"The {body.object_type} {body.object_id} could not be found.", code="RbacObjectNotFound")
    if body.action == "access_as_external":
        if body.object_type != "network":
            raise BadRequest(f"Invalid action '{body.action}' for object type '{body.object_type}'.")
        if not call.actor.is_admin:
            raise Forbidden("User does not have admin privileges: Only admins can manipulate policies on networks "
                            "that will be external.", code="AdminRequired")  # fmt: skip
    row = t.RbacRow(
        id=call.new_id(),
        project_id=owner(call, body),
        object_type=body.object_type,
        object_id=body.object_id,
        action=body.action,
        target_project=_target(body),
    )
    _check_new(call, row)
    w = work.of(call)
    w.reserve("rbac_policy", row.project_id)
    call.db.add(row)
    if body.action == "access_as_external":
        call.db.get_one(t.NetworkRow, body.object_id).external = True
    call.db.flush()
    w.record("create", (KIND.change, row.id), row.project_id, after=picture(row))
    return shown(KIND, call, row.id)


def _check_new(call: Call, row: t.RbacRow) -> None:
    same = select(t.RbacRow.id).where(
        t.RbacRow.object_id == row.object_id,
        t.RbacRow.action == row.action,
        t.RbacRow.target_project == row.target_project,
        t.RbacRow.id != row.id,
    )
    if call.db.scalar(same) is not None:
        raise Conflict("An RBAC policy already exists with those values.")


resource.operation("GET", policy=None)(index(KIND))


@resource.operation("GET", "/{id}", policy=rule("get_rbac_policy"), about=find(KIND))
def show(call: Call, id: str) -> Any:
    return call.subject.row


@resource.operation("PUT", "/{id}", policy=rule("update_rbac_policy"), about=find(KIND), body=RbacUpdate)
def update(call: Call, id: str, body: RbacUpdate) -> Any:
    target = _target(body)
    enforce(call, KIND, "update", body, {**call.subject, "target_project": target, "target_tenant": target})
    row = call.db.get_one(t.RbacRow, id)
    before = picture(row)
    if target != row.target_project:
        _check_unused(call, row)
        row.target_project = target
        _check_new(call, row)
    call.db.flush()
    work.of(call).record("update", (KIND.change, id), row.project_id, before=before, after=picture(row))
    return shown(KIND, call, id)


def _check_unused(call: Call, row: t.RbacRow) -> None:
    """A network that others have ports on stays open to them."""
    if row.object_type != "network" or row.action != "access_as_shared":
        return
    others = select(t.RbacRow.target_project).where(
        t.RbacRow.object_id == row.object_id, t.RbacRow.action == row.action, t.RbacRow.id != row.id
    )
    kept = set(call.db.scalars(others))
    ports = select(t.PortRow.project_id).where(
        t.PortRow.network_id == row.object_id,
        t.PortRow.project_id.not_in((row.project_id, "")),
        t.PortRow.device_owner.not_like("network:%"),
    )
    users = {p for p in call.db.scalars(ports) if row.target_project in ("*", p)}
    if "*" not in kept and users - kept:
        raise Conflict(
            f"RBAC policy on object {row.object_id} cannot be removed because other objects depend on it.",
            code="RbacPolicyInUse",
        )


@resource.operation("DELETE", "/{id}", policy=rule("delete_rbac_policy"), about=find(KIND))
def delete_policy(call: Call, id: str) -> None:
    row = call.db.get_one(t.RbacRow, id)
    _check_unused(call, row)
    work.of(call).record("delete", (KIND.change, id), row.project_id, before=picture(row))
    call.db.delete(row)
    call.db.flush()
