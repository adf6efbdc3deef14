"""A guest's port as a logical switch port: addresses, anti-spoofing, groups, DHCP and names."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from tiffin.core.driver import Impossible, Refused, Turn
from tiffin.services.network.drivers import ovn_dhcp, ovn_security_groups
from tiffin.services.network.drivers import ovn_text as text
from tiffin.services.network.drivers.base import Port
from tiffin.services.network.drivers.ovn_rows import Rows, fence, mark, marks

KIND = "port"
_PORT, _DHCP, _DNS = "Logical_Switch_Port", "DHCP_Options", "DNS"
_UNSPECIFIED = "0.0.0.0"  # noqa: S104 - an address in a rule, nothing is bound to it


def ensure(rows: Rows, turn: Turn, port: Port) -> None:
    """Raises `Refused` while its network is not there. Missing groups are made empty: they let nothing pass."""
    switch = rows.get("Logical_Switch", port.network_id)
    if switch is None:
        raise Refused(f"port {port.id}: network {port.network_id} is not there yet")
    old = rows.get(_PORT, port.id)
    fence(old, turn)
    if old is not None and mark(old, "network") != port.network_id:
        raise Impossible(f"port {port.id} cannot move from network {mark(old, 'network')} to {port.network_id}")
    before = mark(old, "groups").split() if old is not None else []
    row = rows.put(_PORT, port.id, columns(turn, port))
    rows.own(switch, "ports", row)
    ovn_security_groups.join_exactly(rows, row, before, groups(port), filtered=port.port_security_enabled)
    refresh(rows, row, switch)


def forget(rows: Rows, turn: Turn, port_id: str) -> None:
    row = rows.get(_PORT, port_id)
    if row is None or mark(row, "kind") != KIND:
        return
    fence(row, turn)
    ovn_security_groups.leave(rows, row, mark(row, "groups").split())
    for table, key in ((_DNS, port_id), (_DHCP, f"{port_id}/4"), (_DHCP, f"{port_id}/6")):
        extra = rows.get(table, key)
        if extra is not None:
            rows.drop(extra)
    # With the switch at hand: a search for the switch of a port is quadratic in the number of ports.
    switch = rows.get("Logical_Switch", mark(row, "network"))
    if switch is not None:
        rows.disown(switch, "ports", row)


def groups(port: Port) -> list[str]:
    """The security groups that filter the port: none when its port security is off."""
    return sorted(set(port.security_group_ids)) if port.port_security_enabled else []


def columns(turn: Turn, port: Port) -> dict[str, Any]:
    """The row of a port, but for what depends on its network (see `refresh`)."""
    ips = [text.address(fixed.ip_address) for fixed in port.fixed_ips]
    subnets = {f"subnet{text.version(fixed.ip_address)}": fixed.subnet_id for fixed in reversed(port.fixed_ips)}
    options = {}
    if port.host:
        options["requested-chassis"] = port.host
    if port.hostname:
        # northd copies the value as it is into an expression, which wants a quoted string.
        options["hostname"] = text.quoted(text.domain(port.hostname).partition(".")[0])
    return {
        "name": text.checked_id(port.id),
        "type": "",
        "enabled": [port.admin_state_up],
        "options": options,
        "addresses": addresses(port),
        "port_security": port_security(port),
        "external_ids": marks(
            KIND,
            port.id,
            turn,
            network=port.network_id,
            groups=" ".join(groups(port)),
            hostname=text.domain(port.hostname or ""),
            ips=" ".join(ips),
            dhcp=json.dumps(port.extra_dhcp_opts) if port.extra_dhcp_opts else "",
            **subnets,
        ),
    }


def addresses(port: Port) -> list[str]:
    """Where the switch delivers: own MAC and addresses, MACs of allowed pairs, or all that nobody else has."""
    own = text.mac(port.mac_address)
    found = [" ".join([own, *(text.address(fixed.ip_address) for fixed in port.fixed_ips)])]
    if not port.port_security_enabled:
        return [*found, "unknown"]
    return found + sorted({text.mac(mac) for _, mac in port.allowed_address_pairs} - {own})


def port_security(port: Port) -> list[str]:
    """What the port may send as (MAC, addresses); empty when it may send anything.

    A MAC alone would allow every address, so a port without one is given the unspecified address, which DHCP needs."""
    if not port.port_security_enabled:
        return []
    own = [text.address(fixed.ip_address) for fixed in port.fixed_ips] or [_UNSPECIFIED]
    allowed = {text.mac(port.mac_address): own}
    for ip, mac in port.allowed_address_pairs:
        known = allowed.setdefault(text.mac(mac), [])
        if text.network(ip) not in known:
            known.append(text.network(ip))
    return [" ".join([mac, *ips]) for mac, ips in allowed.items()]


def refresh(rows: Rows, port: Any, switch: Any) -> None:
    """Set what a port takes from its network: DHCP options and names. Called when either of the two changes."""
    extra = [tuple(option) for option in json.loads(mark(port, "dhcp") or "[]")]
    references = {f"dhcpv{version}_options": _dhcp(rows, port, version, extra) for version in (4, 6)}
    rows.put_columns(port, references)
    id, records = mark(port, "id"), _records(port, mark(switch, "domain"))
    if records:
        row = rows.put(_DNS, id, {"records": records, "external_ids": {"tiffin:kind": "dns", "tiffin:id": id}})
        rows.own(switch, "dns_records", row)
    elif (gone := rows.get(_DNS, id)) is not None:
        rows.drop(gone)


def _dhcp(rows: Rows, port: Any, version: int, extra: list[Any]) -> list[Any]:
    shared = rows.get(_DHCP, mark(port, f"subnet{version}"))
    key = f"{mark(port, 'id')}/{version}"
    wanted = None
    if shared is not None and any(its_version == version for *_, its_version in extra):
        wanted = ovn_dhcp.with_extra(shared.options, extra, version)
        shared = None
    own = rows.get(_DHCP, key)
    if wanted is None:
        if own is not None:
            rows.drop(own)
        return [shared] if shared is not None else []
    subnet = rows.get(_DHCP, mark(port, f"subnet{version}"))
    assert subnet is not None
    return [
        rows.put(
            _DHCP,
            key,
            {
                "cidr": subnet.cidr,
                "options": wanted,
                "external_ids": {"tiffin:kind": "port options", "tiffin:id": mark(port, "id")},
            },
        )
    ]


def _records(port: Any, domain: str) -> dict[str, str]:
    """The names of the port as OVN's DNS tells them, backwards too."""
    hostname, ips = mark(port, "hostname"), mark(port, "ips").split()
    if not hostname or not ips:
        return {}
    short = hostname.partition(".")[0]
    full = f"{short}.{domain}" if domain else short
    backwards = {ipaddress.ip_address(ip).reverse_pointer: full for ip in ips}
    return {name: " ".join(ips) for name in (short, full)} | backwards
