"""What other services may ask of network. `session` is the caller's open transaction, a writing one where rows change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from tiffin.core.actor import Actor
from tiffin.core.changes import picture
from tiffin.core.cloud import Cloud
from tiffin.core.errors import BadRequest, Conflict, Forbidden, NotFound
from tiffin.services.network import faults, groups, ports, rules, specs
from tiffin.services.network import tables as t
from tiffin.services.network.columns import (
    NetworkChoice,
    PortInfo,
    addresses_column,
    has_address,
    port_infos,
    ports_of,
    security_groups_column,
)
from tiffin.services.network.drivers import base
from tiffin.services.network.group_requests import (
    create_security_group,
    create_security_group_rule,
    delete_security_group,
    delete_security_group_rule,
    security_group_of,
    security_groups,
    update_security_group,
)
from tiffin.services.network.ipam import Wanted
from tiffin.services.network.reconcilers import watch
from tiffin.services.network.resources.security_group import GroupOut
from tiffin.services.network.resources.security_group_rule import RuleOut
from tiffin.services.network.standard import touch
from tiffin.services.network.work import PORT, Work

__all__ = [
    "GroupOut",
    "NetworkChoice",
    "PortInfo",
    "RuleOut",
    "addresses_column",
    "bind_port",
    "claim_port",
    "create_port",
    "create_security_group",
    "create_security_group_rule",
    "delete_port",
    "delete_security_group",
    "delete_security_group_rule",
    "find_security_groups",
    "has_address",
    "network_spec",
    "networks_for",
    "port_by_address",
    "port_infos",
    "ports_of",
    "ports_ready",
    "release_port",
    "security_group_of",
    "security_groups",
    "security_groups_column",
    "set_port_groups",
    "update_security_group",
    "watch",
]


# --- choosing networks and groups ---------------------------------------------------------------------------------------


def networks_for(session: Session, actor: Actor, requested: Sequence[str] | None) -> list[NetworkChoice]:
    """The networks of a new server. With `requested` None the one that the project has, or none at all.

    Raises `NotFound` for what the actor does not see, `Forbidden` for an external network, `BadRequest` for one without
    subnets, `Conflict` when there are several to choose from.
    """
    usable = _usable(actor.project_id or "", everything=actor.is_admin and requested is not None)
    if requested is not None:
        return [_requested(session, actor, usable, id) for id in requested]
    with_subnet = select(t.SubnetRow.id).where(t.SubnetRow.network_id == t.NetworkRow.id).exists()
    rows = session.execute(usable.where(t.NetworkRow.external.is_(False), with_subnet).limit(2)).all()
    if len(rows) > 1:
        raise Conflict("Multiple possible networks found, use a Network ID to be more specific.")
    return [NetworkChoice(row.id, row.name) for row in rows]


def _usable(project_id: str, *, everything: bool) -> Any:
    query = select(t.NetworkRow.id, t.NetworkRow.name, t.NetworkRow.external).order_by(t.NetworkRow.id)
    if everything:
        return query
    opened = select(t.RbacRow.object_id).where(
        t.RbacRow.object_type == "network", t.RbacRow.target_project.in_((project_id, "*"))
    )
    return query.where(or_(t.NetworkRow.project_id == project_id, t.NetworkRow.id.in_(opened)))


def _requested(session: Session, actor: Actor, usable: Any, id: str) -> NetworkChoice:
    row = session.execute(usable.where(t.NetworkRow.id == id)).first()
    if row is None:
        raise NotFound(f"Network {id[:255]} could not be found.")
    if row.external and not actor.is_admin and not _shared(session, actor.project_id or "", id):
        raise Forbidden(f"It is not allowed to create an interface on external network {id}")
    if session.scalar(select(t.SubnetRow.id).where(t.SubnetRow.network_id == id).limit(1)) is None:
        raise BadRequest(f"Network {id} requires a subnet in order to boot instances on.")
    return NetworkChoice(row.id, row.name)


def _shared(session: Session, project_id: str, id: str) -> bool:
    query = select(t.RbacRow.id).where(
        t.RbacRow.object_id == id,
        t.RbacRow.action == "access_as_shared",
        t.RbacRow.target_project.in_((project_id, "*")),
    )
    return session.scalar(query.limit(1)) is not None


def find_security_groups(session: Session, project_id: str, names_or_ids: Sequence[str]) -> list[str]:
    """The ids of groups of a project, found by id or by name. Raises `NotFound`, and `BadRequest` for an ambiguous name."""
    query = select(t.SecurityGroupRow.id, t.SecurityGroupRow.name).where(t.SecurityGroupRow.project_id == project_id)
    wanted = list(names_or_ids)
    rows = session.execute(
        query.where(or_(t.SecurityGroupRow.id.in_(wanted), t.SecurityGroupRow.name.in_(wanted)))
    ).all()
    found = []
    for name in wanted:
        same = [r.id for r in rows if r.id == name] or [r.id for r in rows if r.name == name]
        if not same:
            raise NotFound(f"Security group {name[:255]} not found for project {project_id}.")
        if len(same) > 1:
            raise Conflict(f"Multiple security groups found matching '{name[:255]}'. Use an ID to be more specific.")
        found += same
    return list(dict.fromkeys(found))


# --- the ports of servers -----------------------------------------------------------------------------------------------


def create_port(
    session: Session,
    cloud: Cloud,
    project_id: str,
    *,
    request_id: str,
    now: float,
    network_id: str,
    fixed_ip: str | None,
    device_id: str,
    device_owner: str,
    name: str = "",
    security_group_ids: Sequence[str] | None = None,
    mac: str | None = None,
    hostname: str = "",
) -> str:
    """A new port of a server; its id. `security_group_ids` None: the project's default group.

    Raises what the API raises: `OverQuota`, `Conflict` (address in use, none free), `BadRequest`, `NotFound`.
    """
    w = Work(session, now, request_id, cloud)
    network = session.get(t.NetworkRow, network_id)
    if network is None:
        raise faults.missing("network", network_id)
    secure = network.port_security_enabled
    chosen = security_group_ids if secure else []
    plan = ports.Plan(
        project_id=project_id,
        network=network,
        name=name,
        mac=rules.mac(mac) if mac else None,
        addresses=[Wanted(None, fixed_ip)] if fixed_ip else None,
        device_id=device_id,
        device_owner=device_owner,
        group_ids=None if chosen is None else groups.check_usable(w, project_id, chosen),
        more={"dns_name": hostname.lower()},
    )
    row = ports.make(w, plan)
    ports.begin(w, row)
    return row.id


def claim_port(
    session: Session, now: float, port_id: str, project_id: str, *, device_id: str, device_owner: str, request_id: str
) -> PortInfo:
    """Take a user's own port for a server. Raises `NotFound`, `Conflict` when it is in use, `BadRequest` when it has no
    address."""
    row = session.get(t.PortRow, port_id)
    if row is None or row.project_id != project_id:
        raise NotFound(f"Port id {port_id[:255]} could not be found.")
    if row.device_id and row.device_id != device_id:
        raise Conflict(f"Port {port_id} is still in use.")
    before = picture(row)
    row.device_id, row.device_owner = device_id, device_owner
    touch(row, now)
    session.flush()
    w = Work(session, now, request_id)
    w.record("update", (ports.CHANGE, port_id), project_id, before=before, after=picture(row))
    (found,) = port_infos(session, t.PortRow.id == port_id)
    if not found.fixed_ips:
        raise BadRequest(f"Port {port_id} requires a FixedIP in order to be used.")
    return found


def bind_port(session: Session, now: float, port_id: str, host: str, request_id: str) -> None:
    """Let this host have the port; `host` is the name of its chassis, "" for none."""
    row = session.get(t.PortRow, port_id)
    if row is None:
        raise faults.missing("port", port_id)
    row.host = host
    touch(row, now)
    ports.realise(Work(session, now, request_id), row)


def release_port(session: Session, now: float, port_id: str, request_id: str) -> None:
    """No server has the port any more; it stays. Nothing happens for one that is gone."""
    row = session.get(t.PortRow, port_id)
    if row is not None:
        before, w = picture(row), Work(session, now, request_id)
        row.host = row.device_id = row.device_owner = ""
        touch(row, now)
        w.record("update", (ports.CHANGE, port_id), row.project_id, before=before, after=picture(row))
        ports.realise(w, row)


def delete_port(session: Session, now: float, port_id: str, request_id: str) -> None:
    """The port goes. Nothing happens for one that is gone."""
    row = session.get(t.PortRow, port_id)
    if row is not None:
        ports.remove(Work(session, now, request_id), row)


def set_port_groups(session: Session, now: float, port_id: str, group_ids: Sequence[str], request_id: str) -> None:
    """The port is a member of exactly these groups of its project."""
    w, row = Work(session, now, request_id), session.get(t.PortRow, port_id)
    if row is None:
        raise faults.missing("port", port_id)
    groups.set_groups(w, port_id, groups.check_usable(w, row.project_id, group_ids))
    touch(row, now)
    w.record("update", (ports.CHANGE, port_id), row.project_id, after={"security_groups": list(group_ids)})
    w.realise(PORT, port_id)


def ports_ready(session: Session, port_ids: Collection[str]) -> bool:
    """Whether every one of these ports is there and up."""
    wanted = set(port_ids)
    up = select(t.PortRow.id).where(t.PortRow.id.in_(wanted), t.PortRow.status == "ACTIVE")
    return set(session.scalars(up)) == wanted


def port_by_address(session: Session, network_id: str, ip: str) -> PortInfo | None:
    """The port that has an address in a network."""
    held = select(t.FixedIPRow.port_id).where(t.FixedIPRow.network_id == network_id, t.FixedIPRow.ip_address == ip)
    return next(iter(port_infos(session, t.PortRow.id.in_(held))), None)


def network_spec(session: Session, network_id: str) -> base.Network | None:
    """What `HostNetwork.ensure_metadata` takes."""
    row = session.get(t.NetworkRow, network_id)
    return specs.network(session, row) if row else None
