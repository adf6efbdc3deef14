"""Ports as rows: made, moved to other addresses, and taken away, for users, for compute and for the service's own needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update

from tiffin.core.changes import picture
from tiffin.core.errors import BadRequest, Conflict
from tiffin.services.network import groups, ipam, rules
from tiffin.services.network import tables as t
from tiffin.services.network.ipam import Wanted
from tiffin.services.network.standard import removed, touch
from tiffin.services.network.work import FLOATING_IP, NETWORK, PORT, ROUTER, Work

DISTRIBUTED = "network:distributed"
INTERFACE, GATEWAY, FLOATING = "network:router_interface", "network:router_gateway", "network:floatingip"
OWNERS = {DISTRIBUTED: NETWORK, INTERFACE: ROUTER, GATEWAY: ROUTER}
"""Ports that are realised as a part of something else."""
CHANGE = "network.port"


class Plan(msgspec.Struct, kw_only=True):
    """A port to be made. `None` means what upstream gives by default."""

    project_id: str
    network: t.NetworkRow
    name: str = ""
    description: str = ""
    mac: str | None = None
    addresses: Sequence[Wanted] | None = None
    device_id: str = ""
    device_owner: str = ""
    admin_state_up: bool = True
    port_security: bool | None = None
    group_ids: Sequence[str] | None = None
    more: dict[str, Any] = {}  # other columns
    counted: bool = True  # against the project's quota


def make(w: Work, plan: Plan) -> t.PortRow:
    """A new port with its addresses. Raises `OverQuota`, `Conflict`, `BadRequest` as the API does."""
    if plan.counted:
        w.reserve("port", plan.project_id)
    secure = plan.network.port_security_enabled if plan.port_security is None else plan.port_security
    secure = secure and not plan.device_owner.startswith("network:")
    row = t.PortRow(
        id=w.new_id(),
        project_id=plan.project_id,
        name=plan.name,
        description=plan.description,
        created_at=w.now,
        updated_at=w.now,
        revision_number=1,
        network_id=plan.network.id,
        mac_address=_mac(w, plan.network.id, plan.mac),
        device_id=plan.device_id,
        device_owner=plan.device_owner,
        admin_state_up=plan.admin_state_up,
        port_security_enabled=secure,
        status="DOWN",
        **plan.more,
    )
    addresses = ipam.choose(w.db, row, plan.addresses)
    w.db.add(row)
    w.db.flush()
    w.db.add_all(addresses)
    if plan.group_ids is not None or secure:
        wanted = plan.group_ids
        wanted = [groups.default_group(w, plan.project_id)] if wanted is None else wanted
        w.db.add_all(t.PortGroupRow(port_id=row.id, group_id=id) for id in wanted)
    w.db.flush()
    w.record("create", (CHANGE, row.id), row.project_id, after=picture(row))
    return row


_SAME_MAC = select(t.PortRow.id).where(
    t.PortRow.network_id == bindparam("network_id"), t.PortRow.mac_address == bindparam("mac")
)


def _mac(w: Work, network_id: str, wanted: str | None) -> str:
    """A MAC address that is free in the network. Raises `Conflict`."""

    def taken(mac: str) -> bool:
        return w.db.scalar(_SAME_MAC, {"network_id": network_id, "mac": mac}) is not None

    if wanted is not None:
        check_mac_free(w, network_id, wanted)
        return wanted
    for _ in range(16):
        mac = rules.random_mac(w.made_with().random_bytes(3))
        if not taken(mac):
            return mac
    raise Conflict(f"Unable to generate unique mac on network {network_id}.", code="MacAddressGenerationFailure")


def check_mac_free(w: Work, network_id: str, mac: str) -> None:
    if w.db.scalar(_SAME_MAC, {"network_id": network_id, "mac": mac}) is not None:
        raise Conflict(
            f"Unable to complete operation for network {network_id}. The mac address {mac} is in use.",
            code="MacAddressInUse",
        )


def addresses(w: Work, port_id: str) -> list[t.FixedIPRow]:
    found = select(t.FixedIPRow).where(t.FixedIPRow.port_id == port_id)
    return list(w.db.scalars(found.order_by(t.FixedIPRow.subnet_id, t.FixedIPRow.ip_address)))


def change_addresses(w: Work, row: t.PortRow, wanted: Sequence[Wanted]) -> None:
    """The port has exactly these addresses; one asked for by subnet alone stays when there is one already."""
    old = addresses(w, row.id)
    exact: list[Wanted] = []
    for one in wanted:
        if one.ip_address is None:
            taken = {e.ip_address for e in exact}
            kept = next((o for o in old if o.subnet_id == one.subnet_id and o.ip_address not in taken), None)
            one = Wanted(one.subnet_id, kept.ip_address) if kept else one
        exact.append(one)
    gone_for = {o.ip_address for o in old}
    for address in old:
        w.db.delete(address)
    w.db.flush()
    new = ipam.choose(w.db, row, exact)
    lost = gone_for - {n.ip_address for n in new}
    _check_no_floating(w, row.id, lost)
    w.db.add_all(new)
    w.db.flush()


def _check_no_floating(w: Work, port_id: str, lost: set[str]) -> None:
    bound = select(t.FloatingIPRow.floating_ip_address).where(
        t.FloatingIPRow.port_id == port_id, t.FloatingIPRow.fixed_ip_address.in_(lost)
    )
    floating = w.db.scalar(bound.limit(1)) if lost else None
    if floating:
        raise Conflict(
            f"Port {port_id} cannot lose an address that the floating IP {floating} is associated with.",
            code="BadRequest",
        )


def begin(w: Work, row: t.PortRow) -> None:
    """Have the engine know of a port that was made in this transaction."""
    if row.device_owner in (*OWNERS, FLOATING):
        realise(w, row)
    else:
        w.begin(PORT, row.id)


def realise(w: Work, row: t.PortRow) -> None:
    """Have the engine know of this port, by itself or as part of what it belongs to."""
    kind = OWNERS.get(row.device_owner)
    if kind == NETWORK:
        w.realise(NETWORK, row.network_id)
    elif kind == ROUTER:
        w.realise(ROUTER, row.device_id)
    elif row.device_owner != FLOATING:
        w.realise(PORT, row.id)


def remove(w: Work, row: t.PortRow) -> None:
    """Take the port away; floating IPs of it stay, without a port."""
    for floating in w.db.scalars(select(t.FloatingIPRow).where(t.FloatingIPRow.port_id == row.id)):
        floating.port_id = floating.fixed_ip_address = floating.router_id = None
        floating.status = "DOWN"
        touch(floating, w.now)
        w.realise(FLOATING_IP, floating.id)
    w.db.execute(update(t.RouterRow).where(t.RouterRow.gateway_port_id == row.id).values(gateway_port_id=None))
    w.db.flush()
    owner = OWNERS.get(row.device_owner)
    network_id = row.network_id
    removed(w, CHANGE, row)
    if owner is None:
        w.forget(PORT, row.id)
    elif owner == NETWORK:
        w.realise(NETWORK, network_id)


def check_not_owned(row: t.PortRow) -> None:
    """Raises `Conflict` for a port that belongs to a router or a floating IP: its owner is asked, not the port."""
    if row.device_owner in (INTERFACE, GATEWAY, FLOATING):
        raise Conflict(
            f"Port {row.id} cannot be deleted directly via the port API: has device owner {row.device_owner}.",
            code="ServicePortInUse",
        )


def check_security(row_secure: bool, group_ids: Sequence[str], pairs: Sequence[Any]) -> None:
    """Raises what upstream raises when groups or address pairs meet a port without port security."""
    if row_secure:
        return
    if group_ids:
        raise BadRequest(
            "Port security must be enabled and port must have an IP address in order to use security groups.",
            code="PortSecurityAndIPRequiredForSecurityGroups",
        )
    if pairs:
        raise Conflict(
            "Port Security must be enabled in order to have allowed address pairs on a port.",
            code="AddressPairAndPortSecurityRequired",
        )
