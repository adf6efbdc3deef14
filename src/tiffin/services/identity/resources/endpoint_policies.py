"""Which policy document holds for which endpoint: its own, its region's, its service's (OS-ENDPOINT-POLICY)."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import and_, case, literal, or_, select

from tiffin.core.call import Call
from tiffin.core.errors import NotFound
from tiffin.core.resource import Page, Resource
from tiffin.core.tables import Table
from tiffin.services.identity import targets
from tiffin.services.identity.catalog_tables import PolicyAssociation
from tiffin.services.identity.catalog_words import ADMIN, READ
from tiffin.services.identity.filters import listing
from tiffin.services.identity.resources.endpoints import endpoint_view
from tiffin.services.identity.resources.policies import view as policy_view
from tiffin.services.identity.tables import CatalogService, Endpoint, PolicyBlob, Region

PATH = "/v3/policies/{policy_id}/OS-ENDPOINT-POLICY"
KINDS: dict[str, type[Table]] = {
    "policy": PolicyBlob, "endpoint": Endpoint, "service": CatalogService, "region": Region,
}  # fmt: skip
FARTHEST = 1 << 30
"""Comes behind every region."""

associations = Resource("policy_association", "policy_associations", PATH)
policy_endpoints = Resource("endpoint", "endpoints", f"{PATH}/endpoints", endpoint_view)
endpoint_policies = Resource("policy", "policies", "/v3/endpoints/{endpoint_id}/OS-ENDPOINT-POLICY/policy", policy_view)


def _id(endpoint_id: str = "", service_id: str = "", region_id: str = "") -> str:
    """The id of an association's row: the same thing has the same."""
    return hashlib.sha256("\n".join((endpoint_id, service_id, region_id)).encode()).hexdigest()


def _find(call: Call, policy_id: str, ids: dict[str, str]) -> PolicyAssociation | None:
    """What associates these with this policy. Raises `NotFound` for whatever is not there at all."""
    for field, id in {"policy_id": policy_id, **ids}.items():
        kind = field.removesuffix("_id")
        if call.db.get(KINDS[kind], id) is None:
            raise targets.missing(kind, id)
    row = call.db.get(PolicyAssociation, _id(**ids))
    return row if row is not None and row.policy_id == policy_id else None


def _check(call: Call, policy_id: str, **ids: str) -> None:
    if _find(call, policy_id, ids) is None:
        raise NotFound("Could not find policy association.")


def _create(call: Call, policy_id: str, **ids: str) -> None:
    """One policy at most holds for a thing: a new one takes the place of the old."""
    _find(call, policy_id, ids)
    call.db.merge(PolicyAssociation(id=_id(**ids), policy_id=policy_id, **ids))
    call.record("create", ("identity.policy_association", _id(**ids)), after={"policy_id": policy_id, **ids})


def _delete(call: Call, policy_id: str, **ids: str) -> None:
    row = _find(call, policy_id, ids)
    if row is not None:  # upstream does not mind when there is none
        call.db.delete(row)
        call.record("delete", ("identity.policy_association", row.id), before={"policy_id": policy_id, **ids})


def _declare(path: str, what: str) -> None:
    """The three operations on one kind of thing that may have a policy."""
    rule = f"identity:{{}}_policy_association_for_{what}"
    associations.operation("GET", path, policy=(rule.format("check"), READ), ok=204)(_check)
    associations.operation("PUT", path, policy=(rule.format("create"), ADMIN), ok=204)(_create)
    associations.operation("DELETE", path, policy=(rule.format("delete"), ADMIN))(_delete)


_declare("/endpoints/{endpoint_id}", "endpoint")
_declare("/services/{service_id}", "service")
_declare("/services/{service_id}/regions/{region_id}", "region_and_service")


@policy_endpoints.operation("GET", policy=("identity:list_endpoints_for_policy", READ))
def list_endpoints(call: Call, policy_id: str) -> Page:
    """The endpoints that are meant by any association of the policy, whether or not a closer one has another policy."""
    if call.db.get(PolicyBlob, policy_id) is None:
        raise targets.missing("policy", policy_id)
    a = PolicyAssociation
    mine = a.policy_id == policy_id
    inner = select(a.service_id, a.region_id).where(mine, a.region_id.is_not(None)).cte("inner_regions", recursive=True)
    inner = inner.union(select(inner.c.service_id, Region.id).join(inner, Region.parent_region_id == inner.c.region_id))
    by_region = select(inner.c.service_id).where(
        inner.c.service_id == Endpoint.service_id, inner.c.region_id == Endpoint.region_id
    )
    statement = select(*Endpoint.__table__.columns).where(
        or_(
            Endpoint.id.in_(select(a.endpoint_id).where(mine, a.endpoint_id.is_not(None))),
            Endpoint.service_id.in_(select(a.service_id).where(mine, a.endpoint_id.is_(None), a.region_id.is_(None))),
            by_region.exists(),
        )
    )
    return listing(call, statement, Endpoint.id)


@endpoint_policies.operation("GET", policy=("identity:get_policy_for_endpoint", READ))
def show_policy(call: Call, endpoint_id: str) -> Any:
    """The closest that there is: of the endpoint, of its service in its region or in one around that, of its service."""
    endpoint = call.db.get(Endpoint, endpoint_id)
    if endpoint is None:
        raise targets.missing("endpoint", endpoint_id)
    a, start = PolicyAssociation, select(Region.id, Region.parent_region_id, literal(1).label("distance"))
    around = start.where(Region.id == endpoint.region_id).cte("around", recursive=True)
    around = around.union_all(
        select(Region.id, Region.parent_region_id, around.c.distance + 1).join(
            around, Region.id == around.c.parent_region_id
        )
    )
    distance = case((a.endpoint_id.is_not(None), 0), (a.region_id.is_(None), FARTHEST), else_=around.c.distance)
    of_service = and_(a.service_id == endpoint.service_id, or_(a.region_id.is_(None), around.c.id.is_not(None)))
    statement = (
        select(PolicyBlob)
        .join(a, a.policy_id == PolicyBlob.id)
        .outerjoin(around, around.c.id == a.region_id)
        .where(or_(a.endpoint_id == endpoint_id, of_service))
        .order_by(distance)
        .limit(1)
    )
    found = call.db.scalar(statement)
    if found is None:
        raise NotFound(f"No policy is associated with endpoint {endpoint_id[:64]}.")
    return found
