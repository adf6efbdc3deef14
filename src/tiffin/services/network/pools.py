"""Subnet pools: which prefix a new subnet gets."""

from __future__ import annotations

import ipaddress

from sqlalchemy import or_, select

from tiffin.core.errors import BadRequest, Conflict
from tiffin.services.network import faults, rules
from tiffin.services.network import tables as t
from tiffin.services.network.work import Work


def usable(w: Work, project_id: str, id: str, *, admin: bool) -> t.SubnetPoolRow:
    """Raises `NotFound` unless the project may take from this pool."""
    query = select(t.SubnetPoolRow).where(t.SubnetPoolRow.id == id)
    if not admin:
        shared = select(t.RbacRow.object_id).where(t.RbacRow.target_project.in_((project_id, "*")))
        query = query.where(or_(t.SubnetPoolRow.project_id == project_id, t.SubnetPoolRow.id.in_(shared)))
    row = w.db.scalar(query)
    if row is None:
        raise faults.missing("subnetpool", id)
    return row


def default(w: Work, version: int) -> t.SubnetPoolRow:
    row = w.db.scalar(
        select(t.SubnetPoolRow).where(t.SubnetPoolRow.is_default.is_(True), t.SubnetPoolRow.ip_version == version)
    )
    if row is None:
        raise BadRequest(f"No default subnetpool found for IPv{version}", code="BadRequest")
    return row


def allocate(w: Work, pool: t.SubnetPoolRow, version: int | None, cidr: str | None, length: int | None) -> rules.Net:
    """A prefix of the pool that no subnet has: this one, or the first of this length."""
    if version is not None and version != pool.ip_version:
        raise BadRequest("Cannot allocate requested subnet: the ip_version differs from the pool's.", code="BadRequest")
    taken = list(w.db.scalars(select(t.SubnetRow.cidr).where(t.SubnetRow.subnetpool_id == pool.id)))
    if cidr is not None:
        return _this(pool, rules.network(cidr, pool.ip_version), taken)
    length = pool.default_prefixlen if length is None else length
    _check_length(pool, length)
    found = rules.free_prefix(pool.prefixes, taken, length)
    if found is None:
        raise Conflict(
            f"Failed to allocate subnet: Insufficient prefix space to allocate subnet size /{length}.",
            code="SubnetAllocationError",
        )
    return rules.network(found)


def _this(pool: t.SubnetPoolRow, net: rules.Net, taken: list[str]) -> rules.Net:
    _check_length(pool, net.prefixlen)
    inside = any(net.subnet_of(ipaddress.ip_network(p)) for p in pool.prefixes)  # type: ignore[arg-type]
    if not inside or rules.overlapping(net, taken):
        raise Conflict(
            "Failed to allocate subnet: Cannot allocate requested subnet from the available set of prefixes.",
            code="SubnetAllocationError",
        )
    return net


def _check_length(pool: t.SubnetPoolRow, length: int) -> None:
    if length < pool.min_prefixlen:
        raise BadRequest(
            f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is {pool.min_prefixlen}.",
            code="MinPrefixSubnetAllocationError",
        )
    if length > pool.max_prefixlen:
        raise BadRequest(
            f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is {pool.max_prefixlen}.",
            code="MaxPrefixSubnetAllocationError",
        )
