"""Which addresses a port gets. Free ones are found by SQL, without walking through a subnet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from tiffin.core.errors import BadRequest, Conflict
from tiffin.services.network import faults, rules
from tiffin.services.network import tables as t


class Wanted(msgspec.Struct, frozen=True):
    """One of a port's addresses as it was asked for: by subnet, by address, or both."""

    subnet_id: str | None = None
    ip_address: str | None = None


_SUBNETS = (
    select(t.SubnetRow)
    .where(t.SubnetRow.network_id == bindparam("network_id"))
    .order_by(t.SubnetRow.created_at, t.SubnetRow.id)
)


def subnets_of(session: Session, network_id: str) -> list[t.SubnetRow]:
    return list(session.scalars(_SUBNETS, {"network_id": network_id}))


def automatic(subnet: t.SubnetRow, device_owner: str) -> bool:
    """Whether ports of this kind make their address in this subnet from their MAC address."""
    return subnet.ipv6_address_mode in rules.AUTOMATIC and not device_owner.startswith("network:router")


def serves(subnet: t.SubnetRow, device_owner: str) -> bool:
    """Whether a subnet with service types gives addresses to this kind of device."""
    return not subnet.service_types or any(device_owner.startswith(kind) for kind in subnet.service_types)


def choose(session: Session, port: t.PortRow, wanted: Sequence[Wanted] | None) -> list[t.FixedIPRow]:
    """The addresses of a port: those asked for, or one of each IP version. Nothing is written.

    Raises `BadRequest` for what cannot be, `Conflict` for what is taken or used up.
    """
    subnets = subnets_of(session, port.network_id)
    if wanted is None:
        return _by_default(session, port, subnets)
    found: list[t.FixedIPRow] = []
    for one in wanted:
        subnet = _subnet(subnets, one, port.network_id)
        ip = _asked(session, port, subnet, one) if one.ip_address else _own(session, port, subnet, found)
        if any(f.ip_address == ip for f in found):
            raise faults.invalid_input(f"Duplicate IP address '{ip}'")
        found.append(_row(port, subnet, ip))
    if any(w.ip_address for w in wanted) or not found:
        return found
    return found + _automatic_ones(session, port, subnets, found)


def _by_default(session: Session, port: t.PortRow, subnets: list[t.SubnetRow]) -> list[t.FixedIPRow]:
    subnets = [s for s in subnets if serves(s, port.device_owner)]
    if not subnets:
        return []
    found = []
    for version in (4, 6):
        ordinary = [s for s in subnets if s.ip_version == version and not automatic(s, port.device_owner)]
        if not ordinary:
            continue
        free = ((s, _free(session, s, ())) for s in ordinary)
        chosen = next(((s, ip) for s, ip in free if ip), None)
        if chosen is None:
            raise faults.no_addresses(port.network_id)
        found.append(_row(port, *chosen))
    return found + _automatic_ones(session, port, subnets, found)


def _automatic_ones(
    session: Session, port: t.PortRow, subnets: list[t.SubnetRow], found: list[t.FixedIPRow]
) -> list[t.FixedIPRow]:
    rest = [s for s in subnets if automatic(s, port.device_owner) and all(f.subnet_id != s.id for f in found)]
    return [_row(port, s, _own(session, port, s, found)) for s in rest]


def _subnet(subnets: Iterable[t.SubnetRow], one: Wanted, network_id: str) -> t.SubnetRow:
    if one.subnet_id:
        for subnet in subnets:
            if subnet.id == one.subnet_id:
                return subnet
        raise faults.invalid_input(
            f"Failed to create port on network {network_id}, because fixed_ips included invalid subnet {one.subnet_id}"
        )
    if one.ip_address is None:
        raise faults.invalid_input("IP allocation requires subnet_id or ip_address")
    ip = rules.address(one.ip_address)
    for subnet in subnets:
        if ip in rules.network(subnet.cidr):
            return subnet
    raise BadRequest(
        f"IP address {ip} is not a valid IP for any of the subnets on the specified network.",
        code="InvalidIpForNetwork",
    )


