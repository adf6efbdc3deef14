"""Routers."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import aliased

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.core.sql import children
from tiffin.services.network import gateways, ports, subnets, work
from tiffin.services.network import tables as t
from tiffin.services.network.policies import rule
from tiffin.services.network.query import index
from tiffin.services.network.resources import network
from tiffin.services.network.resources.network import Hints
from tiffin.services.network.resources.port import FixedIPs, wanted
from tiffin.services.network.resources.subnet import Routes
from tiffin.services.network.settings import ZONE
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
    shown,
    standard,
    tags_of,
    truth,
    view,
)
from tiffin.services.network.zones import check_hints

MOST_ROUTES = 30


class GatewayIn(Schema, kw_only=True):
    network_id: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    enable_snat: Flag | UnsetType = UNSET
    external_fixed_ips: FixedIPs | UnsetType = UNSET


class RouterIn(StandardIn, kw_only=True):
    admin_state_up: Flag = True
    external_gateway_info: GatewayIn | UnsetType | None = UNSET
    ha: Flag | UnsetType | None = UNSET
    distributed: Flag | UnsetType | None = UNSET
    availability_zone_hints: Hints | UnsetType = UNSET


class RouterUpdate(StandardUpdate, kw_only=True):
    admin_state_up: Flag | UnsetType = UNSET
    external_gateway_info: GatewayIn | UnsetType | None = UNSET
    ha: Flag | UnsetType = UNSET
    distributed: Flag | UnsetType = UNSET
    routes: Routes | UnsetType | None = UNSET


class RoutesIn(Schema, kw_only=True):
    routes: Routes


class GatewayOut(Schema, kw_only=True):
    network_id: str
    enable_snat: bool
    external_fixed_ips: list[dict[str, str]]


class RouterOut(StandardOut, kw_only=True):
    admin_state_up: bool
    status: str
    external_gateway_info: GatewayOut | None
    routes: list[dict[str, str]]
    availability_zones: list[str]
    availability_zone_hints: list[str]
    ha: bool | UnsetType
    distributed: bool | UnsetType


def out(row: Any) -> RouterOut:
    gateway = None
    if row.gateway_network_id is not None:
        gateway = GatewayOut(
            network_id=row.gateway_network_id, enable_snat=row.enable_snat, external_fixed_ips=row.gateway_ips
        )
    return RouterOut(
        **standard(row),
        admin_state_up=row.admin_state_up,
        status=row.status,
        external_gateway_info=gateway,
        routes=row.routes,
        availability_zones=[ZONE],
        availability_zone_hints=row.availability_zone_hints,
        ha=row.ha,
        distributed=row.distributed,
    )


_gateway = aliased(t.PortRow)
_ips = select(t.FixedIPRow.ip_address).where(t.FixedIPRow.port_id == t.RouterRow.gateway_port_id)
KIND = Kind(
    name="router",
    plural="routers",
    table=t.RouterRow,
    statement=select(
        *t.RouterRow.__table__.columns,
        _gateway.network_id.label("gateway_network_id"),
        children(_ips, subnet_id=t.FixedIPRow.subnet_id, ip_address=t.FixedIPRow.ip_address).label("gateway_ips"),
        tags_of(t.RouterRow.id),
    ).join(_gateway, _gateway.id == t.RouterRow.gateway_port_id, isouter=True),
    visible=t.RouterRow.project_id == ME,
    out=out,
    filters={
        "admin_state_up": t.RouterRow.admin_state_up,
        "status": t.RouterRow.status,
        "ha": t.RouterRow.ha,
        "distributed": t.RouterRow.distributed,
    },
)
resource = Resource("router", "routers", "/v2.0/routers", view(KIND))


def make(call: Call, body: RouterIn) -> str:
    w = work.of(call)
    row: t.RouterRow = fresh(
        call,
        KIND,
        body,
        admin_state_up=truth(body.admin_state_up),
        status="ACTIVE",
        enable_snat=True,
        ha=truth(body.ha) if body.ha in (True, False) else True,
        distributed=truth(body.distributed) if body.distributed in (True, False) else False,
        availability_zone_hints=check_hints(body.availability_zone_hints),
    )
    w.reserve("router", row.project_id)
    added(call, KIND, row)
    _set_gateway(call, row, body.external_gateway_info)
    w.begin(work.ROUTER, row.id)
    return row.id


def _set_gateway(call: Call, row: t.RouterRow, info: GatewayIn | UnsetType | None) -> None:
    w = work.of(call)
    if info is UNSET:
        return
    if info is None or (not info.network_id and info.enable_snat is UNSET and info.external_fixed_ips is UNSET):
        gateways.remove_gateway(w, row)
        row.enable_snat = True
        return
    if not isinstance(info.network_id, str):
        raise BadRequest("Invalid input for external_gateway_info. Reason: network_id is required.")
    find(network.KIND)(call, info.network_id)
    if info.enable_snat is not UNSET:
        row.enable_snat = truth(info.enable_snat)
    asked = None if info.external_fixed_ips is UNSET else wanted(info.external_fixed_ips)
    gateways.set_gateway(w, row, info.network_id, asked)


resource.operation("POST", policy=rule("create_router"), body=bulk(KIND, RouterIn), root="", about=first(KIND))(
    create(KIND, make)
)
resource.operation("GET", policy=None)(index(KIND))


@resource.operation("GET", "/{id}", policy=rule("get_router"), about=find(KIND))
def show(call: Call, id: str) -> Any:
    return call.subject.row


@resource.operation("PUT", "/{id}", policy=rule("update_router"), about=find(KIND), body=RouterUpdate)
def update(call: Call, id: str, body: RouterUpdate) -> Any:
    enforce(call, KIND, "update", body, call.subject)
    row = call.db.get_one(t.RouterRow, id)
    values = given(body, "name", "description")
    flags = given(body, "admin_state_up", "ha", "distributed")
    values |= {name: truth(value) for name, value in flags.items()}
    _set_gateway(call, row, body.external_gateway_info)
    if body.routes is not UNSET:
        values["routes"] = _checked(call, row, subnets.check_routes(body.routes or []))
    changed(call, KIND, row, values)
    work.of(call).realise(work.ROUTER, id)
    return shown(KIND, call, id)


def _checked(call: Call, row: t.RouterRow, routes: list[dict[str, str]]) -> list[dict[str, str]]:
    """Routes whose next hops are in the router's subnets, and not the router itself."""
    if len(routes) > MOST_ROUTES:
        raise BadRequest(
            f"Unable to complete operation for {row.id}. The number of routes exceeds the maximum {MOST_ROUTES}.",
            code="RoutesExhausted",
        )
    held = gateways.subnets_at(work.of(call), row.id)
    own = {ip for _, _, ip in held}
    for route in routes:
        hop = ipaddress.ip_address(route["nexthop"])
        if not any(hop in ipaddress.ip_network(s.cidr) for _, s, _ in held):
            raise _invalid_routes(routes, "the nexthop is not connected with router")
        if route["nexthop"] in own:
            raise _invalid_routes(routes, "the nexthop is used by router")
    return routes


