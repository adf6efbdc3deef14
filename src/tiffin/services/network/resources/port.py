"""Ports."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import ColumnElement, or_, select

from tiffin.core.call import Call
from tiffin.core.errors import Conflict
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.core.sql import children
from tiffin.services.network import dhcp_options, groups, ports, rules, work
from tiffin.services.network import tables as t
from tiffin.services.network.faults import invalid_input, missing
from tiffin.services.network.ipam import Wanted
from tiffin.services.network.policies import rule
from tiffin.services.network.query import index
from tiffin.services.network.resources.subnet import on_network
from tiffin.services.network.settings import SETTINGS
from tiffin.services.network.standard import (
    ME,
    Flag,
    Kind,
    StandardIn,
    StandardOut,
    StandardUpdate,
    bulk,
    changed,
    create,
    enforce,
    find,
    first,
    given,
    owner,
    sees_all,
    shared_with_me,
    shown,
    standard,
    tags_of,
    truth,
    view,
)

Ip = Annotated[str, Meta(max_length=64)]
Uuid = Annotated[str, Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=255)]


class FixedIPIn(Schema, kw_only=True):
    subnet_id: Uuid | UnsetType = UNSET
    ip_address: Ip | UnsetType = UNSET


class PairIn(Schema, kw_only=True):
    ip_address: Ip
    mac_address: Annotated[str, Meta(max_length=17)] | UnsetType = UNSET


FixedIPs = Annotated[list[FixedIPIn], Meta(max_length=5)]
Pairs = Annotated[list[PairIn], Meta(max_length=10)]
Groups = Annotated[list[Uuid], Meta(max_length=100)]
DhcpOptions = Annotated[list[dhcp_options.OptionIn], Meta(max_length=64)]
DnsName = Annotated[str, Meta(max_length=255, pattern=r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.|$))*$")]
Vnic = Literal["normal", "direct", "macvtap", "baremetal", "direct-physical", "virtio-forwarder", "smart-nic"]
Profile = Annotated[dict[Text, Any], Meta(max_length=32)]


class PortIn(StandardIn, kw_only=True):
    network_id: Uuid
    admin_state_up: Flag = True
    mac_address: Annotated[str, Meta(max_length=17)] | UnsetType = UNSET
    fixed_ips: FixedIPs | UnsetType = UNSET
    device_id: Text = ""
    device_owner: Text = ""
    security_groups: Groups | UnsetType | None = UNSET
    port_security_enabled: Flag | UnsetType = UNSET
    allowed_address_pairs: Pairs | UnsetType | None = UNSET
    extra_dhcp_opts: DhcpOptions | UnsetType | None = UNSET
    dns_name: DnsName | UnsetType = UNSET
    tags: Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(max_length=50)] | UnsetType = UNSET
    host: Text | UnsetType | None = msgspec.field(default=UNSET, name="binding:host_id")
    profile: Profile | UnsetType | None = msgspec.field(default=UNSET, name="binding:profile")
    vnic_type: Vnic | UnsetType = msgspec.field(default=UNSET, name="binding:vnic_type")


class PortUpdate(StandardUpdate, kw_only=True):
    admin_state_up: Flag | UnsetType = UNSET
    mac_address: Annotated[str, Meta(max_length=17)] | UnsetType = UNSET
    fixed_ips: FixedIPs | UnsetType = UNSET
    device_id: Text | UnsetType = UNSET
    device_owner: Text | UnsetType = UNSET
    security_groups: Groups | UnsetType | None = UNSET
    port_security_enabled: Flag | UnsetType = UNSET
    allowed_address_pairs: Pairs | UnsetType | None = UNSET
    extra_dhcp_opts: DhcpOptions | UnsetType | None = UNSET
    dns_name: DnsName | UnsetType = UNSET
    host: Text | UnsetType | None = msgspec.field(default=UNSET, name="binding:host_id")
    profile: Profile | UnsetType | None = msgspec.field(default=UNSET, name="binding:profile")
    vnic_type: Vnic | UnsetType = msgspec.field(default=UNSET, name="binding:vnic_type")


class PortOut(StandardOut, kw_only=True):
    network_id: str
    admin_state_up: bool
    mac_address: str
    fixed_ips: list[Any]
    device_id: str
    device_owner: str
    status: str
    security_groups: list[str]
    port_security_enabled: bool
    allowed_address_pairs: list[Any]
    extra_dhcp_opts: list[Any]
    dns_name: str
    dns_assignment: list[Any]
    vnic_type: str = msgspec.field(name="binding:vnic_type")
    host: str | UnsetType = msgspec.field(name="binding:host_id")
    profile: dict[str, Any] | UnsetType = msgspec.field(name="binding:profile")
    vif_type: str | UnsetType = msgspec.field(name="binding:vif_type")
    vif_details: dict[str, Any] | UnsetType = msgspec.field(name="binding:vif_details")


VIF_DETAILS = {
    "port_filter": True,
    "connectivity": "l2",
    "bridge_name": "br-int",
    "datapath_type": "netdev",
    "bound_drivers": {"0": "ovn"},
}
"""What ML2/OVN says of a port that is bound."""


def out(row: Any) -> PortOut:
    return PortOut(
        **standard(row),
        network_id=row.network_id,
        admin_state_up=row.admin_state_up,
        mac_address=row.mac_address,
        fixed_ips=row.fixed_ips,
        device_id=row.device_id,
        device_owner=row.device_owner,
        status=row.status,
        security_groups=sorted(g["id"] for g in row.security_groups),
        port_security_enabled=row.port_security_enabled,
        allowed_address_pairs=row.allowed_address_pairs,
        extra_dhcp_opts=row.extra_dhcp_opts,
        dns_name=row.dns_name,
        dns_assignment=_dns(row),
        vnic_type=row.vnic_type,
        host=row.host,
        profile=row.profile,
        vif_type="ovs" if row.host else "unbound",
        vif_details=VIF_DETAILS if row.host else {},
    )


def _dns(row: Any) -> list[dict[str, str]]:
    found = []
    for fixed in row.fixed_ips:
        host = row.dns_name or "host-" + fixed["ip_address"].replace(".", "-").replace(":", "-")
        fqdn = f"{host}.{row.network_dns_domain or SETTINGS.dns_domain}"
        found.append({"hostname": host, "ip_address": fixed["ip_address"], "fqdn": fqdn})
    return found


def _by_fixed_ip(values: list[str]) -> ColumnElement[bool]:
    """Filters such as fixed_ips=ip_address=10.0.0.3, of which those of one kind are alternatives."""
    wanted: dict[str, list[str]] = {}
    for value in values:
        name, _, text = value.partition("=")
        wanted.setdefault(name, []).append(text)
    query = select(t.FixedIPRow.port_id).where(t.FixedIPRow.port_id == t.PortRow.id)
    for name, texts in wanted.items():
        if name == "ip_address":
            query = query.where(t.FixedIPRow.ip_address.in_(texts))
        elif name == "subnet_id":
            query = query.where(t.FixedIPRow.subnet_id.in_(texts))
        elif name == "ip_address_substr":
            query = query.where(or_(*[t.FixedIPRow.ip_address.contains(text, autoescape=True) for text in texts]))
        else:
            raise invalid_input(f"fixed_ips cannot be filtered by '{name[:80]}'")
    return query.exists()


def _by_group(values: list[str]) -> ColumnElement[bool]:
    return t.PortRow.id.in_(select(t.PortGroupRow.port_id).where(t.PortGroupRow.group_id.in_(values)))


_ips = select(t.FixedIPRow.ip_address).where(t.FixedIPRow.port_id == t.PortRow.id)
_groups = select(t.PortGroupRow.group_id).where(t.PortGroupRow.port_id == t.PortRow.id)
KIND = Kind(
    name="port",
    plural="ports",
    table=t.PortRow,
    statement=select(
        *t.PortRow.__table__.columns,
        t.NetworkRow.project_id.label("network_project_id"),
        t.NetworkRow.dns_domain.label("network_dns_domain"),
        shared_with_me(t.PortRow.network_id).label("shared"),
        children(_ips, subnet_id=t.FixedIPRow.subnet_id, ip_address=t.FixedIPRow.ip_address).label("fixed_ips"),
        children(_groups, id=t.PortGroupRow.group_id).label("security_groups"),
        tags_of(t.PortRow.id),
    ).join(t.NetworkRow, t.NetworkRow.id == t.PortRow.network_id),
    visible=or_(t.PortRow.project_id == ME, t.NetworkRow.project_id == ME),
    out=out,
    filters={
        "network_id": t.PortRow.network_id,
        "admin_state_up": t.PortRow.admin_state_up,
        "mac_address": t.PortRow.mac_address,
        "device_id": t.PortRow.device_id,
        "device_owner": t.PortRow.device_owner,
        "status": t.PortRow.status,
        "dns_name": t.PortRow.dns_name,
        "binding:host_id": t.PortRow.host,
        "fixed_ips": _by_fixed_ip,
        "security_groups": _by_group,
    },
    target=lambda row: {
        "network:project_id": row.network_project_id,
        "shared": row.shared,
        "device_owner": row.device_owner,
    },
    defaults={"device_owner": "", "device_id": "", "binding:vnic_type": "normal"},
)
resource = Resource("port", "ports", "/v2.0/ports", view(KIND))


def wanted(fixed_ips: list[FixedIPIn]) -> list[Wanted]:
    return [Wanted(f.subnet_id or None, f.ip_address or None) for f in fixed_ips]


def _pairs(pairs: list[PairIn] | UnsetType | None, mac: str) -> list[dict[str, str]]:
    found = []
    for pair in pairs or []:
        net = rules.prefix(pair.ip_address)
        text = str(net.network_address) if net.num_addresses == 1 and "/" not in pair.ip_address else str(net)
        found.append({"ip_address": text, "mac_address": rules.mac(pair.mac_address) if pair.mac_address else mac})
    if any(found.count(p) > 1 for p in found):
        raise invalid_input("AllowedAddressPair contains duplicates")
    return found


def make(call: Call, body: PortIn) -> str:
    w, project = work.of(call), owner(call, body)
    net = call.db.get_one(t.NetworkRow, body.network_id)
    secure = None if body.port_security_enabled is UNSET else truth(body.port_security_enabled)
    effective = net.port_security_enabled if secure is None else secure
    asked = None if body.security_groups is UNSET else body.security_groups or []
    chosen = None if asked is None else groups.check_usable(w, project, asked, any_project=sees_all(call))
    ports.check_security(effective, chosen or [], body.allowed_address_pairs or [])
    plan = ports.Plan(
        project_id=project,
        network=net,
        name=body.name,
        description=body.description or "",
        mac=rules.mac(body.mac_address) if body.mac_address else None,
        addresses=None if body.fixed_ips is UNSET else wanted(body.fixed_ips),
        device_id=body.device_id,
        device_owner=body.device_owner,
        admin_state_up=truth(body.admin_state_up),
        port_security=secure,
        group_ids=chosen,
        more={
            "extra_dhcp_opts": dhcp_options.merge([], body.extra_dhcp_opts or []),
            "dns_name": (body.dns_name or "").lower(),
            "host": body.host or "",
            "profile": body.profile or {},
            "vnic_type": body.vnic_type or "normal",
        },
    )
    row = ports.make(w, plan)
    row.allowed_address_pairs = _pairs(body.allowed_address_pairs, row.mac_address)
    call.db.add_all([t.TagRow(resource_id=row.id, tag=tag) for tag in set(body.tags or [])])
    call.db.flush()
    ports.begin(w, row)
    return row.id


resource.operation("POST", policy=rule("create_port"), body=bulk(KIND, PortIn), root="", about=first(KIND, on_network))(
    create(KIND, make, on_network)
)
resource.operation("GET", policy=None)(index(KIND))


@resource.operation("GET", "/{id}", policy=rule("get_port"), about=find(KIND))
def show(call: Call, id: str) -> Any:
    return call.subject.row


@resource.operation("PUT", "/{id}", policy=rule("update_port"), about=find(KIND), body=PortUpdate)
def update(call: Call, id: str, body: PortUpdate) -> Any:
    enforce(
        call, KIND, "update", body, {**call.subject, "device_owner": body.device_owner or call.subject["device_owner"]}
    )
    row, w = call.db.get_one(t.PortRow, id), work.of(call)
    values = given(body, "name", "description", "device_id", "device_owner", "vnic_type")
    if body.admin_state_up is not UNSET:
        values["admin_state_up"] = truth(body.admin_state_up)
    if body.host is not UNSET:
        values["host"] = body.host or ""
    if body.profile is not UNSET:
        values["profile"] = body.profile or {}
    if body.dns_name is not UNSET:
        values["dns_name"] = body.dns_name.lower()
    if body.extra_dhcp_opts is not UNSET:
        values["extra_dhcp_opts"] = dhcp_options.merge(row.extra_dhcp_opts, body.extra_dhcp_opts or [])
    _mac(w, row, body, values)
    _security(call, row, body, values)
    if body.fixed_ips is not UNSET:
        ports.change_addresses(w, row, wanted(body.fixed_ips))
    changed(call, KIND, row, values)
    ports.realise(w, row)
    return shown(KIND, call, id)


def _mac(w: work.Work, row: t.PortRow, body: PortUpdate, values: dict[str, Any]) -> None:
    if body.mac_address is UNSET:
        return
    mac = rules.mac(body.mac_address)
    if mac == row.mac_address:
        return
    if row.host:
        raise Conflict(f"Port {row.id} is currently bound, its mac address cannot be changed.", code="PortBound")
    ports.check_mac_free(w, row.network_id, mac)
    values["mac_address"] = mac


def _security(call: Call, row: t.PortRow, body: PortUpdate, values: dict[str, Any]) -> None:
    w, member = work.of(call), groups.of_port(work.of(call), row.id)
    chosen = member
    if body.security_groups is not UNSET:
        chosen = groups.check_usable(w, row.project_id, body.security_groups or [], any_project=sees_all(call))
    secure = row.port_security_enabled if body.port_security_enabled is UNSET else truth(body.port_security_enabled)
    pairs = row.allowed_address_pairs
    if body.allowed_address_pairs is not UNSET:
        pairs = _pairs(body.allowed_address_pairs, values.get("mac_address", row.mac_address))
    if row.port_security_enabled and not secure and chosen == member and member:
        raise Conflict(
            f"Port {row.id} has security groups. Remove them before port security is disabled.",
            code="PortSecurityPortHasSecurityGroup",
        )
    ports.check_security(secure, chosen, pairs)
    values |= {"port_security_enabled": secure, "allowed_address_pairs": pairs}
    if chosen != member:
        groups.set_groups(w, row.id, chosen)


@resource.operation("DELETE", "/{id}", policy=rule("delete_port"), about=find(KIND))
def delete_port(call: Call, id: str) -> None:
    row = call.db.get(t.PortRow, id)
    if row is None:
        raise missing("port", id)
    ports.check_not_owned(row)
    ports.remove(work.of(call), row)
