"""Resource providers: what has inventory. They form trees."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session, aliased

from tiffin.core.call import Call
from tiffin.core.changes import picture
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema, Version, since
from tiffin.services.placement import names, query
from tiffin.services.placement.dialect import fresh, located
from tiffin.services.placement.providers import ANY, Uuid, find
from tiffin.services.placement.public import forget_provider
from tiffin.services.placement.rules import candidates_query, is_member
from tiffin.services.placement.tables import ResourceProvider

DUPLICATE = "placement.duplicate_name"
KIND = "placement.resource_provider"

LINKS: tuple[tuple[str, Version], ...] = (
    ("", (1, 0)),
    ("inventories", (1, 0)),
    ("usages", (1, 0)),
    ("aggregates", (1, 1)),
    ("traits", (1, 6)),
    ("allocations", (1, 11)),
)
PARAMETERS: dict[str, Version] = {
    "name": (1, 0),
    "uuid": (1, 0),
    "member_of": (1, 3),
    "resources": (1, 4),
    "in_tree": (1, 14),
    "required": (1, 18),
}
REPEATED: dict[str, Version] = {
    "member_of": query.REPEATED_MEMBER_OF_SINCE,
    "required": query.ANY_TRAITS_SINCE,
}


class ProviderUpdate(Schema):
    name: Annotated[str, Meta(max_length=200)]
    parent_provider_uuid: Annotated[Uuid | UnsetType | None, since(1, 14)] = UNSET


class ProviderCreate(ProviderUpdate, kw_only=True):
    uuid: Uuid | UnsetType = UNSET


class ProviderOut(Schema):
    uuid: str
    name: str
    generation: int
    links: list[dict[str, str]]
    parent_provider_uuid: Annotated[str | UnsetType | None, since(1, 14)] = UNSET
    root_provider_uuid: Annotated[str | UnsetType, since(1, 14)] = UNSET


def view(call: Call, row: Any) -> ProviderOut:
    here = f"{call.service.prefix}/resource_providers/{row.id}"
    return ProviderOut(
        uuid=row.id,
        name=row.name,
        generation=row.generation,
        links=[
            {"rel": what or "self", "href": f"{here}/{what}".rstrip("/")}
            for what, first in LINKS
            if call.version >= first
        ],
        parent_provider_uuid=row.parent_id,
        root_provider_uuid=row.root_id,
    )


resource_providers = Resource("resource_provider", "resource_providers", "/resource_providers", view)


@resource_providers.operation("GET", policy=("placement:resource_providers:list", ANY))
def index(call: Call) -> Page:
    query.check_keys(call, PARAMETERS, REPEATED)
    rows = call.db.execute(filtered(call)).all()
    fresh(call, max((row.updated_at for row in rows), default=None))
    return Page(list(rows))


def filtered(call: Call) -> Select[*tuple[Any, ...]]:
    """The providers that the query string asks for, in one statement."""
    asked = call.query
    wanted = query.resources("resources", asked["resources"][-1]) if "resources" in asked else {}
    names.check(call.db, "resource_class", wanted)
    traits = query.traits("required", asked.get("required", ()), call.version)
    names.check(call.db, "trait", traits.names)
    statement = candidates_query(wanted, traits.required, traits.forbidden).with_only_columns(
        *ResourceProvider.__table__.columns
    )
    if name := call.param("name"):
        statement = statement.where(ResourceProvider.name == name)
    if (uuid := call.param("uuid")) is not None:
        statement = statement.where(ResourceProvider.id == query.uuid("uuid", uuid))
    if (tree := call.param("in_tree")) is not None:
        member = aliased(ResourceProvider)
        root = select(member.root_id).where(member.id == query.uuid("in_tree", tree)).scalar_subquery()
        statement = statement.where(ResourceProvider.root_id == root)
    aggregates = query.member_of("member_of", asked.get("member_of", ()), call.version)
    for one in aggregates.member_of:
        statement = statement.where(is_member(one))
    return statement.where(~is_member(aggregates.forbidden)) if aggregates.forbidden else statement


@resource_providers.operation("GET", "/{uuid}", policy=("placement:resource_providers:show", ANY))
def show(call: Call, uuid: str) -> ResourceProvider:
    row = find(call.db, uuid)
    fresh(call, row.updated_at)
    return row


CREATE = ("placement:resource_providers:create", ANY)


@resource_providers.operation("POST", policy=CREATE, body=ProviderCreate, root="", until=(1, 20), ok=201)
def create_silently(call: Call, body: ProviderCreate) -> None:
    _create(call, body)


@resource_providers.operation("POST", policy=CREATE, body=ProviderCreate, root="", since=(1, 20), ok=200)
def create(call: Call, body: ProviderCreate) -> ResourceProvider:
    return _create(call, body)


def _create(call: Call, body: ProviderCreate) -> ResourceProvider:
    id = body.uuid or call.new_id()
    _must_be_free(call.db, body.name, id)
    parent = _parent(call.db, body.parent_provider_uuid or None)
    row = ResourceProvider(
        id=id,
        name=body.name,
        generation=0,
        parent_id=parent.id if parent else None,
        root_id=parent.root_id if parent else id,
        created_at=call.now,
        updated_at=call.now,
    )
    call.db.add(row)
    call.db.flush()
    call.record("create", (KIND, id), after=picture(row))
    located(call, f"/resource_providers/{id}")
    fresh(call, row.updated_at)
    return row


def _must_be_free(session: Session, name: str, id: str) -> None:
    taken = session.execute(
        select(ResourceProvider.name, ResourceProvider.id).where(
            or_(ResourceProvider.name == name, ResourceProvider.id == id)
        )
    ).first()
    if taken is not None:
        what = f"name: {name}" if taken.name == name else f"uuid: {id}"
        raise Conflict(f"There is a resource provider with this {what} already.", code=DUPLICATE)


def _parent(session: Session, uuid: str | UnsetType | None) -> ResourceProvider | None:
    if not uuid:
        return None
    row = session.get(ResourceProvider, uuid)
    if row is None:
        raise BadRequest(f"The parent resource provider {uuid} does not exist.")
    return row


UPDATE = ("placement:resource_providers:update", ANY)


@resource_providers.operation("PUT", "/{uuid}", policy=UPDATE, body=ProviderUpdate, root="", until=(1, 37))
def rename(call: Call, uuid: str, body: ProviderUpdate) -> ResourceProvider:
    """A root may get a parent; what has one keeps it."""
    row = find(call.db, uuid)
    if row.parent_id is not None and body.parent_provider_uuid not in (UNSET, row.parent_id):
        raise BadRequest(f"Resource provider {uuid} has a parent; from version 1.37 on it may be changed.")
    return _change(call, row, body)


@resource_providers.operation("PUT", "/{uuid}", policy=UPDATE, body=ProviderUpdate, root="", since=(1, 37))
def change(call: Call, uuid: str, body: ProviderUpdate) -> ResourceProvider:
    return _change(call, find(call.db, uuid), body)


def _change(call: Call, row: ResourceProvider, body: ProviderUpdate) -> ResourceProvider:
    before = picture(row)
    if body.name != row.name:
        _must_be_free(call.db, body.name, "")
        row.name = body.name
    if body.parent_provider_uuid not in (UNSET, row.parent_id):
        _move(call.db, row, _parent(call.db, body.parent_provider_uuid))
    row.updated_at = call.now
    call.db.flush()
    call.record("update", (KIND, row.id), before=before, after=picture(row))
    fresh(call, row.updated_at)
    return row


def _move(session: Session, row: ResourceProvider, parent: ResourceProvider | None) -> None:
    """Hang the provider, with all below it, under another parent. Raises `BadRequest` when that would be a loop."""
    below = _subtree(session, row)
    if parent is not None and parent.id in below:
        raise BadRequest(f"Resource provider {parent.id} is below {row.id} and cannot become its parent.")
    row.parent_id = parent.id if parent else None
    root = parent.root_id if parent else row.id
    session.flush()
    session.execute(
        update(ResourceProvider).where(ResourceProvider.id.in_(below)).values(root_id=root),
        execution_options={"synchronize_session": "fetch"},
    )


def _subtree(session: Session, row: ResourceProvider) -> list[str]:
    """The ids of the provider and all below it."""
    below = select(ResourceProvider.id).where(ResourceProvider.id == row.id).cte(recursive=True)
    below = below.union_all(select(ResourceProvider.id).join(below, ResourceProvider.parent_id == below.c.id))
    return list(session.scalars(select(below.c.id)))


@resource_providers.operation("DELETE", "/{uuid}", policy=("placement:resource_providers:delete", ANY))
def delete(call: Call, uuid: str) -> None:
    before = picture(find(call.db, uuid))
    forget_provider(call.db, uuid)
    call.record("delete", (KIND, uuid), before=before)
