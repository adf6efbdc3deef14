"""Subnet pools."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import or_, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.resource import Resource
from tiffin.services.network import rbac, rules, work
from tiffin.services.network import tables as t
from tiffin.services.network.faults import invalid_input
from tiffin.services.network.policies import rule
from tiffin.services.network.query import index
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

Prefixes = Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=256)]
Length = Annotated[int, Meta(ge=0, le=128)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class PoolIn(StandardIn, kw_only=True):
    prefixes: Prefixes
    default_prefixlen: Length | UnsetType = UNSET
    min_prefixlen: Length | UnsetType = UNSET
    max_prefixlen: Length | UnsetType = UNSET
    default_quota: Count | UnsetType | None = UNSET
    shared: Flag | UnsetType = UNSET
    is_default: Flag | UnsetType = UNSET


class PoolUpdate(StandardUpdate, kw_only=True):
    prefixes: Prefixes | UnsetType = UNSET
    default_prefixlen: Length | UnsetType = UNSET
    min_prefixlen: Length | UnsetType = UNSET
    max_prefixlen: Length | UnsetType = UNSET
    default_quota: Count | UnsetType | None = UNSET
    is_default: Flag | UnsetType = UNSET


class PoolOut(StandardOut, kw_only=True):
    prefixes: list[str]
    ip_version: int
    default_prefixlen: int
    min_prefixlen: int
    max_prefixlen: int
    default_quota: int | None
    shared: bool
    is_default: bool
    address_scope_id: str | None


def out(row: Any) -> PoolOut:
    return PoolOut(
        **standard(row),
        prefixes=row.prefixes,
        ip_version=row.ip_version,
        default_prefixlen=row.default_prefixlen,
        min_prefixlen=row.min_prefixlen,
        max_prefixlen=row.max_prefixlen,
        default_quota=row.default_quota,
        shared=row.shared,
        is_default=row.is_default,
        address_scope_id=None,
    )


SHARED = shared_with_me(t.SubnetPoolRow.id)
KIND = Kind(
    name="subnetpool",
    plural="subnetpools",
    table=t.SubnetPoolRow,
    statement=select(*t.SubnetPoolRow.__table__.columns, SHARED.label("shared"), tags_of(t.SubnetPoolRow.id)),
    visible=or_(t.SubnetPoolRow.project_id == ME, SHARED),
    out=out,
    filters={
        "shared": SHARED,
        "is_default": t.SubnetPoolRow.is_default,
        "ip_version": t.SubnetPoolRow.ip_version,
        "default_prefixlen": t.SubnetPoolRow.default_prefixlen,
        "min_prefixlen": t.SubnetPoolRow.min_prefixlen,
        "max_prefixlen": t.SubnetPoolRow.max_prefixlen,
        "default_quota": t.SubnetPoolRow.default_quota,
    },
    target=lambda row: {"shared": row.shared},
    defaults={"shared": False, "is_default": False},
)
resource = Resource("subnetpool", "subnetpools", "/v2.0/subnetpools", view(KIND))


def _prefixes(asked: list[str]) -> tuple[int, list[str]]:
    nets = [rules.network(p) for p in asked]
    if len({n.version for n in nets}) > 1:
        raise BadRequest("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", code="PrefixVersionMismatch")
    return nets[0].version, rules.compact([str(n) for n in nets])


def _lengths(version: int, low: int, usual: int, high: int) -> None:
    most = 32 if version == 4 else 128
    if not low <= usual <= high <= most:
        raise BadRequest(
            f"Illegal prefix bounds: min_prefixlen {low} <= default_prefixlen {usual} <= max_prefixlen {high} <= {most} "
            "does not hold.",
            code="IllegalSubnetPoolPrefixBounds",
        )


def _one_default(call: Call, version: int, besides: str = "") -> None:
    other = select(t.SubnetPoolRow.id).where(
        t.SubnetPoolRow.is_default.is_(True), t.SubnetPoolRow.ip_version == version, t.SubnetPoolRow.id != besides
    )
    if call.db.scalar(other.limit(1)) is not None:
        raise invalid_input(
            "A default subnetpool for this IP family has already been set. Only one default may exist per IP family"
        )


def make(call: Call, body: PoolIn) -> str:
    w = work.of(call)
    version, prefixes = _prefixes(body.prefixes)
    low = (8 if version == 4 else 64) if body.min_prefixlen is UNSET else body.min_prefixlen
    high = (32 if version == 4 else 128) if body.max_prefixlen is UNSET else body.max_prefixlen
    usual = low if body.default_prefixlen is UNSET else body.default_prefixlen
    _lengths(version, low, usual, high)
    is_default = truth(body.is_default or False)
    if is_default:
        _one_default(call, version)
    row: t.SubnetPoolRow = fresh(
        call,
        KIND,
        body,
        ip_version=version,
        prefixes=prefixes,
        default_prefixlen=usual,
        min_prefixlen=low,
        max_prefixlen=high,
        default_quota=None if body.default_quota is UNSET else body.default_quota,
        is_default=is_default,
    )
    w.reserve("subnetpool", row.project_id)
    added(call, KIND, row)
    if truth(body.shared or False):
        rbac.open_to_all(w, "subnetpool", row, "access_as_shared")
    return row.id


resource.operation("POST", policy=rule("create_subnetpool"), body=bulk(KIND, PoolIn), root="", about=first(KIND))(
    create(KIND, make)
)
resource.operation("GET", policy=None)(index(KIND))


@resource.operation("GET", "/{id}", policy=rule("get_subnetpool"), about=find(KIND))
def show(call: Call, id: str) -> Any:
    return call.subject.row


@resource.operation("PUT", "/{id}", policy=rule("update_subnetpool"), about=find(KIND), body=PoolUpdate)
def update(call: Call, id: str, body: PoolUpdate) -> Any:
    enforce(call, KIND, "update", body, call.subject)
    row = call.db.get_one(t.SubnetPoolRow, id)
    values = given(body, "name", "description", "default_prefixlen", "min_prefixlen", "max_prefixlen", "default_quota")
    if body.prefixes is not UNSET:
        version, values["prefixes"] = _prefixes(body.prefixes)
        grown = rules.compact([*values["prefixes"], *row.prefixes])
        if version != row.ip_version or grown != values["prefixes"]:
            raise BadRequest(
                "Illegal update to prefixes: they must hold all prefixes that the pool has.",
                code="IllegalSubnetPoolPrefixUpdate",
            )
    if body.is_default is not UNSET:
        values["is_default"] = truth(body.is_default)
        if values["is_default"]:
            _one_default(call, row.ip_version, besides=id)
    after = {n: values.get(n, getattr(row, n)) for n in ("min_prefixlen", "default_prefixlen", "max_prefixlen")}
    _lengths(row.ip_version, *after.values())
    changed(call, KIND, row, values)
    return shown(KIND, call, id)


@resource.operation("DELETE", "/{id}", policy=rule("delete_subnetpool"), about=find(KIND))
def delete_pool(call: Call, id: str) -> None:
    if call.db.scalar(select(t.SubnetRow.id).where(t.SubnetRow.subnetpool_id == id).limit(1)) is not None:
        raise Conflict(
            "Unable to delete subnet pool: Subnet pool has existing allocations.", code="SubnetPoolDeleteError"
        )
    removed(work.of(call), KIND.change, call.db.get_one(t.SubnetPoolRow, id))
