"""Flavors: how large a server may be."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import JSON, Text, exists, func, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, NotFound
from tiffin.core.listing import limit_of, page
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema, since, until
from tiffin.core.tables import Id, Table, Time
from tiffin.services.compute.resources.words import Boolean, Link, Name, Natural, Positive, boolean, links, whole

ADMIN = "rule:context_is_admin"
READER = "rule:project_reader_or_admin"
MAX_PAGE = 1000


class Flavor(Table):
    __tablename__ = "flavor"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    ram: Mapped[int]  # MiB
    vcpus: Mapped[int]
    disk: Mapped[int]  # GiB
    ephemeral: Mapped[int]  # GiB
    swap: Mapped[int]  # MiB
    rxtx_factor: Mapped[float]
    is_public: Mapped[bool]
    description: Mapped[str | None] = mapped_column(Text)
    extra_specs: Mapped[dict[str, str]] = mapped_column(JSON)
    created_at: Mapped[Time]


class FlavorAccess(Table):
    """A project that may use a flavor which is not public."""

    __tablename__ = "flavor_access"
    flavor_id: Mapped[str] = mapped_column(primary_key=True)
    project_id: Mapped[Id] = mapped_column(primary_key=True)


class FlavorIn(Schema, kw_only=True):
    name: Name
    ram: Positive
    vcpus: Positive
    disk: Natural
    id: (
        Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^(?! )[a-zA-Z0-9. _-]+(?<! )\Z")]
        | Annotated[int, Meta(ge=0, le=2**63 - 1)]
        | UnsetType
        | None
    ) = UNSET
    ephemeral: Natural | UnsetType = msgspec.field(default=UNSET, name="OS-FLV-EXT-DATA:ephemeral")
    swap: Natural | UnsetType = UNSET
    rxtx_factor: Annotated[
        Annotated[float, Meta(gt=0, le=3.40282e38)]
        | Annotated[str, Meta(max_length=40, pattern=r"^[0-9]+(\.[0-9]+)?\Z")]
        | UnsetType,
        until(2, 102),
    ] = UNSET
    is_public: Boolean | UnsetType = msgspec.field(default=UNSET, name="os-flavor-access:is_public")
    description: Annotated[Annotated[str, Meta(max_length=65535)] | UnsetType | None, since(2, 55)] = UNSET


class FlavorChange(Schema):
    description: Annotated[str, Meta(max_length=65535)] | None


class FlavorBrief(Schema):
    id: str
    name: str
    links: list[Link]
    description: Annotated[str | UnsetType | None, since(2, 55)] = UNSET


class FlavorOut(FlavorBrief, kw_only=True):
    ram: int
    disk: int
    vcpus: int
    swap: int | str
    ephemeral: int = msgspec.field(name="OS-FLV-EXT-DATA:ephemeral")
    is_public: bool = msgspec.field(name="os-flavor-access:is_public")
    disabled: Annotated[bool | UnsetType, until(2, 102)] = msgspec.field(default=False, name="OS-FLV-DISABLED:disabled")
    rxtx_factor: Annotated[float | UnsetType, until(2, 102)] = UNSET
    extra_specs: Annotated[dict[str, str] | UnsetType, since(2, 61)] = UNSET


def brief(call: Call, row: Any) -> FlavorBrief:
    return FlavorBrief(
        id=row.id, name=row.name, links=links(call.base_url, "flavors", row.id), description=row.description
    )


def view(call: Call, row: Any) -> FlavorOut:
    return FlavorOut(
        id=row.id,
        name=row.name,
        links=links(call.base_url, "flavors", row.id),
        description=row.description,
        ram=row.ram,
        disk=row.disk,
        vcpus=row.vcpus,
        swap=row.swap if row.swap or call.version >= (2, 75) else "",
        ephemeral=row.ephemeral,
        is_public=row.is_public,
        rxtx_factor=row.rxtx_factor,
        extra_specs=row.extra_specs if call.allows("os_compute_api:os-flavor-extra-specs:index") else UNSET,
    )


flavors = Resource(
    "flavor",
    "flavors",
    "/v2.1/flavors",
    view,
    rules=[("os_compute_api:os-flavor-extra-specs:index", READER)],
)
flavor_briefs = Resource("flavor", "flavors", "/v2.1/flavors", brief)


def usable(session: Session, flavor_id: str, project_id: str | None, *, admin: bool) -> Flavor | None:
    """The flavor, when it is public, the project's, or an admin asks."""
    row = session.get(Flavor, flavor_id)
    if row is None or row.is_public or admin or session.get(FlavorAccess, (flavor_id, project_id or "")) is not None:
        return row
    return None


