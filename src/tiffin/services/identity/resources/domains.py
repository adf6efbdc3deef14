"""Domains: the name spaces of users, groups and projects."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import or_, select, update

from tiffin.core.call import Call
from tiffin.core.changes import picture
from tiffin.core.errors import Conflict, Forbidden
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.bodies import given, refuse_nothing
from tiffin.services.identity.federation_tables import IdentityProvider
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.hierarchy import check_name
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import AnyText, Flag, Options, ShortName, truth
from tiffin.services.identity.tables import Group, Project, Role, User
from tiffin.services.identity.tags import Tags, set_tags, tags_column, tags_of

ADMIN = "rule:admin_required"
READ = "rule:admin_required or (role:reader and system_scope:all)"
ChosenId = Annotated[str, Meta(max_length=32, pattern="^[0-9a-f]{32}$")]
"""A UUID as identity writes them."""


class DomainIn(Keeping, kw_only=True):
    name: ShortName
    description: AnyText | UnsetType | None = UNSET
    enabled: Flag | UnsetType = UNSET
    options: Options = msgspec.field(default_factory=dict)
    tags: Tags = msgspec.field(default_factory=list)
    explicit_domain_id: ChosenId | UnsetType = UNSET


class DomainUpdate(Keeping):
    name: ShortName | UnsetType = UNSET
    description: AnyText | UnsetType | None = UNSET
    enabled: Flag | UnsetType = UNSET
    options: Options | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        **(row.extra or {}),
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "enabled": row.enabled,
        "tags": tags_of(call.db, row.id) if isinstance(row, Project) else sorted(tag["name"] for tag in row.tags),
        "options": row.options,
        "links": {"self": f"{call.base_url}/v3/domains/{row.id}"},
    }


domains = Resource("domain", "domains", "/v3/domains", view)


def columns() -> list[Any]:
    return [*Project.__table__.columns, tags_column]


def about(call: Call, id: str, **_: Any) -> Target:
    row = targets.find_domain(call.db, id)
    return Target(row, **targets.words("domain", row)) if row is not None else Target(None)


def refuse_twin(call: Call, name: str) -> None:
    """Raises `Conflict` when there is a domain of this name."""
    if call.db.scalar(select(Project.id).where(Project.is_domain, Project.name == name)):
        raise Conflict(
            f"Conflict occurred attempting to store domain - it is not permitted to have two domains named {name}."
        )


def new_domain(id: str, name: str, **more: Any) -> Project:
    """The row of a new domain."""
    columns = {"enabled": True, "description": "", "options": {}, "extra": {}} | more
    return Project(id=id, name=name, domain_id=None, parent_id=None, is_domain=True, generation=0, **columns)


@domains.operation("POST", policy=("identity:create_domain", ADMIN), body=DomainIn, event="create")
def create(call: Call, body: DomainIn) -> Project:
    name = body.name.strip()
    check_name("Domain", name, call.part(Identity).settings.hierarchy.domain_name_url_safe)
    refuse_twin(call, name)
    id = body.explicit_domain_id or new_id(call.cloud.world)
    if body.explicit_domain_id and call.db.get(Project, id) is not None:
        raise Conflict(f"There is a project or domain with the id {id} already.")
    row = new_domain(
        id, name, enabled=truth(body.enabled, True), description=body.description or "",
        options=targets.merge_options({}, body.options, targets.IMMUTABLE), extra=targets.clean(body.extra),
    )  # fmt: skip
    call.db.add(row)
    call.db.flush()
    set_tags(call.db, id, body.tags)
    return row


def _about_list(call: Call) -> dict[str, Any]:
    return {"target.domain.id": call.actor.domain_id} if call.actor.domain_id else {}


@domains.operation(
    "GET", about=_about_list,
    policy=("identity:list_domains", f"{READ} or (role:reader and domain_id:%(target.domain.id)s)"),
)  # fmt: skip
def index(call: Call) -> Page:
    statement = select(*columns()).where(Project.is_domain)
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
def change(call: Call, id: str, body: DomainUpdate) -> Project:
    refuse_nothing(body, "domain")
    row = targets.found(call, "domain", Project, id)
    targets.refuse_immutable(row, "domain", targets.only_options(body))
    name = row.name if body.name is UNSET else body.name.strip()
    if name != row.name:
        check_name("Domain", name, call.part(Identity).settings.hierarchy.domain_name_url_safe)
        refuse_twin(call, name)
        row.name = name
    if body.description is not UNSET:
        row.description = body.description or ""
    enable(row, truth(body.enabled, row.enabled))
    row.options = targets.merge_options(row.options, given(body.options) or {}, targets.IMMUTABLE)
    if body.tags is not UNSET:
        set_tags(call.db, id, body.tags)
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
    remove(call, targets.found(call, "domain", Project, id))


def remove(call: Call, row: Project) -> None:
    """Delete a domain with everything in it. Raises `Forbidden` while it is enabled, or something of it is immutable."""
    targets.refuse_immutable(row, "domain")
    if row.enabled:
        raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
    for kind, table in MAY_BE_IMMUTABLE:
        fixed = table.options["immutable"].as_boolean()
        inside = call.db.scalar(select(table).where(table.domain_id == row.id, fixed).limit(1))
        if inside is not None:
            targets.refuse_immutable(inside, kind)
    _record_contents(call, row.id)
    inside_or_itself = select(Project.id).where(or_(Project.domain_id == row.id, Project.id == row.id))
    homeless = update(User).where(User.default_project_id.in_(inside_or_itself)).values(default_project_id=None)
    call.db.execute(homeless, execution_options={"synchronize_session": False})
    call.db.delete(row)
    touch(call.db)


CONTENTS: tuple[tuple[str, Any], ...] = (
    ("user", User), ("group", Group), ("project", Project), ("role", Role), ("identity_provider", IdentityProvider),
)  # fmt: skip
"""What goes with its domain."""
MAY_BE_IMMUTABLE: tuple[tuple[str, Any], ...] = (("project", Project), ("role", Role))


def _record_contents(call: Call, domain_id: str) -> None:
    """Whoever follows one of these things hears that it is gone."""
    for kind, table in CONTENTS:
        for row in call.db.scalars(select(table).where(table.domain_id == domain_id)):
            call.record("delete", (f"identity.{kind}", row.id), before=picture(row))
