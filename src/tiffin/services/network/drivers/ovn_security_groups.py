"""Security groups as port groups with access control lists, over one group that drops what no rule allows.

The match language: ovn-sb(5), table Logical_Flow. Priorities: rules 1002, the drop below them 1001."""

from __future__ import annotations

from typing import Any

from tiffin.core.driver import Impossible, Turn
from tiffin.services.network.drivers import ovn_text as text
from tiffin.services.network.drivers.base import SecurityGroup, SecurityGroupRule
from tiffin.services.network.drivers.ip_protocols import ICMP, ICMPV6, WITH_PORTS, number
from tiffin.services.network.drivers.ovn_rows import Rows, fence, mark, marks

KIND = "security_group"
_GROUP, _ACL = "Port_Group", "ACL"
_DROP = "drop"
_DROP_NAME = "pg_drop"
_RULE, _DENY = 1002, 1001


def ensure(rows: Rows, turn: Turn, group: SecurityGroup) -> None:
    fence(rows.get(_GROUP, group.id), turn)
    row = rows.put(_GROUP, group.id, {"name": name(group.id), "external_ids": marks(KIND, group.id, turn)})
    acls = [rows.put(_ACL, rule.id, acl(group, rule)) for rule in group.rules if not _empty(rule)]
    rows.own_exactly(row, "acls", acls)
    _drop_group(rows)  # what all groups share is there from the first one on


def forget(rows: Rows, turn: Turn, group_id: str) -> None:
    row = rows.get(_GROUP, group_id)
    if row is not None:
        fence(row, turn)
        rows.drop(row)


def join_exactly(rows: Rows, port: Any, before: list[str], wanted: list[str], *, filtered: bool) -> None:
    """Have the port in these groups and, if it is filtered at all, in the one that drops the rest."""
    for group_id in wanted:
        group = rows.get(_GROUP, group_id)
        if group is None:
            group = rows.put(_GROUP, group_id, {"name": name(group_id), "external_ids": {"tiffin:kind": "placeholder"}})
        rows.own(group, "ports", port)
    leave(rows, port, sorted(set(before) - set(wanted)))
    drop = _drop_group(rows)
    (rows.own if filtered else rows.disown)(drop, "ports", port)


def leave(rows: Rows, port: Any, group_ids: list[str]) -> None:
    for group_id in group_ids:
        group = rows.get(_GROUP, group_id)
        if group is None:
            continue
        if mark(group, "kind") == "placeholder" and all(member == port for member in group.ports):
            rows.drop(group)  # its own group never came; nobody else would forget it
        else:
            rows.disown(group, "ports", port)


def name(group_id: str) -> str:
    """The port group of a security group; OVN makes the address sets NAME_ip4 and NAME_ip6 of it."""
    return f"pg_{text.identifier(group_id)}"


def acl(group: SecurityGroup, rule: SecurityGroupRule) -> dict[str, Any]:
    """One rule as a row. Raises `Impossible` for what OVN cannot match."""
    ingress = rule.direction == "ingress"
    side = f"outport == @{name(group.id)}" if ingress else f"inport == @{name(group.id)}"
    family = "ip4" if rule.ethertype == "IPv4" else "ip6"
    parts = [side, family, *_remote(rule, f"{family}.{'src' if ingress else 'dst'}"), *_protocol(rule)]
    return {
        "direction": "to-lport" if ingress else "from-lport",
        "priority": _RULE,
        "match": " && ".join(parts),
        "action": "allow-related" if group.stateful else "allow-stateless",
        "external_ids": {"tiffin:id": rule.id, "tiffin:kind": "rule"},
    }


def _empty(rule: SecurityGroupRule) -> bool:
    """Whether the rule names a set of addresses that has none of its own family, so that nothing can match."""
    return rule.remote_address_group is not None and not _of_family(rule)


def _of_family(rule: SecurityGroupRule) -> list[str]:
    wanted = 4 if rule.ethertype == "IPv4" else 6
    return [text.network(item) for item in rule.remote_address_group or () if text.version(item) == wanted]


def _remote(rule: SecurityGroupRule, field: str) -> list[str]:
    version = 4 if rule.ethertype == "IPv4" else 6
    found = []
    if rule.remote_ip_prefix is not None:
        prefix = text.network(rule.remote_ip_prefix)
        if text.version(prefix) != version:
            raise Impossible(f"rule {rule.id}: {prefix} is not {rule.ethertype}")
        if not prefix.endswith("/0"):
            found.append(f"{field} == {prefix}")
    if rule.remote_group_id is not None:
        found.append(f"{field} == ${name(rule.remote_group_id)}_ip{version}")
    if rule.remote_address_group is not None:
        found.append(f"{field} == {text.group(_of_family(rule))}")
    return found


def _protocol(rule: SecurityGroupRule) -> list[str]:
    protocol = number(rule.protocol)
    if protocol is None:
        return []
    low, high = rule.port_range_min, rule.port_range_max
    if protocol in (ICMP, ICMPV6):
        word = "icmp4" if rule.ethertype == "IPv4" else "icmp6"
        kind = [f"{word}.type == {int(low)}"] if low is not None else []
        code = [f"{word}.code == {int(high)}"] if high is not None else []
        return kind + code or [word]
    if low is None and high is None:
        return [WITH_PORTS.get(protocol, f"ip.proto == {protocol}")]
    if protocol not in WITH_PORTS:
        raise Impossible(f"rule {rule.id}: only ports of tcp, udp and sctp can be matched, not of {rule.protocol}")
    word = WITH_PORTS[protocol]
    low, high = (low if low is not None else 0), (high if high is not None else 65535)
    if low == high:
        return [f"{word}.dst == {int(low)}"]
    return [f"{word}.dst >= {int(low)}", f"{word}.dst <= {int(high)}"]


def _drop_group(rows: Rows) -> Any:
    """The group of all filtered ports. They may ask for an address whatever their rules; OVN lets the answer in."""
    group = rows.get(_GROUP, _DROP)
    if group is not None:
        return group
    acls = [
        _drop_acl(rows, "in", "to-lport", _DENY, f"outport == @{_DROP_NAME} && ip", "drop"),
        _drop_acl(rows, "out", "from-lport", _DENY, f"inport == @{_DROP_NAME} && ip", "drop"),
        _drop_acl(
            rows,
            "dhcp4",
            "from-lport",
            _RULE,
            f"inport == @{_DROP_NAME} && ip4 && udp && udp.src == 68 && udp.dst == 67",
            "allow",
        ),
        _drop_acl(
            rows,
            "dhcp6",
            "from-lport",
            _RULE,
            f"inport == @{_DROP_NAME} && ip6 && udp && udp.src == 546 && udp.dst == 547",
            "allow",
        ),
    ]
    return rows.put(_GROUP, _DROP, {"name": _DROP_NAME, "acls": acls, "external_ids": {"tiffin:kind": "drop"}})


def _drop_acl(rows: Rows, key: str, direction: str, priority: int, match: str, action: str) -> Any:
    return rows.put(
        _ACL,
        f"{_DROP}/{key}",
        {
            "direction": direction,
            "priority": priority,
            "match": match,
            "action": action,
            "external_ids": {"tiffin:kind": "drop"},
        },
    )
