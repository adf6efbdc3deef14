"""The filters and sort keys of lists of servers."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, and_, exists, false, not_, or_

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Forbidden
from tiffin.core.listing import Key
from tiffin.services.compute import rules
from tiffin.services.compute.resources.finding import moment
from tiffin.services.compute.resources.words import TRUE_WORDS
from tiffin.services.compute.tables import Server, ServerTag
from tiffin.services.network import public as network

ALL_FILTERS = "os_compute_api:servers:allow_all_filters"

_COLUMNS: dict[str, Any] = {
    "user_id": Server.user_id,
    "project_id": Server.project_id,
    "tenant_id": Server.project_id,
    "launch_index": Server.launch_index,
    "image_ref": Server.image_id,
    "image": Server.image_id,
    "vm_state": Server.vm_state,
    "task_state": Server.task_state,
    "power_state": Server.power_state,
    "host": Server.host,
    "node": Server.node,
    "uuid": Server.id,
    "key_name": Server.key_name,
    "hostname": Server.hostname,
    "reservation_id": Server.reservation_id,
    "availability_zone": Server.availability_zone,
    "description": Server.description,
    "display_description": Server.description,
    "locked_by": Server.locked_by,
    "access_ip_v4": Server.access_ip_v4,
    "access_ip_v6": Server.access_ip_v6,
    "progress": Server.progress,
}
_PATTERNS = {"name": Server.name, "display_name": Server.name}
_EVERYBODY = frozenset(
    ("reservation_id", "name", "display_name", "status", "image", "flavor", "ip", "ip6", "changes-since", "changes-before",
     "all_tenants", "deleted", "tags", "tags-any", "not-tags", "not-tags-any", "locked", "metadata", "uuid",
     "key_name", "availability_zone", "description", "config_drive", "user_id", "vm_state", "task_state", "power_state",
     "hostname", "launch_index", "progress")
)  # fmt: skip
"""What needs no admin. Before 2.83 upstream let fewer through; it never answered wrongly for these."""
_OTHER = ("limit", "marker", "sort_key", "sort_dir", "soft_deleted", "terminated_at", "launched_at", "created_at",
          "kernel_id", "ramdisk_id", "root_device_name", "auto_disk_config", "block_device_mapping", "services",
          "system_metadata", "info_cache", "security_groups", "pci_devices")  # fmt: skip
_KNOWN = _EVERYBODY | _COLUMNS.keys() | set(_OTHER)

SORT_KEYS: dict[str, Any] = {
    **{k: v for k, v in _COLUMNS.items() if k not in ("tenant_id", "image", "description")},
    "created_at": Server.created_at,
    "updated_at": Server.updated_at,
    "launched_at": Server.launched_at,
    "terminated_at": Server.terminated_at,
    "display_name": Server.name,
    "instance_type_id": Server.memory_mb,
    "config_drive": Server.config_drive,
    "auto_disk_config": Server.disk_config,
    "memory_mb": Server.memory_mb,
    "vcpus": Server.vcpus,
    "root_gb": Server.root_gb,
    "ephemeral_gb": Server.ephemeral_gb,
    "id": Server.number,
    "locked": Server.locked_by,
}


def _truth(call: Call, name: str) -> bool:
    value = call.param(name)
    if value is None:
        return False
    if value.lower() not in ("true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n", ""):
        raise BadRequest(f"Invalid input for query parameters {name}: {value[:40]!r} is no boolean.")
    return value in TRUE_WORDS or value.lower() in ("t", "y", "")


def _pattern(column: Any, text: str) -> ColumnElement[bool]:
    if re.fullmatch(r"[\w \-@:/]*", text):
        return column.contains(text, autoescape=True)  # type: ignore[no-any-return]
    try:
        return column.regexp_match(rules.safe_pattern(text))  # type: ignore[no-any-return]
    except ValueError as bad:
        raise BadRequest(str(bad)) from None


def _status(call: Call) -> ColumnElement[bool]:
    """Any of the statuses asked for."""
    found: list[ColumnElement[bool]] = []
    for word in call.query["status"]:
        states = rules.states_of(word)
        if states is None:
            continue
        vm, tasks = states
        telling = Server.task_state.in_(rules.TELLING_TASKS)
        quiet = or_(Server.task_state.is_(None), not_(telling))
        found.append(and_(Server.vm_state.in_(vm), Server.task_state.in_(tasks) if tasks else quiet))
    return or_(*found) if found else false()


def _tags(call: Call, name: str) -> ColumnElement[bool]:
    wanted = [tag for value in call.query[name] for tag in value.split(",") if tag][:50]
    has = [exists().where(ServerTag.server_id == Server.id, ServerTag.tag == tag) for tag in wanted]
    together = or_(*has) if name.endswith("-any") else and_(*has)
    return not_(together) if name.startswith("not-") else together


def _literal(call: Call, name: str) -> str:
    """An address or a part of one; the signs of a regular expression around it are dropped."""
    return re.sub(r"[^0-9a-fA-F.:]", "", call.param(name) or "")


def _metadata(call: Call) -> ColumnElement[bool]:
    try:
        wanted = msgspec.json.decode((call.param("metadata") or "").replace("'", '"'), type=dict[str, str])
    except msgspec.DecodeError:
        raise BadRequest("Invalid input for query parameters metadata: it must be a JSON object of strings.") from None
    return and_(*(Server.meta[key].as_string() == value for key, value in list(wanted.items())[:16]))


def _special(call: Call) -> dict[str, Callable[[], ColumnElement[bool]]]:
    return {
        "status": lambda: _status(call),
        "flavor": lambda: Server.flavor["id"].as_string() == call.param("flavor"),
        "ip": lambda: network.has_address(Server.id, Server.project_id, _literal(call, "ip"), 4),
        "ip6": lambda: network.has_address(Server.id, Server.project_id, _literal(call, "ip6"), 6),
        "changes-since": lambda: Server.updated_at >= moment(call, "changes-since"),
        "changes-before": lambda: Server.updated_at <= moment(call, "changes-before"),
        "config_drive": lambda: Server.config_drive.is_(_truth(call, "config_drive")),
        "locked": lambda: Server.locked_by.is_not(None) if _truth(call, "locked") else Server.locked_by.is_(None),
        "metadata": lambda: _metadata(call),
        **{name: functools.partial(_tags, call, name) for name in ("tags", "tags-any", "not-tags", "not-tags-any")},
    }


_SINCE = {"tags": (2, 26), "tags-any": (2, 26), "not-tags": (2, 26), "not-tags-any": (2, 26),
          "changes-before": (2, 66), "locked": (2, 73)}  # fmt: skip


def narrow(call: Call, query: Select[Any], all_tenants_rule: str) -> Select[Any]:
    """The query with the filters of the query string on it. Raises `BadRequest` and `Forbidden`."""
    if call.version >= (2, 75) and (unknown := set(call.query) - _KNOWN):
        raise BadRequest(f"Additional query parameters are not allowed: {', '.join(sorted(unknown))[:200]}")
    query = _whose(call, query, all_tenants_rule)
    query = query.where(_dead_or_alive(call))
    special = _special(call)
    everything = call.allows(ALL_FILTERS)
    for name in call.query:
        if (name not in _EVERYBODY and not everything) or call.version < _SINCE.get(name, (2, 1)):
            continue
        if name in special:
            query = query.where(special[name]())
        elif name in _PATTERNS:
            query = query.where(_pattern(_PATTERNS[name], call.param(name) or ""))
        elif name in _COLUMNS and name not in ("project_id", "tenant_id"):
            query = query.where(_equal(name, call.query[name]))
    return query


def _equal(name: str, values: list[str]) -> ColumnElement[bool]:
    column = _COLUMNS[name]
    if column.type.python_type is int:
        numbers = [int(v) for v in values if re.fullmatch(r"[0-9]{1,18}", v)]
        return column.in_(numbers)  # type: ignore[no-any-return]
    return column.in_(values[:50])  # type: ignore[no-any-return]


def _whose(call: Call, query: Select[Any], all_tenants_rule: str) -> Select[Any]:
    if not _truth(call, "all_tenants"):
        return query.where(Server.project_id == call.actor.project_id)
    call.enforce(all_tenants_rule)
    wanted = call.param("project_id") or call.param("tenant_id")
    return query.where(Server.project_id == wanted) if wanted else query


def _dead_or_alive(call: Call) -> ColumnElement[bool]:
    alive = Server.deleted_at.is_(None)
    wants_deleted = _truth(call, "deleted") or "DELETED" in [s.upper() for s in call.query.get("status", [])]
    if wants_deleted:
        if not call.actor.is_admin:
            if _truth(call, "deleted"):
                return alive
            raise Forbidden("Only administrators may list deleted instances")
        return Server.deleted_at.is_not(None)
    if "changes-since" in call.query or ("changes-before" in call.query and call.version >= (2, 66)):
        return or_(alive, Server.deleted_at.is_not(None))
    return alive


def keys(call: Call) -> list[Key]:
    """The order of the list: newest first unless the query string says otherwise."""
    names = call.query.get("sort_key", [])[:10]
    directions = call.query.get("sort_dir", [])[:10]
    if not names:
        return [(Server.created_at, True), (Server.number, True)]
    found: list[Key] = []
    for n, name in enumerate(names):
        direction = directions[n] if n < len(directions) else (directions[-1] if directions else "desc")
        if name not in SORT_KEYS or direction not in ("asc", "desc"):
            raise BadRequest(f"Unable to sort by {name[:60]!r} in direction {direction[:20]!r}.")
        found.append((SORT_KEYS[name], direction == "desc"))
    return [*found, (Server.number, found[-1][1])]
