"""Networks."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import delete, or_, select

from tiffin.core.call import Call
from tiffin.core.errors import Conflict
from tiffin.core.resource import Resource
from tiffin.core.sql import children
from tiffin.services.network import ipam, metadata_ports, provider, rbac, work
from tiffin.services.network import tables as t
from tiffin.services.network.faults import invalid_input
from tiffin.services.network.policies import rule
from tiffin.services.network.query import index
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
    shared_with_me,
    shown,
    standard,
    tags_of,
    truth,
    view,
)
from tiffin.services.network.zones import check_hints

Mtu = Annotated[int, Meta(ge=68, le=65535)]
DnsDomain = Annotated[str, Meta(max_length=255, pattern=r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*$")]
Hints = Annotated[list[Annotated[str, Meta(max_length=255)]], Meta(max_length=10)]


class NetworkIn(StandardIn, kw_only=True):
    admin_state_up: Flag = True
    shared: Flag | UnsetType = UNSET
    external: Flag | UnsetType = msgspec.field(default=UNSET, name="router:external")
    is_default: Flag | UnsetType = UNSET
    mtu: Mtu | UnsetType = UNSET
    port_security_enabled: Flag | UnsetType = UNSET
    dns_domain: DnsDomain | UnsetType = UNSET
    availability_zone_hints: Hints | UnsetType = UNSET
    network_type: Annotated[str, Meta(max_length=32)] | UnsetType | None = msgspec.field(
        default=UNSET, name="provider:network_type"
    )
    physical_network: Annotated[str, Meta(max_length=64)] | UnsetType | None = msgspec.field(
        default=UNSET, name="provider:physical_network"
    )
    segmentation_id: Annotated[int, Meta(ge=0, le=16777215)] | UnsetType | None = msgspec.field(
        default=UNSET, name="provider:segmentation_id"
    )


class NetworkUpdate(StandardUpdate, kw_only=True):
    admin_state_up: Flag | UnsetType = UNSET
    shared: Flag | UnsetType = UNSET
    external: Flag | UnsetType = msgspec.field(default=UNSET, name="router:external")
    is_default: Flag | UnsetType = UNSET
    mtu: Mtu | UnsetType = UNSET
    port_security_enabled: Flag | UnsetType = UNSET
    dns_domain: DnsDomain | UnsetType = UNSET


class NetworkOut(StandardOut, kw_only=True):
    admin_state_up: bool
    status: str
    shared: bool
    subnets: list[str]
    availability_zones: list[str]
    availability_zone_hints: list[str]
    ipv4_address_scope: str | None
    ipv6_address_scope: str | None
    mtu: int
    port_security_enabled: bool
    dns_domain: str
    is_default: bool
    external: bool = msgspec.field(name="router:external")
    network_type: str | UnsetType = msgspec.field(name="provider:network_type")
    physical_network: str | UnsetType | None = msgspec.field(name="provider:physical_network")
    segmentation_id: int | UnsetType | None = msgspec.field(name="provider:segmentation_id")


def out(row: Any) -> NetworkOut:
    return NetworkOut(
        **standard(row),
        admin_state_up=row.admin_state_up,
        status=row.status,
        shared=row.shared,
        subnets=[s["id"] for s in row.subnets],
        availability_zones=[ZONE],
        availability_zone_hints=row.availability_zone_hints,
        ipv4_address_scope=None,
        ipv6_address_scope=None,
        mtu=row.mtu,
        port_security_enabled=row.port_security_enabled,
        dns_domain=row.dns_domain,
        is_default=row.is_default,
        external=row.external,
        network_type=row.network_type,
        physical_network=row.physical_network,
        segmentation_id=row.segmentation_id,
    )


SHARED = shared_with_me(t.NetworkRow.id)
KIND = Kind(
    name="network",
    plural="networks",
    table=t.NetworkRow,
    statement=select(
        *t.NetworkRow.__table__.columns,
        SHARED.label("shared"),
        tags_of(t.NetworkRow.id),
        children(select(t.SubnetRow.id).where(t.SubnetRow.network_id == t.NetworkRow.id), id=t.SubnetRow.id).label(
            "subnets"
        ),
    ),
    visible=or_(
        t.NetworkRow.project_id == ME, shared_with_me(t.NetworkRow.id, "access_as_shared", "access_as_external")
    ),
    out=out,
    filters={
        "admin_state_up": t.NetworkRow.admin_state_up,
        "status": t.NetworkRow.status,
        "shared": SHARED,
        "router:external": t.NetworkRow.external,
        "is_default": t.NetworkRow.is_default,
        "mtu": t.NetworkRow.mtu,
        "provider:network_type": t.NetworkRow.network_type,
        "provider:physical_network": t.NetworkRow.physical_network,
        "provider:segmentation_id": t.NetworkRow.segmentation_id,
    },
    target=lambda row: {"shared": row.shared, "router:external": row.external},
    defaults={"shared": False, "router:external": False, "is_default": False, "port_security_enabled": True},
)
networks = Resource("network", "networks", "/v2.0/networks", view(KIND))


def make(call: Call, body: NetworkIn) -> str:
    w = work.of(call)
    row: t.NetworkRow = fresh(
        call,
        KIND,
        body,
        admin_state_up=truth(body.admin_state_up),
        status="ACTIVE",
        external=body.external is not UNSET and truth(body.external),
        is_default=body.is_default is not UNSET and truth(body.is_default),
        port_security_enabled=body.port_security_enabled is UNSET or truth(body.port_security_enabled),
        dns_domain="" if body.dns_domain is UNSET else body.dns_domain.lower(),
        availability_zone_hints=check_hints(body.availability_zone_hints),
        **_segment(call, body),
    )
    w.reserve("network", row.project_id)
    added(call, KIND, row)
    if body.shared is not UNSET and truth(body.shared):
        rbac.open_to_all(w, "network", row, "access_as_shared")
    if row.external:
        rbac.open_to_all(w, "network", row, "access_as_external")
    metadata_ports.make(w, row)
    w.begin(work.NETWORK, row.id)
    return row.id


def _segment(call: Call, body: NetworkIn) -> dict[str, Any]:
    segment = provider.choose(
        call.db,
        body.network_type or None,
        body.physical_network or None,
        None if body.segmentation_id is UNSET else body.segmentation_id,
    )
    most = provider.most_mtu(segment.network_type)
    mtu = most if body.mtu is UNSET or body.mtu == 0 else body.mtu
    if mtu > most:
        raise invalid_input(f"Requested MTU is too big, maximum is {most}")
    return {**msgspec.structs.asdict(segment), "mtu": mtu}


networks.operation("POST", policy=rule("create_network"), body=bulk(KIND, NetworkIn), root="", about=first(KIND))(
    create(KIND, make)
)
networks.operation("GET", policy=None)(index(KIND))


@networks.operation("GET", "/{id}", policy=rule("get_network"), about=find(KIND))
def show(call: Call, id: str) -> Any:
    return call.subject.row


@networks.operation("PUT", "/{id}", policy=rule("update_network"), about=find(KIND), body=NetworkUpdate)
def update(call: Call, id: str, body: NetworkUpdate) -> Any:
    enforce(call, KIND, "update", body, call.subject)
    row, w = call.db.get_one(t.NetworkRow, id), work.of(call)
    values = given(body, "name", "description", "mtu", "dns_domain")
    flags = given(body, "admin_state_up", "external", "is_default", "port_security_enabled")
    values |= {name: truth(value) for name, value in flags.items()}
    if values.get("mtu", 0) > provider.most_mtu(row.network_type):
        raise invalid_input(f"Requested MTU is too big, maximum is {provider.most_mtu(row.network_type)}")
    if body.shared is not UNSET:
        _share(w, row, truth(body.shared))
    if values.get("external", row.external) != row.external:
        _external(w, row, values["external"])
    changed(call, KIND, row, values)
    w.realise(work.NETWORK, id)
    return shown(KIND, call, id)


def _share(w: work.Work, row: t.NetworkRow, shared: bool) -> None:
    if shared:
        rbac.open_to_all(w, "network", row, "access_as_shared")
        return
    foreign = select(t.PortRow.id).where(
        t.PortRow.network_id == row.id,
        t.PortRow.project_id.not_in((row.project_id, "")),
        t.PortRow.device_owner.not_like("network:%"),
    )
    if w.db.scalar(foreign.limit(1)) is not None:
        raise Conflict(
            f"Unable to reconfigure sharing settings for network {row.name}. Multiple tenants are using it.",
            code="InvalidSharedSetting",
        )
    rbac.close_to_all(w, row.id, "access_as_shared")


def _external(w: work.Work, row: t.NetworkRow, external: bool) -> None:
    if external:
        rbac.open_to_all(w, "network", row, "access_as_external")
        return
    owners = ("network:router_gateway", "network:floatingip")
    used = select(t.PortRow.id).where(t.PortRow.network_id == row.id, t.PortRow.device_owner.in_(owners))
    if w.db.scalar(used.limit(1)) is not None:
        raise Conflict(
            f"External network {row.id} cannot be updated to be made non-external, since it has existing gateway ports.",
            code="ExternalNetworkInUse",
        )
    rbac.close_to_all(w, row.id, "access_as_external")


@networks.operation("DELETE", "/{id}", policy=rule("delete_network"), about=find(KIND))
def delete_network(call: Call, id: str) -> None:
    w, row = work.of(call), call.db.get_one(t.NetworkRow, id)
    metadata_ports.remove(w, id)
    used = list(call.db.scalars(select(t.PortRow.id).where(t.PortRow.network_id == id).limit(20)))
    if used:
        raise Conflict(
            f"Unable to complete operation on network {id}. There are one or more ports still in use on the network, "
            f"id for these ports is {', '.join(used)}.",
            code="NetworkInUse",
        )
    for subnet in ipam.subnets_of(call.db, id):
        removed(w, "network.subnet", subnet)
    call.db.execute(delete(t.FixedIPRow).where(t.FixedIPRow.network_id == id))
    removed(w, KIND.change, row)
    w.forget(work.NETWORK, id)
