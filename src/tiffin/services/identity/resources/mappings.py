"""Mappings: what the words of an identity provider mean here. They are checked now, and used when somebody logs in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import targets
from tiffin.services.identity.bodies import check_chosen_id, in_url
from tiffin.services.identity.federation_tables import Mapping
from tiffin.services.identity.filters import listing
from tiffin.services.identity.resources.identity_providers import ADMIN, READ
from tiffin.services.identity.schemas import Loose

OLDEST = "1.0"
MOST = 65_535
"""Bytes of the rules of one mapping, encoded: what upstream's column holds."""
Text = Annotated[str, Meta(max_length=1024)]
"""A word, or a pattern such as {0} that stands for what the first remote rule has matched."""
Values = Annotated[list[Any], Meta(max_length=1024)]


class MappedDomain(Schema):
    id: Text | UnsetType = UNSET
    name: Text | UnsetType = UNSET


class MappedUser(Schema):
    id: Text | UnsetType = UNSET
    name: Text | UnsetType = UNSET
    email: Text | UnsetType = UNSET
    domain: MappedDomain | UnsetType = UNSET
    type: Literal["ephemeral", "local"] | UnsetType = UNSET


class MappedGroup(Schema):
    """By its id, or by its name and domain."""

    id: Text | UnsetType = UNSET
    name: Text | UnsetType = UNSET
    domain: MappedDomain | UnsetType = UNSET


class MappedRole(Schema, kw_only=True):
    name: Text


class MappedProject(Schema, kw_only=True):
    name: Text
    roles: Annotated[list[MappedRole], Meta(max_length=256)]
    domain: MappedDomain | UnsetType = UNSET  # since 2.0


class Local(Schema):
    """Who somebody is here. `projects` as text, since 3.0, is a pattern that becomes a list of them in JSON."""

    user: MappedUser | UnsetType = UNSET
    group: MappedGroup | UnsetType = UNSET
    groups: Text | UnsetType = UNSET
    group_ids: Text | UnsetType = UNSET
    projects: Annotated[list[MappedProject], Meta(max_length=256)] | Text | UnsetType = UNSET
    domain: MappedDomain | UnsetType = UNSET


class Remote(Schema, kw_only=True):
    """An attribute that must be there, and what its values must be, or which of them count."""

    type: Text
    any_one_of: Values | UnsetType = UNSET
    not_any_of: Values | UnsetType = UNSET
    blacklist: Values | UnsetType = UNSET
    whitelist: Values | UnsetType = UNSET
    regex: bool | UnsetType = UNSET


class Rule(Schema, kw_only=True):
    local: Annotated[list[Local], Meta(max_length=256)]
    remote: Annotated[list[Remote], Meta(min_length=1, max_length=256)]


class MappingIn(Loose, kw_only=True):
    rules: Annotated[list[Rule], Meta(min_length=1, max_length=1024)]
    schema_version: Annotated[str, Meta(max_length=8)] | None = None


def check(body: MappingIn) -> tuple[list[Any], str]:
    """The rules as they came and their version. Raises `BadRequest` that names what breaks them."""
    version = body.schema_version or OLDEST
    if version not in ("1.0", "2.0", "3.0"):
        raise BadRequest(f"Invalid input for field/attribute schema_version: {version!r} is none of 1.0, 2.0, 3.0.")
    for n, rule in enumerate(body.rules):
        for m, remote in enumerate(rule.remote):
            _check_remote(remote, f"rules[{n}].remote[{m}]")
        for m, local in enumerate(rule.local):
            _check_local(local, version, f"rules[{n}].local[{m}]")
    rules: list[Any] = msgspec.to_builtins(body.rules)
    if len(msgspec.json.encode(rules)) > MOST:
        raise BadRequest(f"Invalid input for field/attribute rules: they have more than {MOST} bytes.")
    return rules, version


def _check_remote(remote: Remote, where: str) -> None:
    conditions = (remote.any_one_of, remote.not_any_of, remote.blacklist, remote.whitelist)
    there = sum(condition is not UNSET for condition in conditions)
    if there > 1:
        raise BadRequest(
            f"Invalid input for field/attribute {where}: it may have one of any_one_of, not_any_of, blacklist, whitelist."
        )
    if remote.regex is not UNSET and not there:
        raise BadRequest(f"Invalid input for field/attribute {where}: regex needs values to compare with.")


def _check_local(local: Local, version: str, where: str) -> None:
    group = local.group
    if group is not UNSET:
        by_id = group.id is not UNSET and group.name is UNSET and group.domain is UNSET
        by_name = group.id is UNSET and group.name is not UNSET and group.domain is not UNSET
        if not by_id and not by_name:
            raise BadRequest(
                f"Invalid input for field/attribute {where}.group: it needs an id, or a name and a domain."
            )
    if isinstance(local.projects, str):
        if version < "3.0":
            raise BadRequest(f"Invalid input for field/attribute {where}.projects: text needs schema_version 3.0.")
    elif local.projects is not UNSET and version < "2.0" and any(p.domain is not UNSET for p in local.projects):
        raise BadRequest(f"Invalid input for field/attribute {where}.projects: a domain needs schema_version 2.0.")


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "rules": row.rules,
        "schema_version": row.schema_version,
        "links": {"self": f"{call.base_url}/v3/OS-FEDERATION/mappings/{in_url(row.id)}"},
    }


mappings = Resource("mapping", "mappings", "/v3/OS-FEDERATION/mappings", view)
about = targets.about("mapping", Mapping)


@mappings.operation("PUT", "/{id}", policy=("identity:create_mapping", ADMIN), body=MappingIn, event="create", ok=201)
def create(call: Call, id: str, body: MappingIn) -> Mapping:
    check_chosen_id(id, "mapping")
    rules, version = check(body)
    if call.db.get(Mapping, id) is not None:
        raise Conflict(f"Conflict occurred attempting to store mapping - Duplicate entry: {id}.")
    row = Mapping(id=id, rules=rules, schema_version=version)
    call.db.add(row)
    return row


@mappings.operation("GET", policy=("identity:list_mappings", READ))
def index(call: Call) -> Page:
    return listing(call, select(*Mapping.__table__.columns), Mapping.id)


@mappings.operation("GET", "/{id}", policy=("identity:get_mapping", READ), about=about)
def show(call: Call, id: str) -> Mapping:
    return targets.found(call, "mapping", Mapping, id)


@mappings.operation(
    "PATCH", "/{id}", policy=("identity:update_mapping", ADMIN), body=MappingIn, about=about, event="update"
)
def update(call: Call, id: str, body: MappingIn) -> Mapping:
    """New rules; of the oldest version when the body says none, as upstream."""
    rules, version = check(body)
    row = targets.found(call, "mapping", Mapping, id)
    row.rules, row.schema_version = rules, version
    return row


@mappings.operation("DELETE", "/{id}", policy=("identity:delete_mapping", ADMIN), about=about, event="delete")
def delete(call: Call, id: str) -> None:
    """Protocols may still name it, as upstream: nobody can log in by them any more."""
    call.db.delete(targets.found(call, "mapping", Mapping, id))
