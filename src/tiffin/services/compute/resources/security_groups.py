"""Security groups as compute showed them before 2.36, and those of a server. Network owns them; rules that let traffic
out are not seen here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.listing import limit_of
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.compute.resources.finding import find
from tiffin.services.compute.resources.flavors import READER
from tiffin.services.compute.resources.servers import MEMBER
from tiffin.services.compute.resources.words import Text255, Uuid
from tiffin.services.network import public as network

GONE = (2, 36)
MOST = 1000
"""Groups that one list shows."""
EVERYWHERE = "0.0.0.0/0"
PORTS = (1, 65535)
ICMP_TYPES = (-1, 255)
MODES = {"tcp": PORTS, "udp": PORTS, "icmp": ICMP_TYPES}
"""What a rule may speak of, and its smallest and largest number; -1 is any type or code of ICMP."""

groups = Resource("security_group", "security_groups", "/v2.1/os-security-groups")
rules = Resource("security_group_rule", "security_group_rules", "/v2.1/os-security-group-rules")
of_server = Resource("security_group", "security_groups", "/v2.1/servers/{id}/os-security-groups")


class GroupIn(Schema):
    _unknown_ = "ignore"
    name: Text255
    description: Text255


Number = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] | Annotated[str, Meta(max_length=11, pattern=r"^-?[0-9]+\Z")]


class RuleIn(Schema):
    _unknown_ = "ignore"
    parent_group_id: Uuid
    group_id: Uuid | None = None
    ip_protocol: Annotated[str, Meta(max_length=40)] | None = None
    from_port: Number | None = None
    to_port: Number | None = None
    cidr: Annotated[str, Meta(max_length=64)] | None = None


class Source(Schema):
    """The group that a rule names, if it names one."""

    name: str | UnsetType = UNSET
    tenant_id: str | UnsetType = UNSET


class Range(Schema):
    cidr: str | UnsetType = UNSET


class Rule(Schema):
    id: str
    parent_group_id: str
    ip_protocol: str | None
    from_port: int | None
    to_port: int | None
    group: Source
    ip_range: Range


class Group(Schema):
    id: str
    name: str
    description: str
    tenant_id: str
    rules: list[Rule]


def _ports(rule: network.RuleOut) -> tuple[int | None, int | None]:
    """A protocol without a range is shown with the widest one."""
    if rule.protocol is None or rule.port_range_min is not None or rule.port_range_max is not None:
        return rule.port_range_min, rule.port_range_max
    return PORTS if rule.protocol in ("tcp", "udp") else (-1, -1)


def _rule(rule: network.RuleOut, sources: dict[str, Source]) -> Rule:
    low, high = _ports(rule)
    named = rule.remote_group_id is not None
    return Rule(
        id=rule.id,
        parent_group_id=rule.security_group_id,
        ip_protocol=rule.protocol,
        from_port=low,
        to_port=high,
        group=sources.get(str(rule.remote_group_id), Source()),
        ip_range=Range() if named else Range(cidr=rule.remote_ip_prefix or EVERYWHERE),
    )


def _sources(call: Call, rules: Iterable[network.RuleOut], known: Iterable[network.GroupOut] = ()) -> dict[str, Source]:
    """The groups that rules name, by id, as far as the actor may know of them."""
    seen = {group.id: group for group in known}
    named = {rule.remote_group_id for rule in rules if rule.remote_group_id is not None} - set(seen)
    if named:
        seen |= {group.id: group for group in network.security_groups(call, ids=named)}
    return {id: Source(name=group.name, tenant_id=group.project_id) for id, group in seen.items()}


def _views(call: Call, found: list[network.GroupOut]) -> list[Group]:
    sources = _sources(call, [rule for group in found for rule in group.security_group_rules], found)
    return [
        Group(
            id=group.id,
            name=group.name,
            description=group.description,
            tenant_id=group.project_id,
            rules=[_rule(r, sources) for r in group.security_group_rules if r.direction == "ingress"],
        )
        for group in found
    ]


@contextlib.contextmanager
def _conflicts_are_bad_requests() -> Iterator[None]:
    """These old paths know no 409."""
    try:
        yield
    except Conflict as conflict:
        raise BadRequest(conflict.message) from conflict


# --- groups -------------------------------------------------------------------------------------------------------------


@groups.operation("GET", policy=("os_compute_api:os-security-groups:get", READER), until=GONE, transaction="write")
def index(call: Call) -> dict[str, list[Group]]:
    everybody = call.actor.is_admin and call.param("all_tenants") not in (None, "0", "False", "false")
    found = network.security_groups(call, None if everybody else call.actor.project_id)
    offset = limit_of(call.param("offset"), 2**31, 0) or 0
    limit = limit_of(call.param("limit"), MOST) or MOST
    return {"security_groups": _views(call, found[offset : offset + limit])}


@groups.operation("GET", "/{id}", policy=("os_compute_api:os-security-groups:show", READER), until=GONE)
def show(call: Call, id: str) -> dict[str, Group]:
    return {"security_group": _views(call, [network.security_group_of(call, id)])[0]}


@groups.operation("POST", policy=("os_compute_api:os-security-groups:create", MEMBER), body=GroupIn, until=GONE, ok=200)
def create(call: Call, body: GroupIn) -> dict[str, Group]:
    with _conflicts_are_bad_requests():
        made = network.create_security_group(call, _name(body), body.description.strip())
    return {"security_group": _views(call, [made])[0]}


@groups.operation("PUT", "/{id}", policy=("os_compute_api:os-security-groups:update", MEMBER), body=GroupIn, until=GONE)
def update(call: Call, id: str, body: GroupIn) -> dict[str, Group]:
    with _conflicts_are_bad_requests():
        changed = network.update_security_group(call, id, _name(body), body.description.strip())
    return {"security_group": _views(call, [changed])[0]}


def _name(body: GroupIn) -> str:
    name = body.name.strip()
    if not name:
        raise BadRequest("Security group name cannot be empty.")
    return name


@groups.operation("DELETE", "/{id}", policy=("os_compute_api:os-security-groups:delete", MEMBER), until=GONE, ok=202)
def delete(call: Call, id: str) -> None:
    with _conflicts_are_bad_requests():
        network.delete_security_group(call, id)


# --- rules --------------------------------------------------------------------------------------------------------------


@rules.operation(
    "POST", policy=("os_compute_api:os-security-groups:rule:create", MEMBER), body=RuleIn, until=GONE, ok=200
)
def create_rule(call: Call, body: RuleIn) -> dict[str, Rule]:
    cidr = None if body.group_id else body.cidr or EVERYWHERE
    with _conflicts_are_bad_requests():
        made = network.create_security_group_rule(
            call,
            security_group_id=body.parent_group_id,
            direction="ingress",
            ethertype="IPv6" if cidr and ":" in cidr else "IPv4",
            remote_ip_prefix=cidr,
            remote_group_id=body.group_id,
            **_traffic(body),
        )
    return {"security_group_rule": _rule(made, _sources(call, [made]))}


def _traffic(body: RuleIn) -> dict[str, Any]:
    """The protocol and the range of a new rule, as network says them. With a source group they may be left out."""
    said = (body.ip_protocol, body.from_port, body.to_port)
    if body.ip_protocol is None or body.from_port is None or body.to_port is None:
        if body.group_id is None or (body.from_port, body.to_port) != (None, None):
            raise BadRequest(
                f"Not enough parameters to build a valid rule: ip_protocol, from_port, to_port are {said}."
            )
        return {"protocol": body.ip_protocol}
    protocol, low, high = body.ip_protocol.lower(), int(body.from_port), int(body.to_port)
    if protocol not in MODES:
        raise BadRequest(f"Invalid IP protocol {body.ip_protocol}. It is one of {', '.join(MODES)}.")
    least, most = MODES[protocol]
    if not (least <= low <= most and least <= high <= most) or (protocol != "icmp" and low > high):
        raise BadRequest(f"Invalid port range {low}:{high}. Valid {protocol} numbers are {least} to {most}.")
    numbers = {"port_range_min": low, "port_range_max": high}
    return {"protocol": protocol, **{name: number for name, number in numbers.items() if number != -1}}


@rules.operation(
    "DELETE", "/{id}", policy=("os_compute_api:os-security-groups:rule:delete", MEMBER), until=GONE, ok=202
)
def delete_rule(call: Call, id: str) -> None:
    network.delete_security_group_rule(call, id)


# --- of a server ----------------------------------------------------------------------------------------------------------


@of_server.operation("GET", policy=("os_compute_api:os-security-groups:list", READER), about=find)
def of_one(call: Call, id: str) -> dict[str, list[Group]]:
    ports = network.ports_of(call.db, id, call.subject.project_id)
    ids = {group for port in ports for group in port.security_group_ids}
    return {"security_groups": _views(call, network.security_groups(call, ids=ids))}
