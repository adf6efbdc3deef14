"""Address groups: prefixes that rules of security groups refer to together."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import or_, select

from tiffin.core.call import Call
from tiffin.core.errors import Conflict
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.network import rules, work
from tiffin.services.network import tables as t
from tiffin.services.network.policies import rule
from tiffin.services.network.query import index
from tiffin.services.network.standard import (
    ME,
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
    view,
)

Addresses = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=1000)]


class AddressGroupIn(StandardIn, kw_only=True):
    addresses: Addresses = msgspec.field(default_factory=list)


class AddressGroupUpdate(StandardUpdate, kw_only=True):
    pass


class AddressesIn(Schema, kw_only=True):
    addresses: Addresses


class AddressGroupOut(StandardOut, kw_only=True):
    addresses: list[str]
    shared: bool


def out(row: Any) -> AddressGroupOut:
    return AddressGroupOut(**standard(row), addresses=row.addresses, shared=row.shared)


SHARED = shared_with_me(t.AddressGroupRow.id)
KIND = Kind(
    name="address_group",
    plural="address_groups",
    table=t.AddressGroupRow,
    statement=select(*t.AddressGroupRow.__table__.columns, SHARED.label("shared"), tags_of(t.AddressGroupRow.id)),
    visible=or_(t.AddressGroupRow.project_id == ME, SHARED),
    out=out,
    filters={"shared": SHARED},
    target=lambda row: {"shared": row.shared},
)
resource = Resource("address_group", "address_groups", "/v2.0/address-groups", view(KIND))


def _canonical(addresses: list[str]) -> list[str]:
    return list(dict.fromkeys(str(rules.prefix(a)) for a in addresses))


def make(call: Call, body: AddressGroupIn) -> str:
    row: t.AddressGroupRow = fresh(call, KIND, body, addresses=_canonical(body.addresses))
    added(call, KIND, row)
    return row.id


resource.operation(
    "POST", policy=rule("create_address_group"), body=bulk(KIND, AddressGroupIn), root="", about=first(KIND)
)(create(KIND, make))
resource.operation("GET", policy=None)(index(KIND))


@resource.operation("GET", "/{id}", policy=rule("get_address_group"), about=find(KIND))
def show(call: Call, id: str) -> Any:
    return call.subject.row


@resource.operation("PUT", "/{id}", policy=rule("update_address_group"), about=find(KIND), body=AddressGroupUpdate)
def update(call: Call, id: str, body: AddressGroupUpdate) -> Any:
    enforce(call, KIND, "update", body, call.subject)
    changed(call, KIND, call.db.get_one(t.AddressGroupRow, id), given(body, "name", "description"))
    return shown(KIND, call, id)


@resource.operation(
    "PUT", "/{id}/add_addresses", policy=rule("add_addresses"), about=find(KIND), body=AddressesIn, root=""
)
def add_addresses(call: Call, id: str, body: AddressesIn) -> Any:
    row = call.db.get_one(t.AddressGroupRow, id)
    return _set(call, row, list(dict.fromkeys([*row.addresses, *_canonical(body.addresses)])))


@resource.operation(
    "PUT", "/{id}/remove_addresses", policy=rule("remove_addresses"), about=find(KIND), body=AddressesIn, root=""
)
def remove_addresses(call: Call, id: str, body: AddressesIn) -> Any:
    row, gone = call.db.get_one(t.AddressGroupRow, id), _canonical(body.addresses)
    return _set(call, row, [a for a in row.addresses if a not in gone])


def _set(call: Call, row: t.AddressGroupRow, addresses: list[str]) -> Any:
    changed(call, KIND, row, {"addresses": addresses})
    users = select(t.SecurityGroupRuleRow.group_id).where(t.SecurityGroupRuleRow.remote_address_group_id == row.id)
    for group_id in set(call.db.scalars(users)):
        work.of(call).realise(work.SECURITY_GROUP, group_id)
    return shown(KIND, call, row.id)


@resource.operation("DELETE", "/{id}", policy=rule("delete_address_group"), about=find(KIND))
def delete_group(call: Call, id: str) -> None:
    used = select(t.SecurityGroupRuleRow.id).where(t.SecurityGroupRuleRow.remote_address_group_id == id)
    if call.db.scalar(used.limit(1)) is not None:
        raise Conflict(f"Address group {id} is in use on one or more security group rules.", code="AddressGroupInUse")
    removed(work.of(call), KIND.change, call.db.get_one(t.AddressGroupRow, id))