def _invalid_routes(routes: Sequence[Any], why: str) -> BadRequest:
    return BadRequest(f"Invalid format for routes: {list(routes)[:5]}, {why}", code="InvalidRoutes")


@resource.operation(
    "PUT", "/{id}/add_extraroutes", policy=rule("add_extraroutes"), about=find(KIND), body=RoutesIn, root="router"
)
def add_extraroutes(call: Call, id: str, body: RoutesIn) -> Any:
    row = call.db.get_one(t.RouterRow, id)
    more = [r for r in subnets.check_routes(body.routes) if r not in row.routes]
    return _set_routes(call, row, [*row.routes, *more])


@resource.operation(
    "PUT", "/{id}/remove_extraroutes", policy=rule("remove_extraroutes"), about=find(KIND), body=RoutesIn, root="router"
)
def remove_extraroutes(call: Call, id: str, body: RoutesIn) -> Any:
    row = call.db.get_one(t.RouterRow, id)
    gone = subnets.check_routes(body.routes)
    return _set_routes(call, row, [r for r in row.routes if r not in gone])


def _set_routes(call: Call, row: t.RouterRow, routes: list[dict[str, str]]) -> Any:
    changed(call, KIND, row, {"routes": _checked(call, row, routes)})
    work.of(call).realise(work.ROUTER, row.id)
    return shown(KIND, call, row.id)


@resource.operation("DELETE", "/{id}", policy=rule("delete_router"), about=find(KIND))
def delete_router(call: Call, id: str) -> None:
    w, row = work.of(call), call.db.get_one(t.RouterRow, id)
    interface = select(t.PortRow.id).where(t.PortRow.device_id == id, t.PortRow.device_owner == ports.INTERFACE)
    if call.db.scalar(interface.limit(1)) is not None:
        raise Conflict(f"Router {id} still has ports", code="RouterInUse")
    gateways.remove_gateway(w, row)
    removed(w, KIND.change, row)
    w.forget(work.ROUTER, id)
