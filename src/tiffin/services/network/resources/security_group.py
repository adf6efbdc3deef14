"""Security groups."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import or_, select

from tiffin.core.call import Call
from tiffin.core.errors import Conflict
from tiffin.core.resource import Page, Resource
from tiffin.core.sql import children
from tiffin.core.world import iso
from tiffin.services.network import groups, work
from tiffin.services.network import tables as t
from tiffin.services.network.policies import rule
from tiffin.services.network.query import index
from tiffin.services.network.resources.security_group_rule import RuleOut, normalized
from tiffin.services.network.standard import (
    ME,
    Flag,
    Kind,
    StandardIn,
    StandardOut,
    StandardUpdate,
    added,
    bulk,
    changed,
    create,
    enforce,
    find,
    first,
    fresh,
    given,
    removed,
    shared_with_me,
    shown,
    standard,
    tags_of,
    truth,
    view,
)


class GroupIn(StandardIn, kw_only=True):
    stateful: Flag = True


class GroupUpdate(StandardUpdate, kw_only=True):
    stateful: Flag | UnsetType = UNSET


class GroupOut(StandardOut, kw_only=True):
    stateful: bool
    shared: bool
    security_group_rules: list[RuleOut]


RULE = t.SecurityGroupRuleRow.__table__.columns
_rules = children(
    select(RULE.id).where(t.SecurityGroupRuleRow.group_id == t.SecurityGroupRow.id),
    **{column.name: column for column in RULE},
).label("rules")


def _rule_out(rule: dict[str, Any]) -> RuleOut:
    return RuleOut(
        id=rule["id"],
        tenant_id=rule["project_id"],
        project_id=rule["project_id"],
        description=rule["description"],
        tags=[],
        created_at=iso(rule["created_at"]),
        updated_at=iso(rule["updated_at"]),
        revision_number=rule["revision_number"],
        security_group_id=rule["group_id"],
        direction=rule["direction"],
        ethertype=rule["ethertype"],
        protocol=rule["protocol"],
        port_range_min=rule["port_range_min"],
        port_range_max=rule["port_range_max"],
        remote_ip_prefix=rule["remote_ip_prefix"],
        normalized_cidr=normalized(rule["remote_ip_prefix"]),
        remote_group_id=rule["remote_group_id"],
        remote_address_group_id=rule["remote_address_group_id"],
    )


def out(row: Any) -> GroupOut:
    return GroupOut(
        **standard(row),
        stateful=row.stateful,
        shared=row.shared,
        security_group_rules=[_rule_out(r) for r in row.rules],
    )


SHARED = shared_with_me(t.SecurityGroupRow.id)
KIND = Kind(
    name="security_group",
    plural="security_groups",
    table=t.SecurityGroupRow,
    statement=select(
        *t.SecurityGroupRow.__table__.columns, SHARED.label("shared"), _rules, tags_of(t.SecurityGroupRow.id)
    ),
    visible=or_(t.SecurityGroupRow.project_id == ME, SHARED),
    out=out,
    filters={"stateful": t.SecurityGroupRow.stateful, "shared": SHARED},
    target=lambda row: {"shared": row.shared},
)
resource = Resource("security_group", "security_groups", "/v2.0/security-groups", view(KIND))


def make(call: Call, body: GroupIn) -> str:
    w = work.of(call)
    if body.name.lower() == "default":
        raise Conflict("Default security group already exists.", code="SecurityGroupDefaultAlreadyExists")
    row: t.SecurityGroupRow = fresh(call, KIND, body, stateful=truth(body.stateful), is_default=False)
    groups.default_group(w, row.project_id)
    w.reserve("security_group", row.project_id)
    added(call, KIND, row)
    groups.add_rules(w, row, [("egress", ethertype, None) for ethertype in groups.ETHERTYPES])
    w.begin(work.SECURITY_GROUP, row.id)
    return row.id


resource.operation("POST", policy=rule("create_security_group"), body=bulk(KIND, GroupIn), root="", about=first(KIND))(
    create(KIND, make)
)
_index = index(KIND)


@resource.operation("GET", policy=None, transaction="write")
def listed(call: Call) -> Page:
    """The default group of whoever asks is there from the first look on."""
    if call.actor.project_id and call.allows("get_security_group"):
        groups.default_group(work.of(call), call.actor.project_id)
    return _index(call)


@resource.operation("GET", "/{id}", policy=rule("get_security_group"), about=find(KIND))
def show(call: Call, id: str) -> Any:
    return call.subject.row


@resource.operation("PUT", "/{id}", policy=rule("update_security_group"), about=find(KIND), body=GroupUpdate)
def update(call: Call, id: str, body: GroupUpdate) -> Any:
    enforce(call, KIND, "update", body, call.subject)
    w, row = work.of(call), call.db.get_one(t.SecurityGroupRow, id)
    values = given(body, "name", "description")
    if row.is_default and values.get("name", row.name) != row.name:
        raise Conflict("Updating default security group not allowed.", code="SecurityGroupCannotUpdateDefault")
    if body.stateful is not UNSET and truth(body.stateful) != row.stateful:
        _check_unused(call, id)
        values["stateful"] = truth(body.stateful)
    changed(call, KIND, row, values)
    w.realise(work.SECURITY_GROUP, id)
    return shown(KIND, call, id)


def _check_unused(call: Call, id: str) -> None:
    if call.db.scalar(select(t.PortGroupRow.port_id).where(t.PortGroupRow.group_id == id).limit(1)) is not None:
        raise Conflict(f"Security Group {id} in use.", code="SecurityGroupInUse")


@resource.operation("DELETE", "/{id}", policy=rule("delete_security_group"), about=find(KIND))
def delete_group(call: Call, id: str) -> None:
    w, row = work.of(call), call.db.get_one(t.SecurityGroupRow, id)
    if row.is_default and not call.actor.is_admin:
        raise Conflict(
            "Insufficient rights for removing default security group.", code="SecurityGroupCannotRemoveDefault"
        )
    _check_unused(call, id)
    referring = select(t.SecurityGroupRuleRow.group_id).where(
        t.SecurityGroupRuleRow.remote_group_id == id, t.SecurityGroupRuleRow.group_id != id
    )
    others = set(call.db.scalars(referring))
    removed(w, KIND.change, row)
    for other in others:
        w.realise(work.SECURITY_GROUP, other)
    w.forget(work.SECURITY_GROUP, id)
