"""Quotas of compute: limits and defaults by project, and what is used."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.quota import Quota, Used
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema, Version, until
from tiffin.core.sql import total
from tiffin.core.tables import QuotaLimit
from tiffin.services.compute.resources import keypairs, server_groups
from tiffin.services.compute.resources.flavors import ADMIN, READER
from tiffin.services.compute.resources.words import Boolean, boolean
from tiffin.services.compute.tables import Server


def _used(amount: Any) -> Used:
    def query(owners: Any) -> Select[Any]:
        return select(amount).where(Server.project_id.in_(owners), Server.deleted_at.is_(None))

    return Used(query)


def _nothing(session: Session, owner: str) -> int:
    """What is counted by the request that asks for it, not by the project."""
    return 0


def _registered(name: str, default: int, unified: str) -> Quota:
    """What bounds one request. Unified limits are registered for it, and no project has its own, as upstream."""
    return Quota(name, default, _nothing, unified, by_project=False, required=False)


_ALL = (
    Quota("instances", 10, _used(func.count()), "servers"),  # all that upstream requires to be registered
    Quota("cores", 20, _used(total(Server.vcpus)), "class:VCPU", required=False),
    Quota("ram", 51200, _used(total(Server.memory_mb)), "class:MEMORY_MB", required=False),
    _registered("metadata_items", 128, "server_metadata_items"),
    _registered("injected_files", 5, "server_injected_files"),
    _registered("injected_file_content_bytes", 10240, "server_injected_file_content_bytes"),
    _registered("injected_file_path_bytes", 255, "server_injected_file_path_bytes"),
    keypairs.QUOTA,
    server_groups.QUOTA,
    _registered("server_group_members", 10, "server_group_members"),
    _registered("fixed_ips", -1, "fixed_ips"),
    _registered("floating_ips", -1, "floating_ips"),
    _registered("security_groups", -1, "security_groups"),
    _registered("security_group_rules", -1, "security_group_rules"),
)
QUOTAS = {quota.name: quota for quota in _ALL}

_DISK_GB = total(Server.root_gb + Server.ephemeral_gb + (Server.swap_mb + 1023) // 1024)
DISK = Quota("disk", -1, _used(_DISK_GB), "class:DISK_GB", required=False)
"""Among unified limits only: compute's own quota API has no word for it."""

NETWORK = frozenset({"fixed_ips", "floating_ips", "security_groups", "security_group_rules"})
"""Gone from 2.36 on (2.50 from classes): the network service has its own."""
FILES = frozenset({"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"})
"""Gone from 2.57 on."""
_GROUPS = frozenset({"server_groups", "server_group_members"})


def shown(version: Version, *, classes: bool = False) -> list[str]:
    """The names that a version shows."""
    gone = set(NETWORK) if version >= ((2, 50) if classes else (2, 36)) else set()
    if version >= (2, 57):
        gone |= FILES
    if classes and version < (2, 50):
        gone |= _GROUPS
    return [name for name in QUOTAS if name not in gone]


Limit = (
    Annotated[int, Meta(ge=-1, le=2**31 - 1)]
    | Annotated[str, Meta(max_length=11, pattern=r"^-?[0-9]{1,10}\Z")]
    | UnsetType
)
_Old = Annotated[Limit, until(2, 36)]
_File = Annotated[Limit, until(2, 57)]


class Limits(Schema):
    instances: Limit = UNSET
    cores: Limit = UNSET
    ram: Limit = UNSET
    metadata_items: Limit = UNSET
    key_pairs: Limit = UNSET
    server_groups: Limit = UNSET
    server_group_members: Limit = UNSET
    injected_files: _File = UNSET
    injected_file_content_bytes: _File = UNSET
    injected_file_path_bytes: _File = UNSET
    fixed_ips: _Old = UNSET
    floating_ips: _Old = UNSET
    security_groups: _Old = UNSET
    security_group_rules: _Old = UNSET


class Change(Limits):
    force: Boolean | UnsetType = UNSET


sets = Resource("quota_set", "quota_sets", "/v2.1/os-quota-sets")
classes = Resource("quota_class_set", "quota_class_sets", "/v2.1/os-quota-class-sets")


def whose(call: Call, id: str, **_: Any) -> dict[str, Any]:
    if len(id) > 64:
        raise BadRequest("A project id has at most 64 characters.")
    return {"project_id": id}


def _limits(call: Call, id: str) -> dict[str, int]:
    found = call.quotas.limits(call.db, id)
    return {name: found[name] for name in shown(call.version)}


@sets.operation("GET", "/{id}", policy=("os_compute_api:os-quota-sets:show", READER), about=whose)
def show(call: Call, id: str) -> dict[str, Any]:
    return {"quota_set": {"id": id, **_limits(call, id)}}


@sets.operation("GET", "/{id}/detail", policy=("os_compute_api:os-quota-sets:detail", READER), about=whose)
def detail(call: Call, id: str) -> dict[str, Any]:
    found: dict[str, Any] = {"id": id}
    for name, limit in _limits(call, id).items():
        used = 0 if name == "key_pairs" else QUOTAS[name].used(call.db, id)
        found[name] = {"in_use": used, "limit": limit, "reserved": 0}
    return {"quota_set": found}


@sets.operation("GET", "/{id}/defaults", policy=("os_compute_api:os-quota-sets:defaults", "@"), about=whose)
def defaults(call: Call, id: str) -> dict[str, Any]:
    found = call.quotas.defaults(call.db)
    return {"quota_set": {"id": id, **{name: found[name] for name in shown(call.version)}}}


@sets.operation("PUT", "/{id}", policy=("os_compute_api:os-quota-sets:update", ADMIN), body=Change, about=whose)
def update(call: Call, id: str, body: Change) -> dict[str, Any]:
    before = _limits(call, id)
    if call.quotas.unified is not None:  # those are set in the identity service only; upstream answers so
        return {"quota_set": before}
    force = body.force is not UNSET and boolean(body.force)
    for name in shown(call.version):
        asked = getattr(body, name)
        if asked is not UNSET:
            _set(call, id, (name, int(asked)), force=force)
    call.db.flush()
    after = _limits(call, id)
    call.record("update", ("compute.quota_set", id), before=before, after=after)
    return {"quota_set": after}


def _set(call: Call, project_id: str, wanted: tuple[str, int], *, force: bool) -> None:
    name, limit = wanted
    if not -1 <= limit <= 2**31 - 1:
        raise BadRequest(f"Invalid input for field/attribute {name}: {limit} is out of range.")
    used = QUOTAS[name].used(call.db, project_id) if name != "key_pairs" else 0
    if not force and 0 <= limit < used:
        raise BadRequest(
            f"Quota value {limit} for {name} must be greater than or equal to already used and reserved {used}."
        )
    call.db.merge(QuotaLimit(project_id=project_id, service="compute", resource=name, hard_limit=limit))


@sets.operation("DELETE", "/{id}", policy=("os_compute_api:os-quota-sets:delete", ADMIN), about=whose, ok=202)
def revert(call: Call, id: str) -> None:
    call.db.execute(delete(QuotaLimit).where(QuotaLimit.project_id == id, QuotaLimit.service == "compute"))
    call.record("delete", ("compute.quota_set", id))


@classes.operation("GET", "/{id}", policy=("os_compute_api:os-quota-class-sets:show", ADMIN))
def show_class(call: Call, id: str) -> dict[str, Any]:
    found = call.quotas.defaults(call.db)
    return {"quota_class_set": {"id": id, **{name: found[name] for name in shown(call.version, classes=True)}}}