def _asked(session: Session, port: t.PortRow, subnet: t.SubnetRow, one: Wanted) -> str:
    net = rules.network(subnet.cidr)
    ip = rules.check_host_in(net, one.ip_address or "")
    if automatic(subnet, port.device_owner) and ip != rules.eui64(net, port.mac_address):
        raise faults.invalid_input(
            f"IPv6 address {ip} can not be directly assigned to a port on subnet {subnet.id} as the subnet is "
            "configured for automatic addresses"
        )
    holder = session.scalar(
        select(t.FixedIPRow.port_id).where(t.FixedIPRow.subnet_id == subnet.id, t.FixedIPRow.ip_address == ip)
    )
    if holder is not None and holder != port.id:
        raise Conflict(f"IP address {ip} already allocated in subnet {subnet.id}", code="IpAddressAlreadyAllocated")
    return ip


def _own(session: Session, port: t.PortRow, subnet: t.SubnetRow, found: Sequence[t.FixedIPRow]) -> str:
    if automatic(subnet, port.device_owner):
        return rules.eui64(rules.network(subnet.cidr), port.mac_address)
    ip = _free(session, subnet, [f.position for f in found if f.subnet_id == subnet.id and f.position is not None])
    if ip is None:
        raise faults.no_addresses(port.network_id)
    return ip


def _free(session: Session, subnet: t.SubnetRow, besides: Sequence[int]) -> str | None:
    """An address of the pools that no port has, nor `besides` has: behind the last one given, so that an address rests
    before it is given again; from the gaps when the end is reached."""
    net = rules.network(subnet.cidr)
    spans = rules.spans(net, subnet.allocation_pools)
    for low, high in spans:
        last = session.execute(_LAST, {"subnet": subnet.id, "low": low, "high": high}).scalar()
        place = max([low - 1 if last is None else int(last), *(b for b in besides if low <= b <= high)]) + 1
        if place <= high:
            return rules.at(net, place)
    for low, high in spans:
        place = _first_gap(session, subnet.id, low, high)
        while place in besides:
            place = _first_gap(session, subnet.id, place + 1, high)
        if place <= high:
            return rules.at(net, place)
    return None


_USED = t.FixedIPRow.__table__
_NEXT = _USED.alias("next_one")
_SUBNET: Any = bindparam("subnet")
_LOW: Any = bindparam("low")
_HIGH: Any = bindparam("high")
_LAST = select(func.max(_USED.c.position)).where(
    _USED.c.subnet_id == _SUBNET, _USED.c.position >= _LOW, _USED.c.position <= _HIGH
)
_HELD = select(_USED.c.port_id).where(_USED.c.subnet_id == _SUBNET, _USED.c.position == _LOW)
_BEFORE_GAP = (
    select(_USED.c.position)
    .where(
        _USED.c.subnet_id == _SUBNET,
        _USED.c.position >= _LOW,
        ~select(_NEXT.c.port_id).where(_NEXT.c.subnet_id == _SUBNET, _NEXT.c.position == _USED.c.position + 1).exists(),
    )
    .order_by(_USED.c.position)
    .limit(1)
)


def _first_gap(session: Session, subnet_id: str, low: int, high: int) -> int:
    """The smallest free position from `low` on; beyond `high` when there is none."""
    where = {"subnet": subnet_id, "low": low}
    if low > high or session.execute(_HELD, where).first() is None:
        return low
    return int(session.execute(_BEFORE_GAP, where).scalar_one()) + 1


def _row(port: t.PortRow, subnet: t.SubnetRow, ip: str) -> t.FixedIPRow:
    place = rules.position(rules.network(subnet.cidr), ip)
    return t.FixedIPRow(port_id=port.id, subnet_id=subnet.id, network_id=port.network_id, ip_address=ip, position=place)


def holder(session: Session, subnet_id: str, ip: str) -> t.PortRow | None:
    """The port that has this address."""
    return session.scalar(
        select(t.PortRow)
        .join(t.FixedIPRow, t.FixedIPRow.port_id == t.PortRow.id)
        .where(t.FixedIPRow.subnet_id == subnet_id, t.FixedIPRow.ip_address == ip)
    )
