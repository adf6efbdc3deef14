"""Rules of security groups."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import func, or_, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.resource import Resource
from tiffin.services.network import faults, group_rules, groups, rules, work
from tiffin.services.network import tables as t
from tiffin.services.network.policies import rule
from tiffin.services.network.query import index
from tiffin.services.network.standard import (
    ME,
    Kind,
    OwnedIn,
    OwnedOut,
    added,
    bulk,
    create,
    find,
    first,
    fresh,
    owned,
    removed,
    sees_all,
    shared_with_me,
    tags_of,
    touch,
    view,
)

Uuid = Annotated[str, Meta(max_length=64)]
PortNumber = Annotated[int, Meta(ge=0, le=65535)] | Annotated[str, Meta(pattern=r"^\d{1,5}$", max_length=5)]


class RuleIn(OwnedIn, kw_only=True):
    security_group_id: Uuid
    direction: Literal["ingress", "egress"]
    ethertype: Literal["IPv4", "IPv6"] = "IPv4"
    protocol: Annotated[str, Meta(max_length=40)] | Annotated[int, Meta(ge=0, le=255)] | None = None
    port_range_min: PortNumber | None = None
    port_range_max: PortNumber | None = None
    remote_ip_prefix: Annotated[str, Meta(max_length=64)] | None = None
    remote_group_id: Uuid | None = None
    remote_address_group_id: Uuid | None = None


class RuleOut(OwnedOut, kw_only=True):
    security_group_id: str
    direction: str
    ethertype: str
    protocol: str | None
    port_range_min: int | None
    port_range_max: int | None
    remote_ip_prefix: str | None
    normalized_cidr: str | None
    remote_group_id: str | None
    remote_address_group_id: str | None
    belongs_to_default_sg: bool | UnsetType = UNSET


def normalized(prefix: str | None) -> str | None:
    return str(rules.prefix(prefix)) if prefix else None


def out(row: Any) -> RuleOut:
    return RuleOut(
        **owned(row),
        security_group_id=row.group_id,
        direction=row.direction,
        ethertype=row.ethertype,
        protocol=row.protocol,
        port_range_min=row.port_range_min,
        port_range_max=row.port_range_max,
        remote_ip_prefix=row.remote_ip_prefix,
        normalized_cidr=normalized(row.remote_ip_prefix),
        remote_group_id=row.remote_group_id,
        remote_address_group_id=row.remote_address_group_id,
        belongs_to_default_sg=row.belongs_to_default_sg,
    )


KIND = Kind(
    name="security_group_rule",
    plural="security_group_rules",
    table=t.SecurityGroupRuleRow,
    statement=select(
        *t.SecurityGroupRuleRow.__table__.columns,
        t.SecurityGroupRow.project_id.label("group_project_id"),
        t.SecurityGroupRow.is_default.label("belongs_to_default_sg"),
        tags_of(t.SecurityGroupRuleRow.id),
    ).join(t.SecurityGroupRow, t.SecurityGroupRow.id == t.SecurityGroupRuleRow.group_id),
    visible=or_(t.SecurityGroupRuleRow.project_id == ME, t.SecurityGroupRow.project_id == ME),
    out=out,
    filters={
        "security_group_id": t.SecurityGroupRuleRow.group_id,
        "direction": t.SecurityGroupRuleRow.direction,
        "ethertype": t.SecurityGroupRuleRow.ethertype,
        "protocol": t.SecurityGroupRuleRow.protocol,
        "port_range_min": t.SecurityGroupRuleRow.port_range_min,
        "port_range_max": t.SecurityGroupRuleRow.port_range_max,
        "remote_ip_prefix": t.SecurityGroupRuleRow.remote_ip_prefix,
        "remote_group_id": t.SecurityGroupRuleRow.remote_group_id,
        "remote_address_group_id": t.SecurityGroupRuleRow.remote_address_group_id,
        "belongs_to_default_sg": t.SecurityGroupRow.is_default,
    },
    target=lambda row: {"security_group:project_id": row.group_project_id},
)
resource = Resource("security_group_rule", "security_group_rules", "/v2.0/security-group-rules", view(KIND))


def in_group(call: Call, body: RuleIn) -> dict[str, Any]:
    """Whose group it is. Raises the 404 of a group that the actor does not see."""
    query = select(t.SecurityGroupRow.project_id).where(t.SecurityGroupRow.id == body.security_group_id)
    if not sees_all(call):
        seen = or_(t.SecurityGroupRow.project_id == ME, shared_with_me(t.SecurityGroupRow.id))
        query = query.where(seen).params(me=call.actor.project_id or "")
    project = call.db.scalar(query)
    if project is None:
        raise faults.missing("security_group", body.security_group_id)
    return {"security_group:project_id": project}


def make(call: Call, body: RuleIn) -> str:
    w = work.of(call)
    protocol = group_rules.protocol(body.protocol)
    low, high = (None if p is None else int(p) for p in (body.port_range_min, body.port_range_max))
    if any(p is not None and p > 65535 for p in (low, high)):
        raise BadRequest(f"Invalid value for port {max(low or 0, high or 0)}", code="SecurityGroupInvalidPortValue")
    group_rules.check_ports(protocol, low, high)
    _check_remote(w, call, body)
    row: t.SecurityGroupRuleRow = fresh(
        call,
        KIND,
        body,
        group_id=body.security_group_id,
        direction=body.direction,
        ethertype=body.ethertype,
        protocol=protocol,
        port_range_min=low,
        port_range_max=high,
        remote_ip_prefix=group_rules.check_ethertype(body.ethertype, protocol, body.remote_ip_prefix),
        remote_group_id=body.remote_group_id,
        remote_address_group_id=body.remote_address_group_id,
    )
    _check_new(call, row)
    w.reserve("security_group_rule", row.project_id)
    added(call, KIND, row)
    touch(call.db.get_one(t.SecurityGroupRow, row.group_id), call.now)
    w.realise(work.SECURITY_GROUP, row.group_id)
    return row.id


def _check_remote(w: work.Work, call: Call, body: RuleIn) -> None:
    said = [v for v in (body.remote_ip_prefix, body.remote_group_id, body.remote_address_group_id) if v is not None]
    if len(said) > 1:
        raise BadRequest(
            "Only remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
            code="SecurityGroupRemoteGroupAndRemoteIpPrefix",
        )
    if body.remote_group_id is not None:
        groups.check_usable(w, call.actor.project_id or "", [body.remote_group_id], any_project=sees_all(call))
    if body.remote_address_group_id is not None:
        found = call.db.get(t.AddressGroupRow, body.remote_address_group_id)
        if found is None or not (sees_all(call) or found.project_id == call.actor.project_id):
            raise faults.missing("address_group", body.remote_address_group_id)


def _check_new(call: Call, row: t.SecurityGroupRuleRow) -> None:
    same_group = select(t.SecurityGroupRuleRow).where(
        t.SecurityGroupRuleRow.group_id == row.group_id,
        t.SecurityGroupRuleRow.direction == row.direction,
        func.coalesce(t.SecurityGroupRuleRow.remote_group_id, "") == (row.remote_group_id or ""),
    )
    for known in call.db.scalars(same_group):
        if group_rules.meaning(known) == group_rules.meaning(row):
            raise Conflict(
                f"Security group rule already exists. Rule id is {known.id}.", code="SecurityGroupRuleExists"
            )


resource.operation(
    "POST", policy=rule("create_security_group_rule"), body=bulk(KIND, RuleIn), root="", about=first(KIND, in_group)
)(create(KIND, make, in_group))
resource.operation("GET", policy=None)(index(KIND))


@resource.operation("GET", "/{id}", policy=rule("get_security_group_rule"), about=find(KIND))
def show(call: Call, id: str) -> Any:
    return call.subject.row


@resource.operation("DELETE", "/{id}", policy=rule("delete_security_group_rule"), about=find(KIND))
def delete_rule(call: Call, id: str) -> None:
    w, row = work.of(call), call.db.get_one(t.SecurityGroupRuleRow, id)
    group_id = row.group_id
    removed(w, KIND.change, row)
    touch(call.db.get_one(t.SecurityGroupRow, group_id), call.now)
    w.realise(work.SECURITY_GROUP, group_id)