def find(call: Call, id: str, **_: Any) -> Flavor:
    row = usable(call.db, id, call.actor.project_id, admin=call.actor.is_admin)
    if row is None:
        raise NotFound(f"Flavor {id[:255]} could not be found.")
    return row


_KEYS = {
    "flavorid": Flavor.id,
    "id": Flavor.id,
    "name": Flavor.name,
    "memory_mb": Flavor.ram,
    "vcpus": Flavor.vcpus,
    "root_gb": Flavor.disk,
    "ephemeral_gb": Flavor.ephemeral,
    "swap": Flavor.swap,
    "rxtx_factor": Flavor.rxtx_factor,
    "is_public": Flavor.is_public,
    "created_at": Flavor.created_at,
    "description": Flavor.description,
}


def _at_least(call: Call, name: str) -> int:
    value = call.param(name, "0") or "0"
    if not value.isdecimal() or len(value) > 10:
        raise BadRequest(f"Invalid {name} filter [{value[:40]}]")
    return int(value)


def _list(call: Call) -> Page:
    query = select(*Flavor.__table__.columns).where(
        Flavor.ram >= _at_least(call, "minRam"), Flavor.disk >= _at_least(call, "minDisk")
    )
    asked = (call.param("is_public") or "").lower()
    if not call.actor.is_admin:
        mine = exists().where(FlavorAccess.flavor_id == Flavor.id, FlavorAccess.project_id == call.actor.project_id)
        query = query.where(or_(Flavor.is_public, mine))
    elif asked in ("false", "0", "f", "no", "off", "n"):
        query = query.where(Flavor.is_public.is_(False))
    elif asked not in ("none",):
        query = query.where(Flavor.is_public.is_(True))
    key = call.param("sort_key", "flavorid") or "flavorid"
    direction = call.param("sort_dir", "asc")
    if key not in _KEYS or direction not in ("asc", "desc"):
        raise BadRequest(f"Unable to sort by {key[:60]!r} in direction {str(direction)[:20]!r}.")
    limit = limit_of(call.param("limit"), MAX_PAGE)
    return page(
        call.db, query, [(_KEYS[key], direction == "desc")], Flavor.id, limit=limit, marker=call.param("marker")
    )


@flavor_briefs.operation("GET", policy=None)
def index(call: Call) -> Page:
    return _list(call)


@flavors.operation("GET", "/detail", policy=None)
def detail(call: Call) -> Page:
    return _list(call)


@flavors.operation("GET", "/{id}", policy=None, about=find)
def show(call: Call, id: str) -> Any:
    return call.subject


@flavors.operation(
    "POST", policy=("os_compute_api:os-flavor-manage:create", ADMIN), body=FlavorIn, event="create", ok=200
)
def create(call: Call, body: FlavorIn) -> Flavor:
    id = call.new_id() if body.id in (UNSET, None, "auto") else str(body.id)
    name = body.name
    if call.db.get(Flavor, id) is not None:
        raise Conflict(f"Flavor with ID {id} already exists.")
    if call.db.scalar(select(func.count()).where(Flavor.name == name)):
        raise Conflict(f"Flavor with name {name} already exists.")
    factor = 1.0 if body.rxtx_factor is UNSET else float(body.rxtx_factor)
    if not 0 < factor <= 3.40282e38:
        raise BadRequest("Invalid input for field/attribute rxtx_factor: it must be greater than 0.")
    row = Flavor(
        id=id,
        name=name,
        ram=whole("ram", body.ram, least=1),
        vcpus=whole("vcpus", body.vcpus, least=1),
        disk=whole("disk", body.disk),
        ephemeral=0 if body.ephemeral is UNSET else whole("OS-FLV-EXT-DATA:ephemeral", body.ephemeral),
        swap=0 if body.swap is UNSET else whole("swap", body.swap),
        rxtx_factor=factor,
        is_public=body.is_public is UNSET or boolean(body.is_public),
        description=body.description or None,
        extra_specs={},
        created_at=call.now,
    )
    call.db.add(row)
    return row


@flavors.operation(
    "PUT",
    "/{id}",
    policy=("os_compute_api:os-flavor-manage:update", ADMIN),
    body=FlavorChange,
    about=find,
    event="update",
    since=(2, 55),
)
def update(call: Call, id: str, body: FlavorChange) -> Any:
    call.subject.description = body.description
    return call.subject


@flavors.operation(
    "DELETE",
    "/{id}",
    policy=("os_compute_api:os-flavor-manage:delete", ADMIN),
    about=find,
    event="delete",
    ok=202,
)
def delete(call: Call, id: str) -> None:
    for access in call.db.scalars(select(FlavorAccess).where(FlavorAccess.flavor_id == id)):
        call.db.delete(access)
    call.db.delete(call.subject)
