"""Domains: the name spaces of users, groups and projects."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import Conflict, Forbidden
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import Flag, IdText, LongString, Options, ShortName, truth
from tiffin.services.identity.tables import Project

ADMIN = "rule:admin_required"
READ = "rule:admin_required or (role:reader and system_scope:all)"


class DomainIn(Keeping, kw_only=True):
    name: ShortName
    description: LongString | UnsetType | None = UNSET
    enabled: Flag | UnsetType = UNSET
    options: Options = msgspec.field(default_factory=dict)
    explicit_domain_id: IdText | UnsetType = UNSET


class DomainUpdate(Keeping):
    name: ShortName | UnsetType = UNSET
    description: LongString | UnsetType | None = UNSET
    enabled: Flag | UnsetType = UNSET
    options: Options = msgspec.field(default_factory=dict)


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        **(row.extra or {}),
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "enabled": row.enabled,
        "tags": [],
        "options": row.options,
        "links": {"self": f"{call.base_url}/v3/domains/{row.id}"},
    }


domains = Resource("domain", "domains", "/v3/domains", view)


def about(call: Call, id: str, **_: Any) -> Target:
    row = targets.find_domain(call.db, id)
    return Target(row, **targets.words("domain", row)) if row is not None else Target(None)


def refuse_twin(call: Call, name: str) -> None:
    """Raises `Conflict` when there is a domain of this name."""
    if call.db.scalar(select(Project.id).where(Project.is_domain, Project.name == name)):
        raise Conflict(
            f"Conflict occurred attempting to store domain - it is not permitted to have two domains named {name}."
        )


@domains.operation("POST", policy=("identity:create_domain", ADMIN), body=DomainIn, event="create")
def create(call: Call, body: DomainIn) -> Project:
    refuse_twin(call, body.name)
    id = body.explicit_domain_id or new_id(call.cloud.world)
    if body.explicit_domain_id and call.db.get(Project, id) is not None:
        raise Conflict(f"There is a project or domain with the id {id} already.")
    row = Project(
        id=id, name=body.name, domain_id=None, parent_id=None, is_domain=True, enabled=truth(body.enabled, True),
        description=body.description or "", extra=targets.clean(body.extra),
        options=targets.merge_options({}, body.options, targets.IMMUTABLE), generation=0,
    )  # fmt: skip
    call.db.add(row)
    return row


def _about_list(call: Call) -> dict[str, Any]:
    return {"target.domain.id": call.actor.domain_id} if call.actor.domain_id else {}


@domains.operation(
    "GET", about=_about_list,
    policy=("identity:list_domains", f"{READ} or (role:reader and domain_id:%(target.domain.id)s)"),
)  # fmt: skip
def index(call: Call) -> Page:
    statement = select(*Project.__table__.columns).where(Project.is_domain)
    if call.actor.domain_id:
        statement = statement.where(Project.id == call.actor.domain_id)
    return listing(call, narrow(call, statement, {"name": Project.name, "enabled": Project.enabled}), Project.id,
                   sort=Project.name)  # fmt: skip


@domains.operation(
    "GET", "/{id}", about=about,
    policy=("identity:get_domain",
            f"{READ} or token.domain.id:%(target.domain.id)s or token.project.domain.id:%(target.domain.id)s"),
)  # fmt: skip
def show(call: Call, id: str) -> Project:
    return targets.found(call, "domain", Project, id)


@domains.operation(
    "PATCH", "/{id}", policy=("identity:update_domain", ADMIN), body=DomainUpdate, about=about, event="update"
)
def update(call: Call, id: str, body: DomainUpdate) -> Project:
    row = targets.found(call, "domain", Project, id)
    targets.refuse_immutable(row, "domain", body.options)
    if body.name is not UNSET and body.name != row.name:
        refuse_twin(call, body.name)
        row.name = body.name
    if body.description is not UNSET:
        row.description = body.description or ""
    enable(row, truth(body.enabled, row.enabled))
    row.options = targets.merge_options(row.options, body.options, targets.IMMUTABLE)
    targets.keep_extra(row, body.extra, "domain")
    touch(call.db)
    return row


def enable(row: Project, enabled: bool) -> None:
    """Enable or disable. What is disabled loses its tokens for good."""
    if row.enabled and not enabled:
        row.generation += 1
    row.enabled = enabled


@domains.operation("DELETE", "/{id}", policy=("identity:delete_domain", ADMIN), about=about, event="delete")
def delete(call: Call, id: str) -> None:
    row = targets.found(call, "domain", Project, id)
    targets.refuse_immutable(row, "domain")
    if row.enabled:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
    call.db.delete(row)
    touch(call.db)
